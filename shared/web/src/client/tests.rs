use http::Request;

use super::*;

fn address(peer: &str, local: &str, claims: &[&str]) -> String {
    let request = claims
        .iter()
        .fold(Request::get("/"), |request, claim| request.header("x-forwarded-for", *claim));
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    parts.extensions.insert(PeerAddress(peer.parse().unwrap()));
    parts.extensions.insert(LocalAddress(local.parse().unwrap()));
    client_address(&parts).unwrap().to_string()
}

#[test]
fn the_edge_of_this_host_says_who_the_client_is() {
    let edge = ["192.0.2.7"];
    assert_eq!(address("127.0.0.1:5", "127.0.0.1:7070", &edge), "192.0.2.7");
    assert_eq!(address("[::1]:5", "[::1]:7070", &["2001:db8::1"]), "2001:db8::1");
    assert_eq!(address("[::ffff:127.0.0.1]:5", "[::]:7070", &edge), "192.0.2.7");
    assert_eq!(address("10.0.0.5:5", "10.0.0.5:7070", &edge), "192.0.2.7");
    assert_eq!(address("127.0.0.1:5", "127.0.0.1:7070", &[]), "127.0.0.1");
}

#[test]
fn whoever_calls_from_elsewhere_claims_in_vain() {
    assert_eq!(address("198.51.100.9:5", "10.0.0.5:7070", &["192.0.2.7"]), "198.51.100.9");
    assert_eq!(address("10.0.0.6:5", "10.0.0.5:7070", &["127.0.0.1"]), "10.0.0.6");
}

#[test]
fn of_several_entries_the_nearest_proxys_counts() {
    let direct = |claims: &[&str]| address("127.0.0.1:5", "127.0.0.1:7070", claims);
    assert_eq!(direct(&["192.0.2.1, 192.0.2.2"]), "192.0.2.2");
    assert_eq!(direct(&["192.0.2.1", "192.0.2.2"]), "192.0.2.2");
    for unfit in ["", "unknown", "192.0.2.1,", "192.0.2.1:80", "localhost", "256.1.1.1"] {
        assert_eq!(direct(&[unfit]), "127.0.0.1", "{unfit:?}");
    }
}
