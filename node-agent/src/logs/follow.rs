//! Reads what instances say, from the engine, from where it was left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures::StreamExt as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::AbortHandle;
use zeitwork_model::id::InstanceId;
use zeitwork_model::instance::InstanceGoal;
use zeitwork_protocol::target::{InstanceTarget, NodeTarget};
use zeitwork_runtime::lifecycle::Lifecycle;
use zeitwork_secrets::PrivateKey;
use zeitwork_secrets::redact::Redactor;

use super::mark::Mark;
use super::ship::Resume;
use super::{LogSink, MAXIMUM_LINE, Stream};
use crate::container::engine::Engine;
use crate::container::{Container, ContainerState};
use crate::instances::variables;

/// An ended container is kept so long for its last lines at most.
const LAST_LINES: Duration = Duration::from_secs(3);

/// Opens the stream of an instance.
pub type OpenStream = Arc<dyn Fn(InstanceId) -> (LogSink, Resume) + Send + Sync>;

/// The stream of an instance, and until where it was read.
#[derive(Debug, Clone)]
struct Source {
    sink: LogSink,
    resume: Resume,
    read: Arc<Mutex<Option<Mark>>>,
}

#[derive(Debug)]
struct Reader {
    start: String,
    task: AbortHandle,
    ended: Option<Instant>,
}

/// One reader for each start of each instance.
pub struct Followers {
    engine: Arc<Engine>,
    key: Arc<PrivateKey>,
    open: OpenStream,
    life: Lifecycle,
    sources: BTreeMap<InstanceId, Source>,
    readers: BTreeMap<String, Reader>,
}

impl std::fmt::Debug for Followers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Followers({} readers)", self.readers.len())
    }
}

impl Followers {
    /// None yet.
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        key: Arc<PrivateKey>,
        open: OpenStream,
        life: Lifecycle,
    ) -> Self {
        let (sources, readers) = (BTreeMap::new(), BTreeMap::new());
        Self { engine, key, open, life, sources, readers }
    }

    /// Starts readers for starts that have none; ends the streams of instances that are gone.
    pub fn follow(&mut self, target: &NodeTarget, containers: &[Container]) {
        self.readers.retain(|id, _| containers.iter().any(|container| container.id == *id));
        for container in containers {
            // Also where no target lists it any more: nothing waits longer for its last lines.
            let reader = self.readers.get_mut(&container.id);
            if let Some(reader) = reader.filter(|_| !runs(container)) {
                reader.ended.get_or_insert_with(Instant::now);
            }
            let instance =
                target.instances.iter().find(|instance| Some(instance.id) == container.instance);
            let (Some(instance), false) = (instance, container.started_at.starts_with("0001"))
            else {
                continue;
            };
            self.read(instance, container);
        }
        self.sources.retain(|id, _| {
            let exists = containers.iter().any(|container| container.instance == Some(*id));
            let wanted = target
                .instances
                .iter()
                .any(|instance| instance.id == *id && instance.goal != InstanceGoal::Stop);
            exists || wanted
        });
    }

    fn read(&mut self, instance: &InstanceTarget, container: &Container) {
        let runs = runs(container);
        if let Some(reader) = self.readers.get(&container.id) {
            let broken = runs && reader.task.is_finished();
            if reader.start == container.started_at && !broken {
                return;
            }
            // The reader of the start before ends by itself, with its last line.
            if !reader.task.is_finished() {
                return;
            }
        }
        let open = || {
            let (sink, resume) = (self.open)(instance.id);
            Source { sink, resume, read: Arc::default() }
        };
        let source = self.sources.entry(instance.id).or_insert_with(open).clone();
        let secrets = variables::open(&self.key, instance).unwrap_or_default().secrets;
        let redactor = Redactor::new(secrets.iter().map(|secret| secret.as_str()));
        let reading = read_lines(Arc::clone(&self.engine), container.id.clone(), source, redactor);
        let life = self.life.clone();
        let task = self.life.spawn_detached("log reader", async move {
            tokio::select! {
                () = life.stopping() => {}
                () = reading => {}
            }
        });
        let ended = (!runs).then(Instant::now);
        let start = container.started_at.clone();
        self.readers.insert(container.id.clone(), Reader { start, task, ended });
    }

    /// Says a line of the platform in an instance's log.
    pub fn say(&self, id: InstanceId, text: &str) {
        if let Some(source) = self.sources.get(&id) {
            source.sink.line(Stream::System, text);
        }
    }

    /// Ended containers whose last lines are still being read.
    #[must_use]
    pub fn unread(&self) -> BTreeSet<String> {
        let reads = |reader: &Reader| {
            !reader.task.is_finished()
                && reader.ended.is_none_or(|time| time.elapsed() < LAST_LINES)
        };
        self.readers.iter().filter(|(_, r)| reads(r)).map(|(id, _)| id.clone()).collect()
    }
}

