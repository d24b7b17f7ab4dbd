//! Where the server's programs are, and as whom they run.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Uid, User};

use crate::Error;

/// Oldest major version that the migrations need (`nulls not distinct`).
const OLDEST: u32 = 15;
/// Where Debian and Ubuntu keep one directory for each major version.
const VERSIONED: &str = "/usr/lib/postgresql";

/// The programs of one PostgreSQL version, and the user to run them as.
#[derive(Debug, Clone)]
pub struct Binaries {
    directory: PathBuf,
    user: Option<User>,
}

impl Binaries {
    /// Takes `PG_BIN`, else the newest version under Debian's directory, else what is on `PATH`.
    ///
    /// # Errors
    /// [`Error::NoBinaries`], or [`Error::NoUser`] for root without the user `postgres`.
    pub fn find() -> Result<Self, Error> {
        let directory = std::env::var_os("PG_BIN")
            .map(PathBuf::from)
            .filter(|directory| directory.join("postgres").exists())
            .or_else(newest_versioned)
            .or_else(on_path)
            .ok_or(Error::NoBinaries)?;
        let user = if Uid::effective().is_root() {
            Some(User::from_name("postgres").ok().flatten().ok_or(Error::NoUser)?)
        } else {
            None
        };
        Ok(Self { directory, user })
    }

    /// Those of the version that made the data directory: after an upgrade of the host the newest
    /// is another one. Where there is no such directory, as [`Binaries::find`].
    ///
    /// # Errors
    /// [`Error::OtherVersion`] where that version is not installed; else as [`Binaries::find`].
    pub fn for_data(data: &Path) -> Result<Self, Error> {
        let found = Self::find()?;
        let version = std::fs::read_to_string(data.join("PG_VERSION")).ok();
        let Some(version) = version.and_then(|text| text.trim().parse::<u32>().ok()) else {
            return Ok(found);
        };
        // Elsewhere the version is not in the name; the server itself says what it thinks.
        if !found.directory.starts_with(VERSIONED) {
            return Ok(found);
        }
        let directory = Path::new(VERSIONED).join(version.to_string()).join("bin");
        if directory.join("postgres").exists() {
            return Ok(Self { directory, ..found });
        }
        Err(Error::OtherVersion { data: data.to_path_buf(), version })
    }

    /// A command for one of the programs that talk to a server, as the current user.
    #[must_use]
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.directory.join(program));
        command.current_dir("/");
        command
    }

    /// The user that the server must run as; none: the current one.
    #[must_use]
    pub fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// A command for one of the programs, as the server's user, in a directory it can enter.
    ///
    /// `die_with_parent`: SIGINT (fast shutdown) reaches it when the calling *thread* ends.
    #[must_use]
    pub fn command(&self, program: &str, die_with_parent: bool) -> Command {
        let path = self.directory.join(program);
        if self.user.is_none() && !die_with_parent {
            let mut command = Command::new(path);
            command.current_dir("/");
            return command;
        }
        // setpriv is of util-linux, which is essential on Debian: it changes the user and asks
        // for the signal without `unsafe` on our side.
        let mut command = Command::new("setpriv");
        if let Some(user) = &self.user {
            command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid));
            command.arg("--init-groups");
        }
        if die_with_parent {
            command.arg("--pdeathsig=INT");
        }
        command.arg("--").arg(path).current_dir("/");
        command
    }
}

fn newest_versioned() -> Option<PathBuf> {
    std::fs::read_dir(VERSIONED)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let directory = entry.path().join("bin");
            (version >= OLDEST && directory.join("postgres").exists())
                .then_some((version, directory))
        })
        .max_by_key(|(version, _)| *version)
        .map(|(_, directory)| directory)
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .find(|directory| directory.join("postgres").exists() && directory.join("initdb").exists())
        .map(|directory| Path::new(&directory).to_path_buf())
}
