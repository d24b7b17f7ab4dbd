//! Builds: from a commit to an image on this node's engine.
//!
//! Checkout (git, unprivileged, one commit), context (a tar of our own), engine (BuildKit by one
//! request), each within the build's deadline and limits. Whatever the end, nothing is left but
//! the image and the engine's cache. When to build and what becomes of the image is not decided
//! here.

pub mod address;
pub mod bases;
pub mod checkout;
pub mod context;
pub mod dockerfile;
pub mod engine;
pub mod git;
mod ignore;
mod image;
pub mod limits;
mod log;
pub mod progress;
mod reason;
mod references;
mod work_directory;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use zeitwork_model::environment::Limits;
use zeitwork_model::reason::Reason;
use zeitwork_outbound::Guard;
use zeitwork_protocol::report::BuildOutcome;
use zeitwork_protocol::sealed::Sealed;
use zeitwork_protocol::target::BuildTarget;
use zeitwork_runtime::failpoint::{effect, effect_at_once};
use zeitwork_runtime::step;
use zeitwork_secrets::PrivateKey;
use zeroize::Zeroizing;

use self::bases::{Bases, Pulled};
use self::checkout::{MAXIMUM_FILES, Place, Wanted, check_out};
use self::context::{Context, ContextLimits};
use self::engine::Engine;
use self::git::GitUser;
use self::limits::Limiter;
use self::log::BuildLog;
use self::reason::{Circumstances, failed, lost};
use self::work_directory::WorkDirectory;
use crate::logs::{LogSink, Stream};
use crate::space::{DISK_LOW, lack};

/// How long a cancelled build's end at the engine is waited for.
const CANCEL: Duration = Duration::from_secs(1);
/// How long a Dockerfile's frontend may take to come; a node without network says no at once.
const FRONTEND_PULL: Duration = Duration::from_secs(5);
/// BuildKit's name of its last step; those of a Dockerfile begin with `[`.
const EXPORTING: &str = "exporting to image";
/// Build arguments that steer BuildKit itself are not for projects to set.
const RESERVED: &str = "BUILDKIT_";

/// What a build is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildStep {
    /// Git fetches the commit.
    Checkout,
    /// Base images are looked at, and pulled where they are not there.
    Base,
    /// The Dockerfile's instructions are carried out.
    Build,
    /// The image is written.
    Export,
}

impl BuildStep {
    /// Its word in reports and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Base => "base",
            Self::Build => "build",
            Self::Export => "export",
        }
    }
}

/// Told of each step when it begins.
pub type TellStep<'a> = &'a (dyn Fn(BuildStep) + Send + Sync);

/// What builds need of the node.
#[derive(Debug, Clone)]
pub struct BuildParts {
    /// The engine's socket.
    pub engine_socket: PathBuf,
    /// Where checkouts are made; `git_user` must be able to pass through its parents.
    pub work_directory: PathBuf,
    /// The git program.
    pub git: PathBuf,
    /// Who git runs as; none: as the agent itself, which then must not be root.
    pub git_user: Option<GitUser>,
    /// Where repositories may be.
    pub guard: Guard,
    /// Where registries of base images may be.
    pub registries: Guard,
    /// Base images that were pulled for builds.
    pub pulled: Arc<Pulled>,
    /// Bytes that must be free before a build begins.
    pub disk_floor: u64,
    /// Our installation, for labels and names.
    pub installation: String,
    /// Opens what was sealed to this node. Values of a build are sealed with the text of its id
    /// as context.
    pub key: Arc<PrivateKey>,
    /// The host's control groups: `/sys/fs/cgroup`.
    pub cgroup_root: PathBuf,
}

/// Ends and removes what builds of an earlier life of the agent left on this host; their builds
/// on the engine died with their connections. To be called once, before the first build.
///
/// # Errors
/// Of the file system.
pub fn clear(parts: &BuildParts) -> std::io::Result<()> {
    work_directory::clear(&parts.work_directory)
}

