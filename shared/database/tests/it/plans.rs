//! What is asked often is found by an index, however large the tables become.

use serde_json::Value;
use zeitwork_database::testing::{TestDatabase, plan};

/// Statements of the crate, shortened to what decides how rows are found.
const HOT: &[(&str, &str)] = &[
    (
        "a commit that was wished for",
        "select max(w.generation) from wishes w join deployments d on d.id = w.deployment_id
         where d.environment_id = $id and d.commit_sha = 'c'",
    ),
    ("who waits for a build", "select id from deployments where build_id = $id"),
    (
        "who needs an image",
        "select 1 from deployments where image_id = $id and status in ('queued', 'live')",
    ),
    (
        "a project's builds",
        "select id from builds where project_id = $id order by id desc limit 50",
    ),
    (
        "an environment's instances",
        "select id from instances where environment_id = $id order by id desc limit 100",
    ),
    (
        "a project's deployments",
        "select id from deployments where project_id = $id order by id desc limit 50",
    ),
    ("a key", "select hash from api_keys where prefix = 'abcdefgh' and revoked_at is null"),
    (
        "deliveries that are due",
        "select id from webhook_deliveries
         where status = 'pending' and next_attempt_at <= now()",
    ),
    (
        "a repository's deliveries",
        "select id from webhook_deliveries where installation_id = 1 and repository_id = 2
         order by id desc limit 50",
    ),
    (
        "deliveries that are old",
        "select id from webhook_deliveries
         where status <> 'pending' and received_at < now() - interval '30 days'",
    ),
    (
        "answers that are old",
        "select key from idempotency_keys where created_at < now() - interval '1 day'",
    ),
    (
        "an organisation's installations",
        "select installation_id from github_installations where organisation_id = $id",
    ),
    ("events after one", "select kind from events where environment_id = $id and sequence > 7"),
    ("lines after one", "select data from log_chunks where stream = 's' and first_sequence > 7"),
];

/// Scans of a plan that read without knowing where.
fn blind(plan: &Value, found: &mut Vec<String>) {
    let kind = plan["Node Type"].as_str().unwrap_or_default();
    let knows = ["Index Cond", "Recheck Cond"].iter().any(|name| !plan[*name].is_null());
    // A partition that is empty by its bounds, and a lookup by the whole partial index.
    let reads = kind.ends_with("Scan") && !kind.contains("Subquery");
    if reads && !knows {
        found.push(format!("{kind} on {}", plan["Relation Name"]));
    }
    for below in plan["Plans"].as_array().into_iter().flatten() {
        blind(below, found);
    }
}

#[tokio::test]
async fn what_is_asked_often_is_found_by_an_index() {
    let database = TestDatabase::create().await;
    for (what, statement) in HOT {
        let id = "'00000000-0000-7000-8000-000000000000'";
        let plan = plan(&database.owner, &statement.replace("$id", id)).await;
        let mut found = Vec::new();
        blind(&plan[0]["Plan"], &mut found);
        assert!(found.is_empty(), "{what}: {found:?}\n{plan:#}");
    }
}
