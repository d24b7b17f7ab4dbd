use std::net::{Ipv4Addr, Ipv6Addr};

use zeitwork_model::network::{SPECIAL_V4, SPECIAL_V6};

use super::*;

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

#[test]
fn special_addresses_are_not_public() {
    for special in [
        "0.0.0.0",
        "0.1.2.3",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001::1",
        "2001:db8::1",
        "3fff::1",
        "100::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(!is_public(special.parse().unwrap()), "{special}");
    }
}

#[test]
fn no_special_network_is_public_from_its_first_address_to_its_last() {
    let last = |network: u128, prefix: u8, bits: u8| network | (u128::MAX >> (128 - bits + prefix));
    for (first, prefix) in SPECIAL_V4 {
        let end = last(first.to_bits().into(), prefix, 32);
        let end = Ipv4Addr::from_bits(u32::try_from(end).unwrap());
        assert!(!is_public(first.into()) && !is_public(end.into()), "{first}/{prefix}");
    }
    // Those that carry an IPv4 address are as public as that.
    let carriers = ["::ffff:0.0.0.0", "64:ff9b::", "2002::"].map(|text| text.parse().unwrap());
    for (first, prefix) in SPECIAL_V6.into_iter().filter(|(first, _)| !carriers.contains(first)) {
        let end = Ipv6Addr::from_bits(last(first.to_bits(), prefix, 128));
        assert!(!is_public(first.into()) && !is_public(end.into()), "{first}/{prefix}");
    }
}

#[test]
fn ordinary_addresses_are_public() {
    for public in [
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.1",
        "140.82.121.3",
        "172.15.0.1",
        "172.32.0.1",
        "192.167.1.1",
        "223.255.255.1",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
        "2606:4700::1111",
        "2a00:1450::1",
    ] {
        assert!(is_public(public.parse().unwrap()), "{public}");
    }
}

#[test]
fn hostile_urls_are_refused_by_their_look() {
    let guard = Guard::default();
    for bad in [
        "http://example.com/x.git",
        "ftp://example.com/",
        "file:///etc/passwd",
        "ssh://git@example.com/x",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://user:secret@example.com/",
        "https://token@example.com/",
    ] {
        assert!(guard.check_url(&url(bad)).is_err(), "{bad}");
    }
    assert_eq!(guard.check_url(&url("https://github.com/a/b")), Ok(()));
    assert_eq!(guard.check_url(&url("https://140.82.121.3/a")), Ok(()));
}

#[test]
fn the_error_does_not_repeat_credentials() {
    let guard = Guard::default();
    for bad in ["https://u:secret@example.com/", "http://u:secret@example.com/secret"] {
        let text = guard.check_url(&url(bad)).unwrap_err().to_string();
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn listed_hosts_may_be_plain_and_private_at_their_port_only() {
    let guard =
        Guard::new(vec![], vec!["127.0.0.1:3000".parse().unwrap(), "git.lan:80".parse().unwrap()]);
    assert_eq!(guard.check_url(&url("http://127.0.0.1:3000/a.git")), Ok(()));
    assert_eq!(guard.check_url(&url("http://GIT.lan./a.git")), Ok(()));
    assert!(guard.check_url(&url("http://127.0.0.1:3001/a.git")).is_err());
    assert!(guard.check_url(&url("https://127.0.0.1/a.git")).is_err());
    assert!(guard.check_url(&url("https://git.lan/a.git")).is_err());
    assert!(guard.check_url(&url("ftp://127.0.0.1:3000/")).is_err());
}

#[test]
fn allowed_networks_may_be_private_over_tls() {
    let guard = Guard::new(vec!["10.1.0.0/16".parse().unwrap()], vec![]);
    assert_eq!(guard.check_url(&url("https://10.1.2.3/")), Ok(()));
    assert_eq!(guard.check_url(&url("https://[::ffff:10.1.2.3]/")), Ok(()));
    assert!(guard.check_url(&url("https://10.2.0.1/")).is_err());
    assert!(guard.check_url(&url("http://10.1.2.3/")).is_err());
}

#[tokio::test]
async fn a_name_that_leads_home_is_refused_after_resolution() {
    let guard = Guard::default();
    let error = guard.resolve(&url("https://localhost/")).await.unwrap_err();
    assert!(matches!(error, GuardError::Private { .. }), "{error}");
    let error = guard.resolver().resolve("localhost".parse().unwrap()).await.err().unwrap();
    assert!(error.to_string().contains("private or special"), "{error}");
}

#[tokio::test]
async fn a_listed_name_resolves_with_its_port() {
    let guard = Guard::new(vec![], vec!["localhost:3000".parse().unwrap()]);
    let target = guard.resolve(&url("http://localhost:3000/")).await.unwrap();
    assert_eq!(target.host, "localhost");
    assert!(target.addresses.iter().all(|it| it.port() == 3000 && it.ip().is_loopback()));
}

#[test]
fn host_and_port_are_both_needed() {
    assert_eq!("Git.Lan:3000".parse::<HostPort>().unwrap().to_string(), "git.lan:3000");
    assert_eq!("[::1]:3000".parse::<HostPort>().unwrap().to_string(), "[::1]:3000");
    for bad in ["git.lan", "git.lan:", "git.lan:x", ":80", "git.lan:70000", "a b:1"] {
        assert!(bad.parse::<HostPort>().is_err(), "{bad}");
    }
}
