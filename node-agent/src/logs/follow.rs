//! Reads what instances say, from the engine, from where it was left.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
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

use super::ship::Kept;
use super::{LogSink, MAXIMUM_LINE, Stream};
use crate::container::engine::Engine;
use crate::container::{Container, ContainerState};
use crate::disk;
use crate::instances::variables;

/// An ended container is kept so long for its last lines at most.
const LAST_LINES: Duration = Duration::from_secs(3);

/// Until when each instance's lines are stored; kept on disk.
#[derive(Debug, Clone)]
pub struct Positions {
    path: PathBuf,
    at: Arc<Mutex<(BTreeMap<InstanceId, i128>, bool)>>,
}

impl Positions {
    /// Those of the file.
    #[must_use]
    pub fn load(path: PathBuf) -> Self {
        let kept = std::fs::read(&path).unwrap_or_default();
        let at = serde_json::from_slice(&kept).unwrap_or_default();
        Self { path, at: Arc::new(Mutex::new((at, false))) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (BTreeMap<InstanceId, i128>, bool)> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: InstanceId) -> i128 {
        self.lock().0.get(&id).copied().unwrap_or(0)
    }

    fn kept(&self, id: InstanceId) -> Kept {
        let positions = self.clone();
        Arc::new(move |at| {
            let mut guard = positions.lock();
            guard.0.insert(id, at.unix_timestamp_nanos());
            guard.1 = true;
        })
    }

    /// Writes the file where anything has changed, without instances that are gone.
    pub fn save(&self, target: &NodeTarget) {
        let text = {
            let mut guard = self.lock();
            if !std::mem::take(&mut guard.1) {
                return;
            }
            guard.0.retain(|id, _| target.instances.iter().any(|instance| instance.id == *id));
            serde_json::to_vec(&guard.0)
        };
        let written = text.map_err(Into::into).and_then(|text| disk::write(&self.path, &text));
        if let Err(error) = written {
            tracing::warn!(%error, "log positions cannot be written");
        }
    }
}

/// Opens the stream of an instance; told of what is stored through [`Kept`].
pub type OpenStream = Arc<dyn Fn(InstanceId, Kept) -> LogSink + Send + Sync>;

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
    positions: Positions,
    life: Lifecycle,
    sinks: BTreeMap<InstanceId, LogSink>,
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
        positions: Positions,
        life: Lifecycle,
    ) -> Self {
        let (sinks, readers) = (BTreeMap::new(), BTreeMap::new());
        Self { engine, key, open, positions, life, sinks, readers }
    }

    /// Starts readers for starts that have none; ends the streams of instances that are gone.
    pub fn follow(&mut self, target: &NodeTarget, containers: &[Container]) {
        self.readers.retain(|id, _| containers.iter().any(|container| container.id == *id));
        for container in containers {
            let instance =
                target.instances.iter().find(|instance| Some(instance.id) == container.instance);
            let (Some(instance), false) = (instance, container.started_at.starts_with("0001"))
            else {
                continue;
            };
            self.read(instance, container);
        }
        let positions = &self.positions;
        positions.save(target);
        self.sinks.retain(|id, _| {
            let exists = containers.iter().any(|container| container.instance == Some(*id));
            let wanted = target
                .instances
                .iter()
                .any(|instance| instance.id == *id && instance.goal != InstanceGoal::Stop);
            exists || wanted
        });
    }

    fn read(&mut self, instance: &InstanceTarget, container: &Container) {
        let runs = matches!(container.state, ContainerState::Running | ContainerState::Paused);
        if let Some(reader) = self.readers.get_mut(&container.id) {
            if !runs && reader.ended.is_none() {
                reader.ended = Some(Instant::now());
            }
            let broken = runs && reader.task.is_finished();
            if reader.start == container.started_at && !broken {
                return;
            }
            // The reader of the start before ends by itself, with its last line.
            if !reader.task.is_finished() {
                return;
            }
        }
        let kept = self.positions.kept(instance.id);
        let open = &self.open;
        let sink = self.sinks.entry(instance.id).or_insert_with(|| open(instance.id, kept)).clone();
        let secrets = variables::open(&self.key, instance).unwrap_or_default().secrets;
        let redactor = Redactor::new(secrets.iter().map(|secret| secret.as_str()));
        let since = self.positions.get(instance.id);
        let reading =
            read_lines(Arc::clone(&self.engine), container.id.clone(), since, sink, redactor);
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
        if let Some(sink) = self.sinks.get(&id) {
            sink.line(Stream::System, text);
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

async fn read_lines(
    engine: Arc<Engine>,
    container: String,
    since: i128,
    sink: LogSink,
    redactor: Redactor,
) {
    let Ok(docker) = engine.docker() else { return };
    // The engine counts whole seconds here; what is older within the second is skipped below.
    let seconds = i32::try_from(since / 1_000_000_000).unwrap_or(0);
    let options = LogsOptionsBuilder::new()
        .follow(true)
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .since(seconds)
        .build();
    let mut outputs = docker.logs(&container, Some(options));
    let mut partial = [Partial::default(), Partial::default()];
    while let Some(Ok(output)) = outputs.next().await {
        let (stream, message) = match output {
            LogOutput::StdErr { message } => (Stream::Stderr, message),
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                (Stream::Stdout, message)
            }
            LogOutput::StdIn { .. } => continue,
        };
        let slot = &mut partial[usize::from(stream == Stream::Stderr)];
        let Some((at, text)) = piece(&message) else { continue };
        // Old pieces are left out before lines are put together: a start that ended without a
        // line end must not swallow the first line of the next.
        if at.unix_timestamp_nanos() <= since {
            continue;
        }
        if let Some((at, line)) = slot.add(at, text) {
            sink.line_at(stream, &redactor.redact(&line), at);
        }
    }
    for (slot, stream) in partial.iter_mut().zip([Stream::Stdout, Stream::Stderr]) {
        if let Some((at, line)) = slot.finish() {
            sink.line_at(stream, &redactor.redact(&line), at);
        }
    }
}

/// The engine's message (`<time> <text>`) in its parts.
fn piece(message: &[u8]) -> Option<(OffsetDateTime, &[u8])> {
    let space = message.iter().position(|&byte| byte == b' ')?;
    let time = std::str::from_utf8(&message[..space]).ok()?;
    Some((OffsetDateTime::parse(time, &Rfc3339).ok()?, &message[space + 1..]))
}

/// A line that comes in pieces: the engine cuts at 16 KiB.
#[derive(Debug, Default)]
pub(super) struct Partial {
    at: Option<OffsetDateTime>,
    text: Vec<u8>,
}

impl Partial {
    /// Adds a piece; the line, once it is whole, with the time of its last piece.
    pub(super) fn add(
        &mut self,
        at: OffsetDateTime,
        text: &[u8],
    ) -> Option<(OffsetDateTime, String)> {
        self.at = Some(at);
        // More than is ever shown is not kept, whatever the program writes.
        let room = (2 * MAXIMUM_LINE).saturating_sub(self.text.len());
        self.text.extend_from_slice(&text[..text.len().min(room)]);
        text.ends_with(b"\n").then(|| self.finish()).flatten()
    }

    /// What is there of a line, as a line.
    pub(super) fn finish(&mut self) -> Option<(OffsetDateTime, String)> {
        let text = std::mem::take(&mut self.text);
        let at = self.at.take()?;
        Some((at, String::from_utf8_lossy(&text).trim_end_matches(['\r', '\n']).to_owned()))
    }
}
