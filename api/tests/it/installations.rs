//! Installations of the GitHub App: who sees them, who gives them to whom.

use serde_json::{Value, json};
use zeitwork_database::testing::texts;
use zeitwork_model::scope::Scope;

use crate::support::{User, World};

async fn known(world: &World, number: i64, holder: Option<&User<'_>>) {
    let holder = holder.map_or("null".to_owned(), |user| format!("'{}'", user.organisation.0));
    let script = format!(
        "insert into github_installations (installation_id, organisation_id, account)
         values ({number}, {holder}, 'account-{number}')"
    );
    world.database.run(script).await;
}

async fn seen(user: &User<'_>) -> Vec<i64> {
    let page = user.get("/github/installations").await.expect(200);
    page["items"].as_array().unwrap().iter().map(|it| it["id"].as_i64().unwrap()).collect()
}

async fn actions(user: &User<'_>) -> Vec<Value> {
    let path = format!("/organisations/{}/audit-events", user.organisation);
    let page = user.get(&path).await.expect(200);
    page["items"].as_array().unwrap().iter().map(|it| it["action"].clone()).collect()
}

#[tokio::test]
async fn an_unclaimed_installation_is_seen_and_given_by_the_platform_alone() {
    let world = World::start().await;
    let owner = world.user(Scope::Platform).await;
    let (acme, other) = (world.user(Scope::Admin).await, world.user(Scope::Admin).await);
    known(&world, 71, None).await;
    known(&world, 72, Some(&other)).await;
    assert_eq!(seen(&owner).await, [72, 71]);
    assert!(seen(&acme).await.is_empty());
    let body = json!({ "organisation": acme.organisation });
    acme.put("/github/installations/71", body.clone()).await.problem(403, "forbidden");
    let given = owner.put("/github/installations/71", body.clone()).await.expect(200);
    assert_eq!(given["organisation_id"], acme.organisation.to_string());
    assert_eq!((seen(&acme).await, seen(&other).await), (vec![71], vec![72]));
    owner.put("/github/installations/71", body.clone()).await.expect(200);
    assert_eq!(actions(&acme).await, ["github_installation.assign"], "the second changed nothing");
    // What another organisation has is not moved over its head.
    owner.put("/github/installations/72", body.clone()).await.problem(409, "conflict");
    owner.put("/github/installations/73", body).await.problem(404, "not_found");
    let nobody = json!({ "organisation": "nobody" });
    let unknown = owner.put("/github/installations/71", nobody).await;
    let problem = unknown.problem(422, "validation_failed");
    assert_eq!(problem["errors"][0]["pointer"], "/organisation");
}

#[tokio::test]
async fn an_installation_is_released_by_its_organisation_or_the_platform() {
    let world = World::start().await;
    let owner = world.user(Scope::Platform).await;
    let (acme, other) = (world.user(Scope::Admin).await, world.user(Scope::Admin).await);
    let writer = world.colleague(acme.organisation, Scope::Write).await;
    known(&world, 81, Some(&acme)).await;
    known(&world, 82, Some(&acme)).await;
    writer.delete("/github/installations/81").await.problem(403, "forbidden");
    other.delete("/github/installations/81").await.problem(404, "not_found");
    acme.delete("/github/installations/81").await.expect(204);
    acme.delete("/github/installations/81").await.problem(404, "not_found");
    owner.delete("/github/installations/82").await.expect(204);
    assert!(seen(&acme).await.is_empty());
    assert_eq!(seen(&owner).await, [82, 81], "they are known still");
    let released = ["github_installation.release", "github_installation.release"];
    assert_eq!(actions(&acme).await, released, "whoever did it");
}

#[tokio::test]
async fn whoever_loses_an_installation_loses_its_repositories() {
    let world = World::start().await;
    let owner = world.user(Scope::Platform).await;
    let acme = world.user(Scope::Admin).await;
    let source = json!({ "kind": "github", "repository": "acme/shop" });
    let body = json!({ "name": "shop", "source": source });
    for user in [&owner, &acme] {
        user.post("/projects", body.clone()).await.expect(201);
    }
    known(&world, 91, Some(&owner)).await;
    let ignored = "'ignored', 'installation_not_claimed'";
    let script = format!(
        "update projects set installation_id = 91, repository_id = 5
         where organisation_id = '{}';
         insert into webhook_deliveries (id, source, delivery_id, event, installation_id, payload,
            status, reason_code)
         values (gen_random_uuid(), 'github', 'ours', 'push', 91, '', {ignored}),
            (gen_random_uuid(), 'github', 'another', 'push', 92, '', {ignored});",
        owner.organisation.0
    );
    world.database.run(script).await;
    // The owner's organisation claims by itself, so it may also hand on.
    let to = json!({ "organisation": acme.organisation });
    owner.put("/github/installations/91", to).await.expect(200);
    let through = "select installation_id from projects order by organisation_id";
    assert_eq!(texts(&world.database.owner, through).await, ["", ""]);
    let again = "select delivery_id from webhook_deliveries where status = 'pending'";
    assert_eq!(texts(&world.database.owner, again).await, ["ours"]);
}
