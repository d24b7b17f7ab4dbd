use zeitwork_database::login::Role;
use zeitwork_database::testing::{TestDatabase, texts};
use zeitwork_protocol::edge::RouteChange;

use super::*;
use crate::testing::{HOST, endpoint, table_of};
use crate::upstream::Flight;

fn at(generation: i64) -> Position {
    Position { epoch: 1, generation }
}

/// A reporter that is woken by what happens alone: its period is an hour.
struct World {
    database: TestDatabase,
    table: Arc<Table>,
    standing: Arc<Standing>,
    kept: watch::Sender<Option<Position>>,
    over: CancellationToken,
    reporter: tokio::task::JoinHandle<()>,
}

impl World {
    #[allow(clippy::disallowed_methods, reason = "a test has no lifecycle to spawn on")]
    async fn start() -> Self {
        let database = TestDatabase::create().await;
        let table = Arc::new(Table::new(&[]));
        table.replace(table_of(1, &[(HOST, vec![endpoint(1)])]));
        let (standing, over) = (Arc::new(Standing::default()), CancellationToken::new());
        let (kept, receiver) = watch::channel(None);
        let reporter = Reporter {
            table: table.clone(),
            database: database.role(Role::Edge).await,
            id: EdgeId::new(),
            name: "test".to_owned(),
            standing: standing.clone(),
            kept: receiver,
            period: Duration::from_hours(1),
        };
        let reporter = tokio::spawn(reporter.run(over.clone()));
        Self { database, table, standing, kept, over, reporter }
    }

    fn remove(&self, generation: i64) {
        let change = RouteChange { generation, host: HOST.to_owned(), route: None };
        self.table.apply(vec![change], at(generation));
    }

    /// Waits until the lease says this, and goes on following meanwhile.
    async fn until_reported(&self, expected: &str) {
        let query = "select applied_generation || ' ' ||
            (select coalesce(sum(value::int), 0) from jsonb_each_text(in_flight)) from edges";
        let mut seen = Vec::new();
        for _ in 0..2_000 {
            self.standing.becomes_current();
            seen = texts(&self.database.owner, query).await;
            if seen == [expected] {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("the lease never said {expected:?} but {seen:?}");
    }

    async fn stop(self) {
        self.over.cancel();
        self.reporter.await.unwrap();
        let left = texts(&self.database.owner, "select id from edges").await;
        assert_eq!(left, [""; 0], "a reporter that ends gives the lease back");
    }
}

#[tokio::test]
async fn what_is_drained_is_reported_at_once() {
    let world = World::start().await;
    let flight = Flight::begin(world.table.find(HOST).unwrap().upstreams[0].clone());
    world.kept.send_replace(Some(at(1)));
    world.until_reported("1 0").await;
    world.remove(2);
    world.kept.send_replace(Some(at(2)));
    world.until_reported("2 1").await;
    drop(flight);
    world.until_reported("2 0").await;
    world.stop().await;
}

#[tokio::test]
async fn only_a_position_on_disk_and_of_the_tables_own_past_is_acknowledged() {
    let world = World::start().await;
    world.kept.send_replace(Some(at(1)));
    world.until_reported("1 0").await;
    world.remove(2);
    // The database was set back: what is on disk is ahead of the table.
    assert_eq!(world.table.report(at(3), "test"), None);
    assert_eq!(world.table.report(Position { epoch: 2, generation: 1 }, "test"), None);
    assert_eq!(world.table.report(at(1), "test").unwrap().applied, at(1));
    world.kept.send_replace(Some(at(2)));
    world.until_reported("2 0").await;
    world.stop().await;
}

#[tokio::test]
async fn an_edge_that_does_not_follow_holds_no_lease() {
    let world = World::start().await;
    world.kept.send_replace(Some(at(1)));
    let mut reporter = Reporter {
        table: world.table.clone(),
        database: world.database.role(Role::Edge).await,
        id: EdgeId::new(),
        name: "other".to_owned(),
        standing: Arc::new(Standing::default()),
        kept: world.kept.subscribe(),
        period: Duration::from_hours(1),
    };
    assert!(matches!(reporter.report().await, Err(LookError::NotFollowed)));
    assert!(!reporter.standing.has_lease());
    reporter.standing.becomes_current();
    reporter.report().await.unwrap();
    assert!(reporter.standing.has_lease());
    reporter.leave().await.unwrap();
    world.until_reported("1 0").await;
    world.stop().await;
}
