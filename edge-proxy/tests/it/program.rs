//! The real program, on ports and a directory of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(20);

/// A running edge; killed when dropped, without a chance to write anything.
pub struct Program {
    address: SocketAddr,
    process: Child,
}

impl Program {
    /// Starts it on a state directory and waits until it answers.
    pub fn start(state: &Path, database_url: &str) -> Self {
        let [address, admin] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [address, admin] = [address, admin].map(|listener| listener.local_addr().unwrap());
        let process = Command::new(env!("CARGO_BIN_EXE_zeitwork-edge-proxy"))
            .env("ZEITWORK_STATE_DIR", state)
            .env("ZEITWORK_DATABASE_URL", database_url)
            .env("ZEITWORK_EDGE_HTTP_ADDRESS", address.to_string())
            .env("ZEITWORK_EDGE_ADMIN_ADDRESS", admin.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let edge = Self { address, process };
        let deadline = Instant::now() + LIMIT;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "the edge does not listen");
            std::thread::sleep(Duration::from_millis(2));
        }
        edge
    }

    /// The status of a GET for a host.
    pub fn status(&self, host: &str) -> u16 {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
