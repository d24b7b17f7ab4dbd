//! What each loop of the operator says of itself.

use crate::world::World;

/// Every reconciler, by name.
const ALL: [&str; 10] = [
    "builds",
    "commit_status",
    "heads",
    "images",
    "nodes",
    "retention",
    "rollouts",
    "routes",
    "sources",
    "webhooks",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_reconciler_tells_of_its_passes() {
    let world = World::new().await;
    let told = "select string_agg(name, ' ' order by name) from reconciler_reports
        where passes > 0 and error is null";
    world.until(told, &ALL.join(" ")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_quotes_a_nul_is_heard() {
    let world = World::new().await;
    world.agent.problem(Some("ADD http://a\0b /x"));
    let told = "select problems->0->>'text' from nodes";
    world.until(told, "ADD http://a\u{fffd}b /x").await;
}
