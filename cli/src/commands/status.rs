//! `zeitwork status`.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::nodes;
use crate::api::{Api, segment, with_query};
use crate::output::{Output, Rows};
use crate::session::{Session, moment, short_commit, text, text_or_dash};

/// Environments of one project that are shown.
const LIVE_SHOWN: usize = 50;

/// Shows readiness, nodes, and what is live; fails where the platform is not ready.
pub async fn run(session: &Session) -> Result<()> {
    let api = session.api()?;
    let (ready, detail) = api.readiness_detail().await?;
    // Only the platform's owner sees nodes and the version; others see the rest.
    let nodes = api.list("/nodes", usize::MAX).await.ok();
    let version = api.get("/system/version").await.ok().flatten();
    let projects = with_live(&api).await?;
    let whole = json!({
        "api": api.base(), "ready": ready, "checks": detail.get("checks"),
        "version": version, "nodes": nodes, "projects": projects,
    });
    session.output.either(&whole, |output| {
        readiness(output, api.base(), ready, &detail);
        if let Some(nodes) = &nodes {
            output.line("");
            output.table(&nodes::table(nodes), "no node has joined yet");
        }
        output.line("");
        output.table(&live_table(&projects), "there are no projects yet");
    })?;
    if !ready {
        bail!("the platform is not ready");
    }
    Ok(())
}

fn readiness(output: &Output, base: &str, ready: bool, detail: &Value) {
    output.line(&format!("{base} is {}", if ready { "ready" } else { "not ready" }));
    for (name, check) in detail.get("checks").and_then(Value::as_object).into_iter().flatten() {
        let ok = check.get("ok").and_then(Value::as_bool).unwrap_or_default();
        let word = if ok { "ok" } else { "wrong" };
        output.line(&format!("  {name:<10} {word:<6} {}", text(check, "/detail")));
    }
}

/// Every project with the live deployments of its environments.
async fn with_live(api: &Api) -> Result<Vec<Value>> {
    let mut projects = api.list("/projects", usize::MAX).await?;
    for project in &mut projects {
        let path = format!("/projects/{}/deployments", segment(&text(project, "/id")));
        let live = api.list(&with_query(&path, &[("status", "live")]), LIVE_SHOWN).await?;
        project["live"] = Value::Array(live);
    }
    Ok(projects)
}

fn live_table(projects: &[Value]) -> Rows {
    let mut rows = Rows::new(&["project", "environment", "live commit", "since", "address"]);
    for project in projects {
        let environments = project.get("environments").and_then(Value::as_array);
        for environment in environments.into_iter().flatten() {
            let live = project.get("live").and_then(Value::as_array).into_iter().flatten();
            let id = environment.get("id");
            let live = live.into_iter().find(|it| it.get("environment_id") == id);
            let live = live.unwrap_or(&Value::Null);
            rows.push([
                text(project, "/slug"),
                text(environment, "/name"),
                short_commit(live, "/commit"),
                moment(live, "/live_at"),
                text_or_dash(environment, "/address"),
            ]);
        }
    }
    rows
}
