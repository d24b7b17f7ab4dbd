//! Repositories and settings that mean harm.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use zeitwork_protocol::report::BuildOutcome;

use super::world::World;

const DOCKERFILE: (&str, &str) = ("Dockerfile", "FROM busybox\n");

#[tokio::test]
async fn hostile_urls_are_refused_before_any_process() {
    let world = World::start().await;
    let canary = world.elsewhere().join("canary");
    let touch = format!("touch {}", canary.display());
    let host = world.github.address;
    let mut target = world.push(&[DOCKERFILE]).await;
    // Were git started, this would say so.
    let mut parts = world.parts.clone();
    parts.git = "/nonexistent/git".into();
    let urls = [
        format!("--upload-pack={touch}"),
        format!("ext::sh -c {touch}"),
        format!("ext::{touch}"),
        "file:///etc".to_owned(),
        "/etc".to_owned(),
        "../..".to_owned(),
        format!("ssh://-oProxyCommand={touch}/x"),
        "git@github.com:acme/shop".to_owned(),
        "git://github.com/acme/shop".to_owned(),
        "http://github.com/acme/shop".to_owned(),
        format!("https://user:secret@{host}/acme/shop"),
        format!("http://x-access-token@{host}/acme/shop"),
        format!("http://{host}/acme/shop?x=1"),
        format!("http://{host}/acme/shop#x"),
        format!("http://{host}/acme/shop\n--upload-pack={touch}"),
        format!("http://{host}/acme/shop --upload-pack={touch}"),
        "https://127.0.0.1/acme/shop".to_owned(),
        "https://127.0.0.1:1/acme/shop".to_owned(),
        "https://localhost/acme/shop".to_owned(),
        "https://[::1]/acme/shop".to_owned(),
        "https://[::ffff:127.0.0.1]/acme/shop".to_owned(),
        "https://2130706433/acme/shop".to_owned(),
        "https://0x7f.1/acme/shop".to_owned(),
        "https://0.0.0.0/acme/shop".to_owned(),
        "https://10.0.0.1/acme/shop".to_owned(),
        "https://100.64.0.1/acme/shop".to_owned(),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://[fd00::1]/acme/shop".to_owned(),
        "https://[64:ff9b::7f00:1]/acme/shop".to_owned(),
        "https://".to_owned(),
        String::new(),
        "x".repeat(10_000),
    ];
    for url in urls {
        target.repository_url.clone_from(&url);
        let (sink, _lines) = zeitwork_node_agent::logs::LogSink::channel(100);
        let cancel = tokio_util::sync::CancellationToken::new();
        let build = zeitwork_node_agent::build::build;
        let outcome = build(&target, &parts, &sink, &|_| {}, cancel).await;
        let BuildOutcome::Failed { reason } = outcome else { panic!("{url:?}: {outcome:?}") };
        let codes = ["repository_url_refused", "repository_address_refused"];
        assert!(codes.contains(&reason.code.as_str()), "{url:?}: {reason:?}");
        assert!(!reason.text.contains("secret"), "{reason:?}");
    }
    assert!(!canary.exists());
}

#[tokio::test]
async fn nothing_but_a_whole_commit_id_is_a_commit() {
    let world = World::start().await;
    let good = world.push(&[DOCKERFILE]).await;
    let commit = good.commit.clone();
    for hostile in [
        "main",
        "HEAD",
        "refs/heads/main",
        "--upload-pack=touch",
        "-q",
        "",
        " ",
        "@",
        "a:b",
        &commit[..39],
        &commit.to_uppercase(),
        &format!("{commit}\n"),
        &format!("{commit}~1"),
        &format!("+{commit}"),
        &format!("{commit}:refs/heads/x"),
        &"g".repeat(40),
    ] {
        let mut target = good.clone();
        target.commit = hostile.to_owned();
        if hostile == commit {
            continue;
        }
        let ended = world.build(&target).await;
        assert_eq!(ended.code(), "commit_invalid", "{hostile:?}: {:?}", ended.outcome);
    }
    let mut target = good;
    target.commit = "0123456789abcdef0123456789abcdef01234567".to_owned();
    let ended = world.build(&target).await;
    assert_eq!(ended.code(), "commit_not_found", "{:?}", ended.outcome);
}

