use std::time::{Duration, Instant};

use zeitwork_model::instance::InstanceGoal;
use zeitwork_model::reason::Reason;
use zeitwork_protocol::report::InstancePhase;
use zeitwork_protocol::target::InstanceTarget;

use super::{ATTEMPTS, Life};
use crate::container::{Container, ContainerState};
use crate::plan::tests::{container, target};

struct Story {
    life: Life,
    target: InstanceTarget,
    container: Container,
    now: Instant,
    starts: u32,
}

impl Story {
    fn begin() -> Self {
        let target = target(1);
        let container = container(&target, ContainerState::Created);
        Self { life: Life::default(), target, container, now: Instant::now(), starts: 0 }
    }

    fn starts(&mut self) -> &mut Self {
        self.starts += 1;
        self.container.state = ContainerState::Running;
        self.container.started_at = format!("start {}", self.starts);
        self.look()
    }

    fn ends(&mut self, exit_code: i32) -> &mut Self {
        self.container.state = ContainerState::Exited;
        self.container.exit_code = exit_code;
        self.look()
    }

    fn look(&mut self) -> &mut Self {
        self.life.observe(&self.target, &self.container, self.now);
        self
    }

    fn healthy(&mut self) -> &mut Self {
        self.life.passed(self.now);
        self
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self.look()
    }

    fn phase(&self) -> InstancePhase {
        self.life.phase(&self.target, Some(&self.container))
    }

    fn reason(&self) -> String {
        self.life.shown_reason(self.phase()).map(|reason| reason.text).unwrap_or_default()
    }
}

#[test]
fn a_first_start_that_crashes_three_times_is_given_up() {
    let mut story = Story::begin();
    for attempt in 1..=ATTEMPTS {
        story.starts();
        assert_eq!(story.phase(), InstancePhase::Starting);
        story.ends(3);
        let given_up = attempt == ATTEMPTS;
        assert_eq!(story.phase() == InstancePhase::Failed, given_up, "after {attempt}");
        story.after(Duration::from_secs(1));
    }
    assert_eq!(story.reason(), "it ended with exit code 3, 3 times in a row");
    assert_eq!((story.life.restarts(), story.life.exit_code), (2, Some(3)));
}

#[test]
fn what_was_healthy_is_started_again_for_ever_with_growing_waits() {
    let mut story = Story::begin();
    story.starts().healthy();
    let mut waits = Vec::new();
    for _ in 0..10 {
        story.ends(1);
        assert_eq!(story.phase(), InstancePhase::Waiting);
        waits.push(story.life.not_before.unwrap().duration_since(story.now).as_millis());
        story.starts();
    }
    assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    story.healthy().after(Duration::from_secs(61)).ends(1);
    assert_eq!(story.life.not_before.unwrap().duration_since(story.now).as_millis(), 500);
}

#[test]
fn what_never_answers_is_given_up_when_its_grace_time_is_over() {
    let mut story = Story::begin();
    story.starts().after(Duration::from_secs(59));
    assert_eq!(story.phase(), InstancePhase::Starting);
    story.after(Duration::from_secs(2));
    assert_eq!(story.phase(), InstancePhase::Failed);
    assert_eq!(story.reason(), "never answered within the grace time of 60 s");

    let mut story = Story::begin();
    story.starts();
    story.life.failed(Reason::new("bad_status", "answers 500 on /"));
    story.after(Duration::from_secs(61));
    assert_eq!(story.reason(), "not healthy within the grace time of 60 s: answers 500 on /");
}

#[test]
fn our_own_stop_is_no_crash() {
    for (signalled, code) in [(true, 143), (true, 137), (false, 0)] {
        let mut story = Story::begin();
        story.starts().healthy();
        story.target.goal = InstanceGoal::Stop;
        story.life.terminated_at = signalled.then_some(story.now);
        assert_eq!(story.phase(), InstancePhase::Stopping);
        story.ends(code);
        assert_eq!(story.phase(), InstancePhase::Stopped);
        assert_eq!((story.life.crashes, story.reason()), (0, String::new()));
    }
}

#[test]
fn lack_of_memory_is_named() {
    let mut story = Story::begin();
    story.starts().healthy();
    story.container.oom_killed = true;
    story.ends(137);
    assert_eq!(story.reason(), "out of memory: it used more than its limit of 512 MB");
    assert!(story.life.oom_killed);
}

#[test]
fn an_end_is_counted_once_also_by_an_agent_that_was_restarted() {
    let mut story = Story::begin();
    story.starts().healthy().ends(1).look().look();
    assert_eq!(story.life.crashes, 1);
    let kept = serde_json::to_vec(&story.life).unwrap();
    story.life = serde_json::from_slice(&kept).unwrap();
    story.look();
    assert_eq!((story.life.crashes, story.life.restarts()), (1, 0));
}

#[test]
fn an_agent_that_was_restarted_takes_a_healthy_instance_as_it_was() {
    let mut story = Story::begin();
    story.starts().healthy();
    let kept = serde_json::to_vec(&story.life).unwrap();
    story.life = serde_json::from_slice(&kept).unwrap();
    story.look();
    assert_eq!(story.phase(), InstancePhase::Healthy);
    story.life.failed(Reason::new("no_answer", "does not answer"));
    assert_eq!(story.phase(), InstancePhase::Unhealthy);
}

#[test]
fn a_thawed_instance_has_to_pass_its_check_again() {
    let mut story = Story::begin();
    story.starts().healthy();
    story.target.goal = InstanceGoal::Pause;
    story.container.state = ContainerState::Paused;
    assert_eq!(story.look().phase(), InstancePhase::Paused);
    story.target.goal = InstanceGoal::Run;
    story.container.state = ContainerState::Running;
    assert_eq!(story.look().phase(), InstancePhase::Starting);
    assert_eq!(story.healthy().phase(), InstancePhase::Healthy);
}

#[test]
fn an_end_while_the_engine_was_away_is_no_crash_of_the_instance() {
    let mut story = Story::begin();
    story.starts();
    for _ in 0..2 * ATTEMPTS {
        story.container.state = ContainerState::Exited;
        story.life.ended_with_engine(&story.target, &story.container, story.now);
        story.look();
        assert_eq!((story.phase(), story.life.crashes), (InstancePhase::Waiting, 0));
        assert_eq!(story.life.not_before, None, "it starts again at once");
        assert!(story.reason().contains("Docker Engine did not answer"), "{}", story.reason());
        story.starts();
    }
    story.ends(1);
    assert_eq!(story.life.crashes, 1);
}
