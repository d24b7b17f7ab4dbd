//! The route feed: a reader that follows generations misses no committed change.

use std::time::Instant;

use zeitwork_database::Database;
use zeitwork_database::testing::{FACT_LIMIT, TestDatabase, texts};

const WRITERS: usize = 6;
const CHANGES: usize = 60;

/// A database with an environment, whose routes change.
async fn world() -> TestDatabase {
    let world = TestDatabase::create().await;
    world
        .run(
            "insert into organisations (id, slug, name)
             values ('00000000-0000-0000-0000-000000000001', 'o', 'o');
             insert into projects (id, organisation_id, slug, name, source_kind, url)
             values ('00000000-0000-0000-0000-000000000002',
                '00000000-0000-0000-0000-000000000001', 'p', 'p', 'git', 'https://x');
             insert into environments (id, organisation_id, project_id, name, kind)
             values ('00000000-0000-0000-0000-000000000003',
                '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002',
                'production', 'production')",
        )
        .await;
    world
}

/// A transaction that has changed a host's route and is not committed.
async fn changed(database: &Database, host: &str) -> zeitwork_database::Transaction {
    let mut transaction = database.begin().await.unwrap();
    sqlx::query(
        "insert into routes (host, organisation_id, environment_id, route)
         values ($1, '00000000-0000-0000-0000-000000000001',
            '00000000-0000-0000-0000-000000000003', '{}')",
    )
    .bind(host)
    .execute(&mut *transaction)
    .await
    .unwrap();
    transaction
}

/// The feed behind a generation, as hosts.
async fn behind(database: &Database, generation: &str) -> Vec<String> {
    let query =
        format!("select host from route_feed where generation > {generation} order by generation");
    texts(database, &query).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_drawn_a_generation_is_seen_before_anybody_behind_it() {
    let world = world().await;
    let owner = &world.owner;
    // Changed first, and commits last: when it was changed counts for nothing.
    let late = changed(owner, "late").await;
    let mut early = changed(owner, "early").await;
    // What a commit does first: it passes the gate and draws its generation.
    sqlx::query("set constraints all immediate").execute(&mut *early).await.unwrap();
    let held = Instant::now();
    let committed = async {
        late.commit().await.unwrap();
        Instant::now()
    };
    let read = async {
        let waiting = "select 1 from pg_locks
            where relation = 'route_gate'::regclass and not granted";
        while texts(owner, waiting).await.is_empty() {
            assert!(held.elapsed() < FACT_LIMIT, "the second commit does not wait at the gate");
            // A transaction that stands still would be ended.
            sqlx::query("select 1").execute(&mut *early).await.unwrap();
        }
        assert_eq!(behind(owner, "0").await, [""; 0], "a reader sees neither");
        let opened = Instant::now();
        early.commit().await.unwrap();
        opened
    };
    let (committed, opened) = tokio::join!(committed, read);
    assert!(committed > opened, "it was let through before the one in front was committed");
    assert_eq!(behind(owner, "0").await, ["early", "late"]);
    let first = "(select min(generation) from route_feed)";
    assert_eq!(behind(owner, first).await, ["late"], "who saw the first gets the second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_feed_misses_nothing_while_slow_and_fast_writers_commit() {
    let world = world().await;
    let mut owner = world.owner.acquire().await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let database = world.owner.clone();
        writers.spawn(async move {
            for change in 0..CHANGES {
                let host = format!("{writer}-{change}.localhost");
                let mut transaction = changed(&database, &host).await;
                if writer == 0 {
                    // Holds its transaction open while the others commit past it.
                    tokio::task::yield_now().await;
                    sqlx::query("select pg_sleep(0.005)").execute(&mut *transaction).await.unwrap();
                }
                transaction.commit().await.unwrap();
            }
        });
    }
    let mut seen = 0;
    let mut last = 0i64;
    loop {
        let finished = writers.is_empty();
        let rows: Vec<i64> = sqlx::query_scalar(
            "select generation from route_feed where generation > $1 order by generation",
        )
        .bind(last)
        .fetch_all(&mut *owner)
        .await
        .unwrap();
        seen += rows.len();
        last = rows.last().copied().unwrap_or(last);
        if finished {
            break;
        }
        while writers.try_join_next().is_some_and(|joined| joined.is_ok()) {}
        tokio::task::yield_now().await;
    }
    assert_eq!(seen, WRITERS * CHANGES);
}
