//! Whether the api has what it needs.

use zeitwork_auth::{Action, allows};
use zeitwork_database::system;
use zeitwork_web::{CheckOutcome, DetailAccess};

use crate::extract::caller::identify;
use crate::state::App;

/// Ready: the database answers, and an edge and a node have reported lately.
pub fn register(app: &App) {
    let database = app.database.clone();
    app.health.require("database", move || {
        let database = database.clone();
        async move {
            match zeitwork_database::migrate::check(&database).await {
                Ok(()) => CheckOutcome::ok("answers, with a schema that fits"),
                Err(error) => CheckOutcome::failed(error.to_string()),
            }
        }
    });
    require(app, "edge", "with a living lease", |readiness| readiness.edges);
    require(app, "node", "that reported in the last 20 s", |readiness| readiness.nodes);
}

fn require(
    app: &App,
    noun: &'static str,
    which: &'static str,
    count: impl Fn(system::Readiness) -> i64 + Copy + Send + Sync + 'static,
) {
    let database = app.database.clone();
    app.health.require(noun, move || {
        let database = database.clone();
        async move {
            let Ok(mut connection) = database.acquire().await else {
                return CheckOutcome::failed("the database is unavailable");
            };
            match system::readiness(&mut connection).await.map(count) {
                Ok(0) => CheckOutcome::failed(format!("no {noun}s {which}")),
                Ok(1) => CheckOutcome::ok(format!("1 {noun} {which}")),
                Ok(found) => CheckOutcome::ok(format!("{found} {noun}s {which}")),
                Err(error) => CheckOutcome::failed(error.to_string()),
            }
        }
    });
}

/// Details and metrics are for callers on this host and for `platform` keys.
pub fn access(app: &App) -> DetailAccess {
    let app = app.clone();
    DetailAccess::loopback_or(move |mut parts| {
        let app = app.clone();
        async move {
            let who = identify(&mut parts, &app).await;
            who.is_ok_and(|who| allows(&[who.scope], Action::ReadSystem))
        }
    })
}
