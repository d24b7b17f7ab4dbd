use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn whoever_tries_keys_is_refused_and_nobody_else() {
    let attempts = Attempts::default();
    attempts.note(Some(address("192.0.2.1")), &[1; 32], true);
    for _ in 0..WRONG_MAXIMUM {
        assert!(attempts.check(Some(address("192.0.2.1")), &[2; 32]).is_ok());
        attempts.note(Some(address("192.0.2.1")), &[2; 32], false);
    }
    assert!(attempts.check(Some(address("192.0.2.1")), &[2; 32]).is_err());
    assert!(attempts.check(Some(address("::ffff:192.0.2.1")), &[2; 32]).is_err());
    assert!(attempts.check(Some(address("192.0.2.1")), &[1; 32]).is_ok());
    assert!(attempts.check(Some(address("192.0.2.2")), &[2; 32]).is_ok());
}

#[test]
fn an_ipv6_subscriber_has_one_network() {
    let attempts = Attempts::default();
    for n in 0..WRONG_MAXIMUM {
        attempts.note(Some(address(&format!("2001:db8::{n}"))), &[2; 32], false);
    }
    assert!(attempts.check(Some(address("2001:db8::ffff")), &[2; 32]).is_err());
    assert!(attempts.check(Some(address("2001:db8:0:1::1")), &[2; 32]).is_ok());
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let attempts = Attempts::default();
    for n in 0..u32::try_from(KNOWN_MAXIMUM).unwrap() + 100 {
        attempts.note(Some(IpAddr::from(n.to_be_bytes())), &[2; 32], false);
        let mut key = [0; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        attempts.note(None, &key, true);
    }
    let known = attempts.0.lock().unwrap();
    assert!(known.wrong.len() <= KNOWN_MAXIMUM && known.valid.len() <= KNOWN_MAXIMUM);
}
