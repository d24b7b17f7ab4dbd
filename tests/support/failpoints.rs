//! Ends a daemon at the named steps of its sources ([`zeitwork_runtime::failpoint`]).

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use zeitwork_runtime::failpoint::{ARMED, HELD, HIT, steps_in};

use crate::{Up, eventually};

/// Until a daemon is at a place that a push leads to.
const HELD_LIMIT: Duration = Duration::from_mins(2);

/// The places of one daemon.
#[derive(Debug)]
pub struct Failpoints {
    directory: PathBuf,
    known: BTreeSet<String>,
}

impl Failpoints {
    /// Those of the platform's operator, as its sources name them.
    ///
    /// # Panics
    /// Where the sources cannot be read, or two steps have one name.
    #[must_use]
    pub fn of_operator(platform: &Up) -> Self {
        Self::of(&platform.state.join("operator"), "../operator/src")
    }

    /// Those of its node agent; also before its first start.
    ///
    /// # Panics
    /// As [`Self::of_operator`].
    #[must_use]
    pub fn of_agent(platform: &Up) -> Self {
        Self::of(&platform.state.join("node"), "../node-agent/src")
    }

    fn of(directory: &Path, sources: &str) -> Self {
        let mut steps = Vec::new();
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(sources), &mut steps);
        let names: BTreeSet<&String> = steps.iter().collect();
        assert_eq!(names.len(), steps.len(), "each step has a name of its own: {steps:?}");
        let moments = |step: &String| ["before", "after"].map(|moment| format!("{step}.{moment}"));
        let known = steps.iter().flat_map(moments).collect();
        let armed = directory.join(ARMED);
        std::fs::create_dir_all(&armed).unwrap();
        // The daemon may be another user, who disarms what it reaches.
        std::fs::set_permissions(&armed, std::fs::Permissions::from_mode(0o777)).unwrap();
        Self { directory: directory.to_owned(), known }
    }

    /// All places, as `<step>.<moment>`.
    #[must_use]
    pub fn known(&self) -> &BTreeSet<String> {
        &self.known
    }

    /// The next time that the daemon is at one of these places, the action is taken there, once
    /// for each.
    ///
    /// # Panics
    /// Where a place is not known or the file cannot be written.
    pub fn arm<'a>(&self, places: impl IntoIterator<Item = &'a str>, action: &str) {
        for place in places {
            assert!(self.known.contains(place), "{place} is no step of the sources");
            let draft = self.directory.join("failpoints.new");
            std::fs::write(&draft, action).unwrap();
            std::fs::rename(&draft, self.directory.join(ARMED).join(place)).unwrap();
        }
    }

    /// Waits until a task of the daemon is held.
    pub async fn until_held(&self) {
        let held = self.directory.join(HELD);
        eventually("a task is held", HELD_LIMIT, || async {
            if held.exists() { Ok(()) } else { Err(self.armed().join(", ")) }
        })
        .await;
    }

    /// Lets the task that is held go on.
    ///
    /// # Panics
    /// Where none is.
    pub fn let_go(&self) {
        std::fs::remove_file(self.directory.join(HELD)).unwrap();
    }

    /// The places that are still armed.
    #[must_use]
    pub fn armed(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.join(ARMED)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// The places at which the daemon was, in order.
    #[must_use]
    pub fn hit(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.directory.join(HIT)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Since when the daemon has not been at one.
    #[must_use]
    pub fn quiet_for(&self) -> Duration {
        let last = std::fs::metadata(self.directory.join(HIT)).and_then(|file| file.modified());
        let last = last.unwrap_or(SystemTime::UNIX_EPOCH);
        last.elapsed().unwrap_or_default()
    }
}

/// The steps of all sources below a directory, but those of tests.
fn collect(directory: &Path, steps: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).expect("the sources are there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, steps);
        } else if !path.ends_with("tests.rs") && path.extension().is_some_and(|it| it == "rs") {
            steps.extend(steps_in(&std::fs::read_to_string(&path).unwrap()));
        }
    }
}
