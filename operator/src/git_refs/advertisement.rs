//! What a server says of its references before a fetch: smart HTTP, version 0.
//!
//! <https://git-scm.com/docs/http-protocol#_smart_clients>,
//! <https://git-scm.com/docs/protocol-common#_pkt_line_format>. Read piece by piece: what is
//! not a branch, a tag or HEAD is dropped at once, and nothing grows without a bound.

use std::collections::BTreeMap;

use zeitwork_model::commit::is_commit_id;

/// The longest packet that git writes, its four digits included.
const PACKET_MAXIMUM: usize = 65_520;
/// References that are kept; more are refused.
const REFERENCES_MAXIMUM: usize = 200_000;

/// Why an answer is none of a git server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The length of a packet is no length.
    #[error("a packet has no valid length")]
    Length,
    /// A packet is no line of the advertisement.
    #[error("a packet is no reference")]
    Line,
    /// The server speaks of another service, or another protocol.
    #[error("the answer is not that of git-upload-pack")]
    Service,
    /// More references than we take.
    #[error("there are too many references")]
    TooMany,
    /// The answer ended before the list did.
    #[error("the answer is cut off")]
    Cut,
}

/// The references of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Full names of branches and tags, with the commit (of an annotated tag: its commit).
    named: BTreeMap<String, String>,
    /// Where HEAD is.
    head: Option<String>,
    /// Full name of the branch that HEAD stands for.
    head_branch: Option<String>,
}

impl References {
    /// The commit of a branch.
    #[must_use]
    pub fn branch(&self, name: &str) -> Option<&str> {
        self.full(&format!("refs/heads/{name}"))
    }

    /// The default branch, without `refs/heads/`; none where HEAD is on none.
    #[must_use]
    pub fn default_branch(&self) -> Option<&str> {
        self.head_branch.as_deref()?.strip_prefix("refs/heads/")
    }

    /// Every branch with its commit.
    pub fn branches(&self) -> impl Iterator<Item = (&str, &str)> {
        self.named
            .iter()
            .filter_map(|(name, commit)| Some((name.strip_prefix("refs/heads/")?, commit.as_str())))
    }

    /// The commit of what a person typed: `HEAD`, a full name, a branch, or a tag; nothing typed
    /// is HEAD.
    #[must_use]
    pub fn resolve(&self, reference: Option<&str>) -> Option<&str> {
        match reference {
            None | Some("HEAD") => self.head.as_deref(),
            Some(name) if name.starts_with("refs/") => self.full(name),
            Some(name) => self.branch(name).or_else(|| self.full(&format!("refs/tags/{name}"))),
        }
    }

    fn full(&self, name: &str) -> Option<&str> {
        self.named.get(name).map(String::as_str)
    }
}

/// Reads an advertisement as it comes.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pending: Vec<u8>,
    stage: Stage,
    references: References,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// `# service=git-upload-pack`.
    #[default]
    Service,
    /// The flush packet behind it.
    Flush,
    /// The first reference, with the capabilities.
    First,
    /// The other references.
    More,
    /// The last flush packet was read.
    Done,
}

impl Reader {
    /// Takes the next piece.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        self.pending.extend_from_slice(piece);
        let mut pending = std::mem::take(&mut self.pending);
        let mut at = 0;
        while self.stage != Stage::Done {
            let Some((packet, length)) = next_packet(&pending[at..])? else { break };
            self.take(packet)?;
            at += length;
        }
        pending.drain(..at);
        self.pending = pending;
        Ok(())
    }

    /// All references, once the last piece was taken.
    pub(super) fn finish(self) -> Result<References, Malformed> {
        if self.stage == Stage::Done { Ok(self.references) } else { Err(Malformed::Cut) }
    }

    fn take(&mut self, packet: Option<&[u8]>) -> Result<(), Malformed> {
        self.stage = match (self.stage, packet) {
            (Stage::Service, Some(line)) if trimmed(line) == b"# service=git-upload-pack" => {
                Stage::Flush
            }
            (Stage::Service, _) => return Err(Malformed::Service),
            (Stage::Flush, None) => Stage::First,
            (Stage::First | Stage::More, None) => Stage::Done,
            (Stage::First, Some(line)) => self.first(line)?,
            (Stage::More, Some(line)) => self.reference(line)?,
            (Stage::Flush | Stage::Done, _) => return Err(Malformed::Line),
        };
        Ok(())
    }

    /// `<object> <name>\0<capabilities>`; of an empty repository the name is `capabilities^{}`.
    fn first(&mut self, line: &[u8]) -> Result<Stage, Malformed> {
        let at = line.iter().position(|&byte| byte == 0).ok_or(Malformed::Service)?;
        let capabilities = String::from_utf8_lossy(&line[at + 1..]);
        self.references.head_branch = capabilities
            .split_ascii_whitespace()
            .find_map(|capability| capability.strip_prefix("symref=HEAD:"))
            .map(str::to_owned);
        if line[..at].ends_with(b" capabilities^{}") {
            return Ok(Stage::More);
        }
        self.reference(&line[..at])
    }

    fn reference(&mut self, line: &[u8]) -> Result<Stage, Malformed> {
        let line = trimmed(line);
        let space = line.iter().position(|&byte| byte == b' ').ok_or(Malformed::Line)?;
        let object = object_name(&line[..space]).ok_or(Malformed::Line)?;
        // A name that is no UTF-8 cannot be asked for.
        let Ok(name) = std::str::from_utf8(&line[space + 1..]) else { return Ok(Stage::More) };
        if name == "HEAD" {
            self.references.head = Some(object);
        } else if name.starts_with("refs/heads/") || name.starts_with("refs/tags/") {
            // Behind an annotated tag comes the commit that it is for.
            let name = name.strip_suffix("^{}").unwrap_or(name).to_owned();
            self.references.named.insert(name, object);
        }
        if self.references.named.len() > REFERENCES_MAXIMUM {
            return Err(Malformed::TooMany);
        }
        Ok(Stage::More)
    }
}

/// The next packet (none: a flush) and how many bytes it takes; none: more bytes are needed.
#[allow(clippy::type_complexity, reason = "the two nones are named in the line above")]
fn next_packet(bytes: &[u8]) -> Result<Option<(Option<&[u8]>, usize)>, Malformed> {
    let Some(digits) = bytes.get(..4) else { return Ok(None) };
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Malformed::Length);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| Malformed::Length)?;
    let length = usize::from_str_radix(digits, 16).map_err(|_| Malformed::Length)?;
    match length {
        0 => Ok(Some((None, 4))),
        // 1 to 3 belong to version 2, which we do not ask for.
        4..=PACKET_MAXIMUM => Ok(bytes.get(4..length).map(|packet| (Some(packet), length))),
        _ => Err(Malformed::Length),
    }
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// A whole object name; all have the form of a commit id.
fn object_name(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    is_commit_id(text).then(|| text.to_owned())
}
