//! Database logins: one for each daemon and for each node.

use secrecy::{ExposeSecret, SecretString};
use sqlx::PgConnection;

use crate::Result;

/// Which grants a login has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes wishes.
    Api,
    /// Decides.
    Operator,
    /// Reads routes, writes its own lease.
    Edge,
    /// Reads its target, calls the functions of the node channel.
    Node,
}

impl Role {
    /// The group role of the migrations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "zeitwork_api",
            Self::Operator => "zeitwork_operator",
            Self::Edge => "zeitwork_edge",
            Self::Node => "zeitwork_node",
        }
    }
}

/// Makes the login, or gives it a new password where it exists. Needs the right to make roles.
///
/// # Errors
/// Those of every statement.
pub async fn ensure(
    connection: &mut PgConnection,
    login: &str,
    role: Role,
    password: &SecretString,
) -> Result<()> {
    sqlx::query!(
        "select zw.create_login($1, $2, $3)",
        login,
        role.name(),
        password.expose_secret()
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// What a login of the given database may do, and what the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// The login that we are.
    pub login: String,
    /// The database that we are in.
    pub database: String,
    /// `15.8`.
    pub server_version: String,
    /// Whether it may make the logins of daemons and nodes.
    pub may_create_roles: bool,
    /// Whether it may make tables here.
    pub may_create_schemas: bool,
    /// Functions of the server by which every login can stop or fill the database, and that
    /// every login may still call.
    pub open_functions: i64,
}

/// Closes them; only a superuser can. The migrations do the same where they are run by one.
pub const CLOSE_FUNCTIONS: &str = "do $$ declare it regprocedure; begin for it in select oid from \
     pg_proc where pronamespace = 'pg_catalog'::regnamespace and (proname ~ \
     '^(pg_advisory|pg_try_advisory|pg_sleep|lo_)' or proname in ('lowrite', 'loread')) loop \
     execute format('revoke execute on function %s from public', it); end loop; end $$;";

/// What the login of this connection may do.
///
/// # Errors
/// Those of every statement.
pub async fn rights(connection: &mut PgConnection) -> Result<Rights> {
    let row = sqlx::query!(
        r#"select r.rolname::text as "login!", current_database()::text as "database!",
            current_setting('server_version') as "server_version!",
            (r.rolsuper or r.rolcreaterole) as "may_create_roles!",
            has_database_privilege(current_database(), 'create') as "may_create_schemas!",
            (select count(*) from pg_proc p
             where p.pronamespace = 'pg_catalog'::regnamespace
                and (p.proname ~ '^(pg_advisory|pg_try_advisory|pg_sleep|lo_)'
                     or p.proname in ('lowrite', 'loread'))
                and has_function_privilege('public', p.oid, 'execute')) as "open_functions!"
        from pg_roles r
        where r.rolname = current_user"#
    )
    .fetch_one(connection)
    .await?;
    Ok(Rights {
        login: row.login,
        database: row.database,
        server_version: row.server_version,
        may_create_roles: row.may_create_roles,
        may_create_schemas: row.may_create_schemas,
        open_functions: row.open_functions,
    })
}
