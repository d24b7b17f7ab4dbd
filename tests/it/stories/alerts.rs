//! The alert rules: each comes from its cause, and looks at what is really there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use zeitwork_tests::http::Ask;
use zeitwork_tests::up::program;
use zeitwork_tests::user::LIVE_LIMIT;
use zeitwork_tests::{Cluster, eventually};

/// The root of the source tree.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// `promtool`, got where it is not there.
fn promtool() -> PathBuf {
    let target = program("zeitwork").parent().unwrap().parent().unwrap().to_owned();
    let setup = Command::new(root().join("deploy/setup"))
        .arg("test")
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .unwrap();
    assert!(setup.status.success(), "{setup:?}");
    let ours = target.join("tools/promtool");
    if ours.exists() { ours } else { PathBuf::from("promtool") }
}

#[test]
fn every_alert_comes_from_its_cause_and_none_while_all_is_well() {
    let promtool = promtool();
    for arguments in
        [&["check", "config", "prometheus.yml"][..], &["test", "rules", "zeitwork.test.yml"]]
    {
        let mut command = Command::new(&promtool);
        let ran = command.args(arguments).current_dir(root().join("deploy/prometheus")).output();
        let ran = ran.unwrap();
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    }
    let read = |name: &str| std::fs::read_to_string(root().join("deploy/prometheus").join(name));
    let tested = read("zeitwork.test.yml").unwrap();
    let guide = std::fs::read_to_string(root().join("docs/operations/alerts.md")).unwrap();
    for rule in read("zeitwork.rules.yml").unwrap().lines() {
        let Some(alert) = rule.trim().strip_prefix("- alert: ") else { continue };
        let fires = format!("alertname: {alert}\n        exp_alerts:\n");
        assert!(tested.contains(&fires), "no unit test lets {alert} fire");
        assert!(guide.contains(&format!("`{alert}`")), "the guide does not say what {alert} means");
    }
}

/// Names that begin with ours.
fn names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("zeitwork_"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_rules_is_exported_by_a_running_platform() {
    let cluster = Cluster::start().await;
    let rules = std::fs::read_to_string(root().join("deploy/prometheus/zeitwork.rules.yml"));
    let wanted: BTreeSet<String> = rules
        .unwrap()
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(names)
        .collect();
    assert!(wanted.len() > 10, "{wanted:?}");
    eventually("every metric is there", LIVE_LIMIT, || async {
        let mut text = String::new();
        for address in cluster.addresses {
            let answer = Ask::get(&address.to_string(), "/metrics").send(address).await?;
            text.push_str(&answer.text());
        }
        // A name in a help text is no series.
        let series = text.lines().filter(|line| !line.starts_with('#'));
        let there: BTreeSet<String> = series
            .map(|line| line.split(['{', ' ']).next().unwrap_or_default().to_owned())
            .collect();
        let missing: Vec<&String> = wanted.difference(&there).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
    })
    .await;
    // Ours is the only node, and it is ready.
    let figures = eventually("the operator counts the node", LIVE_LIMIT, || async {
        let operator = cluster.addresses[1];
        let text = Ask::get(&operator.to_string(), "/metrics").send(operator).await?.text();
        let counted = text.contains("zeitwork_nodes{status=\"ready\"} 1");
        if counted { Ok(text) } else { Err(text) }
    })
    .await;
    assert!(figures.contains("zeitwork_nodes{status=\"lost\"} 0"), "{figures}");
}