/// The node's problem where builds would run without their limits; none while the engine is away,
/// which is another one.
pub async fn problem(parts: &BuildParts) -> Option<Reason> {
    let info = Engine::new(&parts.engine_socket).info().await.ok()?;
    let limiter = Limiter::new(&parts.cgroup_root, &info, &parts.installation, Limits::default());
    limiter.check().err().map(|error| reason::limits_missing(&error))
}

/// What was sealed in a target, opened.
struct Opened {
    variables: BTreeMap<String, String>,
    authorization: Option<Zeroizing<String>>,
}

/// Builds one target to its end. When `cancel` fires, or the future is dropped, everything that
/// runs for the build is killed.
pub async fn build(
    target: &BuildTarget,
    parts: &BuildParts,
    log: &LogSink,
    step: TellStep<'_>,
    cancel: CancellationToken,
) -> BuildOutcome {
    let opened = match open(target, parts) {
        Ok(opened) => opened,
        Err(text) => return lost("secrets_unreadable", text),
    };
    let authorization = opened.authorization.iter().map(|value| value.as_str());
    // The header's value without its scheme is what a program would repeat.
    let tokens = authorization.clone().filter_map(|value| value.split_once(' ')).map(|(_, t)| t);
    let secrets = opened.variables.values().map(String::as_str);
    let log = BuildLog::new(log, secrets.chain(authorization).chain(tokens));
    let name = format!("{}-{}", target.id, target.attempt);
    let make = || WorkDirectory::create(&parts.work_directory, &name, parts.git_user);
    let directory = match effect_at_once(step!("builds.directory"), make) {
        Ok(directory) => directory,
        Err(error) => {
            return lost("checkout_failed", format!("no directory for the checkout: {error}"));
        }
    };
    let engine = Engine::new(&parts.engine_socket);
    let steps = Steps { target, parts, opened: &opened, log: &log, step, engine: &engine };
    let seconds = target.timeout_seconds;
    let (outcome, finished) = tokio::select! {
        biased;
        () = cancel.cancelled() => (lost("cancelled", "the build was cancelled"), false),
        outcome = steps.run(&directory) => (outcome, true),
        () = tokio::time::sleep(Duration::from_secs(seconds.into())) => {
            (failed("build_timeout", format!("the build took longer than {seconds} s")), false)
        }
    };
    if !finished {
        // The connection is closed already, which ends the build; this is for engines that
        // notice late.
        let _ = tokio::time::timeout(CANCEL, engine.cancel_build(&steps.build_id())).await;
    }
    effect(step!("builds.leave"), directory.remove()).await;
    // What is not removed now is removed later.
    let _ = tokio::time::timeout(CANCEL, parts.pulled.sweep(&engine)).await;
    say_outcome(&log, redacted(&log, outcome))
}

fn say_outcome(log: &BuildLog<'_>, outcome: BuildOutcome) -> BuildOutcome {
    match &outcome {
        BuildOutcome::Failed { reason } | BuildOutcome::Lost { reason } => {
            log.say(Stream::System, &reason.text);
        }
        BuildOutcome::Succeeded { image, .. } => {
            log.say(Stream::System, &format!("image {image}"));
        }
        BuildOutcome::Running { .. } => {}
    }
    outcome
}

fn redacted(log: &BuildLog<'_>, outcome: BuildOutcome) -> BuildOutcome {
    let clean = |reason: Reason| Reason { text: log.redact(&reason.text), ..reason };
    match outcome {
        BuildOutcome::Failed { reason } => BuildOutcome::Failed { reason: clean(reason) },
        BuildOutcome::Lost { reason } => BuildOutcome::Lost { reason: clean(reason) },
        other => other,
    }
}

