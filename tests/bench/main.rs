//! `make bench`: the platform's own figures, measured on this machine.
//!
//! Every figure starts a platform of its own, as a story does, on loopback only, with a fixed
//! number of rounds and a limit on every wait. It prints a table and writes `bench.json` beside
//! the profile's directory. What a figure means stands in `docs/benchmarks/README.md`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that cannot go on has failed, and says where; its output is a table"
)]

mod bare;
mod deploys;
mod line;
mod memory;
mod push;
mod report;
mod rollback;
mod route;
mod webhook;
mod world;

use report::Report;

const NAMES: [&str; 6] = ["memory", "push", "rollback", "webhook", "route", "deploys"];

#[tokio::main]
async fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = asked.iter().find(|name| !NAMES.contains(&name.as_str())) {
        println!("there is no figure {unknown:?}; there are: {}", NAMES.join(", "));
        std::process::exit(2);
    }
    let mut report = Report::new();
    println!("{}", report.machine());
    for name in NAMES {
        if !asked.is_empty() && !asked.iter().any(|wanted| wanted == name) {
            continue;
        }
        match name {
            "memory" => memory::measure(&mut report).await,
            "push" => push::measure(&mut report).await,
            "rollback" => rollback::measure(&mut report).await,
            "webhook" => webhook::measure(&mut report).await,
            "route" => route::measure(&mut report).await,
            _ => deploys::measure(&mut report).await,
        }
        // After each: an interrupted run leaves what it has measured.
        let path = report.write();
        println!("{name}: written to {}", path.display());
    }
}
