//! Says why a build came to nothing, so that its owner knows what to do; and tells what another
//! attempt may mend ([`BuildOutcome::Lost`]) from what it cannot ([`BuildOutcome::Failed`]).

use zeitwork_model::environment::Limits;
use zeitwork_model::reason::Reason;
use zeitwork_outbound::{GuardError, OutboundError};
use zeitwork_protocol::report::BuildOutcome;

use super::address::AddressError;
use super::bases::BaseError;
use super::checkout::CheckoutError;
use super::context::ContextError;
use super::engine::EngineError;
use super::git::GitError;
use super::image::ImageError;
use super::limits::Breach;
use super::progress::FailedStep;
use super::references::Refused;

/// Characters of a program's own words in a reason at most.
const MAXIMUM_WORDS: usize = 600;

/// The commit itself does not build.
pub fn failed(code: &str, text: impl Into<String>) -> BuildOutcome {
    BuildOutcome::Failed { reason: Reason::new(code, text) }
}

/// This node could not; another attempt may.
pub fn lost(code: &str, text: impl Into<String>) -> BuildOutcome {
    BuildOutcome::Lost { reason: Reason::new(code, text) }
}

/// Why there is no checkout.
pub fn of_checkout(error: &CheckoutError) -> BuildOutcome {
    let text = error.to_string();
    match error {
        CheckoutError::Commit(_) => failed("commit_invalid", text),
        CheckoutError::CommitMissing(_) => failed("commit_not_found", text),
        CheckoutError::TooLarge(_) => failed("checkout_too_large", text),
        CheckoutError::TooManyFiles(_) => failed("checkout_too_many_files", text),
        CheckoutError::Address(error) => of_address(error),
        CheckoutError::Git(error) => of_git(error),
        CheckoutError::Io(_) => {
            lost("checkout_failed", format!("the checkout could not be made: {text}"))
        }
    }
}

fn of_address(error: &AddressError) -> BuildOutcome {
    let text = error.to_string();
    match error {
        AddressError::Refused(_) => failed("repository_url_refused", text),
        AddressError::Guarded(GuardError::Unresolvable(_)) => lost("repository_unreachable", text),
        AddressError::Guarded(GuardError::Private { .. }) => {
            failed("repository_address_refused", text)
        }
        AddressError::Guarded(_) => failed("repository_url_refused", text),
        AddressError::Asked(OutboundError::Refused(_)) => {
            failed("repository_address_refused", text)
        }
        AddressError::Asked(_) => lost("repository_unreachable", text),
        AddressError::Moved(_) => failed("repository_moved", text),
    }
}

fn of_git(error: &GitError) -> BuildOutcome {
    let GitError::Said { said, .. } = error else {
        return lost("checkout_failed", format!("git could not do its work: {error}"));
    };
    let words = words(said);
    let says = |known: &[&str]| known.iter().any(|known| said.contains(known));
    if says(&[
        "returned error: 401",
        "returned error: 403",
        "could not read Username",
        "Authentication failed",
    ]) {
        failed(
            "repository_forbidden",
            "the repository may not be read; check the project's access to it",
        )
    } else if says(&["returned error: 404", "not found"]) {
        failed(
            "repository_not_found",
            "the repository does not exist, or the project has no access to it",
        )
    } else if says(&["returned error: 30", "unable to update url base"]) {
        failed(
            "repository_moved",
            format!("the repository has moved; set its new address ({words})"),
        )
    } else if says(&["No space left on device"]) {
        lost("disk_full", "the node's disk is full")
    } else {
        lost("repository_unreachable", format!("the repository could not be fetched: {words}"))
    }
}

/// Why there is no context.
pub fn of_context(error: &ContextError) -> BuildOutcome {
    let text = error.to_string();
    match error {
        ContextError::Path { .. } => failed("path_invalid", text),
        ContextError::Outside { .. } => failed("path_outside", text),
        ContextError::RootMissing(_) => failed("root_directory_missing", text),
        ContextError::DockerfileMissing { .. } => failed("dockerfile_missing", text),
        ContextError::TextTooLarge(..) | ContextError::TooLarge(_) => {
            failed("context_too_large", text)
        }
        ContextError::TooManyFiles(_) => failed("context_too_many_files", text),
        ContextError::Special(_) => failed("file_refused", text),
        ContextError::Io(_) => {
            lost("context_failed", format!("the build context could not be made: {text}"))
        }
    }
}

