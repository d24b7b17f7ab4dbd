//! What was measured: a table for people, JSON for programs.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use zeitwork_tests::up::program;

/// The figures of one run and where they were taken.
pub struct Report {
    profile: String,
    cores: usize,
    kernel: String,
    figures: Vec<Value>,
}

impl Report {
    /// Nothing measured yet.
    pub fn new() -> Self {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            profile: profile(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.split('-').next().unwrap_or_default().trim().to_owned(),
            figures: Vec::new(),
        }
    }

    /// One line on where and what was measured, with how busy the machine is before it.
    pub fn machine(&self) -> String {
        let Self { profile, cores, kernel, .. } = self;
        format!("profile {profile}, {cores} cores, Linux {kernel}, load before {}", load())
    }

    /// A figure of many rounds, each a time; returns its median in milliseconds.
    pub fn times(&mut self, name: &str, rounds: &[Duration]) -> f64 {
        let mut sorted: Vec<f64> = rounds.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
        sorted.sort_by(f64::total_cmp);
        let [min, median, p99, max] = [0.0, 0.5, 0.99, 1.0].map(|part| at(&sorted, part));
        println!(
            "{name:<34} median {median:>9.2} ms   p99 {p99:>9.2}   min {min:>9.2}   max {max:>9.2}   n {}",
            sorted.len()
        );
        self.figures.push(json!({
            "name": name, "unit": "ms", "count": sorted.len(),
            "median": rounded(median), "p99": rounded(p99), "min": rounded(min), "max": rounded(max),
        }));
        median
    }

    /// A figure that is one number.
    pub fn number(&mut self, name: &str, unit: &str, value: f64) {
        println!("{name:<34} {value:>9.2} {unit}");
        self.figures.push(json!({"name": name, "unit": unit, "value": rounded(value)}));
    }

    /// Writes `bench.json` into the target directory and returns its path.
    pub fn write(&self) -> PathBuf {
        let path = program("bench.json");
        let path = path.ancestors().nth(2).unwrap().join("bench.json");
        let report = json!({
            "profile": self.profile, "cores": self.cores, "kernel": self.kernel,
            "figures": self.figures,
        });
        std::fs::write(&path, format!("{report:#}\n")).unwrap();
        path
    }
}

/// Cargo's name of it: the directory that this program was built into.
fn profile() -> String {
    let own = std::env::current_exe().unwrap();
    let directory = own.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    if directory == "debug" { "dev".to_owned() } else { directory }
}

/// The value below which this part of the sorted ones lies (nearest rank).
fn at(sorted: &[f64], part: f64) -> f64 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a rank among some thousand rounds"
    )]
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Runnable processes in the last minute.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
