//! The build context: finds its directory and Dockerfile inside a checkout, and writes it as a
//! tar. Nothing outside the checkout is ever opened: links are sent as links, and what is no
//! file, directory or link is refused. Not concerned with what a Dockerfile means.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::OFlag;
use tar::{Builder, EntryType, Header};

use super::ignore::{Ignore, Matched};

/// Bytes of a Dockerfile at most.
const MAXIMUM_DOCKERFILE: u64 = 1024 * 1024;
/// Bytes of a `.dockerignore` at most: every path is held against every pattern.
const MAXIMUM_IGNORE: u64 = 64 * 1024;

/// Why there is no context.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// A path of the project's settings is none that we follow.
    #[error("{what} {path:?} must be a relative path without `..`")]
    Path {
        /// Which setting.
        what: &'static str,
        /// What it says.
        path: String,
    },
    /// A path leads out of the repository, by a link.
    #[error("{what} {path:?} leads out of the repository")]
    Outside {
        /// Which setting.
        what: &'static str,
        /// What it says.
        path: String,
    },
    /// The directory is not there.
    #[error("the root directory {0:?} does not exist in this commit")]
    RootMissing(String),
    /// The Dockerfile is not there.
    #[error("no Dockerfile: looked for {looked_for:?} in this commit{hint}")]
    DockerfileMissing {
        /// Its path from the root of the repository.
        looked_for: String,
        /// What is there instead.
        hint: String,
    },
    /// A Dockerfile or `.dockerignore` that no person wrote, and its limit.
    #[error("{0:?} is larger than {kib} KiB", kib = .1 / 1024)]
    TextTooLarge(String, u64),
    /// More bytes than allowed.
    #[error("the build context is larger than {} MiB", .0 / (1024 * 1024))]
    TooLarge(u64),
    /// More files than allowed.
    #[error("the build context has more than {0} files")]
    TooManyFiles(u64),
    /// A device, pipe or socket.
    #[error("{0:?} is neither a file nor a directory nor a link")]
    Special(String),
    /// The disk, or the reader of the tar went away.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How much a context may hold.
#[derive(Debug, Clone, Copy)]
pub struct ContextLimits {
    /// Bytes of all files.
    pub bytes: u64,
    /// Files, directories and links.
    pub files: u64,
}

/// Where a context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Its directory, without links.
    root: PathBuf,
    /// The Dockerfile's name inside.
    dockerfile: PathBuf,
    /// The Dockerfile as it stands in the repository.
    content: Vec<u8>,
    ignore: Ignore,
}

impl Context {
    /// Finds the context of a checkout by the project's settings.
    ///
    /// # Errors
    /// [`ContextError`], each for the project's owner to mend.
    pub fn locate(
        checkout: &Path,
        root_directory: &str,
        dockerfile: &str,
    ) -> Result<Self, ContextError> {
        let checkout = fs::canonicalize(checkout)?;
        let inner = relative("root directory", root_directory)?;
        let root = fs::canonicalize(checkout.join(&inner))
            .map_err(|_| ContextError::RootMissing(root_directory.to_owned()))?;
        if !is_inside(&root, &checkout) {
            let path = root_directory.to_owned();
            return Err(ContextError::Outside { what: "the root directory", path });
        }
        if !root.is_dir() {
            return Err(ContextError::RootMissing(root_directory.to_owned()));
        }
        let name =
            relative("Dockerfile", if dockerfile.is_empty() { "Dockerfile" } else { dockerfile })?;
        let missing = || ContextError::DockerfileMissing {
            looked_for: inner.join(&name).display().to_string(),
            hint: hint(&root),
        };
        let path = fs::canonicalize(root.join(&name)).map_err(|_| missing())?;
        if !is_inside(&path, &checkout) {
            return Err(ContextError::Outside {
                what: "the Dockerfile",
                path: dockerfile.to_owned(),
            });
        }
        let content = read_text(&path, MAXIMUM_DOCKERFILE)?.ok_or_else(missing)?;
        let ignore = read_ignore(&checkout, &root, &name)?;
        Ok(Self { root, dockerfile: name, content, ignore })
    }

    /// The Dockerfile's path inside the context, as the engine wants it.
    #[must_use]
    pub fn dockerfile(&self) -> String {
        self.dockerfile.to_string_lossy().into_owned()
    }

    /// The Dockerfile's content.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// Writes the context as a tar, with this content as its Dockerfile and this time (seconds)
    /// on every entry, so that equal commits make equal bytes. Once `is_gone`, it stops.
    ///
    /// # Errors
    /// [`ContextError`]
    pub fn write(
        &self,
        dockerfile: &[u8],
        time: u64,
        limits: ContextLimits,
        to: impl Write,
        is_gone: &dyn Fn() -> bool,
    ) -> Result<(), ContextError> {
        let mut archive = Archive { tar: Builder::new(to), time, limits, left: limits };
        // The first entry of its name counts; the one of the walk is left out.
        archive.text(&self.dockerfile, dockerfile)?;
        self.walk(&mut archive, Path::new(""), &Matched::default(), is_gone)?;
        archive.tar.into_inner()?.flush()?;
        Ok(())
    }