/// Why a build does not stand on its base images.
pub fn of_base(error: &BaseError) -> BuildOutcome {
    match error {
        BaseError::Line(refused) => of_line(refused, ""),
        BaseError::Trigger { image, refused } => {
            of_line(refused, &format!("the base image {image} says ONBUILD: "))
        }
        BaseError::Registry { image, reason: GuardError::Unresolvable(_) } => {
            lost("registry_unreachable", format!("the registry of {image} has no address"))
        }
        BaseError::Registry { image, reason } => {
            failed("registry_refused", format!("the image {image} is not fetched: {reason}"))
        }
        BaseError::Absent { image, error: EngineError::Refused { message, .. } } => {
            let name = format!("load metadata for {image}");
            let step = FailedStep { name, error: message.clone() };
            let circumstances =
                Circumstances { limits: Limits::default(), out_of_memory: false, newer: false };
            of_message(Some(&step), message, circumstances)
        }
        BaseError::Absent { image, error } => {
            lost("registry_unreachable", format!("{image} could not be pulled: {error}"))
        }
        BaseError::Engine(error) => lost("engine_away", error.to_string()),
    }
}

/// A line that has the engine fetch what it must not, or what nobody can tell before.
fn of_line(refused: &Refused, whose: &str) -> BuildOutcome {
    let (code, text, line) = match refused {
        Refused::RemoteAdd(line) => (
            "remote_add_refused",
            "ADD of an address is not allowed, use RUN with wget or curl",
            line.as_str(),
        ),
        Refused::Unclear(line) => (
            "base_image_unclear",
            "which image this is cannot be told before the build; name it, or give its variable a \
             default before the first FROM",
            line.as_str(),
        ),
        Refused::Platform(line) => (
            "platform_refused",
            "builds are for this node's platform only; leave --platform out",
            line.as_str(),
        ),
        Refused::Document(line) => (
            "dockerfile_invalid",
            "the name of a here-document must be plain letters",
            line.as_str(),
        ),
        Refused::NoDockerfile => ("dockerfile_invalid", "this is no Dockerfile", ""),
    };
    let line = if line.is_empty() { String::new() } else { format!(": {}", words(line)) };
    failed(code, format!("{whose}{text}{line}"))
}

/// Steps that ran beside each other used more memory than the build may.
fn of_memory(limits: Limits) -> BuildOutcome {
    let memory = limits.memory_mb;
    failed(
        "out_of_memory",
        format!("steps that ran at once used more than the build's memory limit of {memory} MB"),
    )
}

/// Why a build was ended by its limits.
pub fn of_breach(breach: Breach, limits: Limits) -> BuildOutcome {
    match breach {
        Breach::Memory => of_memory(limits),
        Breach::Unwritten => {
            of_limits(&std::io::Error::other("a step ran whose control group is not writable"))
        }
    }
}

/// Why a build does not run on a node that could not hold it to its limits.
pub fn of_limits(error: &std::io::Error) -> BuildOutcome {
    BuildOutcome::Lost { reason: limits_missing(error) }
}

/// The same as a problem of the node.
pub fn limits_missing(error: &std::io::Error) -> Reason {
    let text = format!(
        "this node cannot limit CPU and memory of builds, so it does none ({error}); \
         make the host's control groups writable to the agent, below /sys/fs/cgroup"
    );
    Reason::new("limits_missing", text)
}

/// What is known of the circumstances of an image's failure.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// The build's limits.
    pub limits: Limits,
    /// The kernel killed a step for lack of memory.
    pub out_of_memory: bool,
    /// The Dockerfile names a frontend that this node does not have, or holds what looks like a
    /// here-document.
    pub newer: bool,
}

/// Why there is no image.
pub fn of_image(error: &ImageError, circumstances: Circumstances) -> BuildOutcome {
    match error {
        ImageError::Context(error) => of_context(error),
        ImageError::Engine(EngineError::Refused { message, .. }) => {
            of_message(None, message, circumstances)
        }
        ImageError::Engine(error) => lost("engine_away", error.to_string()),
        ImageError::Step { step, message } => of_message(step.as_ref(), message, circumstances),
    }
}

