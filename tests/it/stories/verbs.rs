//! What people look up, and what has nothing to do: with the real `zeitwork`.

use hyper::Method;
use serde_json::json;
use zeitwork_tests::Cluster;

use super::cli::Terminal;

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_is_listed_and_shown_from_a_terminal() {
    let cluster = Cluster::start().await;
    let (owner, terminal) = (cluster.owner(), Terminal { cluster: &cluster });
    let none = terminal.done(&["projects", "list"]).await;
    assert!(none.out.is_empty() || !none.out.contains("shop"), "{none:?}");
    let source = json!({"kind": "git", "url": "https://git.example/shop.git"});
    owner.send(Method::POST, "/projects", &json!({"name": "Shop", "source": source})).await;
    let listed = terminal.json(&["projects", "list"]).await;
    assert_eq!(listed["items"][0]["slug"], "shop");
    let shown = terminal.done(&["projects", "show", "shop"]).await;
    assert!(shown.out.contains("https://git.example/shop.git"), "{shown:?}");
    assert!(shown.out.contains("production"), "{shown:?}");
    let keys = terminal.json(&["keys", "list"]).await;
    assert_eq!(keys["items"][0]["scope"], "platform");
    assert!(!keys.to_string().contains(&cluster.owner_key()));
    let script = terminal.done(&["completions", "bash"]).await;
    assert!(script.out.contains("complete ") && script.out.contains("rollback"), "{script:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_what_is_up_to_date_changes_nothing_and_says_so() {
    let cluster = Cluster::start().await;
    let terminal = Terminal { cluster: &cluster };
    let server = cluster.state.join("postgres/data/postmaster.pid");
    let server = std::fs::read_to_string(server).unwrap();
    // The fifth line names the directory of the socket.
    let socket = server.lines().nth(4).unwrap();
    let url = format!("postgres://zeitwork@localhost:5432/postgres?host={socket}");
    let file = cluster.state.join("owner.url");
    std::fs::write(&file, url).unwrap();
    let mut migrate = terminal.command(&["migrate"]);
    let migrate = migrate.env("ZEITWORK_DATABASE_URL_FILE", &file).output().await.unwrap();
    let said = String::from_utf8_lossy(&migrate.stdout);
    assert!(migrate.status.success() && said.contains("is up to date"), "{migrate:?}");
    let without = terminal.run(&["migrate"]).await;
    assert!(!without.ok && without.err.contains("ZEITWORK_DATABASE_URL"), "{without:?}");
}
