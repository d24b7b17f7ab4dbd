//! One server: its data directory, its socket, its process.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Binaries, Error};

/// The superuser of a private server, and the owner of everything in it.
pub const SUPERUSER: &str = "zeitwork";
/// Port number in the socket's name; nothing listens on TCP.
const PORT: u16 = 5432;
/// Recovery after a crash replays the log, which may take a while.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// Between a start that ended at once and the next.
const RESTART_PAUSE: Duration = Duration::from_millis(200);

/// Whether a crash of the machine may lose what was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Every commit is on disk when it returns.
    Full,
    /// For tests: nothing is synced.
    None,
}

/// How to run a private server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its data directory; initialised where it is empty.
    pub data: PathBuf,
    /// Directory of its socket; short, as a socket's path has at most 107 octets.
    pub socket: PathBuf,
    /// Whether commits are synced.
    pub durability: Durability,
    /// Most connections.
    pub connections: u32,
    /// Whether it ends with the calling thread (tests).
    pub die_with_parent: bool,
    /// Whether logins other than the superuser's must show a password.
    pub passwords: bool,
}

/// A running private server; dropping it leaves it running, [`Server::stop`] ends it.
#[derive(Debug)]
pub struct Server {
    process: Option<Child>,
    pid: Pid,
    socket: PathBuf,
}