/// Of a Dockerfile that cannot be read.
const INVALID: [&str; 4] = [
    "dockerfile parse error",
    "Dockerfile parse error",
    "failed to parse",
    "file with no instructions",
];
/// Of a registry that does not answer.
const UNREACHABLE: [&str; 8] = [
    "toomanyrequests",
    "no such host",
    "i/o timeout",
    "connection refused",
    "network is unreachable",
    "TLS handshake",
    "failed to do request",
    "server misbehaving",
];
/// Of a registry that answers with a no.
const NO_SUCH_IMAGE: [&str; 5] = [
    "pull access denied",
    "manifest unknown",
    "repository does not exist",
    "failed to resolve source metadata",
    "insufficient_scope",
];
/// Of a `COPY` or `ADD` without its source.
const NO_SUCH_FILE: [&str; 4] = [
    "failed to compute cache key",
    "failed to walk",
    "failed to calculate checksum",
    "no such file or directory",
];

fn of_message(
    step: Option<&FailedStep>,
    message: &str,
    circumstances: Circumstances,
) -> BuildOutcome {
    let says = |known: &[&str]| known.iter().any(|known| message.contains(known));
    if let Some(code) = exit_code(message) {
        return of_exit(step, code, circumstances);
    }
    if says(&["no space left on device"]) {
        return lost("disk_full", "the node's disk is full");
    }
    if let Some(outcome) = of_frontend(message, circumstances) {
        return outcome;
    }
    if says(&INVALID) {
        return failed(
            "dockerfile_invalid",
            format!("the Dockerfile cannot be followed: {}", words(message)),
        );
    }
    if says(&UNREACHABLE) {
        let image = step.map_or("a base image", |step| base_image(&step.name));
        let text =
            format!("the registry of {image} is not reachable from this node: {}", words(message));
        return lost("registry_unreachable", text);
    }
    if says(&NO_SUCH_IMAGE)
        || (says(&["not found"])
            && step.is_some_and(|step| step.name.contains("load metadata for")))
    {
        let image = step.map_or("a base image", |step| base_image(&step.name));
        let text = format!("{image} does not exist, or may not be pulled: {}", words(message));
        return failed("base_image_not_found", text);
    }
    if says(&NO_SUCH_FILE) {
        let step = step.map_or("a COPY or ADD", |step| step.name.as_str());
        let text = format!(
            "{step} names a file that is not in the build context (or is ignored by .dockerignore): {}",
            words(message)
        );
        return failed("file_not_found", text);
    }
    let step = step.map(|step| format!("{}: ", step.name)).unwrap_or_default();
    failed("build_failed", format!("{step}{}", words(message)))
}

/// A command of the Dockerfile ended with a code.
fn of_exit(step: Option<&FailedStep>, code: i64, circumstances: Circumstances) -> BuildOutcome {
    let step = step.map_or("a step", |step| step.name.as_str());
    let memory = circumstances.limits.memory_mb;
    if code == 137 || circumstances.out_of_memory {
        let text = format!(
            "{step} ended with exit code {code}: it was killed, most likely at the build's memory limit of {memory} MB"
        );
        return failed("out_of_memory", text);
    }
    let hint = match code {
        126 => " (the command cannot be executed)",
        127 => " (the command was not found)",
        _ => "",
    };
    failed("step_failed", format!("{step} ended with exit code {code}{hint}; the log says why"))
}

/// What the frontend built into old engines does not know.
fn of_frontend(message: &str, circumstances: Circumstances) -> Option<BuildOutcome> {
    let flag = message.to_ascii_lowercase().contains("unknown flag: ");
    let instruction = message.to_ascii_lowercase().contains("unknown instruction: ");
    if !(flag || (instruction && circumstances.newer)) {
        return None;
    }
    let text = format!(
        "needs a newer Dockerfile frontend (docker/dockerfile:1.4 or later), which this node cannot reach: {}",
        words(message)
    );
    Some(failed("dockerfile_frontend_needed", text))
}

/// `exit code: N` in the engine's words.
fn exit_code(message: &str) -> Option<i64> {
    let (_, rest) = message.rsplit_once("exit code: ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The image in `[internal] load metadata for docker.io/library/node:22`.
fn base_image(step: &str) -> &str {
    step.rsplit_once("load metadata for ").map_or("a base image", |(_, image)| image)
}

/// The end of what a program said, short enough for a reason: causes stand last.
fn words(said: &str) -> String {
    let said = said.trim();
    let start = said.len().saturating_sub(MAXIMUM_WORDS);
    let start = said.ceil_char_boundary(start);
    let cut = if start > 0 { "… " } else { "" };
    format!("{cut}{}", said[start..].replace(['\r', '\n'], " "))
}

#[cfg(test)]
mod tests;