fn runs(container: &Container) -> bool {
    matches!(container.state, ContainerState::Running | ContainerState::Paused)
}

impl Source {
    /// Where reading goes on: in this life of the agent, or else where the store says.
    async fn begin(&mut self) -> Option<Mark> {
        if let Some(read) = *self.lock() {
            return Some(read);
        }
        let stored = self.resume.wait_for(Option::is_some).await.ok()?;
        *stored
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Mark>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, stream: Stream, redactor: &Redactor, (at, line): (OffsetDateTime, String)) {
        self.lock().get_or_insert_default().advance(stream, at);
        self.sink.line_at(stream, &redactor.redact(&line), at);
    }
}

async fn read_lines(
    engine: Arc<Engine>,
    container: String,
    mut source: Source,
    redactor: Redactor,
) {
    let Ok(docker) = engine.docker() else { return };
    let Some(begin) = source.begin().await else { return };
    source.lock().get_or_insert(begin);
    // The engine counts whole seconds here; what is older is skipped below.
    let options = LogsOptionsBuilder::new()
        .follow(true)
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .since(begin.since())
        .build();
    let mut outputs = docker.logs(&container, Some(options));
    let mut partial = [Partial::default(), Partial::default()];
    while let Some(output) = outputs.next().await {
        // What has no line end yet is read again.
        let Ok(output) = output else { return };
        let (stream, message) = match output {
            LogOutput::StdErr { message } => (Stream::Stderr, message),
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                (Stream::Stdout, message)
            }
            LogOutput::StdIn { .. } => continue,
        };
        let slot = &mut partial[usize::from(stream == Stream::Stderr)];
        let Some((at, text)) = piece(&message) else { continue };
        if begin.covers(stream, at) {
            continue;
        }
        let (before, line) = slot.add(at, text);
        for line in before.into_iter().chain(line) {
            source.say(stream, &redactor, line);
        }
    }
    for (slot, stream) in partial.iter_mut().zip([Stream::Stdout, Stream::Stderr]) {
        if let Some(line) = slot.finish() {
            source.say(stream, &redactor, line);
        }
    }
}

/// The engine's message (`<time> <text>`) in its parts.
fn piece(message: &[u8]) -> Option<(OffsetDateTime, &[u8])> {
    let space = message.iter().position(|&byte| byte == b' ')?;
    let time = std::str::from_utf8(&message[..space]).ok()?;
    Some((OffsetDateTime::parse(time, &Rfc3339).ok()?, &message[space + 1..]))
}

/// A line with its time.
type Timed = (OffsetDateTime, String);

/// A line that comes in pieces: the engine cuts at 16 KiB, and gives all pieces the same time.
#[derive(Debug, Default)]
pub(super) struct Partial {
    at: Option<OffsetDateTime>,
    text: Vec<u8>,
}

impl Partial {
    /// Adds a piece; what stood before it without a line end (a start that has ended), and the
    /// line, once it is whole.
    pub(super) fn add(
        &mut self,
        at: OffsetDateTime,
        text: &[u8],
    ) -> (Option<Timed>, Option<Timed>) {
        let before = if self.at == Some(at) { None } else { self.finish() };
        self.at = Some(at);
        // More than is ever shown is not kept, whatever the program writes.
        let room = (2 * MAXIMUM_LINE).saturating_sub(self.text.len());
        self.text.extend_from_slice(&text[..text.len().min(room)]);
        (before, text.ends_with(b"\n").then(|| self.finish()).flatten())
    }

    /// What is there of a line, as a line.
    pub(super) fn finish(&mut self) -> Option<Timed> {
        let text = std::mem::take(&mut self.text);
        let at = self.at.take()?;
        Some((at, String::from_utf8_lossy(&text).trim_end_matches(['\r', '\n']).to_owned()))
    }
}
