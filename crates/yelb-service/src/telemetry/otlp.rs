//! To an OpenTelemetry collector: OTLP over HTTP, in protobuf.

use std::io;

use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::trace::SpanExporter;
use yelb_resolver::Resolver;

use super::delivery::{self, Delivery};

/// The longest answer that is read: a collector has little to say.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Spans by OTLP, to the collector that takes traces at `url`.
///
/// The SDK's crate reads `OTEL_EXPORTER_OTLP_HEADERS` besides. A batch is sent once: a lost trace is no lost vote.
pub(super) fn exporter(url: &Uri, resolver: Resolver) -> impl SpanExporter + 'static {
    let delivery = Delivery::new(&format_args!("otlp at {url}"));
    let connector = HttpConnector::new_with_resolver(resolver);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(Collector { client, delivery })
        .with_endpoint(url.to_string())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(delivery::LIMIT)
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .expect("the endpoint is a URL, and there is a client")
}

/// A collector. It need not be there yet.
#[derive(Debug)]
struct Collector {
    client: Client<HttpConnector<Resolver>, Full<Bytes>>,
    delivery: Delivery,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.client.request(request.map(Full::new));
        let sending = async {
            let (head, body) = answer.await.map_err(io::Error::other)?.into_parts();
            if !head.status.is_success() {
                return Err(io::Error::other(format!("the collector answered {}", head.status)));
            }
            let body = Limited::new(body, LONGEST_ANSWER).collect().await;
            Ok(Response::from_parts(head, body.map_err(io::Error::other)?.to_bytes()))
        };
        Ok(self.delivery.run(sending).await?)
    }
}
