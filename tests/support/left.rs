//! What a platform that has ended may leave on its host: nothing that runs.

use std::collections::BTreeSet;

use crate::process::{self, Part};
use crate::{Up, engine};

impl Up {
    /// Stops the platform as Ctrl-C does; fails where a process, a container, a network or a
    /// firewall table of it is still there afterwards.
    ///
    /// # Panics
    /// Names what is left.
    pub async fn stop_and_leave_nothing(&mut self) {
        let installation = std::fs::read_to_string(self.state.join("installation")).unwrap();
        let installation = installation.trim();
        // The table has its bridge's name.
        let tables = engine::bridges(installation).await;
        let tables: Vec<_> = tables.iter().map(|it| it.replacen("zw", "zeitwork_", 1)).collect();
        let all = firewall().await;
        assert!(!tables.is_empty() && tables.iter().all(|it| all.contains(it)), "{tables:?} {all}");
        self.stop();
        let state = self.state.display().to_string();
        for place in [state, format!("/var/lib/zeitwork/{installation}")] {
            for part in [Part::Command, Part::Environment] {
                assert_eq!(process::with(part, &place), [], "processes with {place} in {part:?}");
            }
        }
        for path in ["/containers/json?all=1", "/networks"] {
            assert_eq!(engine::ids(path, installation).await, BTreeSet::new(), "{path}");
        }
        let all = firewall().await;
        assert!(!tables.iter().any(|it| all.contains(it)), "{tables:?} {all}");
    }
}

/// The names of all firewall tables of this host.
async fn firewall() -> String {
    let listed = tokio::process::Command::new("nft").args(["list", "tables"]).output().await;
    String::from_utf8(listed.unwrap().stdout).unwrap()
}
