//! The edge's settings.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::thread::available_parallelism;

use hyper::Uri;
use secrecy::SecretString;
use zeitwork_runtime::config::{Common, ConfigError, Settings};

use crate::limits::Limits;
use crate::routes::host;

/// More workers than this only cost memory on one host.
const WORKERS: usize = 16;

/// What an edge is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Traffic addresses.
    pub http: Vec<SocketAddr>,
    /// Addresses of health and metrics.
    pub admin: Vec<SocketAddr>,
    /// Where its directory stands.
    pub state_dir: PathBuf,
    /// The database; none: it serves what is on disk.
    pub database_url: Option<SecretString>,
    /// Hosts that the configuration routes: the public URL's, to the api.
    pub fixed: Vec<(String, SocketAddr)>,
    /// Name of the edge for people.
    pub name: String,
    /// Worker threads.
    pub workers: usize,
    /// Bounds of the request path.
    pub limits: Limits,
}

impl Config {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Every mistake at once.
    pub fn read(settings: &Settings) -> Result<Self, ConfigError> {
        let common = Common::read(settings);
        let http = settings.list::<SocketAddr>("ZEITWORK_EDGE_HTTP_ADDRESS");
        let admin = settings.list::<SocketAddr>("ZEITWORK_EDGE_ADMIN_ADDRESS");
        let api = settings.list::<SocketAddr>("ZEITWORK_API_ADDRESS");
        let public = settings.optional::<Uri>("ZEITWORK_PUBLIC_URL");
        let name = settings.optional::<String>("ZEITWORK_NODE_NAME");
        if http.as_ref().is_ok_and(Vec::is_empty) {
            settings.note("ZEITWORK_EDGE_HTTP_ADDRESS", "names no address");
        }
        let host = public.as_ref().ok().and_then(Option::as_ref).map(public_host);
        if host == Some(None) {
            settings.note("ZEITWORK_PUBLIC_URL", "is no URL with a host");
        }
        settings.finish()?;
        let common = common?;
        let api = api?.first().copied().map(reachable);
        let fixed = host.flatten().zip(api).into_iter().collect();
        Ok(Self {
            http: http?,
            admin: admin?,
            state_dir: common.state_dir,
            database_url: common.database_url,
            fixed,
            name: name?.unwrap_or_else(|| "edge".to_owned()),
            workers: available_parallelism().map_or(1, usize::from).min(WORKERS),
            limits: Limits::default(),
        })
    }
}

fn public_host(url: &Uri) -> Option<String> {
    Some(host::parse(url.host()?)?.name.into_owned())
}

/// "All addresses" is nothing that one can connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            SocketAddr::from((Ipv4Addr::LOCALHOST, v4.port()))
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            SocketAddr::from((Ipv6Addr::LOCALHOST, v6.port()))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use zeitwork_runtime::config::Sources;

    use super::*;

    fn read(all: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(&Sources::new().with_environment(all.iter().copied()).load())
    }

    #[test]
    fn the_public_host_leads_to_the_api() {
        let config = read(&[
            ("ZEITWORK_PUBLIC_URL", "https://Zeitwork.Example.com:8443/"),
            ("ZEITWORK_API_ADDRESS", "0.0.0.0:7070,[::1]:7071"),
            ("ZEITWORK_EDGE_HTTP_ADDRESS", "127.0.0.1:0,[::1]:0"),
        ])
        .unwrap();
        let api = "127.0.0.1:7070".parse().unwrap();
        assert_eq!(config.fixed, [("zeitwork.example.com".to_owned(), api)]);
        assert_eq!(config.http.len(), 2);
    }

    #[test]
    fn all_mistakes_are_said_at_once() {
        let error = read(&[
            ("ZEITWORK_PUBLIC_URL", "/path"),
            ("ZEITWORK_EDGE_HTTP_ADDRESS", ""),
            ("ZEITWORK_EDGE_ADMIN_ADDRESS", "nowhere"),
        ])
        .unwrap_err();
        assert_eq!(error.0.len(), 3, "{error}");
    }
}
