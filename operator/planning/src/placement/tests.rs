use proptest::prelude::*;

use super::*;

const GIB: u64 = 1 << 30;

fn node(available_bytes: u64, arriving: u32, siblings: u32) -> Node {
    Node {
        id: NodeId::new(),
        subnet: "10.90.20.0/29".parse().unwrap(),
        available_bytes,
        arriving,
        siblings,
        taken: BTreeSet::new(),
        last: None,
    }
}

#[test]
fn the_best_node_is_apart_from_siblings_then_the_emptiest() {
    let table = [
        (vec![node(GIB, 0, 0), node(2 * GIB, 0, 0)], Some(1)),
        (vec![node(GIB, 0, 0), node(2 * GIB, 0, 1)], Some(0)),
        (vec![node(GIB, 0, 0), node(GIB + 1, 7, 0)], Some(0)),
        (vec![node(100 << 20, 0, 0), node(GIB, 0, 3)], Some(1)),
        (vec![node(100 << 20, 0, 0)], None),
        (vec![], None),
    ];
    for (nodes, best) in table {
        let place = choose(&nodes, 512 << 20).map(|p| p.node);
        assert_eq!(place, best.map(|i: usize| nodes[i].id), "{nodes:?}");
    }
}

#[test]
fn an_address_rests_as_long_as_possible() {
    let address = |n: u8| Ipv4Addr::new(10, 90, 20, n);
    let table = [
        (vec![], None, Some(2)),
        (vec![2], Some(2), Some(3)),
        (vec![], Some(2), Some(3)),
        (vec![3], Some(2), Some(4)),
        (vec![], Some(6), Some(2)),
        (vec![2, 3, 4, 5, 6], Some(6), None),
    ];
    for (taken, last, next) in table {
        let mut node = node(GIB, 0, 0);
        node.taken = taken.iter().map(|&n| address(n)).collect();
        node.last = last.map(address);
        let place = choose(&[node], GIB).map(|p| p.address);
        assert_eq!(place, next.map(address), "{taken:?} {last:?}");
    }
}

proptest! {
    #[test]
    fn no_address_is_given_twice_and_none_that_is_not_an_instances(
        taken in proptest::collection::btree_set(0u8..16, 0..16),
        last in proptest::option::of(0u8..16),
        prefix in 28u8..=32,
    ) {
        let address = |n: u8| Ipv4Addr::new(10, 90, 20, n);
        let mut node = node(GIB, 0, 0);
        node.subnet = Ipv4Network::new(address(0), prefix).unwrap();
        node.taken = taken.iter().map(|&n| address(n)).collect();
        node.last = last.map(address);
        let (subnet, taken) = (node.subnet, node.taken.clone());
        if let Some(place) = choose(&[node], GIB) {
            prop_assert!(!taken.contains(&place.address));
            prop_assert!(subnet.contains(place.address));
            prop_assert!(place.address != subnet.network());
            prop_assert!(place.address != subnet.broadcast());
            prop_assert!(u32::from(place.address) != u32::from(subnet.network()) + 1);
        }
    }
}
