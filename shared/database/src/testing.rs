//! A private server for the tests of one process, and a database of its own for each test.
#![allow(clippy::expect_used, clippy::panic, reason = "a test without its database cannot go on")]

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use secrecy::SecretString;
use sqlx::PgConnection;
use tokio::sync::OnceCell;
use zeitwork_postgres::{Binaries, Durability, Options, Server};

use crate::login::{self, Role};
use crate::{Database, PoolSettings, migrate};

/// Migrated once, then cloned.
const TEMPLATE: &str = "template_zeitwork";
/// Of the directories under the system's temporary one.
const PREFIX: &str = "zw-pg-";
const PASSWORD: &str = "testing";
/// The login of whoever owns everything: the test's own hands.
const OWNER: &str = "zeitwork";
/// What those wait for; a test that plays a daemon has the daemon's limits.
const OWN_LIMIT: Duration = Duration::from_mins(1);

static SERVER: OnceCell<Server> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(1);

/// A fresh database with the current schema, on a server that ends with this process.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    server: &'static Server,
    /// As the owner of everything.
    pub owner: Database,
}

impl TestDatabase {
    /// Clones the template; the first call in a process starts the server.
    ///
    /// # Panics
    /// Where PostgreSQL cannot be started: the message says what to install.
    pub async fn create() -> Self {
        let server = SERVER.get_or_init(start).await;
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let admin = connect(server, "postgres", OWNER);
        clone_template(&admin, &name).await;
        let owner = connect(server, &name, OWNER);
        Self { name, server, owner }
    }

    /// Address of the database for a login.
    #[must_use]
    pub fn url(&self, login: &str) -> SecretString {
        self.server.url(&self.name, login, Some(PASSWORD)).into()
    }

    /// The database as a daemon's role sees it (not for nodes: see [`TestDatabase::node`]).
    pub async fn role(&self, role: Role) -> Database {
        self.login(&format!("{}_{}", role.name(), self.name), role).await
    }

    /// Address of the database for a daemon's role, whose login is made.
    pub async fn role_url(&self, role: Role) -> SecretString {
        let login = format!("{}_{}", role.name(), self.name);
        self.login(&login, role).await.close().await;
        self.url(&login)
    }

    /// The database as the login of a node sees it; the caller writes the login into `nodes`.
    pub async fn node(&self, login: &str) -> Database {
        self.login(login, Role::Node).await
    }

    /// Runs a script as the owner: what a test puts there in the name of other daemons.
    ///
    /// # Panics
    /// When the server does not answer or refuses the script.
    pub async fn run(&self, script: impl Into<String>) {
        let mut connection = self.owner.acquire().await.expect("the test database answers");
        sqlx::raw_sql(sqlx::AssertSqlSafe(script.into()))
            .execute(&mut *connection)
            .await
            .expect("the test's own script");
    }

    async fn login(&self, login: &str, role: Role) -> Database {
        let mut connection = self.owner.acquire().await.expect("the test database answers");
        login::ensure(&mut connection, login, role, &PASSWORD.into())
            .await
            .expect("a login is made");
        connect(self.server, &self.name, login)
    }
}

/// Carries statements out: for what no daemon does (time that passes, parts that a test plays).
///
/// # Panics
/// Where one fails.
pub async fn execute(database: &Database, statements: &str) {
    let mut connection = database.acquire().await.expect("the test database answers");
    execute_in(&mut connection, statements).await;
}

/// Runs statements on a connection of the test's own, in a transaction that it holds, say.
///
/// # Panics
/// Where one fails.
pub async fn execute_in(connection: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()))
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{statements}: {error}"));
}

/// The only column of a query as texts; null is the empty text.
///
/// # Panics
/// Where the query fails.
pub async fn texts(database: &Database, query: &str) -> Vec<String> {
    let mut connection = database.acquire().await.expect("the test database answers");
    let query = format!("select coalesce(it::text, '') from ({query}) as rows (it)");
    sqlx::query_scalar(sqlx::AssertSqlSafe(query.clone()))
        .fetch_all(&mut *connection)
        .await
        .unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// How the database would find the rows of a query, were its tables too large to read whole.
///
/// # Panics
/// Where the query cannot be planned.
pub async fn plan(database: &Database, query: &str) -> serde_json::Value {
    let mut transaction = database.begin().await.expect("the test database answers");
    execute_in(&mut transaction, "set local enable_seqscan = off").await;
    let query = format!("explain (format json) {query}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(query.clone()))
        .fetch_one(&mut *transaction)
        .await
        .unwrap_or_else(|error| panic!("{query}: {error}"))
}

fn connect(server: &Server, database: &str, login: &str) -> Database {
    let url = server.url(database, login, Some(PASSWORD)).into();
    let mut settings = PoolSettings { connections: 5, ..PoolSettings::default() };
    if login == OWNER {
        settings.acquire = OWN_LIMIT;
        settings.statement = OWN_LIMIT;
    }
    Database::new(&url, "test", &settings).expect("our own address can be read")
}

async fn clone_template(admin: &Database, name: &str) {
    // The name is ours and made of letters, digits and underscores.
    let statement = format!("create database {name} template {TEMPLATE}");
    let mut connection = admin.acquire().await.expect("the test server answers");
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(&mut *connection)
        .await
        .expect("the template is cloned");
    drop(connection);
    admin.close().await;
}

async fn start() -> Server {
    let (sender, receiver) = mpsc::channel();
    // The server ends with the thread that started it: this one lives as long as the process.
    std::thread::spawn(move || {
        remove_leftovers();
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir().expect("a directory");
        let path = directory.keep();
        let _ = sender.send(launch(&path));
        loop {
            std::thread::park();
        }
    });
    let server = receiver.recv().expect("the thread answers").unwrap_or_else(|e| panic!("{e}"));
    let admin = connect(&server, "postgres", OWNER);
    let mut connection = admin.acquire().await.expect("the test server answers");
    sqlx::query(sqlx::AssertSqlSafe(format!("create database {TEMPLATE}")))
        .execute(&mut *connection)
        .await
        .expect("the template is made");
    drop(connection);
    let template = connect(&server, TEMPLATE, OWNER);
    migrate::run(&template).await.expect("the migrations apply");
    template.close().await;
    admin.close().await;
    server
}

/// Directories of servers whose process is gone: a server that was stopped removed its pid file.
fn remove_leftovers() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let ours = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(PREFIX));
        let initialised = path.join("data/pg_hba.conf").exists();
        if ours && initialised && !path.join("data/postmaster.pid").exists() && is_old(&path) {
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

/// Older than the time that a server needs between its files and its pid file.
fn is_old(path: &Path) -> bool {
    let age = path.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age > Duration::from_mins(1))
}

fn launch(path: &Path) -> Result<Server, zeitwork_postgres::Error> {
    use std::os::unix::fs::PermissionsExt;
    // The server's user must be able to pass.
    let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755));
    let options = Options {
        data: path.join("data"),
        socket: path.join("s"),
        durability: Durability::None,
        connections: 300,
        die_with_parent: true,
        passwords: false,
    };
    Server::start(&Binaries::find()?, &options)
}

/// Longest that a test waits for a fact before it fails.
pub const FACT_LIMIT: Duration = Duration::from_secs(20);
