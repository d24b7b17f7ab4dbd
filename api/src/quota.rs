//! How many of something there may be, so that one organisation leaves room for others and every
//! list that is read whole stays short.

use zeitwork_web::{Code, Problem};

use crate::error::Answer;

/// Projects of an organisation.
pub const PROJECTS: Quota = Quota { most: 500, text: "An organisation has at most 500 projects." };
/// Environments of a project. A page has up to 200 projects with theirs.
pub const ENVIRONMENTS: Quota = Quota { most: 50, text: "A project has at most 50 environments." };
/// Variables of a project. They are frozen together with each deployment.
pub const VARIABLES: Quota = Quota { most: 1_000, text: "A project has at most 1000 variables." };
/// Keys of an organisation that hold at once.
pub const API_KEYS: Quota = Quota { most: 200, text: "An organisation has at most 200 keys." };

/// A bound on how many there are.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    most: i64,
    text: &'static str,
}

impl Quota {
    /// Refuses one more where there are so many already.
    ///
    /// # Errors
    /// 422 `limit_reached`.
    pub fn has_room_beside(self, there: i64) -> Answer<()> {
        if there < self.most {
            return Ok(());
        }
        Err(Problem::new(Code::LimitReached).detail(self.text).into())
    }
}
