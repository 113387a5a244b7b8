use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::http::HeaderMap;
use opentelemetry::trace::{SpanId, TracerProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};

use super::*;
use crate::telemetry::settings::Sampling;

const ROOT: &str = "1-67891233-abcdef012345678912345678";
const TRACE: &str = "67891233abcdef012345678912345678";
const PARENT: &str = "53995c3f42cd8ad8";
const DEFAULT: Sampling = Sampling { parent_based: true, ratio: 1.0 };

/// What would have been sent.
#[derive(Debug, Clone, Default)]
struct Sent(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Sent {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(batch);
        Ok(())
    }
}

/// A request met by our server: what it sends on, and the span that is sent of it, if one is.
struct Met {
    onward: HeaderMap,
    span: Option<SpanData>,
}

impl Met {
    fn xray(&self) -> &str {
        self.onward["x-amzn-trace-id"].to_str().unwrap()
    }

    fn trace(&self) -> &str {
        &self.onward["traceparent"].to_str().unwrap()[3..35]
    }
}

fn meet(sampling: Sampling, headers: &[(&'static str, &str)], end: impl FnOnce(&Span)) -> Met {
    let sent = Sent::default();
    let provider: SdkTracerProvider =
        traces::builder(sampling).with_simple_exporter(sent.clone()).build();
    let mut request =
        Request::builder().uri("http://yelb/api/ihop?x=1").body(Body::empty()).unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    let caller = Caller::of(request.headers());
    let span = Span::begin_request(&provider.tracer("test"), &request, "GET", caller);
    let mut onward = request.headers().clone();
    span.inject(&mut onward);
    end(&span);
    drop(span);
    let mut spans = std::mem::take(&mut *sent.0.lock().unwrap());
    assert!(spans.len() <= 1);
    Met { onward, span: spans.pop() }
}

fn sent_xray(header: &str) -> Met {
    meet(DEFAULT, &[("x-amzn-trace-id", header)], |_| ())
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
    found.map(|attribute| attribute.value.to_string())
}

/// The rows in which X-Ray's header comes: what is sent on besides trace and span, and whether a span is sent.
#[test]
fn the_trace_goes_on_whatever_the_form_of_its_header() {
    let own = "Self=1-67891233-12456789abcdef0123456789";
    for (header, parent, sampled, rest) in [
        (format!("Root={ROOT}"), None, true, String::new()),
        (format!("{own};Root={ROOT}"), None, true, format!(";{own}")),
        (format!("Root={ROOT};Sampled=1"), None, true, String::new()),
        (format!("Root={ROOT};Sampled=0"), None, false, String::new()),
        (format!("Root={ROOT};Sampled=?"), None, true, String::new()),
        (format!("Root={ROOT};Parent={PARENT}"), Some(PARENT), true, String::new()),
        (format!("Root={ROOT};Parent={PARENT};Sampled=?"), Some(PARENT), true, String::new()),
        (format!("Root={ROOT};Parent={PARENT};Sampled=1"), Some(PARENT), true, String::new()),
        (format!("Root={ROOT};Parent={PARENT};Sampled=0"), Some(PARENT), false, String::new()),
        (
            format!("Root={ROOT};Parent={PARENT};Sampled=1;Lineage=25:a87bd80c:1"),
            Some(PARENT),
            true,
            ";Lineage=25:a87bd80c:1".to_owned(),
        ),
        (format!("Root={ROOT}; Parent={PARENT}; Sampled=1"), Some(PARENT), true, String::new()),
    ] {
        let met = sent_xray(&header);
        let onward = met.onward["traceparent"].to_str().unwrap();
        let (id, flag) = (&onward[36..52], u8::from(sampled));
        assert_eq!(onward, format!("00-{TRACE}-{id}-0{flag}"), "{header}");
        assert_eq!(met.xray(), format!("Root={ROOT};Parent={id};Sampled={flag}{rest}"), "{header}");
        assert_eq!(met.span.is_some(), sampled, "{header}");
        if let Some(span) = met.span {
            let parent = parent.map_or(SpanId::INVALID, |id| SpanId::from_hex(id).unwrap());
            assert_eq!(span.parent_span_id, parent, "{header}");
            assert_eq!(span.span_context.trace_id().to_string(), TRACE, "{header}");
            assert_eq!(span.span_context.span_id().to_string(), id, "{header}");
        }
    }
}

#[test]
fn a_traceparent_is_a_parent() {
    let header = format!("00-{TRACE}-{PARENT}-01");
    let met = meet(DEFAULT, &[("traceparent", &header)], |_| ());
    assert_eq!(met.trace(), TRACE);
    assert_eq!(met.span.unwrap().parent_span_id.to_string(), PARENT);

    let header = format!("00-{TRACE}-{PARENT}-00");
    let met = meet(DEFAULT, &[("traceparent", &header)], |_| ());
    assert!(met.span.is_none() && met.xray().ends_with(";Sampled=0"));
}

#[test]
fn a_trace_of_our_own_has_the_time_in_its_id() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let long = format!("Root={ROOT};Self={}", "x".repeat(2000));
    let none: &[(&str, &str)] = &[];
    let broken: &[(&str, &str)] = &[("x-amzn-trace-id", "Root=1-2")];
    for headers in [none, broken, &[("x-amzn-trace-id", &long)]] {
        let met = meet(DEFAULT, headers, |_| ());
        let began = u64::from_str_radix(&met.trace()[..8], 16).unwrap();
        assert!(began.abs_diff(now) < 60, "{headers:?}");
        assert_ne!(met.trace(), TRACE);
        assert_eq!(met.span.as_ref().unwrap().parent_span_id, SpanId::INVALID);
        assert!(met.xray().len() < 100, "nothing of what could not be read goes on");
    }
}

#[test]
fn one_trace_does_not_lend_its_id_to_the_next() {
    assert_eq!(sent_xray(&format!("Root={ROOT}")).trace(), TRACE);
    assert_ne!(meet(DEFAULT, &[], |_| ()).trace(), TRACE);
}

#[test]
fn a_decision_is_obeyed_if_it_is_asked_to_be() {
    let root = format!("Root={ROOT}");
    let (yes, no) = (format!("{root};Sampled=1"), format!("{root};Sampled=0"));
    for (parent_based, ratio, header, sent) in [
        (true, 0.0, &root, false),
        (true, 0.0, &yes, true),
        (true, 1.0, &no, false),
        (false, 1.0, &no, true),
        (false, 0.0, &yes, false),
    ] {
        let sampling = Sampling { parent_based, ratio };
        let met = meet(sampling, &[("x-amzn-trace-id", header)], |_| ());
        assert_eq!(met.span.is_some(), sent, "{sampling:?} {header}");
        assert!(met.xray().ends_with(if sent { ";Sampled=1" } else { ";Sampled=0" }));
    }
}

#[test]
fn a_request_is_described_without_what_has_no_bound() {
    let agent = "x".repeat(4000);
    let headers = [("host", "yelb.example.com:8080"), ("user-agent", &*agent)];
    let span = meet(DEFAULT, &headers, |span| span.answered(StatusCode::OK)).span.unwrap();
    assert_eq!((&*span.name, &span.span_kind), ("GET", &SpanKind::Server));
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.path", "/api/ihop"),
        ("server.address", "yelb.example.com"),
        ("server.port", "8080"),
        ("user_agent.original", &agent[..LONGEST]),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(span.status, Status::Unset);
}

#[test]
fn a_failure_is_told_with_its_causes() {
    let fail = |span: &Span| span.failed("503", &"the votes are unavailable: no answer");
    let span = meet(DEFAULT, &[], fail).span.unwrap();
    assert_eq!(span.status, Status::error("the votes are unavailable: no answer"));
    assert_eq!(attribute(&span, "error.type").as_deref(), Some("503"));
    assert_eq!(span.events[0].name, "exception");
}

#[tokio::test]
async fn nothing_is_made_of_what_no_request_asked_for() {
    let request = Request::new(Body::empty());
    assert!(Span::of_request(&request, "GET", None).context().is_none());
    let peer = Peer::embedded("sqlite");
    let answer = peer.ask("SELECT restaurants", async { Ok::<_, std::fmt::Error>(1) });
    assert_eq!(answer.await, Ok(1));
}
