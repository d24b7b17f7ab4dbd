//! From a route's commit in the database to its effect at the edge.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use nix::sys::signal::Signal;
use zeitwork_tests::Cluster;

use crate::line::Line;
use crate::report::Report;
use crate::world;
use zeitwork_tests::sql::Session;

/// Changes for each size of the table: half of them a new host, half of them one that goes.
const CHANGES: u32 = 200;
/// How large the table is made.
const SIZES: [u32; 2] = [1_000, 100_000];
/// Rows of one statement.
const PIECE: u32 = 10_000;
/// Longest wait for one change, and for a whole table.
const CHANGE_LIMIT: Duration = Duration::from_secs(10);
const FILL_LIMIT: Duration = Duration::from_mins(3);

/// The operator is frozen meanwhile: it would remove hosts that belong to nobody.
pub async fn measure(report: &mut Report) {
    let cluster = Cluster::start().await;
    let live = world::live(&cluster, "route").await;
    let host = live.project.host.clone();
    let mut session = Session::open(&cluster.state.join("postgres/data"));
    cluster.signal("operator", Signal::SIGSTOP);
    let mut rows = 0;
    for size in SIZES {
        while rows < size {
            let last = (rows + PIECE).min(size);
            fill(&mut session, &host, rows + 1, last).await;
            rows = last;
        }
        let wanted = format!("filled-{rows}.bench.localhost");
        let mut line = Line::to(cluster.edge);
        line.until(&wanted, FILL_LIMIT, Duration::from_millis(50), is_routed).await;
        let changes = changes(&cluster, &mut session, &host, size).await;
        let (effects, wholes): (Vec<_>, Vec<_>) = changes.into_iter().unzip();
        report.times(&format!("route.commit_to_effect.{size}"), &effects);
        report.times(&format!("route.statement_to_effect.{size}"), &wholes);
    }
    session.run("with gone as (delete from routes where host like '%.bench.localhost' returning 1) select count(*) from gone").await;
    cluster.signal("operator", Signal::SIGCONT);
}

/// Hosts of the project's environment without instance: the edge itself answers 503 for them.
async fn fill(session: &mut Session, host: &str, first: u32, last: u32) {
    let name = "'filled-' || n || '.bench.localhost'";
    let numbers = format!("generate_series({first}, {last}) as n");
    let statement =
        format!("with new as ({}) select count(*) from new", insert(name, host, &numbers));
    session.run(&statement).await;
}

/// An insert that copies the project's route, without endpoints, under another name.
fn insert(name: &str, host: &str, numbers: &str) -> String {
    format!(
        "insert into routes (host, organisation_id, environment_id, route) \
         select {name}, organisation_id, environment_id, jsonb_set(route, '{{endpoints}}', '[]') \
         from routes, {numbers} where host = '{host}' returning 1"
    )
}

/// For each change: from the acknowledged commit, and from the statement, to the edge's answer.
async fn changes(
    cluster: &Cluster,
    session: &mut Session,
    host: &str,
    size: u32,
) -> Vec<(Duration, Duration)> {
    let mut line = Line::to(cluster.edge);
    let mut times = Vec::new();
    for change in 0..CHANGES {
        let name = format!("changed-{size}-{}.bench.localhost", change / 2);
        let comes = change % 2 == 0;
        let statement = if comes {
            insert(&format!("'{name}'"), host, "generate_series(1, 1) as n")
        } else {
            format!("delete from routes where host = '{name}' returning 1")
        };
        let sent = Instant::now();
        let write = async {
            session.run(&statement).await;
            Instant::now()
        };
        let as_wanted = |status, body: &[u8]| is_routed(status, body) == comes;
        let watch = line.until(&name, CHANGE_LIMIT, Duration::ZERO, as_wanted);
        let (acknowledged, seen) = tokio::join!(write, watch);
        times.push((seen.saturating_duration_since(acknowledged), seen - sent));
    }
    times
}

/// A known host without instance; one that is not known gets 404.
fn is_routed(status: StatusCode, _: &[u8]) -> bool {
    status == StatusCode::SERVICE_UNAVAILABLE
}
