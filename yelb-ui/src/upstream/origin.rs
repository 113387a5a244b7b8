//! Where the app server is, and how it is spoken to.

use std::io;
use std::sync::Arc;

use axum::http::uri::{Authority, PathAndQuery};
use axum::http::{HeaderValue, Uri};
use hyper_rustls::ConfigBuilderExt;
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use yelb_resolver::{Endpoint, Host, HttpEndpoint};

/// The app server's address, in all the forms that requests need. Cloning it clones handles.
#[derive(Debug, Clone)]
pub struct Origin {
    endpoint: HttpEndpoint,
    /// What goes into `Host`, by which Envoy picks the virtual service.
    host: HeaderValue,
    authority: Authority,
    url: Uri,
    tls: Option<Tls>,
}

#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Origin {
    /// The app server at `endpoint`. With TLS, its certificate has to be of an authority that this system trusts
    /// (`SSL_CERT_FILE`).
    pub fn new(endpoint: HttpEndpoint) -> io::Result<Self> {
        let HttpEndpoint { tls, endpoint: server, path } = &endpoint;
        let authority = match (tls, server.port) {
            (true, 443) => server.host.to_string(),
            _ => server.to_string(),
        };
        let scheme = if *tls { "https" } else { "http" };
        let url = format!("{scheme}://{authority}{path}").parse().map_err(invalid)?;
        Ok(Self {
            host: HeaderValue::from_str(&authority).map_err(invalid)?,
            authority: authority.parse().map_err(invalid)?,
            url,
            tls: tls.then(|| Tls::to(&server.host)).transpose()?,
            endpoint,
        })
    }

    /// The URL before `/api`.
    pub(crate) fn url(&self) -> &Uri {
        &self.url
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> Authority {
        self.authority.clone()
    }

    /// The value of `Host`.
    pub(crate) fn host(&self) -> HeaderValue {
        self.host.clone()
    }

    /// The host, as it is looked up, and the port.
    pub(super) fn host_and_port(&self) -> (&str, u16) {
        let Endpoint { host, port } = &self.endpoint.endpoint;
        (host.as_str(), *port)
    }

    /// The same path and query, to the byte, behind the path of the app server.
    pub(crate) fn target(&self, sent: &Uri) -> Option<Uri> {
        let path = sent.path_and_query()?;
        if self.endpoint.path.is_empty() {
            return Some(Uri::from(path.clone()));
        }
        let path: PathAndQuery = format!("{}{path}", self.endpoint.path).parse().ok()?;
        Some(Uri::from(path))
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Greets the app server on a new connection; its certificate is verified.
    pub(super) async fn encrypt<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let tls = self.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        tls.connector.connect(tls.name.clone(), stream).await
    }
}

impl Tls {
    fn to(host: &Host) -> io::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().map_err(invalid)?;
        let mut config = config.with_native_roots()?.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(host.as_str().to_owned()).map_err(invalid)?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tls").field(&self.name).finish()
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::appserver;

    fn origin(url: &str) -> Origin {
        Origin::new(appserver(url).unwrap()).unwrap()
    }

    #[test]
    fn the_host_is_told_with_its_port_unless_it_is_that_of_https() {
        for (url, host) in [
            ("http://yelb-appserver", "yelb-appserver:4567"),
            ("http://a:80", "a:80"),
            ("https://a", "a"),
            ("https://a:4567", "a:4567"),
            ("http://[::1]", "[::1]:4567"),
        ] {
            assert_eq!(origin(url).host(), host, "{url}");
        }
    }

    #[test]
    fn the_path_of_the_app_server_comes_first() {
        let sent = Uri::from_static("/api//x/%69?y=%zz");
        assert_eq!(origin("http://a").target(&sent).unwrap(), sent);
        assert_eq!(origin("http://a/v1/").target(&sent).unwrap(), "/v1/api//x/%69?y=%zz");
        let absolute = Uri::from_static("http://elsewhere/api/ihop?x");
        assert_eq!(origin("http://a").target(&absolute).unwrap(), "/api/ihop?x");
    }
}
