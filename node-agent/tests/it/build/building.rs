//! What builds, and what comes of it.

use zeitwork_node_agent::build::BuildStep;
use zeitwork_node_agent::logs::Stream;
use zeitwork_protocol::report::BuildOutcome;

use super::world::{World, ask};

#[tokio::test]
async fn a_pushed_commit_becomes_an_image() {
    let world = World::start().await;
    let dockerfile = "FROM busybox\nARG ZEITWORK_COMMIT\nCOPY index.html /www/\n\
        RUN echo building $ZEITWORK_COMMIT && echo careful >&2\nEXPOSE 9000/udp 8081 3000\nCMD [\"httpd\"]\n";
    let target = world.push(&[("Dockerfile", dockerfile), ("index.html", "hello")]).await;
    let ended = world.build(&target).await;
    let BuildOutcome::Succeeded { image, size_bytes, platform, exposed_ports } = &ended.outcome
    else {
        panic!("{:?}\n{}", ended.outcome, ended.text());
    };
    assert!(image.starts_with("sha256:"));
    assert!(*size_bytes > 100_000);
    assert!(platform.starts_with("linux/"));
    assert_eq!(exposed_ports, &[3000, 8081]);
    let said = |stream, text: &str| {
        ended.lines.iter().any(|line| line.stream == stream && line.text == text)
    };
    assert!(said(Stream::Stdout, &format!("building {}", target.commit)), "{}", ended.text());
    assert!(said(Stream::Stderr, "careful"), "{}", ended.text());
    let found: serde_json::Value =
        serde_json::from_str(&ask("GET", &format!("/images/{image}/json"))).unwrap();
    let labels = &found["Config"]["Labels"];
    assert_eq!(labels["dev.zeitwork.installation"], world.parts.installation.as_str());
    assert_eq!(labels["dev.zeitwork.project"], target.project.to_string());
    assert_eq!(labels["dev.zeitwork.build"], target.id.to_string());
}

#[tokio::test]
async fn each_step_of_a_build_is_told_when_it_begins() {
    use BuildStep::{Base, Build, Checkout, Export};
    let world = World::start().await;
    let dockerfile = "FROM busybox\nRUN echo exporting to nowhere\n";
    let target = world.push(&[("Dockerfile", dockerfile)]).await;
    let ended = world.build(&target).await;
    assert_eq!(ended.steps, [Checkout, Base, Build, Export], "{}", ended.text());
    let broken = world.push(&[("Dockerfile", "FROM busybox\nRUN false\n")]).await;
    assert_eq!(world.build(&broken).await.steps, [Checkout, Base, Build]);
    let gone = world.target(&"a".repeat(40));
    assert_eq!(world.build(&gone).await.steps, [Checkout]);
}

#[tokio::test]
async fn the_second_build_of_the_same_files_comes_from_the_cache() {
    let world = World::start().await;
    let unique = world.parts.installation.clone();
    let dockerfile = format!("FROM busybox\nCOPY a /a\nRUN echo {unique} > /b\n");
    let first = world.push(&[("Dockerfile", &dockerfile), ("a", "a")]).await;
    let second = world.push(&[("Dockerfile", &dockerfile)]).await;
    assert_ne!(first.commit, second.commit);
    assert_eq!(world.build(&first).await.code(), "succeeded");
    let ended = world.build(&second).await;
    assert_eq!(ended.code(), "succeeded");
    let is_cached = |line: &str| line.contains("RUN") && line.ends_with("(cached)");
    assert!(ended.lines.iter().any(|line| is_cached(&line.text)), "{}", ended.text());
}

#[tokio::test]
async fn a_host_with_a_name_is_reached_at_the_address_that_was_checked() {
    let mut world = World::start().await;
    let mut target = world.push(&[("Dockerfile", "FROM busybox\n")]).await;
    let port = world.github.address.port();
    let pair = format!("localhost:{port}");
    world.parts.guard = zeitwork_outbound::Guard::new(vec![], vec![pair.parse().unwrap()]);
    target.repository_url = format!("http://{pair}/acme/shop.git");
    assert_eq!(world.build(&target).await.code(), "succeeded");
}

#[tokio::test]
async fn exactly_the_commit_is_built_though_the_branch_went_on() {
    let world = World::start().await;
    let old = world.push(&[("Dockerfile", "FROM busybox\nRUN echo first\n")]).await;
    world.push(&[("Dockerfile", "FROM busybox\nRUN echo second\n")]).await;
    let ended = world.build(&old).await;
    assert!(ended.says("RUN echo first"), "{}", ended.text());
    assert!(!ended.says("second"));
}

#[tokio::test]
async fn a_private_repository_is_read_with_the_sealed_authorization() {
    let world = World::start().await;
    let private = world.github.repository("acme/private").await.unwrap();
    let commit = private.commit(&[("Dockerfile", "FROM busybox\n")], "one").await.unwrap();
    private.push().await.unwrap();
    let mut target = world.target(&commit);
    target.repository_url.clone_from(&private.clone_url);
    let refused = world.build(&target).await;
    assert!(matches!(refused.outcome, BuildOutcome::Failed { .. }), "{refused:?}");
    world.authorize(&mut target, world.github.push_token());
    let ended = world.build(&target).await;
    assert_eq!(ended.code(), "succeeded", "{}", ended.text());
    assert!(!ended.says(world.github.push_token()));
}

