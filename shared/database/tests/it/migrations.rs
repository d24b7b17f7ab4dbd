use zeitwork_database::testing::TestDatabase;
use zeitwork_database::{Error, migrate};

#[tokio::test(flavor = "multi_thread")]
async fn a_migrated_database_passes_the_check_and_migrates_no_further() {
    let database = TestDatabase::create().await;
    migrate::check(&database.owner).await.unwrap();
    assert_eq!(migrate::run(&database.owner).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_foreign_tables_is_refused() {
    let database = TestDatabase::create().await;
    let mut connection = database.owner.acquire().await.unwrap();
    for statement in ["drop table _sqlx_migrations", "create table theirs (id int)"] {
        sqlx::query(statement).execute(&mut *connection).await.unwrap();
    }
    let refused = migrate::run(&database.owner).await;
    assert!(matches!(refused, Err(Error::Schema(ref text)) if text.contains("own")), "{refused:?}");
}
