//! Two installations on one engine: what one removes is its own.

use std::collections::BTreeSet;
use std::process::Command;

use hyper::Method;
use zeitwork_tests::load::Load;
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, engine, eventually};

use super::live_project;

/// What an installation has on this host: containers, images, networks, tables of the firewall.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    containers: BTreeSet<String>,
    images: BTreeSet<String>,
    networks: BTreeSet<String>,
    tables: BTreeSet<String>,
}

impl Owned {
    async fn by(installation: &str) -> Self {
        let ids = async |path: &str| engine::ids(path, installation).await;
        let bridges = engine::bridges(installation).await;
        let of_bridge = |table: &String| {
            bridges.iter().any(|bridge| table.ends_with(bridge.trim_start_matches("zw")))
        };
        Self {
            containers: ids("/containers/json?all=1").await,
            images: ids("/images/json").await,
            networks: ids("/networks").await,
            tables: tables().into_iter().filter(of_bridge).collect(),
        }
    }
}

/// All tables of the host's firewall.
fn tables() -> BTreeSet<String> {
    let listed = Command::new("nft").args(["list", "tables"]).output().unwrap();
    String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_installation_removes_is_never_what_another_on_the_engine_has() {
    let (mut leaving, staying) = tokio::join!(Cluster::start(), Cluster::start());
    // The same commits of the same files: nothing but the installation tells them apart.
    let (stays, gone) =
        tokio::join!(live_project(&staying, "acme/same"), live_project(&leaving, "acme/same"));
    let (_, project, _, commit) = stays;
    let (owner, doomed, _, _) = gone;
    let load = Load::start(&[staying.edge], &project.host, 2);
    let (mine, others) = (staying.installation(), leaving.installation());
    let before = Owned::by(&mine).await;
    for part in [&before.containers, &before.images, &before.networks, &before.tables] {
        assert_eq!(part.len(), 1, "{before:?}");
    }

    // A project goes, with its container; then its image, which retention gives up as old.
    let path = format!("/projects/{}", doomed.id);
    owner.call(Method::DELETE, &path, None).await.unwrap();
    eventually("the container is gone", LIVE_LIMIT, || async {
        let left = Owned::by(&others).await;
        if left.containers.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    let age = "with old as (update images set held_at = now() - interval '1 hour' returning 1)
        select count(*) from old";
    leaving.sql().run(age).await;
    eventually("the image is given up", LIVE_LIMIT, || async {
        let count = "select count(*) from images where deleted_at is not null";
        let given_up = leaving.sql().run(count).await;
        if given_up == "1" { Ok(()) } else { Err(given_up) }
    })
    .await;
    assert_eq!(Owned::by(&mine).await, before);

    // The whole installation goes, as Ctrl-C does it.
    let firewall = Owned::by(&others).await.tables;
    assert_eq!(firewall.len(), 1, "{firewall:?}");
    leaving.stop();
    let left = Owned::by(&others).await;
    assert!(left.containers.is_empty() && left.networks.is_empty(), "{left:?}");
    assert!(tables().is_disjoint(&firewall), "{firewall:?}");
    assert_eq!(Owned::by(&mine).await, before);
    staying.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;
    let seen = load.finish().await;
    assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
    staying.assert_consistent().await;
}
