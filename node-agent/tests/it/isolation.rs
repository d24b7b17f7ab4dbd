//! What an instance reaches, tried from inside.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::LogsOptionsBuilder;
use futures::StreamExt as _;
use zeitwork_model::id::ProjectId;
use zeitwork_node_agent::instances::Snapshot;
use zeitwork_protocol::report::InstancePhase;
use zeitwork_protocol::target::InstanceTarget;

use crate::support::{Node, busybox, find, get, target_instance, with_node_allowing};

/// A server that, asked for `/`, tells which of its addresses it reached; it tries once, before
/// it listens.
fn trying(addresses: &[String]) -> String {
    let tries: Vec<String> = addresses
        .iter()
        .map(|address| {
            let (host, port) = address.rsplit_once(':').unwrap();
            format!(
                "if echo | nc -w 2 {host} {port} >/dev/null 2>&1; \
                 then echo '{address} open'; else echo '{address} closed'; fi"
            )
        })
        .collect();
    format!(
        "mkdir -p /www; ({}) > /www/index.html; exec httpd -f -p $PORT -h /www",
        tries.join("; ")
    )
}

/// A service of the host on every address, as one that is not ours would be.
fn host_service() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = (&stream).write_all(b"host\n");
        }
    });
    port
}

fn host_address() -> Ipv4Addr {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("203.0.113.1:9").unwrap();
    match socket.local_addr().unwrap().ip() {
        std::net::IpAddr::V4(address) => address,
        std::net::IpAddr::V6(address) => panic!("{address} is no IPv4 address"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_reaches_its_project_and_nothing_private() {
    with_node_allowing(&[], async |node| {
        let port = host_service();
        let serve = "echo up > /index.html; exec httpd -f -p $PORT -h /";
        let project = ProjectId::new();
        let of_project = |instance: InstanceTarget, project| InstanceTarget { project, ..instance };
        let friend = of_project(node.instance(1, serve).await, project);
        let stranger = node.instance(2, serve).await;
        node.want(1, vec![friend.clone(), stranger.clone()]);
        node.until_phase(friend.id, InstancePhase::Healthy).await;
        node.until_phase(stranger.id, InstancePhase::Healthy).await;
        assert!(get(friend.address).is_some() && get(stranger.address).is_some());

        let gateway = Ipv4Addr::from(u32::from(friend.address) - 10);
        let cases = [
            (format!("{}:8080", friend.address), true),
            (format!("{}:8080", friend.names[0]), true),
            (format!("{}:8080", stranger.address), false),
            (format!("{gateway}:{port}"), false),
            (format!("172.17.0.1:{port}"), false),
            (format!("{}:{port}", host_address()), false),
            ("169.254.169.254:80".to_owned(), false),
        ];
        let addresses: Vec<String> = cases.iter().map(|(address, _)| address.clone()).collect();
        let mut trier = of_project(node.instance(3, &trying(&addresses)).await, project);
        trier.health.grace_ms = 25_000;
        node.want(2, vec![friend, stranger, trier.clone()]);
        node.until_phase(trier.id, InstancePhase::Healthy).await;
        let told = get(trier.address).unwrap();
        let wanted: String = cases
            .iter()
            .map(|(address, open)| format!("{address} {}\n", if *open { "open" } else { "closed" }))
            .collect();
        assert_eq!(told, wanted);
    })
    .await;
}

/// Runs the script in a container of the engine's default bridge, where builds have theirs, and
/// answers what it printed. The container is removed by our label should that not happen here.
async fn on_the_build_bridge(node: &Node, script: &str) -> String {
    let docker = node.engine.docker().unwrap();
    let body = ContainerCreateBody {
        image: Some(busybox().await),
        cmd: Some(["/bin/sh", "-c", script].map(str::to_owned).to_vec()),
        tty: Some(true),
        labels: Some(node.engine.owner().labels().into_iter().collect()),
        ..ContainerCreateBody::default()
    };
    let id = docker.create_container(None, body).await.unwrap().id;
    docker.start_container(&id, None).await.unwrap();
    let options = LogsOptionsBuilder::new().follow(true).stdout(true).build();
    let mut printed = String::new();
    let mut outputs = docker.logs(&id, Some(options));
    while let Some(output) = outputs.next().await {
        printed.push_str(&output.unwrap().to_string());
    }
    node.engine.remove(&id).await.unwrap();
    printed.replace('\r', "")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_step_reaches_neither_the_host_nor_instances() {
    with_node_allowing(&[], async |node| {
        let port = host_service();
        let instance = node.instance(1, "exec httpd -f -p $PORT").await;
        node.want(1, vec![instance.clone()]);
        node.until_phase(instance.id, InstancePhase::Healthy).await;
        let addresses = [
            format!("172.17.0.1:{port}"),
            format!("{}:{port}", host_address()),
            format!("{}:8080", instance.address),
            "169.254.169.254:80".to_owned(),
        ];
        // The loop sees a stray with our label and ends it: it has to be quiet meanwhile.
        node.kill().await;
        let tries = trying(&addresses);
        let tries = tries.split_once('(').unwrap().1.rsplit_once(')').unwrap().0.to_owned();
        let told = on_the_build_bridge(node, &tries).await;
        let wanted: String =
            addresses.iter().map(|address| format!("{address} closed\n")).collect();
        assert_eq!(told, wanted);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_somebody_flushed_are_made_again_and_told() {
    with_node_allowing(&["0.0.0.0/0"], async |node| {
        let instance = node.instance(1, "exec httpd -f -p $PORT").await;
        node.want(1, vec![instance.clone()]);
        node.until_phase(instance.id, InstancePhase::Healthy).await;
        let table = node.network().bridge().table();
        let flushed =
            std::process::Command::new("nft").args(["flush", "table", "inet", &table]).status();
        assert!(flushed.unwrap().success());
        node.until("drift", |seen| {
            seen.problems.iter().any(|problem| problem.code == "isolation_drifted")
        })
        .await;
        let listed =
            std::process::Command::new("nft").args(["list", "table", "inet", &table]).output();
        assert!(
            String::from_utf8_lossy(&listed.unwrap().stdout).contains("goto between_instances")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_waits_for_a_network_says_that_the_pool_is_taken() {
    with_node_allowing(&[], async |node| {
        let address = "10.213.0.9".parse().unwrap();
        let instance = target_instance(&node.key.public(), address, "true").await;
        node.kill().await;
        // The engine's own bridge holds this part, always.
        node.pool = "172.17.0.0/24".parse().unwrap();
        node.start();
        node.want(1, vec![instance.clone()]);
        let told = |seen: &Snapshot| find(seen, instance.id)?.reason.clone();
        let seen = node.until("a reason", |seen| told(seen).is_some()).await;
        let reason = told(&seen).unwrap();
        assert_eq!(reason.code, "isolation_missing");
        assert!(reason.text.contains("172.17.0.0/24 is taken"), "{}", reason.text);
        assert_eq!(seen.problems, [reason]);
        assert_eq!(seen.subnet, None);
    })
    .await;
}

/// A machine of the internet: a network name space of its own, at a public address that only this
/// host has a route to. Dropped, it is gone.
struct Internet {
    name: String,
    address: Ipv4Addr,
}

impl Internet {
    fn start() -> Self {
        let id = std::process::id();
        let name = format!("zwi{id:x}");
        // Of a range that is nobody's private one; whose it is does not matter here.
        let base = u32::from(Ipv4Addr::new(45, 67, 0, 0)) + (id % 16_000) * 4;
        let (host, address) = (Ipv4Addr::from(base + 1), Ipv4Addr::from(base + 2));
        let (near, far) = (format!("{name}a"), format!("{name}b"));
        let this = Self { name: name.clone(), address };
        for line in [
            format!("netns add {name}"),
            format!("link add {near} type veth peer name {far} netns {name}"),
            format!("address add {host}/30 dev {near}"),
            format!("link set {near} up"),
            format!("-n {name} address add {address}/30 dev {far}"),
            format!("-n {name} link set {far} up"),
            format!("-n {name} route add default via {host}"),
        ] {
            let done = std::process::Command::new("ip").args(line.split(' ')).status().unwrap();
            assert!(done.success(), "ip {line}");
        }
        let mut serve = std::process::Command::new("ip");
        serve.args(["netns", "exec", &name, "busybox", "httpd", "-p", "80", "-h", "/proc/sys"]);
        assert!(serve.status().unwrap().success());
        this
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        let pids = std::process::Command::new("ip").args(["netns", "pids", &self.name]).output();
        let pids = pids.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        for pid in pids.unwrap_or_default().split_whitespace() {
            let _ = std::process::Command::new("kill").arg(pid).status();
        }
        let _ = std::process::Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

/// A container of somebody else on this host that publishes a port to everybody; its id and port.
async fn published(node: &Node) -> (String, u16) {
    let docker = node.engine.docker().unwrap();
    let binding = bollard::models::PortBinding { host_ip: None, host_port: Some("0".to_owned()) };
    let ports = std::collections::HashMap::from([("80/tcp".to_owned(), Some(vec![binding]))]);
    let body = ContainerCreateBody {
        image: Some(busybox().await),
        cmd: Some(["httpd", "-f", "-p", "80"].map(str::to_owned).to_vec()),
        exposed_ports: Some(vec!["80/tcp".to_owned()]),
        host_config: Some(bollard::models::HostConfig {
            port_bindings: Some(ports),
            auto_remove: Some(true),
            ..bollard::models::HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let id = docker.create_container(None, body).await.unwrap().id;
    docker.start_container(&id, None).await.unwrap();
    let inspected = docker.inspect_container(&id, None).await.unwrap();
    let ports = inspected.network_settings.unwrap().ports.unwrap();
    let bound = ports["80/tcp"].as_ref().unwrap()[0].host_port.clone().unwrap();
    (id, bound.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_internet_is_reached_and_ports_that_others_publish_are_not() {
    let internet = Internet::start();
    with_node_allowing(&[], async |node| {
        let (neighbour, port) = published(node).await;
        let cases = [
            (format!("{}:80", internet.address), "open"),
            (format!("{}:{port}", host_address()), "closed"),
            (format!("172.17.0.1:{port}"), "closed"),
        ];
        let addresses: Vec<String> = cases.iter().map(|(address, _)| address.clone()).collect();
        let wanted: String =
            cases.iter().map(|(address, state)| format!("{address} {state}\n")).collect();
        let mut trier = node.instance(1, &trying(&addresses)).await;
        trier.health.grace_ms = 25_000;
        node.want(1, vec![trier.clone()]);
        node.until_phase(trier.id, InstancePhase::Healthy).await;
        let from_instance = get(trier.address).unwrap();
        node.kill().await;
        let tries = trying(&addresses);
        let tries = tries.split_once('(').unwrap().1.rsplit_once(')').unwrap().0.to_owned();
        let from_build = on_the_build_bridge(node, &tries).await;
        node.engine.remove(&neighbour).await.unwrap();
        assert_eq!((from_instance, from_build), (wanted.clone(), wanted));
    })
    .await;
}
