//! Resident memory of an idle platform with ten projects: the proportional share (PSS), which
//! counts a page that several processes share once.

use std::time::Duration;

use zeitwork_tests::Cluster;

use crate::report::Report;
use crate::world;

const PROJECTS: u32 = 10;
/// Readings, a second apart, once nothing is asked for any more; their median counts.
const READINGS: usize = 15;
const DAEMONS: [&str; 4] = ["api", "operator", "edge-proxy", "node-agent"];

/// Each daemon, all of them with their supervisor, and the private database by itself.
pub async fn measure(report: &mut Report) {
    let cluster = Cluster::start().await;
    for project in 0..PROJECTS {
        world::live(&cluster, &format!("idle-{project}")).await;
    }
    let mut groups: Vec<(&str, Vec<i32>)> = DAEMONS
        .map(|daemon| (daemon, vec![cluster.pid(daemon).expect("the daemon runs").as_raw()]))
        .into();
    groups.push(("supervisor", vec![parent(groups[0].1[0])]));
    let postgres = cluster.postgres().expect("the database runs").as_raw();
    let mut readings = vec![Vec::new(); groups.len() + 1];
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..READINGS {
        every_second.tick().await;
        for ((_, pids), reading) in groups.iter().zip(&mut readings) {
            reading.push(pids.iter().map(|pid| pss(*pid)).sum::<f64>());
        }
        let database = std::iter::once(postgres).chain(children(postgres));
        readings.last_mut().unwrap().push(database.map(pss).sum());
    }
    let mut medians = readings.into_iter().map(|mut reading| {
        reading.sort_by(f64::total_cmp);
        reading[reading.len() / 2]
    });
    let mut sum = 0.0;
    for ((name, _), median) in groups.iter().zip(&mut medians) {
        report.number(&format!("memory.{name}"), "MiB", median);
        sum += median;
    }
    report.number("memory.daemons_together", "MiB", sum);
    report.number("memory.postgresql", "MiB", medians.next().unwrap());
}

/// Mebibytes of a process; nothing where it has just ended.
fn pss(pid: i32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
    let kilobytes = line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default();
    kilobytes / 1024.0
}

fn parent(pid: i32) -> i32 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap_or_default();
    line.trim().parse().unwrap_or_default()
}

fn children(of: i32) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent(*pid) == of).collect()
}
