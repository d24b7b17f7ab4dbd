//! What an environment was shown, and carrying out what the planner says about it.

use zeitwork_database::PgConnection;
use zeitwork_database::views::heads::{self, Follower};
use zeitwork_database::wishes::{self, NewWish, Wanted};
use zeitwork_model::environment::Trigger;
use zeitwork_model::id::DeliveryId;
use zeitwork_planning::branches::is_pattern;
use zeitwork_planning::webhooks::{Decision, Seen};

use crate::Error;
use crate::github::Commit;

/// What an environment was shown of one branch.
#[derive(Debug, Clone)]
pub(in crate::reconcilers) struct Shown {
    pub(in crate::reconcilers) commit: Option<String>,
    generation: Option<i64>,
}

impl Shown {
    pub(in crate::reconcilers) fn known(&self) -> Option<Seen<'_>> {
        let commit = self.commit.as_deref()?;
        Some(Seen { commit, generation: self.generation })
    }
}

/// Reads what the environment was shown. One that follows many branches has a head of each.
pub(in crate::reconcilers) async fn snapshot(
    connection: &mut PgConnection,
    follower: &Follower,
    branch: &str,
) -> Result<Shown, Error> {
    let (organisation, id) = (follower.organisation_id, follower.id);
    let commit = if follows_many(follower) {
        heads::of_branch(connection, organisation, id, branch).await?
    } else {
        follower.head_commit.clone()
    };
    let generation = match &commit {
        Some(commit) => heads::wished(connection, organisation, id, commit).await?,
        None => None,
    };
    Ok(Shown { commit, generation })
}

/// Where a wish comes from.
#[derive(Debug, Clone, Copy)]
pub(in crate::reconcilers) struct Origin<'a> {
    pub(in crate::reconcilers) branch: &'a str,
    pub(in crate::reconcilers) delivery: Option<DeliveryId>,
    pub(in crate::reconcilers) request: Option<&'a str>,
}

/// Carries a decision out, in the transaction that holds the environment's row; whether it made
/// a wish.
pub(in crate::reconcilers) async fn apply(
    connection: &mut PgConnection,
    follower: &Follower,
    decision: Decision<'_>,
    commit: &Commit,
    origin: Origin<'_>,
) -> Result<bool, Error> {
    let (organisation, id) = (follower.organisation_id, follower.id);
    match decision {
        Decision::Wish(sha) => {
            let wish = NewWish {
                organisation_id: organisation,
                environment_id: id,
                wanted: Wanted::New {
                    reference: Some(origin.branch),
                    commit: Some(sha),
                    message: &commit.message,
                    author: &commit.author,
                },
                trigger: Trigger::Push,
                actor: "github",
                delivery_id: origin.delivery,
                request_id: origin.request,
            };
            wishes::record(connection, &wish).await?;
            remember(connection, follower, origin.branch, sha).await?;
            Ok(true)
        }
        Decision::Remember(sha) => {
            remember(connection, follower, origin.branch, sha).await?;
            Ok(false)
        }
        Decision::Ask | Decision::Known | Decision::Gone => Ok(false),
    }
}

/// Whether the environment follows a pattern.
pub(in crate::reconcilers) fn follows_many(follower: &Follower) -> bool {
    follower.branch.as_deref().is_some_and(is_pattern)
}

async fn remember(
    connection: &mut PgConnection,
    follower: &Follower,
    branch: &str,
    commit: &str,
) -> Result<(), Error> {
    let (organisation, id) = (follower.organisation_id, follower.id);
    if follows_many(follower) {
        heads::remember_branch(connection, organisation, id, branch, commit).await?;
    } else {
        heads::remember(connection, organisation, id, commit).await?;
    }
    Ok(())
}
