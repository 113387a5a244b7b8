//! To an OpenTelemetry collector: OTLP over HTTP.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message;
use testbed::xray::Daemon;
use testbed::{PATIENCE, eventually, http};

use crate::Yelb;
use crate::server::Server;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// The messages that a collector has got.
fn messages(collector: &Server) -> Vec<ExportTraceServiceRequest> {
    let requests = collector.requests();
    let message = |request: &crate::server::Request| {
        assert_eq!(request.line, "POST /v1/traces HTTP/1.1");
        assert_eq!(request.field("content-type"), Some("application/x-protobuf"));
        ExportTraceServiceRequest::decode(&*request.body).expect("a collector gets protobuf")
    };
    requests.iter().map(message).collect()
}

/// All spans that it has got, with the name of who sent them.
fn spans(collector: &Server) -> Vec<(String, Span)> {
    let resources = messages(collector).into_iter().flat_map(|message| message.resource_spans);
    let of_resource = resources.flat_map(|spans| {
        let sender = text(&spans.resource.unwrap().attributes, "service.name").unwrap();
        let spans = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.map(move |span| (sender.clone(), span)).collect::<Vec<_>>()
    });
    of_resource.collect()
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[test]
fn a_vote_is_one_trace_down_to_the_database() {
    let collector = Server::start();
    let endpoint = format!("http://{}", collector.address());
    let yelb = Yelb::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
    ]);
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    http::request(yelb.page, "POST", "/api/chipotle", &[("traceparent", &traceparent)], b"");
    eventually(PATIENCE, "the whole trace is sent", || spans(&collector).len() >= 4);
    yelb.stop();

    let spans = spans(&collector);
    let described: Vec<_> =
        spans.iter().map(|(sender, span)| (&**sender, &*span.name, span.kind())).collect();
    let expected = [
        ("yelb-ui", "POST /api/{*path}", SpanKind::Server),
        ("yelb-ui", "POST", SpanKind::Client),
        ("yelb-appserver", "POST /api/chipotle", SpanKind::Server),
        ("yelb-appserver", "UPDATE restaurants", SpanKind::Client),
    ];
    assert_eq!(described.len(), expected.len(), "{described:?}");
    let mut parent = PARENT.to_owned();
    for hop in expected {
        let (_, span) = &spans[described.iter().position(|span| *span == hop).unwrap()];
        assert_eq!(hex(&span.trace_id), TRACE, "{hop:?}");
        assert_eq!(hex(&span.parent_span_id), parent, "{hop:?}");
        parent = hex(&span.span_id);
    }
    let store = &spans[described.iter().position(|span| *span == expected[3]).unwrap()].1;
    let port = yelb.postgres.port().to_string();
    for (key, value) in [
        ("db.system.name", "postgresql"),
        ("db.namespace", "yelbdatabase"),
        ("db.operation.name", "UPDATE"),
        ("server.address", "127.0.0.1"),
        ("server.port", &*port),
    ] {
        assert_eq!(text(&store.attributes, key).as_deref(), Some(value), "{key}");
    }
    let resource = messages(&collector)[0].resource_spans[0].resource.clone().unwrap();
    let environment = text(&resource.attributes, "deployment.environment.name");
    assert_eq!(environment.as_deref(), Some("test"));
}

#[test]
fn both_exporters_get_the_same_trace() {
    let (collector, daemon) = (Server::start(), Daemon::start());
    let endpoint = format!("http://{}/v1/traces", collector.address());
    let yelb = Yelb::start(&[
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &*endpoint),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=votes"),
        ("AWS_XRAY_DAEMON_ADDRESS", &*daemon.address()),
    ]);
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    http::request(yelb.page, "GET", "/api/getvotes", &[("traceparent", &traceparent)], b"");
    yelb.stop();
    assert_eq!(spans(&collector).len(), 4);
    assert_eq!(collector.requests()[0].field("x-tenant"), Some("votes"));
    // A trace id of W3C's is no time; X-Ray takes it nevertheless.
    daemon.whole_trace(&format!("1-{}-{}", &TRACE[..8], &TRACE[8..]), 4);
}
