//! What a Dockerfile has the engine itself fetch: tried from real builds, against a service of the
//! host that counts who comes.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use zeitwork_outbound::Guard;
use zeitwork_protocol::report::BuildOutcome;

use super::world::{World, ask, import};

/// A service on every address of the host, as a registry or a database without a password is.
struct HostService {
    port: u16,
    visits: Arc<AtomicUsize>,
}

impl HostService {
    fn start() -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let visits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&visits);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::Relaxed);
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
            }
        });
        Self { port, visits }
    }

    fn visits(&self) -> usize {
        self.visits.load(Ordering::Relaxed)
    }
}

/// An image with a trigger, as a base image of a foreign registry may bring one along; its name.
/// Dropped, it is gone.
struct Triggered(String);

impl Triggered {
    fn make(world: &World, trigger: &str) -> Self {
        let name = format!("zeitwork-test/triggered:{}", world.parts.installation);
        import(&name, &[&format!("ONBUILD {trigger}")]);
        Self(name)
    }
}

impl Drop for Triggered {
    fn drop(&mut self) {
        ask("DELETE", &format!("/images/{}?force=1", self.0));
    }
}

#[tokio::test]
async fn the_engine_is_not_sent_to_private_addresses() {
    let world = World::start().await;
    let host = HostService::start();
    let port = host.port;
    let cases = [
        ("registry_refused", format!("FROM 127.0.0.1:{port}/x\n")),
        ("registry_refused", format!("FROM localhost:{port}/x:1 AS a\n")),
        ("registry_refused", format!("FROM 172.17.0.1:{port}/x\n")),
        ("registry_refused", format!("FROM 0x7f.0.0.1:{port}/x\n")),
        ("registry_refused", "FROM 169.254.169.254/latest/meta-data\n".to_owned()),
        ("registry_refused", format!("ARG BASE=127.0.0.1:{port}/x\nFROM $BASE\n")),
        ("registry_refused", "ARG GIVEN=busybox\nFROM ${GIVEN}/x\n".to_owned()),
        ("registry_refused", format!("FROM busybox\nCOPY --from=127.0.0.1:{port}/x /a /a\n")),
        (
            "registry_refused",
            format!("FROM busybox\nRUN --mount=type=bind,from=127.0.0.1:{port}/x,target=/x true\n"),
        ),
        (
            "registry_refused",
            format!(
                "FROM busybox AS a\nFROM busybox\nONBUILD COPY --from=127.0.0.1:{port}/x a b\n"
            ),
        ),
        ("remote_add_refused", format!("FROM busybox\nADD http://127.0.0.1:{port}/x /x\n")),
        ("remote_add_refused", "FROM busybox\nADD git@127.0.0.1:a/b /x\n".to_owned()),
        ("base_image_unclear", "FROM ${NOWHERE}\n".to_owned()),
        ("platform_refused", "FROM --platform=linux/none busybox\n".to_owned()),
    ];
    for (code, dockerfile) in cases {
        let mut target = world.push(&[("Dockerfile", &dockerfile)]).await;
        world.variables(&mut target, &[("GIVEN", &format!("127.0.0.9:{port}"))]);
        let ended = world.build(&target).await;
        assert_eq!(ended.code(), code, "{dockerfile}: {:?}", ended.outcome);
        assert!(matches!(ended.outcome, BuildOutcome::Failed { .. }), "{:?}", ended.outcome);
        // What the build was given is a secret to it, and is hidden in the reason too.
        let named = ["127.0.0.", "172.17.0.1", "169.254.169.254", "localhost", "NOWHERE", "none"];
        assert!(named.iter().any(|name| ended.reason().contains(name)), "{}", ended.reason());
    }
    assert_eq!(host.visits(), 0, "nobody came");
}

#[tokio::test]
async fn a_trigger_of_a_base_image_is_held_to_the_same() {
    let world = World::start().await;
    let host = HostService::start();
    for (code, trigger) in [
        ("remote_add_refused", format!("ADD http://127.0.0.1:{}/x /x", host.port)),
        ("registry_refused", format!("COPY --from=127.0.0.1:{}/x /a /a", host.port)),
    ] {
        let base = Triggered::make(&world, &trigger);
        let target = world.push(&[("Dockerfile", &format!("FROM {}\n", base.0))]).await;
        let ended = world.build(&target).await;
        assert_eq!(ended.code(), code, "{:?}", ended.outcome);
        assert!(ended.reason().contains("127.0.0.1"), "{}", ended.reason());
    }
    let base = Triggered::make(&world, "ENV HARMLESS=1");
    let target = world.push(&[("Dockerfile", &format!("FROM {}\n", base.0))]).await;
    assert_eq!(world.build(&target).await.code(), "succeeded");
    assert_eq!(host.visits(), 0, "nobody came");
}

#[tokio::test]
async fn a_private_registry_that_the_operator_allows_is_asked() {
    let mut world = World::start().await;
    world.parts.registries = Guard::new(vec!["127.0.0.0/8".parse().unwrap()], vec![]);
    let host = HostService::start();
    let dockerfile = format!("FROM 127.0.0.1:{}/x\n", host.port);
    let target = world.push(&[("Dockerfile", &dockerfile)]).await;
    let ended = world.build(&target).await;
    assert_ne!(ended.code(), "registry_refused", "{:?}", ended.outcome);
    assert!(host.visits() > 0, "{:?}", ended.outcome);
}
