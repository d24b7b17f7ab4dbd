//! Where things live: the state directory, and a home that unprivileged users can reach.
//!
//! Secrets stand in one directory for each daemon, mode 0700, owned by the user that it runs as.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{
    DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink,
};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::unistd::Uid;
use secrecy::{ExposeSecret, SecretString};

/// Root of the homes of installations whose state directory only root can enter.
const SHARED_ROOT: &str = "/var/lib/zeitwork";
/// First of the numeric users that daemons run as when started as root. They need no entry in
/// the user database; the range is the one that systemd gives to dynamic users.
const FIRST_USER: u32 = 61_270;

/// Whom a process runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// As `zeitwork up` itself.
    Own,
    /// An unprivileged user of its own, where `zeitwork up` is root.
    Unprivileged(u32),
}

impl Account {
    /// The account with this number below ours; our own where we are not root.
    pub fn numbered(offset: u32) -> Self {
        if Uid::effective().is_root() { Self::Unprivileged(FIRST_USER + offset) } else { Self::Own }
    }
}

/// The directories of one installation.
#[derive(Debug, Clone)]
pub struct Home {
    /// What the person named: owner key, `up.json`, logs.
    pub state: PathBuf,
    /// What daemons use: the state directory itself, or a directory that all may enter.
    pub root: PathBuf,
    /// Eight hexadecimal characters.
    pub installation: String,
}

impl Home {
    /// Makes the directories, or finds them.
    pub fn prepare(state: &Path) -> Result<Self> {
        make_directory(state, 0o711)
            .with_context(|| format!("the state directory {}", state.display()))?;
        let state = state.canonicalize()?;
        let installation = installation_id(&state)?;
        let root = if Uid::effective().is_root() && !everybody_may_enter(&state)? {
            let root = Path::new(SHARED_ROOT).join(&installation);
            make_directory(Path::new(SHARED_ROOT), 0o711)?;
            make_directory(&root, 0o711)?;
            let link = state.join("home");
            if fs::read_link(&link).ok().as_deref() != Some(root.as_path()) {
                let _ = fs::remove_file(&link);
                symlink(&root, &link)?;
            }
            root
        } else {
            state.clone()
        };
        for directory in ["log", "run"] {
            make_directory(&state.join(directory), 0o700)?;
        }
        Ok(Self { state, root, installation })
    }

    /// The private directory of a daemon.
    pub fn directory(&self, name: &str, account: Account) -> Result<PathBuf> {
        let path = self.root.join(name);
        make_directory(&path, 0o700)?;
        give(&path, account)?;
        Ok(path)
    }

    /// A log file below the state directory, appended to.
    pub fn log(&self, name: &str) -> Result<fs::File> {
        let path = self.state.join("log").join(format!("{name}.log"));
        let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        file.with_context(|| path.display().to_string())
    }

    /// A program beside this one, at a path that every user can execute.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let beside = std::env::current_exe()?.with_file_name(name);
        if !beside.exists() {
            bail!("{} is missing: build the whole workspace (`make up` does)", beside.display());
        }
        if !Uid::effective().is_root() || everybody_may_enter(&beside)? {
            return Ok(beside);
        }
        let bin = self.root.join("bin");
        make_directory(&bin, 0o755)?;
        let reachable = bin.join(name);
        let _ = fs::remove_file(&reachable);
        if fs::hard_link(&beside, &reachable).is_err() {
            fs::copy(&beside, &reachable)?;
        }
        fs::set_permissions(&reachable, fs::Permissions::from_mode(0o755))?;
        Ok(reachable)
    }
}

/// Writes a secret whole or not at all, mode 0600, for one account.
pub fn write_secret(path: &Path, secret: &SecretString, account: Account) -> Result<()> {
    let draft = path.with_extension("draft");
    let _ = fs::remove_file(&draft);
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft)?;
    file.write_all(secret.expose_secret().as_bytes())?;
    file.sync_all()?;
    give(&draft, account)?;
    fs::rename(&draft, path).with_context(|| path.display().to_string())
}

fn give(path: &Path, account: Account) -> Result<()> {
    if let Account::Unprivileged(user) = account {
        chown(path, Some(user), Some(user)).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Makes the directory where it is not there, with exactly this mode, whatever the umask.
pub fn make_directory(path: &Path, mode: u32) -> Result<()> {
    if !path.is_dir() {
        let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
        let made = made.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)));
        made.with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Whether other users may pass through every directory on the way.
fn everybody_may_enter(path: &Path) -> Result<bool> {
    const OTHERS_EXECUTE: u32 = 0o001;
    for directory in path.canonicalize()?.ancestors() {
        if directory.metadata()?.mode() & OTHERS_EXECUTE == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn installation_id(state: &Path) -> Result<String> {
    let path = state.join("installation");
    if let Ok(text) = fs::read_to_string(&path) {
        let id = text.trim();
        if id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(id.to_owned());
        }
        bail!("{} does not hold an installation id (8 hexadecimal characters)", path.display());
    }
    let id = format!("{:08x}", rand::random::<u32>());
    write_installation(state, &id)?;
    Ok(id)
}

/// Everything of ours on an engine is known by it.
pub fn write_installation(state: &Path, id: &str) -> Result<()> {
    write_whole(state, "installation", id)
}

/// Writes one line whole or not at all, so that it outlives a power cut.
pub fn write_whole(directory: &Path, name: &str, line: &str) -> Result<()> {
    let (draft, path) = (directory.join(format!("{name}.draft")), directory.join(name));
    let mut file = fs::File::create(&draft)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, &path).with_context(|| path.display().to_string())?;
    fs::File::open(directory)?.sync_all().with_context(|| directory.display().to_string())
}
