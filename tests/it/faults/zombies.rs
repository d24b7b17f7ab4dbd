//! Who stood still while somebody else took the work over finds that it has nothing to say.

use hyper::Method;
use nix::sys::signal::Signal;
use zeitwork_tests::process::{self, Frozen, Part};
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, eventually};

use crate::stories::{live_project, own_sleep, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn the_result_of_a_build_whose_lease_was_lost_is_refused() {
    let cluster = Cluster::start().await;
    let (owner, project, repository, _) = live_project(&cluster, "acme/late").await;
    let dockerfile = std::fs::read_to_string(crate::stories::app("web").join("Dockerfile"));
    // It lasts until somebody ends it.
    let sleep = own_sleep(400_000);
    let run = format!("COPY . .\nRUN {}|| true\n", sleep.replace('\0', " "));
    let slow = dockerfile.unwrap().replacen("COPY . .\n", &run, 1);
    assert!(slow.contains("RUN sleep"), "{slow}");
    let end = || process::signal(&process::with(Part::Command, &sleep), Signal::SIGKILL);
    let commit = repository.commit(&[("Dockerfile", &slow)], "Slow").await.unwrap();
    cluster.push(&repository).await;
    let builds = format!("/projects/{}/builds", project.id);
    let build_is = async |wanted: &str| {
        eventually(&format!("the build is {wanted}"), LIVE_LIMIT, || async {
            if wanted == "succeeded 2" {
                end();
            }
            let page = owner.call(Method::GET, &builds, None).await?.json();
            let build = page["items"][0].clone();
            let is =
                format!("{} {}", build["status"].as_str().unwrap_or_default(), build["attempt"]);
            if build["commit"] == commit && is == wanted { Ok(()) } else { Err(build.to_string()) }
        })
        .await;
    };
    build_is("running 1").await;
    wait_for(&sleep).await;
    // The engine goes on and ends the build; its agent has nothing to say before it wakes up.
    let frozen = Frozen::new(vec![cluster.pid("node-agent").unwrap()]);
    end();
    build_is("queued 1").await;
    drop(frozen);
    build_is("succeeded 2").await;
    owner.live(&project, &commit).await;
    cluster.page_with(&project.host, &format!("commit={commit}"), LIVE_LIMIT).await;
    cluster.assert_consistent().await;
}
