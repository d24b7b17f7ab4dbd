//! The daemon with a real database: routes in, lease out, and what happens when it is away.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use zeitwork_database::login::Role;
use zeitwork_database::steps::routes as steps;
use zeitwork_database::testing::TestDatabase;
use zeitwork_database::views::rollouts;
use zeitwork_database::{Database, environments, organisations, projects};
use zeitwork_model::environment::EnvironmentKind;
use zeitwork_model::project::SourceKind;
use zeitwork_model::route::{Endpoint, Route};
use zeitwork_runtime::{Clock, Lifecycle};

use crate::limits::Limits;
use crate::testing::{Answer, Client, HOST, Instance, leave_on_disk, route, table_of};
use crate::{Config, Parts, Running, run};

fn config(state: &Path, database_url: Option<SecretString>) -> Config {
    let local: SocketAddr = ([127, 0, 0, 1], 0).into();
    Config {
        http: vec![local],
        admin: vec![local],
        state_dir: state.to_owned(),
        database_url,
        fixed: Vec::new(),
        name: "test".to_owned(),
        workers: 1,
        limits: Limits { linger: Duration::from_millis(50), ..Limits::default() },
    }
}

async fn start(config: Config, life: &Lifecycle) -> Running {
    let parts = Parts { clock: Clock::system(), access_log: None };
    run(config, parts, life).await.unwrap()
}

async fn get(address: SocketAddr, host: &str, path: &str) -> Answer {
    let mut client = Client::open(address).await;
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
    client.answer().await.unwrap()
}

