//! What the agent remembers of one instance: its starts, its ends and its health, and from them
//! when it may start again and when it is given up. Pure: time comes in as a value.
//!
//! ```text
//!            ┌──────────── crashed: waits 0.5 s, 1 s, 2 s … 60 s ───────────┐
//!            ▼                                                              │
//! waiting ──► starting ──► healthy ◄──► unhealthy ──────────────────────────┤
//!                 └── never healthy: 3 crashes, or the grace time is over ──┴─► given up
//! ```

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use zeitwork_model::instance::InstanceGoal;
use zeitwork_model::reason::Reason;
use zeitwork_protocol::report::InstancePhase;
use zeitwork_protocol::target::InstanceTarget;

use crate::container::{Container, ContainerState};

/// Starts of an instance that was never healthy before it is given up.
pub const ATTEMPTS: u32 = 3;
/// First wait before it is started again.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait before it is started again.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Healthy for so long, and its earlier crashes are forgotten.
const STABLE: Duration = Duration::from_mins(1);

/// One instance as the agent remembers it; what does not depend on the clock is kept on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Life {
    /// Starts so far.
    pub starts: u32,
    /// Ends in a row that nobody wished.
    pub crashes: u32,
    /// Whether it ever passed its check.
    pub was_healthy: bool,
    /// Whether it passes its check now.
    pub healthy: bool,
    /// Why it was given up.
    pub given_up: Option<Reason>,
    /// Why it is not healthy, last time it was not.
    pub reason: Option<Reason>,
    /// Exit code of its last end.
    pub exit_code: Option<i32>,
    /// Whether its last end was for lack of memory.
    pub oom_killed: bool,
    /// What the engine was last told to do with it and did not.
    #[serde(skip)]
    pub trouble: Option<Reason>,
    /// The start that runs, or ran last, in the engine's words.
    pub start: String,
    /// The start whose end was counted.
    pub ended: String,
    /// When the agent first saw the start that runs.
    #[serde(skip)]
    pub running_since: Option<Instant>,
    /// Since when it has been healthy.
    #[serde(skip)]
    pub healthy_since: Option<Instant>,
    /// It is not started before.
    #[serde(skip)]
    pub not_before: Option<Instant>,
    /// When the agent sent SIGTERM.
    #[serde(skip)]
    pub terminated_at: Option<Instant>,
}

impl Life {
    /// Takes in what the engine shows of it now.
    pub fn observe(&mut self, target: &InstanceTarget, container: &Container, now: Instant) {
        match container.state {
            ContainerState::Running | ContainerState::Paused => self.runs(target, container, now),
            ContainerState::Exited => self.has_ended(target, container, now),
            ContainerState::Created | ContainerState::Changing => {}
        }
    }

    fn runs(&mut self, target: &InstanceTarget, container: &Container, now: Instant) {
        if self.start != container.started_at {
            self.start.clone_from(&container.started_at);
            self.starts += 1;
            self.healthy = false;
            self.healthy_since = None;
            self.running_since = None;
            self.terminated_at = None;
        }
        // A frozen instance has no time in which it could become healthy.
        // What it was before it was frozen says nothing of it once it is thawed.
        if container.state == ContainerState::Paused || target.goal != InstanceGoal::Run {
            self.running_since = None;
            self.healthy = false;
            self.healthy_since = None;
            self.reason = None;
            return;
        }
        let since = *self.running_since.get_or_insert(now);
        let grace = Duration::from_millis(u64::from(target.health.grace_ms));
        if !self.was_healthy && self.given_up.is_none() && now.duration_since(since) > grace {
            self.given_up = Some(never_healthy(grace, self.reason.as_ref()));
        }
        if self.healthy_since.is_some_and(|since| now.duration_since(since) > STABLE) {
            self.crashes = 0;
        }
    }

    fn has_ended(&mut self, target: &InstanceTarget, container: &Container, now: Instant) {
        self.healthy = false;
        self.healthy_since = None;
        self.running_since = None;
        if self.ended == container.started_at {
            return;
        }
        if self.start != container.started_at {
            self.start.clone_from(&container.started_at);
            self.starts += 1;
        }
        self.ended.clone_from(&container.started_at);
        self.exit_code = Some(container.exit_code);
        self.oom_killed = container.oom_killed;
        let wished = self.terminated_at.take().is_some() || target.goal == InstanceGoal::Stop;
        if !wished && self.given_up.is_none() {
            self.crashed(end_reason(target, container), now);
        }
    }

