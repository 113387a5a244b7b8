use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::HeaderMap;
use opentelemetry::trace::{SpanId, SpanKind};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing::subscriber::with_default;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::telemetry::settings::Sampling;
use crate::telemetry::traces;

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

/// Does `work` with traces on, and answers with the spans that would have been sent.
fn traced<T>(sampling: Sampling, work: impl FnOnce() -> T) -> (T, Vec<SpanData>) {
    let sent = Sent::default();
    let provider: SdkTracerProvider =
        traces::builder(sampling).with_simple_exporter(sent.clone()).build();
    let done = with_default(Registry::default().with(traces::bridge(&provider)), work);
    let spans = std::mem::take(&mut *sent.0.lock().unwrap());
    (done, spans)
}

fn meet(sampling: Sampling, headers: &[(&'static str, &str)], end: impl FnOnce(&Span)) -> Met {
    let mut request =
        Request::builder().uri("http://yelb/api/ihop?x=1").body(Body::empty()).unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    let mut onward = request.headers().clone();
    let ((), mut spans) = traced(sampling, || {
        let (span, _) = of_request(&request, "GET", None);
        inject(&span, &mut onward);
        end(&span);
    });
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
    let span = meet(DEFAULT, &headers, |span| answered(span, StatusCode::OK)).span.unwrap();
    assert_eq!((&*span.name, &span.span_kind), ("GET", &SpanKind::Server));
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.scheme", "http"),
        ("url.path", "/api/ihop"),
        ("server.address", "yelb.example.com"),
        ("server.port", "8080"),
        ("user_agent.original", &agent[..LONGEST]),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(attribute(&span, "client.address"), None);
    assert_eq!(span.status, Status::Unset);
}

#[test]
fn a_client_behind_proxies_is_the_first_that_they_name() {
    for (forwarded, client) in [
        ("203.0.113.7", Some("203.0.113.7")),
        (" 203.0.113.7 , 10.0.0.1", Some("203.0.113.7")),
        ("203.0.113.7:41234", Some("203.0.113.7")),
        ("2001:db8::7", Some("2001:db8::7")),
        ("[2001:db8::7]:41234", Some("2001:db8::7")),
        ("unknown, 10.0.0.1", None),
        ("", None),
    ] {
        let span = meet(DEFAULT, &[("x-forwarded-for", forwarded)], |_| ()).span.unwrap();
        assert_eq!(attribute(&span, "client.address").as_deref(), client, "{forwarded}");
    }
}

#[test]
fn the_scheme_is_what_the_client_has_spoken() {
    for (forwarded, scheme) in [("https", "https"), ("HTTPS", "https"), ("x", "http")] {
        let span = meet(DEFAULT, &[("x-forwarded-proto", forwarded)], |_| ()).span.unwrap();
        assert_eq!(attribute(&span, "url.scheme").as_deref(), Some(scheme));
    }
}

#[test]
fn a_call_belongs_to_its_request_and_tells_so() {
    let request = Request::new(Body::empty());
    let mut headers = HeaderMap::new();
    let ((), spans) = traced(DEFAULT, || {
        of_request(&request, "GET", None).0.in_scope(|| {
            let url = Uri::from_static("http://yelb-appserver:4567");
            let call = of_call("yelb-appserver", &Method::GET, &url, "/api/ihop");
            inject(&call, &mut headers);
            call_answered(&call, StatusCode::NOT_FOUND);
        });
    });
    let [call, request] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((&*call.name, &call.span_kind), ("GET", &SpanKind::Client));
    assert_eq!(call.parent_span_id, request.span_context.span_id());
    let caller = Caller::of(&headers).unwrap();
    assert_eq!(caller.parent, Some(call.span_context.span_id()));
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "404"),
        ("error.type", "404"),
        ("url.full", "http://yelb-appserver:4567/api/ihop"),
        ("peer.service", "yelb-appserver"),
        ("server.address", "yelb-appserver"),
        ("server.port", "4567"),
    ] {
        assert_eq!(attribute(call, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(call.status, Status::error("404 Not Found"));
}

#[test]
fn a_failure_is_told_with_its_causes() {
    let fail = |span: &Span| failed(span, "503", &"the votes are unavailable: no answer");
    let span = meet(DEFAULT, &[], fail).span.unwrap();
    assert_eq!(span.status, Status::error("the votes are unavailable: no answer"));
    assert_eq!(attribute(&span, "error.type").as_deref(), Some("503"));
    assert_eq!(span.events[0].name, "exception");
}

#[test]
fn nothing_is_made_of_what_no_request_asked_for() {
    let (answer, spans) = traced(DEFAULT, || {
        let span = tracing::trace_span!("store", otel.kind = "client");
        futures_util::FutureExt::now_or_never(run(span, async { Ok::<_, std::fmt::Error>(1) }))
    });
    assert_eq!((answer, spans.len()), (Some(Ok(1)), 0));
}

#[test]
fn with_traces_off_headers_stay_as_they_came() {
    let request = Request::new(Body::empty());
    let mut headers = HeaderMap::new();
    with_default(Registry::default(), || {
        inject(&of_request(&request, "GET", None).0, &mut headers);
    });
    assert!(headers.is_empty());
}