#[tokio::test]
async fn paths_of_the_settings_stay_inside_the_repository() {
    let world = World::start().await;
    let inside = &world.repository.copy.path;
    std::fs::create_dir_all(inside.join("app")).unwrap();
    symlink("/etc/passwd", inside.join("Stolen")).unwrap();
    symlink("/etc", inside.join("etc")).unwrap();
    symlink("../../../..", inside.join("app/up")).unwrap();
    symlink(".git/config", inside.join("Config")).unwrap();
    let good = world.push(&[DOCKERFILE, ("app/Dockerfile", "FROM busybox\n")]).await;
    let cases = [
        ("../..", "Dockerfile", "path_invalid"),
        ("/etc", "Dockerfile", "path_invalid"),
        ("app/../..", "Dockerfile", "path_invalid"),
        (".git", "config", "path_invalid"),
        ("etc", "passwd", "path_outside"),
        ("app/up", "Dockerfile", "path_outside"),
        ("nowhere", "Dockerfile", "root_directory_missing"),
        ("Dockerfile", "Dockerfile", "root_directory_missing"),
        ("", "../Dockerfile", "path_invalid"),
        ("", "/etc/passwd", "path_invalid"),
        ("", "Stolen", "path_outside"),
        ("", "etc/passwd", "path_outside"),
        ("", "Config", "path_outside"),
        ("", "app", "dockerfile_missing"),
        ("", "nothing", "dockerfile_missing"),
    ];
    for (root, dockerfile, code) in cases {
        let mut target = good.clone();
        target.root_directory = root.to_owned();
        target.dockerfile = dockerfile.to_owned();
        let ended = world.build(&target).await;
        assert_eq!(ended.code(), code, "{root:?} {dockerfile:?}: {:?}", ended.outcome);
        assert!(!ended.says("root:x:0"), "{}", ended.text());
    }
}

#[tokio::test]
async fn links_in_the_repository_are_sent_as_links() {
    let world = World::start().await;
    symlink("/etc/hostname", world.repository.copy.path.join("stolen")).unwrap();
    let dockerfile = "FROM busybox\nCOPY . /app\nRUN readlink /app/stolen\n";
    let target = world.push(&[("Dockerfile", dockerfile)]).await;
    let ended = world.build(&target).await;
    assert_eq!(ended.code(), "succeeded", "{}", ended.text());
    assert!(ended.lines.iter().any(|line| line.text == "/etc/hostname"), "{}", ended.text());
}