    fn walk<W: Write>(
        &self,
        archive: &mut Archive<W>,
        directory: &Path,
        parent: &Matched,
        is_gone: &dyn Fn() -> bool,
    ) -> Result<(), ContextError> {
        let mut names: Vec<_> = fs::read_dir(self.root.join(directory))?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<_, _>>()?;
        names.sort();
        for name in names {
            if name == ".git" {
                continue;
            }
            if is_gone() {
                return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
            }
            let path = directory.join(&name);
            let (ignored, matched) = self.ignore.ignores(&path.to_string_lossy(), parent);
            let is_directory = archive.entry(self, &path, ignored)?;
            // A path is at most 4,096 bytes, so this is at most 2,048 deep.
            if is_directory && (!ignored || self.ignore.takes_back()) {
                self.walk(archive, &path, &matched, is_gone)?;
            }
        }
        Ok(())
    }
}

/// A tar that is being written.
struct Archive<W: Write> {
    tar: Builder<W>,
    time: u64,
    limits: ContextLimits,
    left: ContextLimits,
}

impl<W: Write> Archive<W> {
    /// Adds one entry unless it is ignored; says whether it is a directory.
    fn entry(
        &mut self,
        context: &Context,
        path: &Path,
        ignored: bool,
    ) -> Result<bool, ContextError> {
        let full = context.root.join(path);
        let metadata = fs::symlink_metadata(&full)?;
        let kind = metadata.file_type();
        if ignored || path == context.dockerfile {
            return Ok(kind.is_dir());
        }
        if kind.is_dir() {
            let mut header = self.header(EntryType::Directory, 0o755, 0)?;
            self.tar.append_data(&mut header, path, io::empty())?;
        } else if kind.is_symlink() {
            let mut header = self.header(EntryType::Symlink, 0o777, 0)?;
            self.tar.append_link(&mut header, path, fs::read_link(&full)?)?;
        } else if kind.is_file() {
            let file = open(&full)?;
            let size = file.metadata()?.len();
            let mode = if metadata.mode() & 0o100 == 0 { 0o644 } else { 0o755 };
            let mut header = self.header(EntryType::Regular, mode, size)?;
            self.tar.append_data(&mut header, path, file.take(size))?;
        } else {
            return Err(ContextError::Special(path.display().to_string()));
        }
        Ok(kind.is_dir())
    }

    fn text(&mut self, path: &Path, content: &[u8]) -> Result<(), ContextError> {
        let mut header = self.header(EntryType::Regular, 0o644, content.len() as u64)?;
        self.tar.append_data(&mut header, path, content)?;
        Ok(())
    }

    fn header(&mut self, kind: EntryType, mode: u32, size: u64) -> Result<Header, ContextError> {
        let limits = self.limits;
        self.left.files =
            self.left.files.checked_sub(1).ok_or(ContextError::TooManyFiles(limits.files))?;
        self.left.bytes =
            self.left.bytes.checked_sub(size).ok_or(ContextError::TooLarge(limits.bytes))?;
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(self.time);
        header.set_uid(0);
        header.set_gid(0);
        Ok(header)
    }
}

/// A path of the settings: relative, without `..`, not into `.git`.
fn relative(what: &'static str, text: &str) -> Result<PathBuf, ContextError> {
    let refused = || ContextError::Path { what, path: text.to_owned() };
    if text.chars().any(char::is_control) || text.contains('\\') {
        return Err(refused());
    }
    let mut path = PathBuf::new();
    for component in Path::new(text).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) if part != ".git" => path.push(part),
            _ => return Err(refused()),
        }
    }
    Ok(path)
}

/// Whether a path without links lies in the checkout, outside of `.git`.
fn is_inside(path: &Path, checkout: &Path) -> bool {
    path.strip_prefix(checkout)
        .is_ok_and(|inner| inner.components().next() != Some(Component::Normal(OsStr::new(".git"))))
}

/// Opens a file, never through a link, never waiting for the other end of a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
}

/// A small text file; none if it is no file.
fn read_text(path: &Path, maximum: u64) -> Result<Option<Vec<u8>>, ContextError> {
    let file = open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut content = Vec::new();
    file.take(maximum + 1).read_to_end(&mut content)?;
    if content.len() as u64 > maximum {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Err(ContextError::TextTooLarge(name, maximum));
    }
    Ok(Some(content))
}

/// The ignore file: the Dockerfile's own (`<Dockerfile>.dockerignore`) before the common one.
fn read_ignore(checkout: &Path, root: &Path, dockerfile: &Path) -> Result<Ignore, ContextError> {
    let mut own = dockerfile.as_os_str().to_owned();
    own.push(".dockerignore");
    for name in [own.as_os_str(), OsStr::new(".dockerignore")] {
        let Ok(path) = fs::canonicalize(root.join(name)) else { continue };
        if !is_inside(&path, checkout) {
            let path = name.to_string_lossy().into_owned();
            return Err(ContextError::Outside { what: "the ignore file", path });
        }
        if let Some(content) = read_text(&path, MAXIMUM_IGNORE)? {
            return Ok(Ignore::parse(&String::from_utf8_lossy(&content)));
        }
    }
    Ok(Ignore::default())
}

/// What the root directory holds instead of a Dockerfile, for the reason's text.
fn hint(root: &Path) -> String {
    let Ok(entries) = fs::read_dir(root) else { return String::new() };
    let mut found: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| {
            name.to_ascii_lowercase().contains("dockerfile") && !name.ends_with("ignore")
        })
        .take(5)
        .collect();
    found.sort();
    if found.is_empty() { String::new() } else { format!("; there is {}", found.join(", ")) }
}

#[cfg(test)]
mod tests;
