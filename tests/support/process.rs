//! Processes of this host, as the kernel shows them.

use std::time::Duration;

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

/// Those of them that none of the others has started: without what servers fork to answer.
#[must_use]
pub fn roots(processes: &[Pid]) -> Vec<Pid> {
    let is_root =
        |pid: &&Pid| !state_and_parent(**pid).is_some_and(|(_, of)| processes.contains(&of));
    processes.iter().filter(is_root).copied().collect()
}

/// The state of a process, as one letter, and its parent; none where there is none.
fn state_and_parent(pid: Pid) -> Option<(char, Pid)> {
    // `pid (name) state parent …`; a name may hold anything, so it is read from the right.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut rest = stat.rsplit_once(") ")?.1.split(' ');
    let state = rest.next()?.chars().next()?;
    Some((state, Pid::from_raw(rest.next()?.parse().ok()?)))
}

fn children(parent: Pid) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |pid: &Pid| state_and_parent(*pid).is_some_and(|(_, of)| of == parent);
    pids.map(Pid::from_raw).filter(is_child).collect()
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

    /// Stops a server with the processes that it has made.
    #[must_use]
    pub fn server(first: Pid) -> Self {
        const PAUSE: Duration = Duration::from_millis(1);
        let mut all = Self::new(vec![first]);
        // It finishes what it is at, which may be to make another: once it stands, there are no
        // new ones.
        while state_and_parent(first).is_some_and(|(state, _)| !matches!(state, 'T' | 'Z')) {
            std::thread::sleep(PAUSE);
        }
        let children = children(first);
        signal(&children, Signal::SIGSTOP);
        all.0.extend(children);
        all
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for process in self.0.iter().rev() {
            let _ = kill(*process, Signal::SIGCONT);
        }
    }
}
