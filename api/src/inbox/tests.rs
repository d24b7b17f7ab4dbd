use zeitwork_database::login::Role;
use zeitwork_database::testing::{FACT_LIMIT, TestDatabase};
use zeitwork_model::id::DeliveryId;

use super::*;

fn delivery(id: &str, octets: usize) -> NewDelivery {
    NewDelivery {
        id: DeliveryId::new(),
        delivery_id: id.to_owned(),
        event: "push".to_owned(),
        installation_id: None,
        repository_id: None,
        repository: None,
        payload: vec![b' '; octets].into(),
        request_id: String::new(),
    }
}

#[tokio::test]
async fn who_writes_a_statement_that_is_full_before_the_own_delivery_writes_another() {
    let database = TestDatabase::create().await;
    let inbox = Inbox::new(&database.role(Role::Api).await, &Lifecycle::new());
    // It came first and its sender has not got to writing yet.
    let (stored, first) = oneshot::channel();
    let waiting = Waiting { delivery: delivery("first", BATCH_OCTETS), stored };
    inbox.waiting.lock().unwrap().push(waiting);
    let second = tokio::time::timeout(FACT_LIMIT, inbox.store(delivery("second", 1))).await;
    assert!(matches!(second, Ok(Ok(true))), "{second:?}");
    assert!(matches!(first.await, Ok(Ok(true))));
}
