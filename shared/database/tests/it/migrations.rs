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

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_a_newer_release_is_refused_with_what_to_do_and_daemons_go_on() {
    let database = TestDatabase::create().await;
    let newer =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                 values (9999, 'of tomorrow', true, '', 0)";
    database.run(newer).await;
    let refused = migrate::run(&database.owner).await;
    let newer = matches!(refused, Err(Error::Schema(ref text)) if text.contains("newer release"));
    assert!(newer, "{refused:?}");
    migrate::check(&database.owner).await.unwrap();
}
