//! The database: whether it answers, what we may do there, its schema and its clock.

use std::time::Duration;

use secrecy::SecretString;
use zeitwork_database::login::{self, Rights};
use zeitwork_database::{Database, PoolSettings, installation, migrate};
use zeitwork_postgres::Binaries;
use zeitwork_runtime::Clock;

use super::{Finding, Outcome};
use crate::commands::owner::database_url;
use crate::session::Session;

const CHECK: &str = "database";
const ROLES: &str = "database roles";
const FUNCTIONS: &str = "database functions";
const SCHEMA: &str = "database schema";
const CLOCK: &str = "clock";
/// Deadlines are the database's; beyond this, times in logs no longer fit together.
const SKEW_HINT_MS: u128 = 2_000;
/// Beyond this, tokens for GitHub are refused.
const SKEW_WRONG_MS: u128 = 60_000;
const OLDEST_MAJOR: u32 = 15;

/// Looks at the database that is set, else at the private one.
pub async fn look(session: &Session) -> Vec<Finding> {
    let url = match database_url(session) {
        Ok(url) => url,
        Err(error) => {
            return vec![Finding::wrong(CHECK, format!("{error:#}"), "correct the setting")];
        }
    };
    match url {
        Some(url) => at(&url, session.settings().is_set("ZEITWORK_DATABASE_URL")).await,
        None => vec![private()],
    }
}

/// No server runs: can `zeitwork up` start one?
fn private() -> Finding {
    match Binaries::find() {
        Ok(_) => Finding::ok(CHECK, "private, started by `zeitwork up`"),
        Err(error) => Finding::wrong(
            CHECK,
            error.to_string(),
            "apt-get install postgresql, or set ZEITWORK_DATABASE_URL to a server of yours",
        ),
    }
}

async fn at(url: &SecretString, given: bool) -> Vec<Finding> {
    let settings = PoolSettings { acquire: Duration::from_secs(5), ..PoolSettings::default() };
    let looked = async {
        let database = Database::new(url, "zeitwork-doctor", &settings)?;
        let mut connection = database.acquire().await?;
        let rights = login::rights(&mut connection).await?;
        let before = Clock::system().now().unix_timestamp_nanos();
        let theirs = installation::now(&mut connection).await?.unix_timestamp_nanos();
        let after = Clock::system().now().unix_timestamp_nanos();
        let skew_ms = (theirs - i128::midpoint(before, after)).unsigned_abs() / 1_000_000;
        Ok::<_, zeitwork_database::Error>((database, rights, skew_ms))
    };
    let (database, rights, skew_ms) = match looked.await {
        Ok(looked) => looked,
        Err(error) => {
            let remedy = if given {
                "check ZEITWORK_DATABASE_URL, and that the server lets this host in"
            } else {
                "stop `zeitwork up` and start it again; its log is in <state>/log"
            };
            let detail = zeitwork_runtime::lifecycle::chain(&error);
            return vec![Finding::wrong(CHECK, detail, remedy)];
        }
    };
    let schema = migrate::check(&database).await.map_err(|error| error.to_string());
    // Before the schema is there nobody has closed anything.
    let functions = schema.is_ok().then(|| functions(&rights));
    let mut findings = vec![server(&rights), roles(&rights), of_schema(schema), clock(skew_ms)];
    findings.extend(functions);
    findings
}

fn server(rights: &Rights) -> Finding {
    let detail = format!(
        "PostgreSQL {}, database {}, login {}",
        rights.server_version, rights.database, rights.login
    );
    let major = rights.server_version.split('.').next().and_then(|it| it.parse::<u32>().ok());
    match major {
        Some(major) if major < OLDEST_MAJOR => {
            Finding::wrong(CHECK, detail, format!("update the server to {OLDEST_MAJOR} or newer"))
        }
        _ => Finding::ok(CHECK, detail),
    }
}

/// The statements that a superuser has to run where rights are missing.
pub fn roles(rights: &Rights) -> Finding {
    let login = quoted(&rights.login);
    let mut statements = Vec::new();
    if !rights.may_create_roles {
        statements.push(format!("alter role {login} createrole;"));
    }
    if !rights.may_create_schemas {
        statements
            .push(format!("grant create on database {} to {login};", quoted(&rights.database)));
    }
    if statements.is_empty() {
        return Finding::ok(ROLES, "each daemon and node gets a login of its own");
    }
    let detail =
        format!("{} may not make what the platform needs; run as a superuser:", rights.login);
    Finding { check: ROLES.to_owned(), outcome: Outcome::Wrong, detail, remedy: statements }
}

/// What a superuser has to close where the migrations were not run by one.
pub fn functions(rights: &Rights) -> Finding {
    match rights.open_functions {
        0 => Finding::ok(FUNCTIONS, "closed to the logins of daemons and nodes"),
        open => {
            let detail = format!(
                "{open} by which any login can stop or fill the database are open; run as a \
                 superuser in database {}:",
                rights.database
            );
            Finding::hint(FUNCTIONS, detail, login::CLOSE_FUNCTIONS)
        }
    }
}

/// A name as SQL writes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn of_schema(checked: Result<(), String>) -> Finding {
    match checked {
        Ok(()) => Finding::ok(SCHEMA, "up to date"),
        Err(detail) => {
            Finding::hint(SCHEMA, detail, "zeitwork migrate (`zeitwork up` does it too)")
        }
    }
}

/// How far this host's clock is from the database's.
pub fn clock(skew_ms: u128) -> Finding {
    let detail = format!("{skew_ms} ms from the database's");
    let remedy = "let both follow a time server: apt-get install systemd-timesyncd";
    match skew_ms {
        ..SKEW_HINT_MS => Finding::ok(CLOCK, detail),
        SKEW_HINT_MS..SKEW_WRONG_MS => Finding::hint(CLOCK, detail, remedy),
        _ => Finding::wrong(CLOCK, detail, remedy),
    }
}
