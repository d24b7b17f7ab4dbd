//! Keeps requests that a user can influence out of private networks (SSRF).
//!
//! Three places, because each alone can be passed: the URL (scheme, literal addresses), the
//! answer of the name server, and, through [`GuardedResolver`], the very addresses that the
//! connection is made to, so that a name that answers differently the second time gains nothing.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

mod ranges;
#[cfg(test)]
mod tests;

pub use ranges::is_public;

/// A name server that takes longer does not answer.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);

/// Why a target is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// Not `https://`, and not listed as insecure.
    #[error("{0} must begin with https:// (or be listed in ZEITWORK_GIT_INSECURE_HOSTS)")]
    Scheme(String),
    /// User and password in the URL end up in logs and on disk.
    #[error("the URL must not contain a user or password")]
    Credentials,
    /// No host at all.
    #[error("the URL has no host")]
    NoHost,
    /// The address, or every address of the name, is private or special.
    #[error("{host} is at {address}, which is private or special and not allowed")]
    Private {
        /// As the URL says.
        host: String,
        /// The offending address.
        address: IpAddr,
    },
    /// The host is listed as insecure, but with another port.
    #[error("{0} is listed in ZEITWORK_GIT_INSECURE_HOSTS with other ports only")]
    Port(HostPort),
    /// The name has no address, or no name server answers.
    #[error("{0} has no address")]
    Unresolvable(String),
}

/// `host:port` as in `ZEITWORK_GIT_INSECURE_HOSTS`; IPv6 in brackets; lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// The text is no `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must have the form host:port")]
pub struct InvalidHostPort;

impl FromStr for HostPort {
    type Err = InvalidHostPort;
    fn from_str(text: &str) -> Result<Self, InvalidHostPort> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidHostPort)?;
        let host = Host::parse(host).map_err(|_| InvalidHostPort)?.to_string();
        let port = port.parse().map_err(|_| InvalidHostPort)?;
        Ok(Self { host: without_dot(&host), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A target whose addresses were looked at; connect to these and to no others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedTarget {
    /// The host as the URL says, for TLS and the Host header.
    pub host: String,
    /// At least one.
    pub addresses: Vec<SocketAddr>,
}

/// What requests on behalf of users may reach; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Guard(Arc<Rules>);

#[derive(Debug, Default)]
struct Rules {
    allow: Vec<IpNetwork>,
    insecure: Vec<HostPort>,
}

impl Guard {
    /// Public addresses over TLS, besides networks in `allow`, and besides `insecure` hosts,
    /// which may be spoken to without TLS and at any address.
    #[must_use]
    pub fn new(allow: Vec<IpNetwork>, insecure: Vec<HostPort>) -> Self {
        Self(Arc::new(Rules { allow, insecure }))
    }

    /// Checks all that the URL alone shows. Cheap; also for validating input.
    ///
    /// # Errors
    /// Why it is refused, readable by the user who gave it.
    pub fn check_url(&self, url: &Url) -> Result<(), GuardError> {
        let target = target_of(url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(GuardError::Credentials);
        }
        if self.0.insecure.contains(&target) && matches!(url.scheme(), "http" | "https") {
            return Ok(());
        }
        if url.scheme() != "https" {
            return Err(GuardError::Scheme(url.origin().ascii_serialization()));
        }
        // The resolver of a connection sees names without ports, so a listed name is open to it
        // whatever the port: the port has to be held here.
        if self.is_listed_name(&target.host) {
            return Err(GuardError::Port(target));
        }
        match literal(url) {
            Some(address) => self.check_address(&target.host, address),
            None => Ok(()),
        }
    }

    /// Checks the URL and all its addresses. One refused address refuses the target.
    ///
    /// # Errors
    /// Why it is refused, readable by the user who gave it.
    pub async fn resolve(&self, url: &Url) -> Result<CheckedTarget, GuardError> {
        self.check_url(url)?;
        let HostPort { host, port } = target_of(url)?;
        let found = match literal(url) {
            Some(address) => vec![address],
            None => self.lookup(&host).await?,
        };
        let addresses = found.into_iter().map(|address| SocketAddr::new(address, port)).collect();
        Ok(CheckedTarget { host, addresses })
    }

    /// The resolver for connections: refuses at the moment of connecting.
    #[must_use]
    pub fn resolver(&self) -> GuardedResolver {
        GuardedResolver(self.clone())
    }

    async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, GuardError> {
        let unresolvable = || GuardError::Unresolvable(host.to_owned());
        let answer = tokio::time::timeout(RESOLVE_LIMIT, tokio::net::lookup_host((host, 0))).await;
        let found = answer.ok().and_then(Result::ok).ok_or_else(unresolvable)?;
        let addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        if addresses.is_empty() {
            return Err(unresolvable());
        }
        if !self.is_listed_name(host) {
            addresses.iter().try_for_each(|&address| self.check_address(host, address))?;
        }
        Ok(addresses)
    }

    fn check_address(&self, host: &str, address: IpAddr) -> Result<(), GuardError> {
        let plain = address.to_canonical();
        if is_public(plain) || self.0.allow.iter().any(|network| network.contains(plain)) {
            return Ok(());
        }
        Err(GuardError::Private { host: host.to_owned(), address })
    }

    fn is_listed_name(&self, host: &str) -> bool {
        self.0.insecure.iter().any(|listed| listed.host == host)
    }
}

fn target_of(url: &Url) -> Result<HostPort, GuardError> {
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(GuardError::NoHost)?;
    let scheme = || GuardError::Scheme(url.origin().ascii_serialization());
    let port = url.port_or_known_default().ok_or_else(scheme)?;
    Ok(HostPort { host: without_dot(&host.to_ascii_lowercase()), port })
}

/// `example.com.` and `example.com` are one name.
fn without_dot(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_owned()
}

fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(name) => name.parse().ok(),
    }
}

/// Resolves names for an HTTP client and refuses what the guard refuses.
#[derive(Debug, Clone)]
pub struct GuardedResolver(Guard);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let host = without_dot(&name.as_str().to_ascii_lowercase());
            let addresses = guard.lookup(&host).await?;
            let all: Addrs = Box::new(addresses.into_iter().map(|it| SocketAddr::new(it, 0)));
            Ok(all)
        })
    }
}