#[tokio::test]
async fn nothing_of_the_repository_runs_while_it_is_checked_out() {
    let world = World::start().await;
    let canary = world.elsewhere().join("canary");
    let hook = format!("#!/bin/sh\ntouch {}\n", canary.display());
    let names = ["hooks/post-checkout", ".githooks/post-checkout", "fsmonitor"];
    let mut files: Vec<(&str, &str)> = names.iter().map(|name| (*name, hook.as_str())).collect();
    let modules = "[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c touch% /tmp/x\n";
    files.extend([
        DOCKERFILE,
        (".gitattributes", "* filter=evil\n"),
        (".gitconfig", "[core]\n\thooksPath = .githooks\n\tfsmonitor = ./fsmonitor\n"),
        (".gitmodules", modules),
    ]);
    let copy = &world.repository.copy.path;
    world.repository.commit(&files, "hooks").await.unwrap();
    for name in names {
        std::fs::set_permissions(copy.join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let target = world.push(&[DOCKERFILE]).await;
    assert_eq!(world.build(&target).await.code(), "succeeded");
    assert!(!canary.exists());
}

#[tokio::test]
async fn a_project_cannot_build_on_the_image_of_another() {
    let world = World::start().await;
    let victim = world.push(&[("Dockerfile", "FROM busybox\nRUN echo secret > /secret\n")]).await;
    let BuildOutcome::Succeeded { image, .. } = world.build(&victim).await.outcome else {
        panic!("no image");
    };
    let hash = image.trim_start_matches("sha256:");
    let name = format!("zeitwork/{}/{}", world.parts.installation, victim.project);
    let guesses = [
        image.clone(),
        hash.to_owned(),
        hash[..12].to_owned(),
        format!("{name}@{image}"),
        format!("{name}:{}", victim.id),
        name,
    ];
    for guess in guesses {
        for dockerfile in [
            format!("FROM {guess}\nRUN cat /secret\n"),
            format!("FROM busybox\nCOPY --from={guess} /secret /\nRUN cat /secret\n"),
        ] {
            let mut target = world.push(&[("Dockerfile", &dockerfile)]).await;
            target.project = zeitwork_model::id::ProjectId::new();
            let ended = world.build(&target).await;
            assert_ne!(ended.code(), "succeeded", "{dockerfile}: {}", ended.text());
        }
    }
}

#[tokio::test]
async fn the_engine_fetches_nothing_for_a_dockerfile() {
    let world = World::start().await;
    let (address, heads) = world.moved("http://nowhere.invalid").await;
    for dockerfile in [
        format!("FROM busybox\nADD http://{address}/secret /x\n"),
        format!("FROM busybox\nARG URL=http://{address}/secret\nADD $URL /x\n"),
    ] {
        let target = world.push(&[("Dockerfile", &dockerfile)]).await;
        let ended = world.build(&target).await;
        assert_eq!(ended.code(), "remote_add_refused", "{:?}", ended.outcome);
    }
    assert!(heads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn git_is_nobody_and_knows_nothing_of_the_agent() {
    let mut world = World::start().await;
    let seen = world.elsewhere().join("seen");
    std::fs::write(&seen, "").unwrap();
    std::fs::set_permissions(&seen, PermissionsExt::from_mode(0o666)).unwrap();
    let git = world.elsewhere().join("git");
    let log = seen.display();
    let script = format!(
        "#!/bin/sh\n{{ echo uid $(id -u) gid $(id -G); echo args \"$@\"; env; }} >> {log}\n\
        exec git \"$@\"\n"
    );
    std::fs::write(&git, script).unwrap();
    std::fs::set_permissions(&git, PermissionsExt::from_mode(0o755)).unwrap();
    world.parts.git = git;
    let mut target = world.push(&[DOCKERFILE]).await;
    let token = world.github.push_token().to_owned();
    world.authorize(&mut target, &token);
    assert_eq!(world.build(&target).await.code(), "succeeded");
    let seen = std::fs::read_to_string(seen).unwrap();
    let lines = |start: &str| -> Vec<String> {
        seen.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
    };
    assert!(lines("args").len() > 4, "{seen}");
    let basic = seen.lines().find_map(|line| line.split_once("Authorization: ")).unwrap().1;
    assert!(!lines("args").iter().any(|line| line.contains(basic) || line.contains(&token)));
    if let Some(user) = world.parts.git_user {
        let wanted = format!("uid {} gid {}", user.uid, user.gid);
        assert!(lines("uid").iter().all(|line| *line == wanted), "{seen}");
    }
    // Cargo's variables stand for all that an agent may have in its environment.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert!(!seen.contains("CARGO_"), "{seen}");
}

#[tokio::test]
async fn a_tree_that_repeats_itself_is_counted_before_it_is_written() {
    let world = World::start().await;
    let good = world.push(&[DOCKERFILE]).await;
    let commit = bomb(&world.repository.copy.path).await;
    world
        .repository
        .copy
        .git(&["push", "-q", "-f", "origin", &format!("{commit}:refs/heads/bomb")])
        .await
        .unwrap();
    let mut target = good;
    target.commit = commit;
    let ended = world.build(&target).await;
    assert_eq!(ended.code(), "checkout_too_many_files", "{:?}", ended.outcome);
}

/// Ten files in ten directories in ten directories …: a million files in a few objects.
async fn bomb(copy: &Path) -> String {
    let git = async |arguments: &[&str], input: String| {
        let file = copy.join(".git/input");
        std::fs::write(&file, input).unwrap();
        let output = tokio::process::Command::new("git")
            .args(arguments)
            .current_dir(copy)
            .stdin(std::fs::File::open(file).unwrap())
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let mut object = git(&["hash-object", "-w", "--stdin"], "bomb".to_owned()).await;
    let mut kind = "100644 blob";
    for _ in 0..6 {
        let entries = (0..10).map(|i| format!("{kind} {object}\t{i}\n")).collect();
        object = git(&["mktree"], entries).await;
        kind = "040000 tree";
    }
    git(&["commit-tree", &object, "-m", "bomb"], String::new()).await
}

#[tokio::test]
async fn a_commit_larger_than_allowed_is_refused() {
    let world = World::start().await;
    let large = "0123456789abcdef".repeat(256 * 1024);
    let mut target = world.push(&[DOCKERFILE, ("large", &large)]).await;
    target.maximum_checkout_bytes = 1024 * 1024;
    let ended = world.build(&target).await;
    assert_eq!(ended.code(), "checkout_too_large", "{:?}", ended.outcome);
}
