//! The host's rules as one text that `nft` loads as a whole, or not at all.
//!
//! Its own table, so that neither the engine's nor the host's rules are touched. Its chains come
//! before the engine's; `accept` in them only means that the engine's are asked next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write as _};
use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::IpNetwork;
use zeitwork_model::id::ProjectId;
use zeitwork_model::network::{Network, SPECIAL_V4, SPECIAL_V6};

/// `BuildKit`'s steps have their interface on the engine's default bridge.
const BUILD_BRIDGE: &str = "docker0";

/// All that the rules depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Name of the table.
    pub table: String,
    /// Interface name of our bridge.
    pub bridge: String,
    /// Addresses of instances, and whose they are.
    pub addresses: BTreeMap<Ipv4Addr, ProjectId>,
    /// The host's resolvers, reachable on port 53.
    pub resolvers: Vec<IpAddr>,
    /// Networks that may be reached although they are private or special.
    pub allow: Vec<IpNetwork>,
}

impl Rules {
    /// The text for `nft -f -`: replaces the table in one transaction.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { table, bridge, .. } = self;
        let sets = self.sets();
        format!(
            "table inet {table}
delete table inet {table}
table inet {table} {{
{sets}
  chain forward {{
    type filter hook forward priority filter - 10; policy accept;
    iifname \"{bridge}\" oifname \"{bridge}\" goto between_instances
    iifname {{ \"{bridge}\", \"{BUILD_BRIDGE}\" }} goto egress
  }}
  chain input {{
    type filter hook input priority filter - 10; policy accept;
    iifname {{ \"{bridge}\", \"{BUILD_BRIDGE}\" }} goto to_host
  }}
  chain between_instances {{
    meta mark set ip saddr map @project_of
    meta mark . ip daddr @members accept
    drop
  }}
  chain egress {{
    ct state established,related accept
    ip daddr @resolvers4 meta l4proto {{ tcp, udp }} th dport 53 accept
    ip6 daddr @resolvers6 meta l4proto {{ tcp, udp }} th dport 53 accept
    ip daddr @allowed4 accept
    ip6 daddr @allowed6 accept
    ip daddr @special4 drop
    ip6 daddr @special6 drop
  }}
  chain to_host {{
    ct state established,related accept
    ip daddr @resolvers4 meta l4proto {{ tcp, udp }} th dport 53 accept
    ip6 daddr @resolvers6 meta l4proto {{ tcp, udp }} th dport 53 accept
    drop
  }}
}}
"
        )
    }

    fn sets(&self) -> String {
        let projects: BTreeSet<ProjectId> = self.addresses.values().copied().collect();
        let mark = |project: &ProjectId| {
            1 + projects.iter().position(|known| known == project).unwrap_or(projects.len())
        };
        let project_of = self
            .addresses
            .iter()
            .map(|(address, project)| format!("{address} : {}", mark(project)));
        let members = self
            .addresses
            .iter()
            .map(|(address, project)| format!("{} . {address}", mark(project)));
        let v4 = |address: &IpAddr| address.is_ipv4();
        let resolvers = |four: bool| {
            self.resolvers.iter().filter(move |a| v4(a) == four).map(ToString::to_string)
        };
        let allowed =
            |four: bool| self.allow.iter().filter(move |n| n.is_ipv4() == four).map(|n| masked(*n));
        let interval = "flags interval; auto-merge;";
        let mut text = String::new();
        let mut set = |head: &str, flags: &str, elements: Vec<String>| {
            let elements = match elements.as_slice() {
                [] => String::new(),
                some => format!(" elements = {{ {} }};", some.join(", ")),
            };
            let _ = writeln!(text, "  {head} {flags}{elements} }}");
        };
        set("map project_of { type ipv4_addr : mark;", "", project_of.collect());
        set("set members { type mark . ipv4_addr;", "", members.collect());
        set("set resolvers4 { type ipv4_addr;", "", resolvers(true).collect());
        set("set resolvers6 { type ipv6_addr;", "", resolvers(false).collect());
        set("set allowed4 { type ipv4_addr;", interval, allowed(true).collect());
        set("set allowed6 { type ipv6_addr;", interval, allowed(false).collect());
        set("set special4 { type ipv4_addr;", interval, texts(&SPECIAL_V4));
        set("set special6 { type ipv6_addr;", interval, texts(&SPECIAL_V6));
        text
    }
}

fn texts<Address: Display>(networks: &[Network<Address>]) -> Vec<String> {
    networks.iter().map(|(address, prefix)| format!("{address}/{prefix}")).collect()
}

fn masked(network: IpNetwork) -> String {
    format!("{}/{}", network.network(), network.prefix())
}
