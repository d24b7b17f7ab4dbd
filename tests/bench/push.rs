//! From `git push` to the first page of that commit, against building and running it by hand.

use std::time::Instant;

use zeitwork_tests::Cluster;

use crate::line::Line;
use crate::report::Report;
use crate::{bare, world};

/// One more comes before these and does not count: both sides find the engine warm.
const ROUNDS: usize = 9;

/// The platform comes first in each round, so that whatever the engine remembers of the commit
/// helps the other side.
pub async fn measure(report: &mut Report) {
    let cluster = Cluster::start().await;
    let mut live = world::live(&cluster, "push").await;
    let (mut platform, mut by_hand) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let commit = live.next_commit().await;
        let began = Instant::now();
        live.repository.push().await.unwrap();
        let pushed = began.elapsed();
        let seen = Line::to(cluster.edge).until_commit(&live.project.host, &commit).await;
        live.owner.live(&live.project, &commit).await;
        let bare = bare::build_and_run(&live.repository, &commit).await;
        if round > 0 {
            platform.push((seen - began, pushed));
            by_hand.push(bare);
        }
    }
    let (whole, pushes): (Vec<_>, Vec<_>) = platform.into_iter().unzip();
    let with = report.times("push.to_live", &whole);
    report.times("push.of_which_git_push", &pushes);
    let without = report.times("push.bare_build_and_run", &by_hand);
    report.number("push.overhead", "ms", with - without);
    report.number("push.ratio", "x", with / without);
}