impl Server {
    /// Starts the server, or takes over the one that still runs on the data directory.
    ///
    /// # Errors
    /// [`Error`], each with the program's own last words.
    pub fn start(binaries: &Binaries, options: &Options) -> Result<Self, Error> {
        own_directory(binaries, &options.socket, 0o755)?;
        if !options.data.join("PG_VERSION").exists() {
            initialise(binaries, options)?;
        }
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            let started = match running(&options.data) {
                Some(pid) => Self { process: None, pid, socket: options.socket.clone() },
                None => Self::launch(binaries, options)?,
            };
            match started.wait_until_ready(&options.data) {
                Ok(()) => return Ok(started),
                // A server that was killed leaves children for a moment, which hold its memory;
                // until they are gone a new one ends at once.
                Err(Error::NotReady { .. }) if Instant::now() < deadline && started.is_gone() => {
                    std::thread::sleep(RESTART_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn launch(binaries: &Binaries, options: &Options) -> Result<Self, Error> {
        let log_path = options.data.join("server.log");
        let log = fs::File::create(&log_path).map_err(|source| file_error(&log_path, source))?;
        let mut command = binaries.command("postgres", options.die_with_parent);
        command.arg("-D").arg(&options.data);
        for (name, value) in settings(options) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(log));
        // A group of its own: Ctrl-C at a terminal must not stop it before those who need it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = run_error(&mut command, Command::spawn)?;
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        Ok(Self { process: Some(child), pid, socket: options.socket.clone() })
    }

    /// The server that runs on the data directory, where one does; it is left running.
    #[must_use]
    pub fn running_on(data: &Path) -> Option<Self> {
        let pid = running(data)?;
        // The fifth line of the pid file names the directory of the socket.
        let file = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let socket = PathBuf::from(file.lines().nth(4)?.split(',').next()?.trim());
        Some(Self { process: None, pid, socket })
    }

    /// Address of a database for a login; the superuser needs no password.
    #[must_use]
    pub fn url(&self, database: &str, login: &str, password: Option<&str>) -> String {
        let password = password.map(|secret| format!(":{secret}")).unwrap_or_default();
        let socket = self.socket.display();
        format!("postgres://{login}{password}@localhost:{PORT}/{database}?host={socket}")
    }

    /// The server's main process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Stops it at once (sessions are ended, data is written) and waits up to `limit`; then kills.
    pub fn stop(mut self, limit: Duration) {
        let _ = kill(self.pid, Signal::SIGINT);
        let deadline = Instant::now() + limit;
        while self.is_alive() {
            if Instant::now() > deadline {
                let _ = kill(self.pid, Signal::SIGQUIT);
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if let Some(child) = &mut self.process {
            let _ = child.wait();
        }
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        match &mut self.process {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => !self.is_gone(),
        }
    }

    fn is_gone(&self) -> bool {
        kill(self.pid, None).is_err() || is_zombie(self.pid)
    }

    /// Ready is when the data directory's pid file says so, in its eighth line.
    fn wait_until_ready(&self, data: &Path) -> Result<(), Error> {
        let deadline = Instant::now() + READY_LIMIT;
        let socket = self.socket.join(format!(".s.PGSQL.{PORT}"));
        loop {
            let status = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            if status.lines().nth(7).is_some_and(|line| line.trim() == "ready")
                && UnixStream::connect(&socket).is_ok()
            {
                return Ok(());
            }
            if self.is_gone() || Instant::now() > deadline {
                let log = fs::read_to_string(data.join("server.log")).unwrap_or_default();
                let output = log.lines().rev().take(5).collect::<Vec<_>>();
                let output = output.into_iter().rev().collect::<Vec<_>>().join("; ");
                return Err(Error::NotReady { seconds: READY_LIMIT.as_secs(), output });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn settings(options: &Options) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("listen_addresses", String::new()),
        ("unix_socket_directories", options.socket.display().to_string()),
        ("port", PORT.to_string()),
        ("max_connections", options.connections.to_string()),
        ("shared_buffers", "32MB".to_owned()),
        // Small installations: a few megabytes of log between checkpoints are plenty.
        ("max_wal_size", "256MB".to_owned()),
        ("log_checkpoints", "off".to_owned()),
        ("timezone", "UTC".to_owned()),
        ("jit", "off".to_owned()),
    ];
    if options.durability == Durability::None {
        settings.extend([
            ("fsync", "off".to_owned()),
            ("synchronous_commit", "off".to_owned()),
            ("full_page_writes", "off".to_owned()),
        ]);
    }
    settings
}

fn initialise(binaries: &Binaries, options: &Options) -> Result<(), Error> {
    own_directory(binaries, &options.data, 0o700)?;
    let mut command = binaries.command("initdb", false);
    command.arg("-D").arg(&options.data).arg("--username").arg(SUPERUSER);
    command.args(["--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust"]);
    if options.durability == Durability::None {
        command.arg("--no-sync");
    }
    let output = run_error(&mut command, Command::output)?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let program = PathBuf::from("initdb");
        return Err(Error::Failed { program, status: output.status, output: text });
    }
    let rules = if options.passwords {
        // The socket's superuser is whoever may become root or the server's user anyway.
        let user = binaries.user().map_or_else(current_user, |user| user.name.clone());
        let map = format!("{SUPERUSER} {user} {SUPERUSER}\n{SUPERUSER} root {SUPERUSER}\n");
        let path = options.data.join("pg_ident.conf");
        fs::write(&path, map).map_err(|source| file_error(&path, source))?;
        format!("local all {SUPERUSER} peer map={SUPERUSER}\nlocal all all scram-sha-256\n")
    } else {
        "local all all trust\n".to_owned()
    };
    let path = options.data.join("pg_hba.conf");
    fs::write(&path, rules).map_err(|source| file_error(&path, source))
}

fn current_user() -> String {
    nix::unistd::User::from_uid(nix::unistd::Uid::effective())
        .ok()
        .flatten()
        .map_or_else(|| "root".to_owned(), |user| user.name)
}

/// Makes the directory and gives it to the server's user.
fn own_directory(binaries: &Binaries, path: &Path, mode: u32) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|source| file_error(path, source))?;
    if let Some(user) = binaries.user() {
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .map_err(|source| file_error(path, source))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|source| file_error(path, source))
}

/// The server that runs on the data directory, if its pid file is not stale.
fn running(data: &Path) -> Option<Pid> {
    let file = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid: i32 = file.lines().next()?.trim().parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let pid = Pid::from_raw(pid);
    (name.trim() == "postgres" && !is_zombie(pid)).then_some(pid)
}

fn is_zombie(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('Z')))
        .unwrap_or(false)
}

fn file_error(path: &Path, source: std::io::Error) -> Error {
    Error::File { path: path.to_path_buf(), source }
}

fn run_error<T>(
    command: &mut Command,
    run: impl FnOnce(&mut Command) -> std::io::Result<T>,
) -> Result<T, Error> {
    run(command)
        .map_err(|source| Error::Run { program: PathBuf::from(command.get_program()), source })
}
