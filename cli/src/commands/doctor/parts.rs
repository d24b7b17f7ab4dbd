//! The parts of a running platform: whether each says that it is ready.

use super::Finding;
use crate::api::Api;
use crate::session::Session;
use crate::supervise::runs_as;

const PARTS: [(&str, &str); 4] = [
    ("api", "ZEITWORK_API_ADDRESS"),
    ("operator", "ZEITWORK_OPERATOR_ADDRESS"),
    ("node-agent", "ZEITWORK_NODE_ADDRESS"),
    ("edge-proxy", "ZEITWORK_EDGE_ADMIN_ADDRESS"),
];

/// Asks each part; nothing where no platform runs on this host.
pub async fn look(session: &Session) -> Vec<Finding> {
    if runs_as(&session.state()).is_none() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (name, setting) in PARTS {
        let addresses = session.settings().raw(setting).unwrap_or_default();
        let address = addresses.split(',').next().unwrap_or_default().trim();
        if !address.is_empty() {
            findings.push(part(name, address, session).await);
        }
    }
    findings
}

async fn part(name: &str, address: &str, session: &Session) -> Finding {
    let log = session.state().join("log").join(format!("{name}.log"));
    let remedy = format!("look at the end of {}", log.display());
    let missing = match Api::new(&format!("http://{address}"), "") {
        Ok(api) => api.readiness().await,
        Err(error) => Err(error),
    };
    match missing {
        Ok(None) => Finding::ok(name, "is ready"),
        Ok(Some(missing)) => Finding::wrong(name, format!("is not ready: {missing}"), remedy),
        Err(_) => Finding::wrong(name, format!("does not answer on {address}"), remedy),
    }
}
