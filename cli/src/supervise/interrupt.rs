//! SIGINT, SIGTERM and SIGHUP, as often as they come.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals closer to each other are one.
const ECHO: Duration = Duration::from_secs(1);

/// What a person or a service manager says to end this program.
#[derive(Debug)]
pub struct Interrupt {
    stop: Signal,
    terminate: Signal,
    /// The terminal was closed; none where whoever started us wants that ignored (`nohup`).
    hang_up: Option<Signal>,
    last: Option<Instant>,
}

impl Interrupt {
    /// From now on no signal is lost.
    pub fn watch() -> Result<Self> {
        let hang_up = if ignores_hang_up() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self {
            stop: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up,
            last: None,
        })
    }

    /// Returns at the next signal.
    pub async fn wait(&mut self) {
        loop {
            let hang_up = async {
                match &mut self.hang_up {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.stop.recv() => {}
                _ = self.terminate.recv() => {}
                _ = hang_up => {}
            }
            // One Ctrl-C may arrive twice: from the terminal and from a parent that passes it on.
            if self.last.is_none_or(|last| last.elapsed() > ECHO) {
                self.last = Some(Instant::now());
                return;
            }
        }
    }
}

/// The kernel's mask of ignored signals; SIGHUP is the first.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|it| it & 1 == 1)
}
