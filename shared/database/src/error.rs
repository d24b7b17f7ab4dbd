//! One error type, its variants named after what the caller can do.

/// Why a statement has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached, has no connection free in time, or is shutting down:
    /// try again later.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// Somebody else was faster (serialisation, deadlock): look again and repeat.
    #[error("a concurrent change came first")]
    Conflict(#[source] sqlx::Error),
    /// The row breaks a rule of the schema.
    #[error("the constraint {constraint} is violated")]
    Constraint {
        /// Which one.
        constraint: String,
        /// The database's own words.
        #[source]
        source: sqlx::Error,
    },
    /// The row is not as it was when it was read: look again.
    #[error("{0} has changed meanwhile")]
    Stale(&'static str),
    /// Nothing like that, or not the caller's.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Stored JSON cannot be read by this program.
    #[error("a stored {what} cannot be read")]
    Unreadable {
        /// Of what kind.
        what: &'static str,
        /// Where it breaks.
        #[source]
        source: serde_json::Error,
    },
    /// The schema is not one that this program works with; the text says what to do.
    #[error("{0}")]
    Schema(String),
    /// A mistake of ours.
    #[error("a statement failed")]
    Statement(#[source] sqlx::Error),
}

impl Error {
    /// Whether the same call may succeed later without any change.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Conflict(_))
    }

    /// Whether it is the violation of this constraint.
    #[must_use]
    pub fn violates(&self, name: &str) -> bool {
        matches!(self, Self::Constraint { constraint, .. } if constraint == name)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                // Classes of SQLSTATE (PostgreSQL documentation, appendix A).
                match code.as_ref() {
                    "40001" | "40P01" | "55P03" => Self::Conflict(error),
                    "57014" => Self::Unavailable(error),
                    code if code.starts_with("08")
                        || code.starts_with("53")
                        || code.starts_with("57P") =>
                    {
                        Self::Unavailable(error)
                    }
                    code if code.starts_with("23") => {
                        let constraint = database.constraint().unwrap_or_default().to_owned();
                        Self::Constraint { constraint, source: error }
                    }
                    _ => Self::Statement(error),
                }
            }
            _ => Self::Statement(error),
        }
    }
}