    /// Takes in that the engine was away until now. An end meanwhile is not counted against the
    /// instance, which starts again at once: most likely it ended with the engine.
    pub fn ended_with_engine(
        &mut self,
        target: &InstanceTarget,
        container: &Container,
        now: Instant,
    ) {
        let ended = container.state == ContainerState::Exited && !container.oom_killed;
        if ended && self.ended != container.started_at {
            self.terminated_at.get_or_insert(now);
            self.has_ended(target, container, now);
            let text = "it ended while Docker Engine did not answer, and is started again";
            self.reason = Some(Reason::new("engine_was_away", text));
        }
    }

    /// Takes in that the engine could not start it.
    pub fn start_failed(&mut self, reason: Reason, now: Instant) {
        self.starts += 1;
        self.crashed(reason, now);
    }

    fn crashed(&mut self, reason: Reason, now: Instant) {
        self.crashes += 1;
        self.not_before = Some(now + wait(self.crashes));
        if !self.was_healthy && self.crashes >= ATTEMPTS {
            let text = format!("{}, {} times in a row", reason.text, self.crashes);
            self.given_up = Some(Reason::new(&reason.code, text));
        }
        self.reason = Some(reason);
    }

    /// Takes in that its check passes.
    pub fn passed(&mut self, now: Instant) {
        self.healthy = true;
        self.was_healthy = true;
        self.healthy_since.get_or_insert(now);
        self.reason = None;
    }

    /// Takes in that its check fails, and why.
    pub fn failed(&mut self, reason: Reason) {
        self.healthy = false;
        self.healthy_since = None;
        self.reason = Some(reason);
    }

    /// Starts after the first.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.starts.saturating_sub(1)
    }

    /// Where it is, to be reported.
    #[must_use]
    pub fn phase(&self, target: &InstanceTarget, container: Option<&Container>) -> InstancePhase {
        let state = container.map(|container| container.state);
        let runs = matches!(state, Some(ContainerState::Running | ContainerState::Paused));
        match target.goal {
            InstanceGoal::Stop if runs => InstancePhase::Stopping,
            InstanceGoal::Stop => InstancePhase::Stopped,
            _ if self.given_up.is_some() => InstancePhase::Failed,
            InstanceGoal::Pause if !runs => InstancePhase::Failed,
            _ => match state {
                Some(ContainerState::Paused) => InstancePhase::Paused,
                Some(ContainerState::Running) if self.healthy => InstancePhase::Healthy,
                Some(ContainerState::Running) if self.was_healthy && self.reason.is_some() => {
                    InstancePhase::Unhealthy
                }
                Some(ContainerState::Running) => InstancePhase::Starting,
                _ => InstancePhase::Waiting,
            },
        }
    }

    /// Why it is not as it should be.
    #[must_use]
    pub fn shown_reason(&self, phase: InstancePhase) -> Option<Reason> {
        match phase {
            InstancePhase::Healthy | InstancePhase::Stopped => None,
            InstancePhase::Failed => self.given_up.clone().or_else(|| {
                Some(Reason::new("not_running", "it no longer runs and was to stay paused"))
            }),
            _ => self.trouble.clone().or_else(|| self.reason.clone()),
        }
    }
}

fn wait(crashes: u32) -> Duration {
    let doublings = crashes.saturating_sub(1).min(10);
    (FIRST_WAIT * (1 << doublings)).min(LONGEST_WAIT)
}

fn never_healthy(grace: Duration, last: Option<&Reason>) -> Reason {
    let seconds = grace.as_secs_f64();
    match last {
        Some(last) => Reason::new(
            &last.code,
            format!("not healthy within the grace time of {seconds} s: {}", last.text),
        ),
        None => Reason::new(
            "never_answered",
            format!("never answered within the grace time of {seconds} s"),
        ),
    }
}

/// Why a container ended, in words for people.
fn end_reason(target: &InstanceTarget, container: &Container) -> Reason {
    if container.oom_killed {
        let limit = target.limits.memory_mb;
        let text = format!("out of memory: it used more than its limit of {limit} MB");
        return Reason::new("out_of_memory", text);
    }
    let code = container.exit_code;
    let text = match code {
        0 => "it ended by itself with exit code 0; a process has to keep running".to_owned(),
        126 => "its command cannot be executed (exit code 126)".to_owned(),
        127 => "its command was not found (exit code 127)".to_owned(),
        137 => "it was killed by SIGKILL (exit code 137)".to_owned(),
        139 => "it crashed with a segmentation fault (exit code 139)".to_owned(),
        other => format!("it ended with exit code {other}"),
    };
    Reason::new("crashed", text)
}

#[cfg(test)]
mod tests;
