//! To an OpenTelemetry collector: OTLP over HTTP, in protobuf.

use std::fmt;

use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, Uri, header};
use http_body_util::Full;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prost::Message;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::limits::EXPORT_LIMIT;
use crate::problem::Chain;
use yelb_resolver::Resolver;

/// A collector. It need not be there yet.
pub(super) struct Otlp {
    client: Client<HttpConnector<Resolver>, Full<Bytes>>,
    url: Uri,
    resource: ResourceAttributesWithSchema,
    runtime: Handle,
}

/// Why spans were not taken.
#[derive(Debug, thiserror::Error)]
enum OtlpError {
    #[error("the collector cannot be reached")]
    Unreachable(#[from] legacy::Error),
    #[error("the collector answered {0}")]
    Refused(StatusCode),
    #[error("the collector did not answer within {} s", EXPORT_LIMIT.as_secs())]
    Silent,
}

impl Otlp {
    /// The collector that takes traces at `url`.
    pub(super) fn new(url: Uri, resolver: Resolver, runtime: Handle) -> Self {
        let client =
            Client::builder(TokioExecutor::new()).build(HttpConnector::new_with_resolver(resolver));
        Self { client, url, resource: ResourceAttributesWithSchema::default(), runtime }
    }

    fn request(&self, batch: Vec<SpanData>) -> Request<Full<Bytes>> {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let message = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let mut request = Request::new(Full::from(message));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let protobuf = header::HeaderValue::from_static("application/x-protobuf");
        request.headers_mut().insert(header::CONTENT_TYPE, protobuf);
        request
    }
}

impl SpanExporter for Otlp {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let sending = post(self.client.clone(), self.request(batch));
        // On the runtime, which the thread that exports is not part of.
        let outcome = self.runtime.spawn(sending).await;
        let outcome = outcome.map_err(|error| OTelSdkError::InternalFailure(error.to_string()))?;
        outcome.map_err(|error| OTelSdkError::InternalFailure(Chain(&error).to_string()))
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

async fn post(
    client: Client<HttpConnector<Resolver>, Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<(), OtlpError> {
    let answer =
        timeout(EXPORT_LIMIT, client.request(request)).await.map_err(|_| OtlpError::Silent)??;
    if answer.status().is_success() { Ok(()) } else { Err(OtlpError::Refused(answer.status())) }
}

impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Otlp({})", self.url)
    }
}
