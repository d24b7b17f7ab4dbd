//! What a platform that has ended may leave on its host: nothing that runs.

use std::collections::BTreeSet;

use crate::process::{self, Part};
use crate::{Up, engine};

impl Up {
    /// Fails where a process, a container, a network or a firewall table of this installation is
    /// still there.
    ///
    /// # Panics
    /// Names what is left.
    pub async fn assert_nothing_left(&self) {
        let installation = std::fs::read_to_string(self.state.join("installation")).unwrap();
        let installation = installation.trim();
        let state = self.state.display().to_string();
        for place in [state, format!("/var/lib/zeitwork/{installation}")] {
            for part in [Part::Command, Part::Environment] {
                assert_eq!(process::with(part, &place), [], "processes with {place} in {part:?}");
            }
        }
        for path in ["/containers/json?all=1", "/networks"] {
            assert_eq!(engine::ids(path, installation).await, BTreeSet::new(), "{path}");
        }
        let tables = tokio::process::Command::new("nft").args(["list", "tables"]).output().await;
        let tables = String::from_utf8(tables.unwrap().stdout).unwrap();
        assert!(!tables.contains(installation), "{tables}");
    }
}
