//! The owner's terminal on the private database: `psql`, kept open.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use zeitwork_postgres::{Binaries, Server};

/// Longest statement: some thousand rows with their trigger.
const LIMIT: Duration = Duration::from_mins(2);

/// One session; it ends with the value.
pub struct Session {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Session {
    /// Opens a session as the owner of everything on the server of this data directory.
    ///
    /// # Panics
    /// Where the server does not run.
    #[must_use]
    pub fn open(data: &Path) -> Self {
        let server = Server::running_on(data).expect("the private database runs");
        let url = server.url("postgres", "zeitwork", None);
        let command = Binaries::find().unwrap().command("psql", false);
        let mut command = Command::from(command);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", &url]).kill_on_drop(true);
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("psql runs");
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { input, output, _process: process }
    }

    /// Runs one statement that gives one row, committed by itself, and returns that row.
    ///
    /// # Panics
    /// Where it fails or gives none.
    pub async fn run(&mut self, statement: &str) -> String {
        self.input.write_all(format!("{statement};\n").as_bytes()).await.unwrap();
        let line = tokio::time::timeout(LIMIT, self.output.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("not within {LIMIT:?}: {statement}")).unwrap();
        line.unwrap_or_else(|| panic!("psql ended at: {statement}"))
    }
}
