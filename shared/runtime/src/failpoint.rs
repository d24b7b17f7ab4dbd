//! Named places in the effects of a daemon at which a test can end the process.
//!
//! "Correct after kill -9 at any step" is proven by dying at every step. A step is what others can
//! see: the commit of a transaction, a call of another server. It is carried out by [`effect`]
//! under a [`Step`], and a step is made by [`step!`](crate::step) alone, so a test reads all of
//! them from the sources ([`steps_in`]) and a new one is covered without a new test.
//!
//! Compiled in with `debug_assertions` alone. A cargo feature would be on for the whole workspace
//! as soon as one member asked for it, and a variable of the environment could be set by mistake;
//! a build without debug assertions holds nothing of this but the empty functions. A build with
//! them does nothing before [`obey`], and then only what files in the daemon's own private
//! directory say: whoever can write there can kill the daemon anyway.

use std::future::Future;
use std::path::Path;

/// Where a test arms places, below the daemon's directory: a file `<step>.<moment>` for each, the
/// moment `before` or `after`, that holds the action. It is removed before it is carried out, so
/// the directory must be open to the daemon.
///
/// - `die`: the process aborts; whoever supervises it starts it again.
/// - `again`: the same at once: the process replaces itself by a new one. Memory, tasks and
///   connections are gone, as with `die`; no supervisor waits before the next start.
/// - `hold`: this task waits while [`HELD`] is there, so that the process can be frozen here.
/// - `note`: nothing else happens.
pub const ARMED: &str = "failpoints";
/// Where the daemon notes the places that it was at, a line `<step>.<moment>` each.
pub const HIT: &str = "failpoints.hit";
/// Made by a task that is held, removed by the test.
pub const HELD: &str = "failpoints.held";

/// The name of a step; made by [`step!`](crate::step).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step(#[doc(hidden)] pub &'static str);

/// Names a step: `step!("rollouts.go_live")`.
#[macro_export]
macro_rules! step {
    ($name:literal) => {
        $crate::failpoint::Step($name)
    };
}

/// From now on what is [`ARMED`] in this directory is obeyed.
pub fn obey(directory: &Path) {
    #[cfg(debug_assertions)]
    armed::obey(directory);
    #[cfg(not(debug_assertions))]
    let _ = directory;
}

/// Carries out an effect that others can see; a test can end the process before and after it.
pub async fn effect<T>(step: Step, work: impl Future<Output = T>) -> T {
    reach(step, "before");
    let outcome = work.await;
    reach(step, "after");
    outcome
}

/// The same for an effect that is over at once: a file that is written.
pub fn effect_at_once<T>(step: Step, work: impl FnOnce() -> T) -> T {
    reach(step, "before");
    let outcome = work();
    reach(step, "after");
    outcome
}

#[inline]
fn reach(step: Step, moment: &str) {
    #[cfg(debug_assertions)]
    armed::reach(step, moment);
    #[cfg(not(debug_assertions))]
    let _ = (step, moment);
}

/// The names of all steps that a text of Rust makes.
#[must_use]
pub fn steps_in(source: &str) -> Vec<String> {
    let made = source.split("step!(\"").skip(1);
    made.filter_map(|rest| rest.split_once('"')).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(debug_assertions)]
mod armed {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::process::CommandExt as _;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::sync::OnceLock;
    use std::time::Duration;

    use super::{ARMED, HELD, HIT, Step};

    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    const PAUSE: Duration = Duration::from_millis(5);

    pub(super) fn obey(directory: &Path) {
        DIRECTORY.get_or_init(|| directory.to_owned());
    }

    pub(super) fn reach(step: Step, moment: &str) {
        let Some(directory) = DIRECTORY.get() else { return };
        match take(directory, &format!("{}.{moment}", step.0)).as_deref() {
            Some("die") => std::process::abort(),
            Some("again") => begin_again(),
            Some("hold") => hold(directory),
            _ => {}
        }
    }

    /// Disarms a place and notes that it was reached; its action. Of several that are there at
    /// once, one disarms it.
    pub(super) fn take(directory: &Path, place: &str) -> Option<String> {
        let file = directory.join(ARMED).join(place);
        let action = fs::read_to_string(&file).ok()?;
        fs::remove_file(&file).ok()?;
        let hit = fs::OpenOptions::new().create(true).append(true).open(directory.join(HIT));
        hit.and_then(|mut hit| hit.write_all(format!("{place}\n").as_bytes())).ok()?;
        Some(action)
    }

    fn hold(directory: &Path) {
        let held = directory.join(HELD);
        let made = fs::write(&held, "");
        while made.is_ok() && held.exists() {
            std::thread::sleep(PAUSE);
        }
    }

    /// A new process in the place of this one: nothing of this one is left but its number.
    fn begin_again() {
        let Ok(program) = std::env::current_exe() else { std::process::abort() };
        let error = Command::new(program).args(std::env::args_os().skip(1)).exec();
        tracing::error!(%error, "the program could not be started again");
        std::process::abort();
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn an_armed_place_is_met_once_and_noted() {
        let directory = tempfile::tempdir().unwrap();
        let (armed, hit) = (directory.path().join(ARMED), directory.path().join(HIT));
        assert_eq!(armed::take(directory.path(), "a.step.after"), None);
        std::fs::create_dir(&armed).unwrap();
        std::fs::write(armed.join("a.step.before"), "die").unwrap();
        std::fs::write(armed.join("a.step.after"), "again").unwrap();
        assert_eq!(armed::take(directory.path(), "a.step.after").as_deref(), Some("again"));
        assert_eq!(armed::take(directory.path(), "a.step.after"), None);
        assert_eq!(std::fs::read_to_string(hit).unwrap(), "a.step.after\n");
        assert!(armed.join("a.step.before").exists());
    }

    #[tokio::test]
    async fn without_a_directory_an_effect_is_carried_out() {
        assert_eq!(effect(crate::step!("tests.nothing"), async { 7 }).await, 7);
    }

    #[test]
    fn steps_are_found_in_a_source() {
        let source = ["effect(step!(", "\"a.b\"), x); step!(", "\"c.d\")"].concat();
        assert_eq!(steps_in(&source), ["a.b", "c.d"]);
    }
}
