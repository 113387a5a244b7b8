//! One attempt at a request, and what can go wrong with it.

use std::error::Error;
use std::iter::successors;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::USER_AGENT;
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, Builder, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

use super::counts::Counts;
use super::options::LoadOptions;

const AGENT: &str = concat!("yelb-load/", env!("CARGO_PKG_VERSION"));
/// More than a poll of a thousand restaurants fills.
const MOST_BYTES: usize = 256 * 1024;
/// An idle connection is closed here before the server closes it (ours after 75 s, the original after 20 s), so that no
/// request is written to a connection that the server is closing.
const IDLE_LIMIT: Duration = Duration::from_secs(15);

/// Why an attempt was no success.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// There was no connection, so the request was not sent.
    #[error("{0}")]
    NotConnected(String),
    #[error("timeout")]
    Timeout,
    /// The connection ended before the response did.
    #[error("connection lost")]
    ConnectionLost,
    #[error("status {}", .0.as_u16())]
    Status(StatusCode),
    /// A success without what was asked for.
    #[error("unexpected body")]
    UnexpectedBody,
}

impl Failure {
    /// Whether the server refuses the request for good: sending it again changes nothing.
    pub(crate) fn is_final(&self) -> bool {
        let passing = |status: &StatusCode| matches!(status.as_u16(), 408 | 425 | 429);
        matches!(self, Self::Status(status) if status.is_client_error() && !passing(status))
    }
}

fn failure(error: &legacy::Error) -> Failure {
    if !error.is_connect() {
        return Failure::ConnectionLost;
    }
    // The last error of the chain: what the operating system or TLS said.
    let cause = successors(error.source(), |cause| (*cause).source()).last();
    Failure::NotConnected(cause.map_or_else(|| error.to_string(), ToString::to_string))
}

/// Sends requests to the target, each once.
pub(crate) struct Client {
    http: legacy::Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    limit: Duration,
    getvotes: Uri,
}

impl Client {
    /// A client of the target that the options name.
    pub(crate) fn new(options: &LoadOptions) -> anyhow::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // A request is small and whole: waiting to fill a segment only delays it.
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(options)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let http = Builder::new(TokioExecutor::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .pool_max_idle_per_host(options.connections)
            // The pool repeats only what it has not begun to write, because an idle connection was closed just then.
            // A request that may have reached the server is never repeated: its failure is returned.
            .retry_canceled_requests(true)
            .build(connector);
        Ok(Self { http, limit: options.timeout, getvotes: options.api("getvotes") })
    }

    /// Votes; the restaurant's new count.
    pub(crate) async fn vote(&self, restaurant: Uri, key: Option<&str>) -> Result<u64, Failure> {
        let body = self.get(restaurant, key).await?;
        let text = std::str::from_utf8(&body).ok();
        text.and_then(|text| text.trim().parse().ok()).ok_or(Failure::UnexpectedBody)
    }

    /// Reads the counts.
    pub(crate) async fn counts(&self) -> Result<Counts, Failure> {
        let body = self.get(self.getvotes.clone(), None).await?;
        Counts::from_body(&body).ok_or(Failure::UnexpectedBody)
    }

    async fn get(&self, uri: Uri, key: Option<&str>) -> Result<Bytes, Failure> {
        let mut request = Request::get(uri).header(USER_AGENT, AGENT);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(Empty::new()).expect("keys are of visible ASCII characters");
        timeout(self.limit, self.exchange(request)).await.unwrap_or(Err(Failure::Timeout))
    }

    async fn exchange(&self, request: Request<Empty<Bytes>>) -> Result<Bytes, Failure> {
        let response = self.http.request(request).await.map_err(|error| failure(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
        let body = body.map_err(|_| Failure::ConnectionLost)?.to_bytes();
        if status.is_success() { Ok(body) } else { Err(Failure::Status(status)) }
    }
}

/// The system's certificate authorities, unless the target has no use for them.
fn tls(options: &LoadOptions) -> anyhow::Result<ClientConfig> {
    let provider = rustls::crypto::ring::default_provider();
    let tls = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()?;
    let tls = if options.url.scheme() == "https" {
        tls.with_native_roots().context("no certificate authorities: set SSL_CERT_FILE")?
    } else {
        tls.with_root_certificates(RootCertStore::empty())
    };
    Ok(tls.with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_for_good_is_final() {
        let failure = |status: u16| Failure::Status(StatusCode::from_u16(status).unwrap());
        assert!([400, 404, 422].into_iter().all(|status| failure(status).is_final()));
        assert!(
            ![302, 408, 425, 429, 500, 503].into_iter().any(|status| failure(status).is_final())
        );
        assert!(!Failure::Timeout.is_final());
    }
}