#[tokio::test]
async fn a_repository_that_moved_is_followed_without_its_authorization() {
    let world = World::start().await;
    let private = world.github.repository("acme/private").await.unwrap();
    let commit = private.commit(&[("Dockerfile", "FROM busybox\n")], "one").await.unwrap();
    private.push().await.unwrap();
    let mut target = world.push(&[("Dockerfile", "FROM busybox\n")]).await;
    let (old, heads) = world.moved(&target.repository_url).await;
    let mut parts = world.parts.clone();
    let allowed = [&old, &world.github.address.to_string()].map(|pair| pair.parse().unwrap());
    parts.guard = zeitwork_outbound::Guard::new(vec![], allowed.to_vec());
    world.authorize(&mut target, world.github.push_token());
    target.repository_url = format!("http://{old}/acme/old.git");
    let refused = world.build(&target).await;
    assert_eq!(refused.code(), "repository_url_refused", "{:?}", refused.outcome);
    let ended = world.build_with(&target, &parts).await;
    assert_eq!(ended.code(), "succeeded", "{}", ended.text());
    let head = heads.lock().unwrap().join("\n").to_ascii_lowercase();
    assert!(head.contains("authorization: basic"), "{head}");
    // The new server would take the token, but is not the one that it was given for.
    target.commit = commit;
    target.attempt = 2;
    let (old, _) = world.moved(&private.clone_url).await;
    target.repository_url = format!("http://{old}/acme/old.git");
    let allowed = [&old, &world.github.address.to_string()].map(|pair| pair.parse().unwrap());
    parts.guard = zeitwork_outbound::Guard::new(vec![], allowed.to_vec());
    let refused = world.build_with(&target, &parts).await;
    assert_eq!(refused.code(), "repository_forbidden", "{:?}", refused.outcome);
    // A redirect to where builds may not go is not followed.
    parts.guard = zeitwork_outbound::Guard::new(vec![], vec![old.parse().unwrap()]);
    let refused = world.build_with(&target, &parts).await;
    assert_eq!(refused.code(), "repository_url_refused", "{:?}", refused.outcome);
}

#[tokio::test]
async fn variables_reach_the_build_and_stay_out_of_its_log() {
    let world = World::start().await;
    let dockerfile =
        "FROM busybox\nARG API_TOKEN\nRUN echo \"token $API_TOKEN\" && test -n \"$API_TOKEN\"\n";
    let mut target = world.push(&[("Dockerfile", dockerfile)]).await;
    let secret = "s3cr3t-value-of-this-test";
    world.variables(&mut target, &[("API_TOKEN", secret), ("BUILDKIT_SYNTAX", "evil/frontend")]);
    let ended = world.build(&target).await;
    assert_eq!(ended.code(), "succeeded", "{}", ended.text());
    assert!(ended.says("token ***"), "{}", ended.text());
    assert!(!ended.text().contains(secret));
}

#[tokio::test]
async fn a_dockerfile_that_names_a_frontend_builds_without_it() {
    let world = World::start().await;
    let dockerfile =
        "# syntax=docker/dockerfile:1\n# escape=`\nFROM busybox\nRUN echo one `\n && echo two\n";
    let target = world.push(&[("Dockerfile", dockerfile)]).await;
    let ended = world.build(&target).await;
    assert_eq!(ended.code(), "succeeded", "{}", ended.text());
    assert!(ended.says("two"), "{}", ended.text());
    assert!(ended.says("docker/dockerfile:1 is not on this node"), "{}", ended.text());
}

#[tokio::test]
async fn the_context_is_the_root_directory_without_what_is_ignored() {
    let world = World::start().await;
    let dockerfile = "FROM busybox\nCOPY . /app\nRUN find /app -type f | sort\n";
    let target = world
        .push(&[
            ("apps/web/docker/Dockerfile", dockerfile),
            ("apps/web/.dockerignore", "**/*.log\n!keep.log\nnode_modules\n"),
            ("apps/web/a.log", ""),
            ("apps/web/keep.log", ""),
            ("apps/web/node_modules/x/index.js", ""),
            ("apps/web/src/main.js", ""),
            ("outside", ""),
        ])
        .await;
    let mut target = target;
    target.root_directory = "apps/web".to_owned();
    target.dockerfile = "docker/Dockerfile".to_owned();
    let ended = world.build(&target).await;
    assert_eq!(ended.code(), "succeeded", "{}", ended.text());
    assert!(ended.says("/app/src/main.js") && ended.says("/app/keep.log"), "{}", ended.text());
    for absent in ["a.log", "node_modules", "outside"] {
        assert!(!ended.lines.iter().any(|line| line.text.ends_with(absent)), "{}", ended.text());
    }
}

#[tokio::test]
async fn cache_mounts_of_projects_are_apart() {
    let world = World::start().await;
    let dockerfile = |n: u32| {
        let run = "RUN --mount=type=cache,target=/cache echo x >> /cache/n && wc -l < /cache/n";
        format!("FROM busybox\nRUN echo {n} {}\n{run}\n", world.parts.installation)
    };
    let first = world.push(&[("Dockerfile", &dockerfile(1))]).await;
    let second = world.push(&[("Dockerfile", &dockerfile(2))]).await;
    let mut stranger = world.push(&[("Dockerfile", &dockerfile(3))]).await;
    stranger.project = zeitwork_model::id::ProjectId::new();
    let mut counts = Vec::new();
    for target in [first, second, stranger] {
        let ended = world.build(&target).await;
        let count = ended.lines.iter().find_map(|line| line.text.trim().parse::<u32>().ok());
        counts.push(count.unwrap_or_else(|| panic!("{}", ended.text())));
    }
    assert_eq!(counts, [1, 2, 1]);
}
