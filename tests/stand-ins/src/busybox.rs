//! The base image of the sample and of every test app: `busybox:latest`, made without a
//! registry from Debian's busybox-static where that is installed.
//!
//! An image of that name that is already there is left as it is.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::UnixStream;
use tokio::process::Command;

use crate::http::{self, HttpError};

/// Where Debian puts the static program.
const PROGRAMS: [&str; 2] = ["/bin/busybox", "/usr/bin/busybox"];
/// A registry that takes longer is as good as none: the sample is to start at once.
const PULL_LIMIT: Duration = Duration::from_secs(5);

/// How the image came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It was there.
    Present,
    /// Made from this host's busybox-static.
    Imported,
    /// From a registry.
    Pulled,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine's socket does not answer.
    #[error("the Docker Engine does not answer at {socket}")]
    Engine {
        /// Where it was looked for.
        socket: PathBuf,
        /// What happened.
        source: HttpError,
    },
    /// The engine said no.
    #[error("the Docker Engine answered {status}: {said}")]
    Refused {
        /// Its code.
        status: StatusCode,
        /// Its words.
        said: String,
    },
    /// The program does not run or cannot be packed.
    #[error("busybox cannot be packed")]
    Pack(#[from] io::Error),
    /// Neither a registry nor the program.
    #[error(
        "no registry answered and busybox-static is not installed (apt install busybox-static)"
    )]
    Nowhere,
}

/// Makes sure that `busybox:latest` is on the engine.
///
/// # Errors
/// When the engine does not answer, or there is nothing to make the image from.
pub async fn ensure(socket: &Path) -> Result<Source, Error> {
    let found = call(socket, Method::GET, "/images/busybox:latest/json", Bytes::new()).await?;
    match found.status() {
        StatusCode::OK => return Ok(Source::Present),
        StatusCode::NOT_FOUND => {}
        _ => return Err(refused(&found)),
    }
    let static_program = PROGRAMS.iter().map(Path::new).find(|path| is_static(path));
    let Some(program) = static_program else {
        let path = "/images/create?fromImage=busybox&tag=latest";
        let pull = call(socket, Method::POST, path, Bytes::new());
        // A pull answers 200 and tells of a failure in its stream: what counts is the image.
        let _told = tokio::time::timeout(PULL_LIMIT, pull).await;
        let found = call(socket, Method::GET, "/images/busybox:latest/json", Bytes::new()).await?;
        return if found.status().is_success() { Ok(Source::Pulled) } else { Err(Error::Nowhere) };
    };
    let archive = pack(&std::fs::read(program)?, &applets(program).await?)?;
    import(socket, &archive).await?;
    Ok(Source::Imported)
}

async fn import(socket: &Path, archive: &[u8]) -> Result<(), Error> {
    let body = Bytes::copy_from_slice(archive);
    let imported = call(socket, Method::POST, &import_path(), body).await?;
    if imported.status().is_success() { Ok(()) } else { Err(refused(&imported)) }
}

/// The import call with the configuration that the official image has.
fn import_path() -> String {
    let pairs = [
        ("fromSrc", "-"),
        ("repo", "busybox"),
        ("tag", "latest"),
        ("message", "made from busybox-static"),
        ("changes", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("changes", "CMD [\"sh\"]"),
    ];
    format!("/images/create?{}", serde_urlencoded::to_string(pairs).unwrap_or_default())
}

fn refused(answer: &Response<Bytes>) -> Error {
    let said = String::from_utf8_lossy(answer.body()).trim().to_owned();
    Error::Refused { status: answer.status(), said }
}

async fn call(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<Response<Bytes>, Error> {
    let failed = |source| Error::Engine { socket: socket.to_owned(), source };
    let stream = UnixStream::connect(socket).await.map_err(|e| failed(e.into()))?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Host", "docker")
        .header("Content-Type", "application/x-tar")
        .body(Full::new(body))
        .map_err(|e| Error::Pack(io::Error::other(e)))?;
    http::send(stream, request).await.map_err(failed)
}

/// Whether the program needs no loader: an image of it alone would not start otherwise.
fn is_static(path: &Path) -> bool {
    // The loader's path stands near the beginning of every dynamic ELF program.
    let Ok(bytes) = std::fs::read(path) else { return false };
    let head = &bytes[..bytes.len().min(4096)];
    bytes.starts_with(b"\x7fELF") && !head.windows(8).any(|window| window == b"/ld-linu")
}

async fn applets(program: &Path) -> Result<Vec<String>, io::Error> {
    let output = Command::new(program).arg("--list").stdin(Stdio::null()).output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// A root file system: the program, a link for each applet, and what programs expect to find.
fn pack(program: &[u8], applets: &[String]) -> Result<Vec<u8>, io::Error> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, mode) in [
        ("bin", 0o755),
        ("dev", 0o755),
        ("etc", 0o755),
        ("home", 0o755),
        ("proc", 0o755),
        ("root", 0o700),
        ("sys", 0o755),
        ("tmp", 0o1777),
        ("usr/bin", 0o755),
        ("var/tmp", 0o1777),
    ] {
        let mut header = header(tar::EntryType::Directory, mode, 0);
        archive.append_data(&mut header, format!("{path}/"), io::empty())?;
    }
    file(&mut archive, "bin/busybox", 0o755, program)?;
    let users = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n";
    file(&mut archive, "etc/passwd", 0o644, users.as_bytes())?;
    file(&mut archive, "etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n")?;
    for applet in applets.iter().filter(|name| *name != "busybox" && !name.contains('/')) {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        archive.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    archive.into_inner()
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header
}

fn file(
    archive: &mut tar::Builder<Vec<u8>>,
    path: &str,
    mode: u32,
    content: &[u8],
) -> Result<(), io::Error> {
    let mut header = header(tar::EntryType::Regular, mode, content.len() as u64);
    archive.append_data(&mut header, path, content)
}

#[cfg(test)]
mod tests;
