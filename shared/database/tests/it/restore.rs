//! After a restore nobody goes on from where the lost time had led.

use zeitwork_database::testing::TestDatabase;
use zeitwork_database::{Error, installation, restore, routes};
use zeitwork_model::generation::Position;
use zeitwork_protocol::edge::Feed;

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_before_the_restore_takes_a_snapshot_also_where_generations_have_caught_up() {
    let world = TestDatabase::create().await;
    let connection = &mut *world.owner.acquire().await.unwrap();
    let before = installation::read(connection).await.unwrap().epoch;
    let position = Position { epoch: before, generation: 0 };
    let (feed, _) = routes::changes_after(connection, position).await.unwrap();
    assert!(matches!(feed, Feed::Changes { .. }), "{feed:?}");
    let first = restore::begin_epoch(connection).await.unwrap();
    assert!(first > before);
    let (feed, _) = routes::changes_after(connection, position).await.unwrap();
    assert!(matches!(feed, Feed::TakeSnapshot), "{feed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_backup_restored_twice_does_not_begin_the_same_epoch() {
    let world = TestDatabase::create().await;
    let connection = &mut *world.owner.acquire().await.unwrap();
    let first = restore::begin_epoch(connection).await.unwrap();
    world.run("update installation set epoch = 1").await;
    assert!(restore::begin_epoch(connection).await.unwrap() > first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_holds_something_is_not_restored_into() {
    let world = TestDatabase::create().await;
    let connection = &mut *world.owner.acquire().await.unwrap();
    let refused = restore::prepare(connection).await;
    assert!(matches!(refused, Err(Error::Schema(ref it)) if it.contains("empty")), "{refused:?}");
}
