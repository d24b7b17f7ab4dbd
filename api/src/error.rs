//! From errors to answers, in one place.

use axum::response::{IntoResponse, Response};
use zeitwork_database::Error as DatabaseError;
use zeitwork_runtime::lifecycle::chain;
use zeitwork_web::{Code, Problem};

/// A handler's answer.
pub type Answer<T> = Result<T, Refusal>;

/// Why a request is refused.
#[derive(Debug, Clone)]
pub struct Refusal(pub Problem);

impl Refusal {
    /// What is named in the body and not there is a mistake of that field, not of the path.
    pub fn of_field(self, pointer: &str) -> Self {
        if self.0.code() != Code::NotFound {
            return self;
        }
        let text = "there is nothing of this name that the key may see";
        Self(Problem::invalid(pointer, "unknown", text))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self(Problem::new(code))
    }
}

impl From<DatabaseError> for Refusal {
    fn from(error: DatabaseError) -> Self {
        Self(match &error {
            DatabaseError::Unavailable(_) => {
                tracing::warn!(error = chain(&error), "the database is unavailable");
                Problem::new(Code::DatabaseUnavailable)
            }
            DatabaseError::Conflict(_) => Problem::new(Code::Stale),
            DatabaseError::Stale(what) => Problem::new(Code::Stale)
                .detail(format!("The {what} is not in a state that allows this.")),
            DatabaseError::NotFound(_) => Problem::not_found(),
            _ => Problem::internal(&error),
        })
    }
}

impl From<zeitwork_secrets::Error> for Refusal {
    fn from(error: zeitwork_secrets::Error) -> Self {
        Self(Problem::internal(&error))
    }
}

/// A name that another row has: 409 with the field.
pub fn taken(constraint: &'static str, pointer: &'static str) -> impl Fn(DatabaseError) -> Refusal {
    move |error| {
        if error.violates(constraint) {
            return Problem::new(Code::NameTaken)
                .error(pointer, "taken", "Somebody else has this name: choose another.")
                .into();
        }
        error.into()
    }
}
