//! What `zeitwork up` prints once everything is ready, and writes to `up.json`.

use anyhow::Result;
use serde_json::json;
use zeitwork_runtime::config::Settings;

use super::daemons;
use super::demo::App;
use super::home::Home;
use crate::output::Output;

/// Prints the result and leaves it in `<state>/up.json`.
pub fn announce(
    home: &Home,
    settings: &Settings,
    app: Option<&App>,
    output: &Output,
) -> Result<()> {
    let first = |name| {
        settings.raw(name).and_then(|list| list.split(',').next()).unwrap_or_default().trim()
    };
    let api = format!("http://{}", first("ZEITWORK_API_ADDRESS"));
    let key = daemons::owner_key_file(home, settings);
    let push = app.map(|app| format!("git -C {} push", app.working_copy.display()));
    let result = json!({
        "app": app.map(|app| &app.address),
        "api": api,
        "key": key,
        "push": push,
        "installation": home.installation,
        "pid": std::process::id(),
    });
    let draft = home.state.join("up.json.draft");
    std::fs::write(&draft, serde_json::to_vec_pretty(&result)?)?;
    std::fs::rename(&draft, home.state.join("up.json"))?;
    if output.is_json() {
        output.json_line(&result);
        return Ok(());
    }
    if let Some(app) = app {
        output.line(&format!("app      {}", app.address));
    }
    output.line(&format!("api      {api}"));
    match key {
        Some(key) => output.line(&format!("key      {}", key.display())),
        None => output.line("key      as given (ZEITWORK_OWNER_KEY)"),
    }
    if let Some(push) = push {
        output.line(&format!("push     {push}"));
    }
    output.line("ready");
    Ok(())
}