fn open(target: &BuildTarget, parts: &BuildParts) -> Result<Opened, String> {
    let context = target.id.to_string();
    let open = |sealed: &Sealed| {
        parts.key.open(sealed, &context).map_err(|error| format!("sealed values: {error}"))
    };
    let variables = serde_json::from_slice(&open(&target.variables)?)
        .map_err(|_| "the sealed variables are no JSON object of strings".to_owned())?;
    let authorization = match &target.authorization {
        None => None,
        Some(sealed) => {
            let text = open(sealed)?;
            let text = std::str::from_utf8(&text)
                .map_err(|_| "the sealed authorization is no text".to_owned())?;
            if text.chars().any(char::is_control) {
                return Err("the sealed authorization holds control characters".to_owned());
            }
            Some(Zeroizing::new(text.to_owned()))
        }
    };
    Ok(Opened { variables, authorization })
}

/// One build's steps, in order.
struct Steps<'a> {
    target: &'a BuildTarget,
    parts: &'a BuildParts,
    opened: &'a Opened,
    log: &'a BuildLog<'a>,
    step: TellStep<'a>,
    engine: &'a Engine,
}

impl Steps<'_> {
    /// What the engine knows the build by; also marks its processes.
    fn build_id(&self) -> String {
        format!("zw-build-{}-{}", self.target.id, self.target.attempt)
    }

    async fn run(&self, directory: &WorkDirectory) -> BuildOutcome {
        let target = self.target;
        if let Some(text) = lack(&[&self.parts.work_directory], self.parts.disk_floor) {
            return lost(DISK_LOW, text);
        }
        (self.step)(BuildStep::Checkout);
        self.log.say(Stream::System, &format!("checking out {}", target.commit));
        let wanted = Wanted {
            url: &target.repository_url,
            commit: &target.commit,
            authorization: self.opened.authorization.as_ref().map(|value| value.as_str()),
            maximum_bytes: target.maximum_checkout_bytes,
        };
        let place = Place {
            git: &self.parts.git,
            user: self.parts.git_user,
            directory: directory.path(),
            guard: &self.parts.guard,
        };
        let checkout = Box::pin(check_out(&wanted, &place));
        let checkout = effect(step!("builds.checkout"), checkout).await;
        let checkout = match checkout {
            Ok(checkout) => checkout,
            Err(error) => return reason::of_checkout(&error),
        };
        match Context::locate(&checkout.source, &target.root_directory, &target.dockerfile) {
            Ok(context) => self.make(context, checkout.time).await,
            Err(error) => reason::of_context(&error),
        }
    }

    async fn make(&self, context: Context, time: u64) -> BuildOutcome {
        let info = match self.engine.info().await {
            Ok(info) => info,
            Err(error) => return lost("engine_away", error.to_string()),
        };
        if let Some(text) = lack(&[Path::new(&info.docker_root_dir)], self.parts.disk_floor) {
            return lost(DISK_LOW, text);
        }
        (self.step)(BuildStep::Base);
        let say = |line: &str| self.log.say(Stream::System, line);
        let bases = Bases {
            engine: self.engine,
            guard: &self.parts.registries,
            pulled: &self.parts.pulled,
        };
        // Held until the build has ended.
        let _held = match bases.ensure(context.content(), &self.arguments(), say).await {
            Ok(held) => held,
            Err(error) => return reason::of_base(&error),
        };
        let prepared = match self.prepare(&context).await {
            Ok(prepared) => prepared,
            Err(error) => return lost("engine_away", error.to_string()),
        };
        let limits = self.target.limits;
        let limiter = Limiter::new(&self.parts.cgroup_root, &info, &self.build_id(), limits);
        if let Err(error) = limiter.check() {
            return reason::of_limits(&error);
        }
        let newer = prepared.stripped || prepared.content.windows(2).any(|pair| pair == b"<<");
        let wanted = self.wanted(context, prepared.content, time);
        (self.step)(BuildStep::Build);
        let mut say = |stream: Stream, text: &str| {
            if stream == Stream::System && text == EXPORTING {
                (self.step)(BuildStep::Export);
            }
            self.log.say(stream, text);
        };
        let making = image::make(self.engine, wanted, &mut say);
        let made = tokio::select! {
            made = effect(step!("builds.image"), making) => made,
            breach = limiter.keep() => {
                // Its connection is closed by now; see `build`.
                let _ = tokio::time::timeout(CANCEL, self.engine.cancel_build(&self.build_id())).await;
                return reason::of_breach(breach, limits);
            }
        };
        let out_of_memory = limiter.is_out_of_memory();
        match made {
            Ok(id) => self.inspect(&id).await,
            Err(error) => reason::of_image(&error, Circumstances { limits, out_of_memory, newer }),
        }
    }

    async fn prepare(
        &self,
        context: &Context,
    ) -> Result<dockerfile::Prepared, engine::EngineError> {
        let present = match dockerfile::frontend(context.content()) {
            Some(image) if dockerfile::is_allowed_frontend(&image) => {
                self.engine.has_or_pulls(&image, FRONTEND_PULL).await?
            }
            _ => false,
        };
        let prepared = dockerfile::prepare(context.content(), |_| present);
        if let (true, Some(image)) = (prepared.stripped, &prepared.frontend) {
            let line = format!(
                "the Dockerfile frontend {image} is not on this node; using the engine's own"
            );
            self.log.say(Stream::System, &line);
        }
        Ok(prepared)
    }

    fn wanted(&self, context: Context, dockerfile: Vec<u8>, time: u64) -> image::Wanted {
        let target = self.target;
        let label = |name: &str, value: String| (format!("dev.zeitwork.{name}"), value);
        let labels = BTreeMap::from([
            label("installation", self.parts.installation.clone()),
            label("project", target.project.to_string()),
            label("build", target.id.to_string()),
        ]);
        image::Wanted {
            build_id: self.build_id(),
            tag: self.tag(),
            labels,
            arguments: self.arguments(),
            context,
            dockerfile,
            time,
            limits: ContextLimits {
                bytes: target.maximum_checkout_bytes,
                // Directories count too.
                files: MAXIMUM_FILES * 2,
            },
        }
    }

    /// A name keeps the image from the operator's `docker system prune`. It is drawn at random,
    /// and said nowhere: whoever knows a name on the engine can build on that image, and so
    /// read it, whatever project it is of.
    fn tag(&self) -> String {
        let secret: u128 = rand::random();
        format!("zeitwork/{}/{}:{secret:032x}", self.parts.installation, self.target.project)
    }

    fn arguments(&self) -> BTreeMap<String, String> {
        let mut arguments: BTreeMap<String, String> = self
            .opened
            .variables
            .iter()
            .filter(|(name, _)| !name.starts_with(RESERVED))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if arguments.len() < self.opened.variables.len() {
            self.log.say(Stream::System, "variables named BUILDKIT_… are not handed to builds");
        }
        arguments.insert("ZEITWORK_COMMIT".to_owned(), self.target.commit.clone());
        // Cache mounts are keyed by path alone; the name space keeps projects apart.
        let project = self.target.project.to_string();
        arguments.insert("BUILDKIT_CACHE_MOUNT_NS".to_owned(), project);
        // Proxy arguments reach every process and are no part of the cache key.
        let marker = self.build_id();
        let proxies = arguments.entry("NO_PROXY".to_owned()).or_default();
        *proxies = if proxies.is_empty() { marker } else { format!("{proxies},{marker}") };
        arguments
    }

    async fn inspect(&self, id: &str) -> BuildOutcome {
        match self.engine.image(id).await {
            Ok(Some(image)) => BuildOutcome::Succeeded {
                image: image.id,
                size_bytes: image.size,
                platform: image.platform,
                exposed_ports: image.exposed_ports,
            },
            Ok(None) => lost("image_gone", "the image was removed right after it was built"),
            Err(error) => lost("engine_away", error.to_string()),
        }
    }
}
