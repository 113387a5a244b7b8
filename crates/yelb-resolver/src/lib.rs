//! Short host names on ECS: `SEARCH_DOMAIN`, resolved in process.
//!
//! The original appends `search …` to `/etc/resolv.conf`, which needs root and a writable root file system. Here the
//! suffix is tried at look-up only: **the name that goes on the wire stays the short one**, because Envoy picks the
//! virtual service by the authority of the request.
//!
//! [`Host`], [`Endpoint`] and [`HttpEndpoint`] are what there is to look up, as settings name it.

mod endpoint;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;

pub use endpoint::{Endpoint, Host, HttpEndpoint};

/// Resolves host names, short ones under the search domains first. Cloning it clones a handle.
#[derive(Debug, Clone, Default)]
pub struct Resolver {
    search: Arc<[String]>,
}

/// A search domain that is no DNS domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a DNS domain such as example.local")]
pub struct InvalidDomain;

impl FromStr for Resolver {
    type Err = InvalidDomain;

    /// Reads one search domain, or several separated by spaces, as in resolv.conf(5).
    fn from_str(search: &str) -> Result<Self, InvalidDomain> {
        let domains: Vec<&str> = search.split_ascii_whitespace().collect();
        if domains.is_empty() || !domains.iter().all(|domain| is_domain(domain)) {
            return Err(InvalidDomain);
        }
        Ok(Self {
            search: domains.into_iter().map(|domain| domain.trim_matches('.').to_owned()).collect(),
        })
    }
}

impl Resolver {
    /// The addresses of `host`: those of its first name that has any.
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let mut failure = None;
        for name in self.candidates(host) {
            match tokio::net::lookup_host((name.as_str(), port)).await {
                Ok(addresses) => return Ok(addresses.collect()),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| io::Error::from(io::ErrorKind::NotFound)))
    }

    /// The full name under which `host` resolves now, for drivers that look names up by themselves.
    ///
    /// A name that does not resolve at all comes back as it is, and the driver's own error tells of it.
    pub async fn qualify(&self, host: &str) -> String {
        for name in self.candidates(host) {
            if tokio::net::lookup_host((name.as_str(), 0)).await.is_ok() {
                return name;
            }
        }
        host.to_owned()
    }

    fn candidates(&self, host: &str) -> Vec<String> {
        let short = !host.contains('.') && host != "localhost" && host.parse::<IpAddr>().is_err();
        let suffixed =
            self.search.iter().filter(|_| short).map(|domain| format!("{host}.{domain}"));
        suffixed.chain([host.to_owned()]).collect()
    }
}

/// Whether `text` is a domain by the letters that RFC 1123 section 2.1 allows, underscores included.
fn is_domain(text: &str) -> bool {
    let labels = text.trim_matches('.').split('.');
    text.len() <= 253
        && labels.into_iter().all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        })
}

/// The look-up of hyper's connector: addresses by our rules, while the request keeps its authority.
impl tower::Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.clone();
        // The connector puts the port of the request in place of 0.
        Box::pin(async move { resolver.resolve(name.as_str(), 0).await.map(Vec::into_iter) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolver(search: &str) -> Resolver {
        search.parse().expect("a domain")
    }

    #[test]
    fn a_short_name_is_tried_under_the_domain_first() {
        let resolver = resolver("green.example.local");
        assert_eq!(resolver.candidates("yelb-db"), ["yelb-db.green.example.local", "yelb-db"]);
    }

    #[test]
    fn full_names_addresses_and_localhost_are_left_alone() {
        let resolver = resolver("example.local");
        for host in ["db.example.com", "10.0.0.1", "::1", "localhost"] {
            assert_eq!(resolver.candidates(host), [host]);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for nonsense in ["a b/c", "-..-", "exa mple!", " "] {
            assert!(nonsense.parse::<Resolver>().is_err(), "{nonsense}");
        }
    }

    #[tokio::test]
    async fn what_does_not_resolve_under_the_domain_resolves_without_it() {
        let resolver = resolver("does-not-exist.invalid");
        let addresses = resolver.resolve("localhost", 80).await.expect("it resolves");
        assert!(addresses.iter().all(|address| address.port() == 80));
        assert_eq!(resolver.qualify("nowhere").await, "nowhere");
    }
}
