//! The pool: one in each process, sized, bounded in every wait.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use secrecy::{ExposeSecret, SecretString};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool, Postgres};
use tracing::log::LevelFilter;

use crate::{Error, Result};

/// A connection of the pool.
pub type Connection = PoolConnection<Postgres>;

/// A transaction of the pool; derefs to a connection.
pub type Transaction = sqlx::Transaction<'static, Postgres>;

/// A process that stands still in the middle of a transaction holds its locks against all others
/// no longer than this: its work is rolled back, and it finds the connection gone.
const IDLE_IN_TRANSACTION: &str = "5s";

/// How large the pool is and how long it waits.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// Connections at most.
    pub connections: u32,
    /// Longest wait for a connection; the caller then answers 503.
    pub acquire: Duration,
    /// Longest statement.
    pub statement: Duration,
    /// Statements slower than this are logged.
    pub slow: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            connections: 10,
            acquire: Duration::from_secs(3),
            statement: Duration::from_secs(10),
            slow: Duration::from_millis(250),
        }
    }
}

impl PoolSettings {
    /// For migrations, which may take their time: nobody waits for them but a person.
    #[must_use]
    pub fn patient() -> Self {
        let limit = Duration::from_mins(10);
        Self { slow: limit, statement: limit, ..Self::default() }
    }
}

/// The pool of a process. Clones share it.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
    /// Who waits for a connection or for the begin of a transaction.
    waiting: Arc<AtomicI64>,
}

impl Database {
    /// A pool for the address; nothing is connected before the first use, so a daemon starts
    /// while the database is down.
    ///
    /// # Errors
    /// [`Error::Schema`] where the address cannot be read.
    pub fn new(url: &SecretString, program: &str, settings: &PoolSettings) -> Result<Self> {
        let options = PgConnectOptions::from_str(url.expose_secret())
            .map_err(|_| Error::Schema("ZEITWORK_DATABASE_URL is no postgres:// address".into()))?
            .application_name(program)
            .options([
                ("statement_timeout", settings.statement.as_millis().to_string()),
                ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION.to_owned()),
            ])
            .log_statements(LevelFilter::Trace)
            .log_slow_statements(LevelFilter::Warn, settings.slow);
        let pool = PgPoolOptions::new()
            .max_connections(settings.connections)
            .acquire_timeout(settings.acquire)
            .idle_timeout(Duration::from_mins(5))
            .test_before_acquire(true)
            .connect_lazy_with(options);
        Ok(Self { pool, waiting: Arc::default() })
    }

    /// A connection for single statements.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when none can be had in time.
    pub async fn acquire(&self) -> Result<Connection> {
        let _waiter = Waiter::join(&self.waiting);
        Ok(self.pool.acquire().await?)
    }

    /// A transaction; dropped without commit, it is rolled back.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no connection can be had in time.
    pub async fn begin(&self) -> Result<Transaction> {
        let _waiter = Waiter::join(&self.waiting);
        Ok(self.pool.begin().await?)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it does not.
    pub async fn ping(&self) -> Result<()> {
        let mut connection = self.acquire().await?;
        sqlx::query!("select 1 as one").fetch_one(&mut *connection).await?;
        Ok(())
    }

    /// Closes every connection, waiting for those in use.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Shows the pool's figures, as they are whenever somebody asks.
    pub fn show(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(PoolCollector(self.clone())));
    }
}

/// One who waits for a connection, until dropped.
struct Waiter<'a>(&'a AtomicI64);

impl<'a> Waiter<'a> {
    fn join(waiting: &'a AtomicI64) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct PoolCollector(Database);

impl Collector for PoolCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Database { pool, waiting } = &self.0;
        let total = i64::from(pool.size());
        let idle = i64::try_from(pool.num_idle()).unwrap_or(i64::MAX).min(total);
        for (name, help, value) in [
            ("database_connections", "Connections of the pool", total),
            ("database_connections_idle", "Connections not in use", idle),
            (
                "database_connections_maximum",
                "Connections that the pool may have",
                i64::from(pool.options().get_max_connections()),
            ),
            ("database_connections_in_use", "Connections in use", total - idle),
            (
                "database_connections_waiting",
                "Who waits for a connection",
                waiting.load(Ordering::Relaxed),
            ),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}
