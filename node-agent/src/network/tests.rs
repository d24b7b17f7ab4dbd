use std::collections::BTreeMap;

use proptest::prelude::*;
use zeitwork_model::id::ProjectId;
use zeitwork_model::network::{SPECIAL_V4, SPECIAL_V6};

use super::nameservers;
use super::pool::{choose, overlap};
use super::rules::Rules;

#[test]
fn the_largest_free_part_of_the_pool_is_taken() {
    let pool = "10.213.0.0/16".parse().unwrap();
    let free = |taken: &[&str]| {
        let taken: Vec<_> = taken.iter().map(|text| text.parse().unwrap()).collect();
        choose(pool, &taken, 0).map(|subnet| subnet.to_string())
    };
    assert_eq!(free(&[]).as_deref(), Some("10.213.0.0/20"));
    assert_eq!(free(&["10.213.3.0/24", "10.213.16.0/20"]).as_deref(), Some("10.213.32.0/20"));
    assert_eq!(free(&["10.0.0.0/8"]), None);
    let seeded = |seed| choose(pool, &["10.213.48.0/20".parse().unwrap()], seed);
    assert_eq!(seeded(2).unwrap().to_string(), "10.213.32.0/20");
    assert_eq!(seeded(16 + 3).unwrap().to_string(), "10.213.64.0/20", "the next that is free");
    assert_eq!(choose("10.9.8.0/24".parse().unwrap(), &[], 7), "10.9.8.0/24".parse().ok());
    assert_eq!(choose("10.9.8.0/28".parse().unwrap(), &[], 7), None);
}

proptest! {
    #[test]
    fn a_chosen_subnet_overlaps_with_nothing(parts in prop::collection::vec((0u8..=255, 17u8..=28), 0..40), seed: u32) {
        let pool: ipnetwork::Ipv4Network = "10.213.0.0/16".parse().unwrap();
        let taken: Vec<ipnetwork::Ipv4Network> = parts
            .iter()
            .map(|(part, prefix)| format!("10.213.{part}.0/{prefix}").parse().unwrap())
            .collect();
        if let Some(subnet) = choose(pool, &taken, seed) {
            prop_assert!(overlap(pool, subnet));
            prop_assert!(taken.iter().all(|other| !overlap(*other, subnet)));
        }
    }
}

#[test]
fn projects_get_marks_and_members() {
    let (a, b) = (ProjectId::new(), ProjectId::new());
    let rules = Rules {
        table: "zeitwork_test".into(),
        bridge: "zwtest".into(),
        addresses: BTreeMap::from([
            ("10.0.0.2".parse().unwrap(), a),
            ("10.0.0.3".parse().unwrap(), b),
            ("10.0.0.4".parse().unwrap(), a),
        ]),
        resolvers: vec!["9.9.9.9".parse().unwrap()],
        allow: vec!["192.0.2.7/24".parse().unwrap()],
    };
    let text = rules.text();
    for part in [
        "10.0.0.2 : 1, 10.0.0.3 : 2, 10.0.0.4 : 1",
        "1 . 10.0.0.2, 2 . 10.0.0.3, 1 . 10.0.0.4",
        "elements = { 9.9.9.9 };",
        "elements = { 192.0.2.0/24 };",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn nothing_leaves_for_a_special_network() {
    let rules = Rules {
        table: "zeitwork_test".into(),
        bridge: "zwtest".into(),
        addresses: BTreeMap::new(),
        resolvers: Vec::new(),
        allow: Vec::new(),
    };
    let text = rules.text();
    let of = |set: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.contains(set)).unwrap();
        let (_, elements) = line.split_once("elements = { ").unwrap();
        elements.split(" }").next().unwrap().split(", ").map(str::to_owned).collect()
    };
    let texts = |networks: Vec<(std::net::IpAddr, u8)>| -> Vec<String> {
        networks.iter().map(|(address, prefix)| format!("{address}/{prefix}")).collect()
    };
    let four = SPECIAL_V4.map(|(address, prefix)| (address.into(), prefix));
    let six = SPECIAL_V6.map(|(address, prefix)| (address.into(), prefix));
    assert_eq!(of("set special4"), texts(four.to_vec()));
    assert_eq!(of("set special6"), texts(six.to_vec()));
    assert!(text.contains("ip daddr @special4 drop") && text.contains("ip6 daddr @special6 drop"));
}

#[test]
fn nameservers_are_read_from_resolv_conf() {
    let text = "# a comment\nsearch example.com\nnameserver 10.0.0.1\nnameserver  fd00::1\n";
    assert_eq!(
        nameservers(text),
        vec!["10.0.0.1".parse::<std::net::IpAddr>().unwrap(), "fd00::1".parse().unwrap()]
    );
}
