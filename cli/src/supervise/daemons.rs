//! The four daemons of one host, and what each is told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use zeitwork_auth::api_key::ApiKey;
use zeitwork_database::login::Role;
use zeitwork_database::{join, projects};
use zeitwork_runtime::config::Settings;
use zeitwork_secrets::master::MasterKey;
use zeitwork_secrets::seal::PrivateKey;

use super::daemon::Daemon;
use super::database::{Prepared, give_login};
use super::home::{Account, Home, write_secret};
use super::{node_name, ports, secret};

/// What every program may know of the host.
const INHERITED: &[&str] = &[
    "PATH",
    "LANG",
    "TZ",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
/// Settings that all daemons may read.
const COMMON: &[&str] = &["ZEITWORK_BASE_DOMAIN", "ZEITWORK_PUBLIC_URL"];
/// Name of the daemon that runs instances.
pub const NODE_AGENT: &str = "node-agent";
/// Time for requests and streams in flight when a daemon is stopped.
const STOP_LIMIT: Duration = Duration::from_secs(35);

/// Makes keys and logins and says what to run.
pub async fn plan(
    home: &Home,
    settings: &Settings,
    prepared: &Prepared,
    owner: &ApiKey,
) -> Result<Vec<Daemon>> {
    let master = master_key(home, settings, prepared).await?;
    let mut api = api(home, settings, prepared, &master).await?;
    let owner_file = home.directory("api", api.account)?.join("owner.key");
    write_secret(&owner_file, &owner.expose().to_owned().into(), api.account)?;
    set(&mut api, "ZEITWORK_OWNER_KEY_FILE", &owner_file.display().to_string());
    Ok(vec![
        api,
        operator(home, settings, prepared, &master).await?,
        edge(home, settings, prepared).await?,
        node(home, settings, prepared).await?,
    ])
}

async fn api(
    home: &Home,
    settings: &Settings,
    prepared: &Prepared,
    master: &Path,
) -> Result<Daemon> {
    let account = Account::numbered(0);
    let directory = home.directory("api", account)?;
    let mut daemon = daemon(home, "api", account, &directory)?;
    pass(
        &mut daemon,
        settings,
        &[
            "ZEITWORK_API_ADDRESS",
            "ZEITWORK_EDGE_HTTP_ADDRESS",
            "ZEITWORK_GITHUB_URL",
            "ZEITWORK_GIT_INSECURE_HOSTS",
            "ZEITWORK_GITHUB_APP_ID",
        ],
    );
    daemon.low_ports = ports::has_low(settings, "ZEITWORK_API_ADDRESS");
    login(&mut daemon, prepared, "zeitwork_api_login", Role::Api, &directory).await?;
    copy_secret(&mut daemon, "ZEITWORK_MASTER_KEY_FILE", master, &directory.join("master.key"))?;
    if let Some(secret) = secret(settings, "ZEITWORK_GITHUB_WEBHOOK_SECRET")? {
        let path = directory.join("github-webhook.secret");
        write_secret(&path, &secret, account)?;
        set(&mut daemon, "ZEITWORK_GITHUB_WEBHOOK_SECRET_FILE", &path.display().to_string());
    }
    Ok(daemon)
}

async fn operator(
    home: &Home,
    settings: &Settings,
    prepared: &Prepared,
    master: &Path,
) -> Result<Daemon> {
    let account = Account::numbered(1);
    let directory = home.directory("operator", account)?;
    let mut daemon = daemon(home, "operator", account, &directory)?;
    pass(
        &mut daemon,
        settings,
        &[
            "ZEITWORK_OPERATOR_ADDRESS",
            "ZEITWORK_EDGE_HTTP_ADDRESS",
            "ZEITWORK_GITHUB_URL",
            "ZEITWORK_GITHUB_API_URL",
            "ZEITWORK_GITHUB_APP_ID",
            "ZEITWORK_GIT_INSECURE_HOSTS",
        ],
    );
    login(&mut daemon, prepared, "zeitwork_operator_login", Role::Operator, &directory).await?;
    copy_secret(&mut daemon, "ZEITWORK_MASTER_KEY_FILE", master, &directory.join("master.key"))?;
    if let Some(path) = settings.raw("ZEITWORK_GITHUB_PRIVATE_KEY_FILE") {
        let copy = directory.join("github-app.pem");
        copy_secret(&mut daemon, "ZEITWORK_GITHUB_PRIVATE_KEY_FILE", Path::new(path), &copy)?;
    }
    Ok(daemon)
}

async fn edge(home: &Home, settings: &Settings, prepared: &Prepared) -> Result<Daemon> {
    let account = Account::numbered(2);
    let directory = home.directory("edge", account)?;
    let mut daemon = daemon(home, "edge-proxy", account, &directory)?;
    pass(
        &mut daemon,
        settings,
        &["ZEITWORK_API_ADDRESS", "ZEITWORK_EDGE_ADMIN_ADDRESS", "ZEITWORK_EDGE_HTTP_ADDRESS"],
    );
    daemon.low_ports = ports::has_low(settings, "ZEITWORK_EDGE_HTTP_ADDRESS");
    login(&mut daemon, prepared, "zeitwork_edge_login", Role::Edge, &directory).await?;
    Ok(daemon)
}

/// The agent stays what `zeitwork up` is: it needs the engine, the firewall and cgroups.
async fn node(home: &Home, settings: &Settings, prepared: &Prepared) -> Result<Daemon> {
    let directory = home.directory("node", Account::Own)?;
    let mut daemon = daemon(home, NODE_AGENT, Account::Own, &home.root)?;
    pass(
        &mut daemon,
        settings,
        &[
            "ZEITWORK_NODE_ADDRESS",
            "ZEITWORK_NETWORK_POOL",
            "ZEITWORK_EGRESS_ALLOW",
            "ZEITWORK_BUILD_DISK_FLOOR_MB",
            "ZEITWORK_GIT_INSECURE_HOSTS",
        ],
    );
    for name in ["DOCKER_HOST", "GIT_SSL_CAINFO"] {
        if let Ok(value) = std::env::var(name) {
            set(&mut daemon, name, &value);
        }
    }
    let key_file = settings
        .raw("ZEITWORK_NODE_KEY_FILE")
        .map_or_else(|| directory.join("node.key"), PathBuf::from);
    let key = PrivateKey::load_or_create(&key_file).context("the node's private key")?;
    let public_key = key.public();
    let mut connection = prepared.owner.acquire().await?;
    let name = match node_name::remembered(&directory)? {
        Some(name) => Some(name),
        None => join::name_of(&mut connection, public_key.as_bytes()).await?,
    };
    let name = node_name::choose(name, settings.raw("ZEITWORK_NODE_NAME"))?;
    let login_name = join::ensure(&mut connection, &name, public_key.as_bytes()).await?;
    drop(connection);
    node_name::remember(&directory, &name)?;
    set(&mut daemon, "ZEITWORK_NODE_NAME", &name);
    set(&mut daemon, "ZEITWORK_NODE_KEY_FILE", &key_file.display().to_string());
    login(&mut daemon, prepared, &login_name, Role::Node, &directory).await?;
    Ok(daemon)
}

fn daemon(home: &Home, name: &str, account: Account, directory: &Path) -> Result<Daemon> {
    let environment = INHERITED
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
        .chain([("ZEITWORK_STATE_DIR".to_owned(), directory.display().to_string())])
        .collect();
    Ok(Daemon {
        name: name.to_owned(),
        program: home.program(&format!("zeitwork-{name}"))?,
        arguments: Vec::new(),
        account,
        low_ports: false,
        environment,
        stop_limit: STOP_LIMIT,
    })
}

fn set(daemon: &mut Daemon, name: &str, value: &str) {
    daemon.environment.push((name.to_owned(), value.to_owned()));
}

fn pass(daemon: &mut Daemon, settings: &Settings, names: &[&str]) {
    for name in names.iter().chain(COMMON) {
        if let Some(value) = settings.raw(name) {
            set(daemon, name, value);
        }
    }
}

async fn login(
    daemon: &mut Daemon,
    prepared: &Prepared,
    login: &str,
    role: Role,
    directory: &Path,
) -> Result<()> {
    let file = give_login(prepared, login, role, directory, daemon.account).await?;
    set(daemon, "ZEITWORK_DATABASE_URL_FILE", &file.display().to_string());
    Ok(())
}

fn copy_secret(daemon: &mut Daemon, name: &str, from: &Path, to: &Path) -> Result<()> {
    let secret = std::fs::read_to_string(from).with_context(|| from.display().to_string())?;
    write_secret(to, &secret.into(), daemon.account)?;
    set(daemon, name, &to.display().to_string());
    Ok(())
}

/// The file of the master key: as given, else made once. Another than the one that the projects'
/// keys were wrapped with is refused: every deployment with a variable would fail, one by one.
async fn master_key(home: &Home, settings: &Settings, prepared: &Prepared) -> Result<PathBuf> {
    let path = settings
        .raw("ZEITWORK_MASTER_KEY_FILE")
        .map_or_else(|| home.state.join("master.key"), PathBuf::from);
    let is_new = !path.exists();
    let master = MasterKey::load_or_create(&path).context("the master key")?;
    let mut connection = prepared.owner.acquire().await?;
    let foreign = projects::keys_of_another_master(&mut connection, master.id()).await?;
    if foreign > 0 {
        if is_new {
            let _ = std::fs::remove_file(&path);
        }
        bail!(
            "{} {} the variables of {foreign} projects: put the master key of this installation \
             there (a backup has it), or set ZEITWORK_MASTER_KEY_FILE",
            path.display(),
            if is_new { "is not there, and without it nobody can open" } else { "does not open" },
        );
    }
    Ok(path)
}

/// The owner's key: as given, else made once and left in `owner.key`. The api stores its hash.
pub fn owner_key(home: &Home, settings: &Settings) -> Result<ApiKey> {
    use secrecy::ExposeSecret;
    let file = home.state.join("owner.key");
    if let Some(given) = secret(settings, "ZEITWORK_OWNER_KEY")? {
        return ApiKey::parse_given(given.expose_secret()).context("ZEITWORK_OWNER_KEY");
    }
    if let Ok(text) = std::fs::read_to_string(&file) {
        return ApiKey::parse_given(text.trim()).with_context(|| file.display().to_string());
    }
    let key = ApiKey::generate();
    write_secret(&file, &key.expose().to_owned().into(), Account::Own)?;
    Ok(key)
}

/// Where people find the owner's key; none: it was given itself, and stands in no file of theirs.
pub fn owner_key_file(home: &Home, settings: &Settings) -> Option<PathBuf> {
    match settings.raw("ZEITWORK_OWNER_KEY_FILE") {
        Some(file) => Some(PathBuf::from(file)),
        None if settings.is_set("ZEITWORK_OWNER_KEY") => None,
        None => Some(home.state.join("owner.key")),
    }
}
