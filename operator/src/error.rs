//! Why a pass or a step of the operator has no result.

/// An error of the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database: what can be done is said by its own variants.
    #[error("database")]
    Database(#[from] zeitwork_database::Error),
    /// A key or a ciphertext cannot be used: the project's values cannot be handed out.
    #[error("secrets")]
    Secrets(#[from] zeitwork_secrets::Error),
    /// A document cannot be written or read as JSON.
    #[error("document")]
    Document(#[from] serde_json::Error),
    /// A row contradicts the design; the text says which.
    #[error("{0}")]
    Unfit(String),
    /// GitHub cannot be used as it is configured.
    #[error("github")]
    Github(#[from] crate::github::GithubError),
    /// The system's certificates cannot be read.
    #[error("the HTTP client cannot be built")]
    Outbound(#[from] zeitwork_outbound::reqwest::Error),
    /// An address cannot be bound.
    #[error("an address cannot be bound")]
    Bind(#[from] zeitwork_web::BindError),
}

impl Error {
    /// Somebody else was faster: the next pass looks again, nothing is wrong.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        use zeitwork_database::Error as Database;
        matches!(self, Self::Database(Database::Stale(_) | Database::Conflict(_)))
            || matches!(self, Self::Database(Database::Constraint { .. }))
    }
}
