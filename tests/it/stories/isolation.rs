//! What is run for one project reaches nothing of another's, of the host or of private networks:
//! tried from inside a build and from inside an instance.

use std::io::Write as _;
use std::net::{IpAddr, TcpListener, UdpSocket};

use zeitwork_tests::Cluster;
use zeitwork_tests::user::LIVE_LIMIT;

use super::live_project;

/// A service of the host on every address, as a database that was left open would be.
fn host_service() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"host\n");
        }
    });
    port
}

fn host_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("203.0.113.1:9").unwrap();
    socket.local_addr().unwrap().ip()
}

/// A script that says of each place whether it could be connected to.
fn tries(places: &[String], from: &str) -> String {
    let each = |place: &String| {
        let (host, port) = place.rsplit_once(':').unwrap();
        format!(
            "if echo | nc -w 2 {host} {port} >/dev/null 2>&1; \
             then echo '{from} {place} open'; else echo '{from} {place} closed'; fi\n"
        )
    };
    places.iter().map(each).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_build_nor_an_instance_reaches_another_project_or_the_host() {
    let cluster = Cluster::start().await;
    let (owner, victim, _, _) = live_project(&cluster, "acme/victim").await;
    let (_, prober, repository, _) = live_project(&cluster, "acme/prober").await;
    let instances = owner.get("/instances").await;
    let instances = instances["items"].as_array().unwrap();
    let endpoint = |project: &str| {
        let of_project = |i: &&serde_json::Value| i["project"] == project;
        let found = instances.iter().filter(of_project).find_map(|i| i["endpoint"].as_str());
        found.unwrap_or_else(|| panic!("no endpoint of {project}: {instances:?}")).to_owned()
    };
    let port = host_service();
    let closed = [
        endpoint(&victim.id),
        "web.victim.internal:8080".to_owned(),
        format!("172.17.0.1:{port}"),
        format!("{}:{port}", host_address()),
        "169.254.169.254:80".to_owned(),
    ];
    let own = [endpoint(&prober.id)];

    let dockerfile = "FROM busybox\nWORKDIR /app\nCOPY . .\nRUN sh try-build > build.txt\n\
                      EXPOSE 8080\nCMD [\"sh\", \"/app/probe\"]\n";
    let serve = "mkdir -p /tmp/www; (cat build.txt; sh try-instance; sh try-own; echo done) \
                 > /tmp/www/index.html; exec httpd -f -p $PORT -h /tmp/www\n";
    let files = [
        ("Dockerfile", dockerfile),
        ("probe", serve),
        // A build is no part of the project's network either.
        ("try-build", &tries(&[&closed[..], &own].concat(), "build")),
        ("try-instance", &tries(&closed, "instance")),
        ("try-own", &tries(&own, "own")),
    ];
    repository.commit(&files, "Probe").await.unwrap();
    cluster.push(&repository).await;
    let page = cluster.page_with(&prober.host, "done", LIVE_LIMIT).await.text();
    let told: Vec<&str> = page.lines().filter(|line| *line != "done").collect();
    let expect = |from: &str, places: &[String], state: &str| {
        places.iter().map(|place| format!("{from} {place} {state}")).collect::<Vec<_>>()
    };
    let expected = [
        expect("build", &closed, "closed"),
        expect("build", &own, "closed"),
        expect("instance", &closed, "closed"),
        expect("own", &own, "open"),
    ]
    .concat();
    assert_eq!(told, expected);
}
