//! The owner is never without a key.

use zeitwork_database::PgConnection;
use zeitwork_database::owner::{Ensured, ensure};
use zeitwork_database::testing::TestDatabase;

async fn active(connection: &mut PgConnection) -> Vec<String> {
    let statement = "select prefix from api_keys where revoked_at is null order by prefix";
    sqlx::query_scalar(statement).fetch_all(connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_replaces_the_owners_and_a_revoked_one_replaces_nothing() {
    let world = TestDatabase::create().await;
    let connection = &mut *world.owner.acquire().await.unwrap();
    assert_eq!(ensure(connection, "first", &[1; 32]).await.unwrap(), Ensured::Holds);
    assert_eq!(ensure(connection, "first", &[1; 32]).await.unwrap(), Ensured::Holds);
    assert_eq!(ensure(connection, "second", &[2; 32]).await.unwrap(), Ensured::Holds);
    assert_eq!(active(connection).await, ["second"]);
    assert_eq!(ensure(connection, "first", &[1; 32]).await.unwrap(), Ensured::Revoked);
    assert_eq!(ensure(connection, "second", &[3; 32]).await.unwrap(), Ensured::Taken);
    assert_eq!(active(connection).await, ["second"], "the owner is not locked out");
}
