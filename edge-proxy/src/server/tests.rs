use super::*;

fn settings(addresses: Vec<SocketAddr>) -> Settings {
    Settings { addresses, workers: 2, limits: Limits::default() }
}

#[tokio::test]
async fn an_address_in_use_is_an_error_and_not_shared_in_silence() {
    let table = Arc::new(Table::new(&[]));
    let any = vec![([127, 0, 0, 1], 0).into()];
    let first = Server::start(&settings(any), &table, None).unwrap();
    let error = Server::start(&settings(first.addresses().to_vec()), &table, None).unwrap_err();
    assert!(matches!(error, Error::Bind { address, .. } if address == first.addresses()[0]));
}

#[tokio::test]
async fn several_addresses_of_both_families_are_served() {
    let table = Arc::new(Table::new(&[]));
    let all = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    let server = match Server::start(&settings(all), &table, None) {
        Ok(server) => server,
        // A host without IPv6 has no address to serve.
        Err(Error::Bind { address, .. }) if address.is_ipv6() => return,
        Err(error) => panic!("{error}"),
    };
    for &address in server.addresses() {
        let mut client = crate::testing::Client::open(address).await;
        client.send("GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n").await;
        assert_eq!(client.answer().await.unwrap().status(), 404);
    }
}

#[tokio::test]
async fn the_configured_host_leads_to_its_address_and_is_nobodys_instance() {
    let instance = crate::testing::Instance::echo().await;
    let fixed = [("api.example.com".to_owned(), instance.endpoint.address)];
    let table = Arc::new(Table::new(&fixed));
    let any = vec![([127, 0, 0, 1], 0).into()];
    let server = Server::start(&settings(any), &table, None).unwrap();
    let mut client = crate::testing::Client::open(server.addresses()[0]).await;
    client.send("GET /api/v1 HTTP/1.1\r\nHost: API.example.com:443\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status(), 200);
    table.replace(crate::testing::table_of(1, &[("api.example.com", vec![])]));
    client.send("GET /api/v1 HTTP/1.1\r\nHost: api.example.com\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status(), 200, "no tenant takes it over");
    let position = table.position().unwrap();
    assert!(table.report(position, "test").unwrap().in_flight.is_empty());
}
