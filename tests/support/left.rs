//! What a platform that has ended may leave on its host: nothing that runs.

use tokio::net::UnixStream;
use zeitwork_stand_ins::engine;

use crate::Up;
use crate::http::Ask;
use crate::process::{self, Part};

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
        let label = format!("dev.zeitwork.installation%3D{installation}");
        let filters = format!("filters=%7B%22label%22%3A%5B%22{label}%22%5D%7D");
        for path in [format!("/containers/json?all=1&{filters}"), format!("/networks?{filters}")] {
            let stream = UnixStream::connect(engine::SOCKET).await.unwrap();
            let answer = Ask::get("engine", &path).send_over(stream).await.unwrap();
            assert_eq!(answer.text().trim(), "[]", "{path}");
        }
        let tables = tokio::process::Command::new("nft").args(["list", "tables"]).output().await;
        let tables = String::from_utf8(tables.unwrap().stdout).unwrap();
        assert!(!tables.contains(installation), "{tables}");
    }
}
