//! Processes of this host, as the kernel shows them.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Which part of a process is looked at.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// Its command.
    Command,
    /// What it was started with; root alone sees that of others.
    Environment,
}

/// Processes of which the part contains a text; its items end with NUL.
#[must_use]
pub fn with(part: Part, text: &str) -> Vec<Pid> {
    let file = match part {
        Part::Command => "cmdline",
        Part::Environment => "environ",
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let content = std::fs::read(entry.path().join(file)).ok()?;
            let found = content.windows(text.len()).any(|bytes| bytes == text.as_bytes());
            found.then(|| Pid::from_raw(pid))
        })
        .collect()
}

/// The children of a process and itself.
#[must_use]
pub fn family(parent: Pid) -> Vec<Pid> {
    let file = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(file).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    std::iter::once(parent).chain(children.map(Pid::from_raw)).collect()
}

/// Sends a signal to all; those that are gone need none.
pub fn signal(processes: &[Pid], signal: Signal) {
    for process in processes {
        let _ = kill(*process, signal);
    }
}

/// Processes that stand still until this is dropped, however the test ends.
#[derive(Debug)]
pub struct Frozen(Vec<Pid>);

impl Frozen {
    /// Stops them.
    #[must_use]
    pub fn new(processes: Vec<Pid>) -> Self {
        signal(&processes, Signal::SIGSTOP);
        Self(processes)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal(&self.0, Signal::SIGCONT);
    }
}