async fn until_status(address: SocketAddr, status: u16) {
    for _ in 0..1_000 {
        if get(address, HOST, "/").await.status() == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the edge never answered {status}");
}

/// A project whose environment the routes belong to.
async fn project(database: &Database) -> Route {
    let route = route(Vec::new());
    let mut connection = database.acquire().await.unwrap();
    organisations::insert(&mut connection, route.organisation, "o", "o").await.unwrap();
    let project = projects::NewProject {
        id: route.project,
        organisation_id: route.organisation,
        slug: "app",
        name: "app",
        source_kind: SourceKind::Git,
        repository: None,
        url: Some("https://example.com/app.git"),
        root_directory: "",
        dockerfile: "Dockerfile",
    };
    projects::insert(&mut connection, &project).await.unwrap();
    let environment = environments::NewEnvironment {
        id: route.environment,
        organisation_id: route.organisation,
        project_id: route.project,
        name: "production",
        kind: EnvironmentKind::Production,
        branch: None,
    };
    environments::insert(&mut connection, &environment).await.unwrap();
    route
}

async fn put(database: &Database, route: &Route, endpoints: Vec<Endpoint>) {
    let mut connection = database.acquire().await.unwrap();
    let route = Route { endpoints, ..route.clone() };
    let hosts = rollouts::read(&mut database.begin().await.unwrap()).await.unwrap().hosts;
    let seen = hosts.iter().find_map(|host| host.written_at);
    steps::put(&mut connection, HOST, &route, seen).await.unwrap();
}

async fn edges(database: &Database) -> Vec<rollouts::Edge> {
    let mut transaction = database.begin().await.unwrap();
    rollouts::read(&mut transaction).await.unwrap().edges
}

/// A path to the database that can be cut.
struct Road {
    directory: tempfile::TempDir,
    to: PathBuf,
    carrying: JoinSet<()>,
}

impl Road {
    /// The URL leads over this path from now on.
    fn through(url: &SecretString) -> (Self, SecretString) {
        let (front, real) = url.expose_secret().split_once("?host=").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let url = format!("{front}?host={}", directory.path().display()).into();
        let to = PathBuf::from(real).join(".s.PGSQL.5432");
        let mut path = Self { directory, to, carrying: JoinSet::new() };
        path.mend();
        (path, url)
    }

    fn mend(&mut self) {
        let listener = UnixListener::bind(self.directory.path().join(".s.PGSQL.5432")).unwrap();
        let to = self.to.clone();
        self.carrying.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = UnixStream::connect(&to).await.unwrap();
                connections.spawn(async move {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
    }

    async fn cut(&mut self) {
        self.carrying.shutdown().await;
        std::fs::remove_file(self.directory.path().join(".s.PGSQL.5432")).unwrap();
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_not_noticed_by_clients_and_caught_up_with() {
    let world = TestDatabase::create().await;
    let state = tempfile::tempdir().unwrap();
    let route = project(&world.owner).await;
    let (one, other) = (Instance::echo().await, Instance::echo().await);
    put(&world.owner, &route, vec![one.endpoint]).await;
    let (mut path, url) = Road::through(&world.role_url(Role::Edge).await);
    let life = Lifecycle::new();
    let running = start(config(state.path(), Some(url)), &life).await;
    until_status(running.traffic[0], 200).await;
    path.cut().await;
    put(&world.owner, &route, vec![other.endpoint]).await;
    until_text(running.admin[0], "/readyz", "serving the last routes").await;
    for _ in 0..20 {
        assert_eq!(get(running.traffic[0], HOST, "/").await.status(), 200);
    }
    assert_eq!(other.requests(), 0, "the change is not known here");
    path.mend();
    until_text(running.admin[0], "/metrics", "routes_generation 2").await;
    assert_eq!(get(running.traffic[0], HOST, "/").await.status(), 200);
    assert_eq!(other.requests(), 1);
    life.stop();
    life.drain(Duration::from_secs(10)).await.unwrap();
}

async fn until_text(address: SocketAddr, path: &str, text: &str) {
    for _ in 0..1_000 {
        if get(address, "localhost", path).await.text().contains(text) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{path} never said {text}: {}", get(address, "localhost", path).await.text());
}

#[tokio::test]
async fn signalled_changes_do_not_wait_for_the_period() {
    let world = TestDatabase::create().await;
    let state = tempfile::tempdir().unwrap();
    let route = project(&world.owner).await;
    let instance = Instance::echo().await;
    put(&world.owner, &route, vec![instance.endpoint]).await;
    let life = Lifecycle::new();
    let url = world.role_url(Role::Edge).await;
    let running = start(config(state.path(), Some(url)), &life).await;
    until_status(running.traffic[0], 200).await;
    let mut took = Vec::new();
    for round in 0..21 {
        let (endpoints, status) =
            if round % 2 == 0 { (vec![], 503) } else { (vec![instance.endpoint], 200) };
        put(&world.owner, &route, endpoints).await;
        let began = Instant::now();
        while get(running.traffic[0], HOST, "/").await.status() != status {}
        took.push(began.elapsed());
    }
    took.sort();
    assert!(took[10] < Duration::from_millis(300), "median of {took:?}");
    life.stop();
    life.drain(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn a_database_that_was_set_back_is_followed_all_the_same() {
    let world = TestDatabase::create().await;
    let state = tempfile::tempdir().unwrap();
    let route = project(&world.owner).await;
    let instance = Instance::echo().await;
    // A copy on disk that is ahead of the database, of a host that is no more.
    let place = crate::state::claim(state.path()).unwrap();
    let ahead = table_of(1_000, &[("gone.localhost", vec![instance.endpoint])]);
    leave_on_disk(&place.directory, ahead);
    drop(place);
    put(&world.owner, &route, vec![instance.endpoint]).await;
    let life = Lifecycle::new();
    let url = world.role_url(Role::Edge).await;
    let running = start(config(state.path(), Some(url)), &life).await;
    until_status(running.traffic[0], 200).await;
    assert_eq!(get(running.traffic[0], "gone.localhost", "/").await.status(), 404);
    life.stop();
    life.drain(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn a_difference_is_found_after_a_start_from_disk() {
    let world = TestDatabase::create().await;
    let state = tempfile::tempdir().unwrap();
    let route = project(&world.owner).await;
    let instance = Instance::echo().await;
    put(&world.owner, &route, vec![instance.endpoint]).await;
    // The right position, and a table that is not that of the database.
    let place = crate::state::claim(state.path()).unwrap();
    leave_on_disk(&place.directory, table_of(1, &[(HOST, vec![])]));
    drop(place);
    let life = Lifecycle::new();
    let url = world.role_url(Role::Edge).await;
    let running = start(config(state.path(), Some(url)), &life).await;
    until_status(running.traffic[0], 200).await;
    until_text(running.admin[0], "/metrics", "routes_drift 1").await;
    life.stop();
    life.drain(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn a_committed_route_is_served_reported_and_kept_for_a_cold_start() {
    let world = TestDatabase::create().await;
    let state = tempfile::tempdir().unwrap();
    let route = project(&world.owner).await;
    // As the edge's own role: its grants are enough.
    let url = world.role_url(Role::Edge).await;
    let life = Lifecycle::new();
    let running = start(config(state.path(), Some(url)), &life).await;
    let traffic = running.traffic[0];
    until_status(traffic, 404).await;

    let instance = Instance::echo().await;
    put(&world.owner, &route, vec![instance.endpoint]).await;
    until_status(traffic, 200).await;
    while edges(&world.owner).await.iter().all(|edge| edge.applied_generation < 1) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(edges(&world.owner).await.iter().all(|edge| edge.is_alive));
    let ready = get(running.admin[0], "localhost", "/readyz").await;
    assert_eq!(ready.status(), 200, "{}", ready.text());
    assert!(ready.text().contains("1 hosts at generation 1.1"), "{}", ready.text());
    let metrics = get(running.admin[0], "localhost", "/metrics").await.text();
    assert!(metrics.contains("zeitwork_edge_lease 1"), "{metrics}");
    assert!(metrics.contains("zeitwork_edge_routes_generation 1"), "{metrics}");

    life.stop();
    life.drain(Duration::from_secs(10)).await.unwrap();
    assert!(edges(&world.owner).await.is_empty(), "a stopped edge gives its lease back");

    // Nobody listens there: the table on disk serves.
    let nowhere = Some("postgres://nobody@127.0.0.1:1/none".into());
    let life = Lifecycle::new();
    let running = start(config(state.path(), nowhere), &life).await;
    assert_eq!(get(running.traffic[0], HOST, "/").await.status(), 200);
    let ready = get(running.admin[0], "localhost", "/readyz").await;
    assert_eq!(ready.status(), 200, "it serves: {}", ready.text());
    life.stop();
    life.drain(Duration::from_secs(10)).await.unwrap();
}
