//! To X-Ray, over UDP: the daemon's protocol, which the OpenTelemetry collectors of AWS speak as well.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use opentelemetry::trace::{SpanKind, Status};
use opentelemetry::{KeyValue, Value};
use opentelemetry_aws::xray_exporter::{
    SegmentDocument, SegmentDocumentExporter, SegmentTranslator, XrayExporter,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::net::UdpSocket;
use tokio::time::sleep;
use yelb_resolver::{Endpoint, Resolver};

use super::delivery::Delivery;

/// What precedes each document.
const HEADER: &str = "{\"format\": \"json\", \"version\": 1}\n";

/// As many packets as fit a few times into a socket's buffer: Linux gives it 208 KiB, and counts over 2 KiB for a packet of one.
const BURST: usize = 32;
/// Long enough for a daemon to read a burst, and short enough for a delivery's limit to hold all that may wait to be sent.
const PAUSE: Duration = Duration::from_millis(5);

/// Spans as segments, to the daemon at `address`.
pub(super) fn exporter(address: Endpoint, resolver: Resolver) -> impl SpanExporter + 'static {
    let delivery = Delivery::new(&format_args!("xray at {address}"));
    let translator = SegmentTranslator::new()
        // Of a trace that others began, its id is theirs to choose; W3C's have no time in them.
        .skip_timestamp_validation()
        .with_indexed_attr("http.route".to_owned())
        .with_metadata_attr("db.operation.name".to_owned());
    Segments(XrayExporter::new(Daemon { address, resolver, delivery }).with_translator(translator))
}

/// Corrects spans before they are translated.
#[derive(Debug)]
struct Segments<E>(E);

impl<E: SpanExporter> SpanExporter for Segments<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        for span in &mut batch {
            drop_false_sql(span);
            mark_error(span);
        }
        self.0.export(batch).await
    }

    fn set_resource(&mut self, resource: &Resource) {
        // The translator takes everything that has a version for an application on Elastic Beanstalk.
        let others = resource.iter().filter(|(key, _)| key.as_str() != "service.version");
        let others = others.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        self.0.set_resource(&Resource::builder_empty().with_attributes(others).build());
    }
}

/// The translator takes every subsegment with an address for a call of an SQL database.
fn drop_false_sql(span: &mut SpanData) {
    let is_sql = |attribute: &KeyValue| {
        let system = attribute.key.as_str() == "db.system.name";
        system && matches!(&*attribute.value.as_str(), "postgresql" | "sqlite")
    };
    if span.span_kind != SpanKind::Server && !span.attributes.iter().any(is_sql) {
        let reads_as_sql = ["server.address", "server.port", "db.namespace", "db.system.name"];
        span.attributes.retain(|attribute| !reads_as_sql.contains(&attribute.key.as_str()));
    }
}

/// The translator marks `error`, `throttle` and `fault` by the answer's status, but only in a span that failed; a request
/// that our server refused has not, by OpenTelemetry's conventions. X-Ray counts both.
fn mark_error(span: &mut SpanData) {
    let refused = |attribute: &KeyValue| {
        let code = attribute.key.as_str() == "http.response.status_code";
        code && matches!(attribute.value, Value::I64(400..))
    };
    if span.status == Status::Unset && span.attributes.iter().any(refused) {
        span.status = Status::error("");
    }
}

/// The daemon. It may come later than we do, and elsewhere: its name is looked up for each batch.
#[derive(Debug)]
struct Daemon {
    address: Endpoint,
    resolver: Resolver,
    delivery: Delivery,
}

impl SegmentDocumentExporter for Daemon {
    type Error = io::Error;

    async fn export_segment_documents(&self, batch: Vec<SegmentDocument<'_>>) -> io::Result<()> {
        let packets: Vec<String> =
            batch.iter().map(|document| format!("{HEADER}{}", document.to_string())).collect();
        let (address, resolver) = (self.address.clone(), self.resolver.clone());
        let sending = async move {
            let found = resolver.resolve(address.host.as_str(), address.port).await?;
            send(preferred(&found)?, &packets).await
        };
        self.delivery.run(sending).await
    }
}

/// A sender is not told whether UDP arrives. A daemon listens on IPv4 unless it is told otherwise; `localhost` is both.
fn preferred(found: &[SocketAddr]) -> io::Result<SocketAddr> {
    let v4 = found.iter().find(|address| address.is_ipv4());
    Ok(*v4.or(found.first()).ok_or(io::ErrorKind::NotFound)?)
}

/// Sends all packets, and answers with the last failure: one that is too large does not hold up the others.
///
/// Not all at once: what does not fit into the daemon's buffer is dropped without a word.
async fn send(daemon: SocketAddr, packets: &[String]) -> io::Result<()> {
    let any: SocketAddr = match daemon {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // Not connected: a daemon that was down for a moment would be held against the packets after it.
    let socket = UdpSocket::bind(any).await?;
    let mut outcome = Ok(());
    for (number, burst) in packets.chunks(BURST).enumerate() {
        if number > 0 {
            sleep(PAUSE).await;
        }
        for packet in burst {
            if let Err(error) = socket.send_to(packet.as_bytes(), daemon).await {
                outcome = Err(error);
            }
        }
    }
    outcome
}
