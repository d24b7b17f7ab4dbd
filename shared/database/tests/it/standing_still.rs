//! A process that stands still in the middle of a transaction is in nobody's way for long.

use std::time::Duration;

use zeitwork_database::login::Role;
use zeitwork_database::testing::{TestDatabase, execute, execute_in};

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_stands_still_lets_go_of_its_locks_and_is_refused_later() {
    let world = TestDatabase::create().await;
    let organisation = "insert into organisations (id, slug, name)
        values ('00000000-0000-0000-0000-000000000001', 'o', 'o')";
    execute(&world.owner, organisation).await;
    let (frozen, other) = (world.role(Role::Operator).await, world.role(Role::Api).await);
    let mut transaction = frozen.begin().await.unwrap();
    execute_in(
        &mut transaction,
        "insert into github_installations
        (installation_id, organisation_id, account)
        values (1, '00000000-0000-0000-0000-000000000001', 'frozen')",
    )
    .await;
    // The same key: it waits for the end of the other transaction, but not for long.
    let taken = execute(
        &other,
        "insert into github_installations
        (installation_id, organisation_id, account)
        values (1, '00000000-0000-0000-0000-000000000001', 'other')",
    );
    tokio::time::timeout(Duration::from_secs(9), taken).await.expect("the lock is given up");
    transaction.commit().await.expect_err("what stood still has nothing to say any more");
}
