//! kill -9 right after an acknowledgement: the next start serves what was acknowledged.

use std::time::Duration;

use secrecy::ExposeSecret;
use zeitwork_database::login::Role;
use zeitwork_database::testing::{TestDatabase, execute, texts};
use zeitwork_model::id::{EnvironmentId, OrganisationId, ProjectId};
use zeitwork_model::route::Route;

use crate::program::Program;

/// Nobody listens there.
const NOWHERE: &str = "postgres://nobody@127.0.0.1:1/none";

/// An environment, and the route of a host that has no instance: the edge answers 503 for it, and
/// 404 for a host that it does not know.
async fn route(world: &TestDatabase) -> Route {
    let route = Route {
        organisation: OrganisationId::new(),
        project: ProjectId::new(),
        environment: EnvironmentId::new(),
        endpoints: Vec::new(),
        timeout_ms: 5_000,
        shared_domain: false,
    };
    let [o, p, e] = [route.organisation.0, route.project.0, route.environment.0];
    world
        .run(format!(
            "insert into organisations (id, slug, name) values ('{o}', 'o', 'o');
            insert into projects (id, organisation_id, slug, name, source_kind, url)
            values ('{p}', '{o}', 'p', 'p', 'git', 'https://example.com/p.git');
            insert into environments (id, organisation_id, project_id, name, kind)
            values ('{e}', '{o}', '{p}', 'production', 'production')"
        ))
        .await;
    route
}

/// Gives the hosts of a query the route.
async fn put(world: &TestDatabase, route: &Route, hosts: &str) {
    let (organisation, environment) = (route.organisation.0, route.environment.0);
    let route = serde_json::to_string(route).unwrap();
    execute(
        &world.owner,
        &format!(
            "insert into routes (host, organisation_id, environment_id, route)
            select host, '{organisation}', '{environment}', '{route}' from ({hosts}) as it (host)"
        ),
    )
    .await;
}

async fn until_acknowledged(world: &TestDatabase) {
    let query = "select 1 from edges where applied_generation
        = (select max(generation) from route_feed) and lease_until > now()";
    for _ in 0..10_000 {
        if !texts(&world.owner, query).await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the edge never acknowledged the newest generation");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_killed_right_after_an_acknowledgement_starts_from_it() {
    let world = TestDatabase::create().await;
    let route = route(&world).await;
    let url = world.role_url(Role::Edge).await;
    let state = tempfile::tempdir().unwrap();
    // A table that takes a while to write.
    put(&world, &route, "select 'filled-' || n || '.test' from generate_series(1, 5000) n").await;
    for round in 0..8 {
        let edge = Program::start(state.path(), url.expose_secret());
        until_acknowledged(&world).await;
        let host = format!("round-{round}.test");
        put(&world, &route, &format!("values ('{host}')")).await;
        until_acknowledged(&world).await;
        edge.kill();
        let alone = Program::start(state.path(), NOWHERE);
        assert_eq!(alone.status(&host), 503, "round {round}: acknowledged and not on disk");
        assert_eq!(alone.status("filled-5000.test"), 503);
        assert_eq!(alone.status("unknown.test"), 404);
        alone.kill();
    }
}
