//! The route feed: a reader that follows generations misses no committed change.

use zeitwork_database::testing::TestDatabase;

const WRITERS: usize = 6;
const CHANGES: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_feed_misses_nothing_while_slow_and_fast_writers_commit() {
    let world = TestDatabase::create().await;
    let mut owner = world.owner.acquire().await.unwrap();
    for statement in [
        "insert into organisations (id, slug, name) values ('00000000-0000-0000-0000-000000000001', 'o', 'o')",
        "insert into projects (id, organisation_id, slug, name, source_kind, url)
         values ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 'p', 'p', 'git', 'https://x')",
        "insert into environments (id, organisation_id, project_id, name, kind)
         values ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002', 'production', 'production')",
    ] {
        sqlx::query(statement).execute(&mut *owner).await.unwrap();
    }
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let database = world.owner.clone();
        writers.spawn(async move {
            for change in 0..CHANGES {
                let mut transaction = database.begin().await.unwrap();
                sqlx::query(
                    "insert into routes (host, organisation_id, environment_id, route)
                     values ($1, '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000003', '{}')",
                )
                .bind(format!("{writer}-{change}.localhost"))
                .execute(&mut *transaction)
                .await
                .unwrap();
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
