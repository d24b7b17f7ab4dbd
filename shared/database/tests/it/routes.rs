//! Steps of the route table.

use zeitwork_database::steps::routes;
use zeitwork_database::testing::TestDatabase;
use zeitwork_database::views::rollouts;
use zeitwork_database::{Database, Error};
use zeitwork_model::id::{EnvironmentId, OrganisationId, ProjectId};
use zeitwork_model::route::Route;

/// When the only route was written; none: there is none.
async fn seen(database: &Database) -> Option<time::OffsetDateTime> {
    let snapshot = rollouts::read(&mut database.begin().await.unwrap()).await.unwrap();
    snapshot.hosts.first().and_then(|host| host.written_at)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_changed_by_whoever_saw_it_as_it_is() {
    let world = TestDatabase::create().await;
    let (organisation, project) = (OrganisationId::new(), ProjectId::new());
    let environment = EnvironmentId::new();
    world
        .run(&format!(
            "insert into organisations (id, slug, name) values ('{o}', 'o', 'o');
            insert into projects (id, organisation_id, slug, name, source_kind, url)
            values ('{p}', '{o}', 'p', 'p', 'git', 'https://x');
            insert into environments (id, organisation_id, project_id, name, kind)
            values ('{e}', '{o}', '{p}', 'production', 'production')",
            o = organisation.0,
            p = project.0,
            e = environment.0,
        ))
        .await;
    let route = |timeout_ms| Route {
        organisation,
        project,
        environment,
        endpoints: Vec::new(),
        timeout_ms,
        shared_domain: false,
    };
    let mut connection = world.owner.acquire().await.unwrap();
    let none = seen(&world.owner).await;
    routes::put(&mut connection, "a.test", &route(1), none).await.unwrap();
    let first = seen(&world.owner).await;
    let late = routes::put(&mut connection, "a.test", &route(2), none).await;
    assert!(matches!(late, Err(Error::Stale(_))), "{late:?}");
    routes::put(&mut connection, "a.test", &route(2), first).await.unwrap();
    let second = seen(&world.owner).await;
    assert!(none < first && first < second);
    for late in [
        routes::put(&mut connection, "a.test", &route(1), first).await,
        routes::remove(&mut connection, "a.test", first).await,
    ] {
        assert!(matches!(late, Err(Error::Stale(_))), "{late:?}");
    }
    routes::remove(&mut connection, "a.test", second).await.unwrap();
    let gone = routes::put(&mut connection, "a.test", &route(1), second).await;
    assert!(matches!(gone, Err(Error::Stale(_))), "{gone:?}");
    assert_eq!(seen(&world.owner).await, None);
}
