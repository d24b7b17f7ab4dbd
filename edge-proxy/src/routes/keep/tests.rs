use std::fs;
use std::path::PathBuf;

use zeitwork_protocol::edge::{RouteChange, RouteTable};

use super::*;
use crate::testing::{endpoint, route, table_of};

fn at(generation: i64) -> Position {
    Position { epoch: 1, generation }
}

/// Generation g gives host `g mod hosts` an endpoint with port g.
fn change(table: &Table, generation: i64, hosts: i64) {
    let host = format!("host-{}.test", generation % hosts);
    let port = u16::try_from(generation % 60_000).unwrap() + 1;
    let route = Some(route(vec![endpoint(port)]));
    table.apply(vec![RouteChange { generation, host, route }], at(generation));
}

/// What a start would serve at this moment: the page cache outlives a killed process.
fn start(directory: &Path) -> Option<RouteTable> {
    let aside = tempfile::tempdir().unwrap();
    fs::copy(directory.join("routes.journal"), aside.path().join("routes.journal")).ok()?;
    Some(Disk::new(aside.path()).read().unwrap())
}

struct World {
    directory: tempfile::TempDir,
    table: Arc<Table>,
    standing: Arc<Standing>,
    kept: watch::Receiver<Option<Position>>,
    over: CancellationToken,
    keeper: JoinHandle<()>,
}

impl World {
    #[allow(clippy::disallowed_methods, reason = "a test has no lifecycle to spawn on")]
    fn start(directory: tempfile::TempDir) -> Self {
        let table = Arc::new(Table::new(&[]));
        let standing = Arc::new(Standing::default());
        let disk = warm_up(&table, directory.path());
        let keeper = Keeper::new(table.clone(), disk, standing.clone());
        let (kept, over) = (keeper.kept(), CancellationToken::new());
        let keeper = tokio::spawn(keeper.run(over.clone()));
        Self { directory, table, standing, kept, over, keeper }
    }

    async fn until_kept(&mut self, generation: i64) {
        let is_there = |kept: &Option<Position>| kept.is_some_and(|at| at.generation >= generation);
        let waiting = self.kept.wait_for(is_there);
        tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap().unwrap();
    }

    async fn stop(self) -> tempfile::TempDir {
        self.over.cancel();
        self.keeper.await.unwrap();
        self.directory
    }

    fn journal(&self) -> PathBuf {
        self.directory.path().join("routes.journal")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_serves_what_was_acknowledged_or_newer_and_never_a_mixture() {
    const HOSTS: i64 = 90;
    const CHANGES: i64 = 1_500;
    let mut world = World::start(tempfile::tempdir().unwrap());
    world.table.replace(table_of(0, &[]));
    world.until_kept(0).await;
    let table = world.table.clone();
    let changing = tokio::task::spawn_blocking(move || {
        for generation in 1..=CHANGES {
            change(&table, generation, HOSTS);
        }
    });
    let mut starts = 0;
    loop {
        let kept = world.kept.borrow_and_update().unwrap().generation;
        let started = start(world.directory.path()).unwrap();
        let reached = started.position.generation;
        assert!(reached >= kept, "acknowledged {kept}, started at {reached}");
        // Every host has the port of the last generation that is its own.
        for (host, route) in &started.routes {
            let number: i64 = host["host-".len()..].strip_suffix(".test").unwrap().parse().unwrap();
            let last = reached - (reached - number).rem_euclid(HOSTS);
            assert_eq!(i64::from(route.endpoints[0].address.port()), last + 1, "{host}");
        }
        assert_eq!(i64::try_from(started.routes.len()).unwrap(), reached.min(HOSTS));
        starts += 1;
        if kept == CHANGES {
            break;
        }
        world.kept.changed().await.unwrap();
    }
    assert!(starts > 1, "{starts}");
    changing.await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn a_long_file_is_written_anew_while_changes_go_on() {
    let mut world = World::start(tempfile::tempdir().unwrap());
    world.table.replace(table_of(0, &[]));
    let (mut longest, mut last, mut generation) = (0, 0, 0);
    // Until it has become shorter: it was written anew.
    while last >= longest {
        longest = last;
        for _ in 0..50 {
            generation += 1;
            change(&world.table, generation, 10);
        }
        world.until_kept(generation).await;
        last = fs::metadata(world.journal()).unwrap().len();
        assert!(last < 4 * 1024 * 1024, "it only grows");
    }
    generation += 1;
    change(&world.table, generation, 10);
    let table = world.table.clone();
    let directory = world.stop().await;
    let started = start(directory.path()).unwrap();
    assert_eq!(started, table.freeze().unwrap().to_table(), "a stop keeps the last change");
    assert_eq!(started.position, at(generation));
}

#[tokio::test]
async fn what_was_read_from_disk_is_not_written_again_and_changes_follow_it() {
    let mut world = World::start(tempfile::tempdir().unwrap());
    world.table.replace(table_of(5, &[("a.test", vec![endpoint(1)])]));
    world.until_kept(5).await;
    let written = fs::read(world.journal()).unwrap();
    let directory = world.stop().await;
    let mut world = World::start(directory);
    assert_eq!(*world.kept.borrow(), Some(at(5)));
    change(&world.table, 6, 10);
    world.until_kept(6).await;
    let now = fs::read(world.journal()).unwrap();
    assert!(now.starts_with(&written) && now.len() > written.len());
    world.stop().await;
}

#[tokio::test]
async fn what_the_disk_refuses_is_not_acknowledged_before_no_old_copy_is_left() {
    let mut world = World::start(tempfile::tempdir().unwrap());
    world.table.replace(table_of(5, &[]));
    world.until_kept(5).await;
    // Neither a new file nor the removal of the old one is possible.
    let directory = world.directory.path().to_owned();
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("moved");
    fs::rename(&directory, &moved).unwrap();
    world.table.replace(table_of(6, &[]));
    while world.standing.state().unsaved.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(*world.kept.borrow(), Some(at(5)));
    fs::rename(&moved, &directory).unwrap();
    world.until_kept(6).await;
    assert_eq!(start(&directory).unwrap().position, at(6));
    while world.standing.state().unsaved.is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.stop().await;
}
