use opentelemetry::trace::{TraceFlags, TraceState};

use super::*;

const ROOT: &str = "1-67891233-abcdef012345678912345678";
const TRACE: &str = "67891233abcdef012345678912345678";
const OTHER_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "53995c3f42cd8ad8";
const OURS: &str = "00f067aa0ba902b7";

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let parsed = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), value.parse().unwrap())
    };
    lines.iter().map(parsed).collect()
}

fn caller(lines: &[(&'static str, &str)]) -> Option<Caller> {
    Caller::of(&headers(lines))
}

fn of_xray(header: &str) -> Option<Caller> {
    caller(&[("x-amzn-trace-id", header)])
}

fn said(parent: Option<&str>, sampled: Option<bool>) -> Option<Caller> {
    let parent = parent.map(|id| SpanId::from_hex(id).unwrap());
    Some(Caller { trace_id: TraceId::from_hex(TRACE).ok()?, parent, sampled })
}

/// The headers after they were passed on by our span in this trace.
fn passed_on(lines: &[(&'static str, &str)], sampled: bool) -> HeaderMap {
    let flags = TraceFlags::default().with_sampled(sampled);
    let (trace, id) = (TraceId::from_hex(TRACE).unwrap(), SpanId::from_hex(OURS).unwrap());
    let mut headers = headers(lines);
    inject(&SpanContext::new(trace, id, flags, false, TraceState::NONE), &mut headers);
    headers
}

fn xray_passed_on(header: &str) -> String {
    let headers = passed_on(&[("x-amzn-trace-id", header)], true);
    headers["x-amzn-trace-id"].to_str().unwrap().to_owned()
}

#[test]
fn a_load_balancers_root_is_the_trace_and_the_decision_is_ours() {
    assert_eq!(of_xray(&format!("Root={ROOT}")), said(None, None));
}

#[test]
fn self_may_come_first() {
    let own = "Self=1-67891233-12456789abcdef0123456789";
    assert_eq!(of_xray(&format!("{own};Root={ROOT}")), said(None, None));
}

#[test]
fn a_decision_without_a_parent_is_a_decision() {
    assert_eq!(of_xray(&format!("Root={ROOT};Sampled=1")), said(None, Some(true)));
    assert_eq!(of_xray(&format!("Root={ROOT};Sampled=0")), said(None, Some(false)));
}

#[test]
fn a_missing_decision_and_a_question_mark_leave_it_to_us() {
    assert_eq!(of_xray(&format!("Root={ROOT};Parent={PARENT}")), said(Some(PARENT), None));
    assert_eq!(
        of_xray(&format!("Root={ROOT};Parent={PARENT};Sampled=?")),
        said(Some(PARENT), None)
    );
}

#[test]
fn envoys_header_is_read_whole() {
    let (yes, no) = (said(Some(PARENT), Some(true)), said(Some(PARENT), Some(false)));
    assert_eq!(of_xray(&format!("Root={ROOT};Parent={PARENT};Sampled=1")), yes);
    assert_eq!(of_xray(&format!("Root={ROOT};Parent={PARENT};Sampled=0")), no);
    assert_eq!(of_xray(&format!("root={ROOT};parent={PARENT};sampled=1")), yes);
}

#[test]
fn spaces_do_not_break_it() {
    let expected = said(Some(PARENT), Some(true));
    assert_eq!(of_xray(&format!("Root={ROOT}; Parent={PARENT}; Sampled=1")), expected);
    assert_eq!(of_xray(&format!(" Root = {ROOT} ;;Parent={PARENT};Sampled=1; ")), expected);
}

#[test]
fn a_parent_that_is_none_leaves_the_root() {
    for parent in ["", "0000000000000000", "53995c3f", "+3995c3f42cd8ad8"] {
        assert_eq!(of_xray(&format!("Root={ROOT};Parent={parent}")), said(None, None), "{parent}");
    }
}

#[test]
fn what_cannot_be_read_is_no_trace() {
    let long = format!("Root={ROOT};Self={}", "1".repeat(LONGEST));
    for header in [
        "",
        "Root",
        "Root=",
        "Root=1-2",
        "Root=2-67891233-abcdef012345678912345678",
        "Root=1-6789123-3abcdef012345678912345678",
        "Root=1-00000000-000000000000000000000000",
        "Root=1-67891233-+bcdef012345678912345678",
        "Root=1-67891233-abcdef01234567891234567é",
        "Parent=53995c3f42cd8ad8;Sampled=1",
        &long,
    ] {
        assert_eq!(of_xray(header), None, "{header}");
    }
    let twice = format!("Root={ROOT}");
    assert_eq!(caller(&[("x-amzn-trace-id", &twice), ("x-amzn-trace-id", &twice)]), None);
}

#[test]
fn traceparent_is_read() {
    for (header, expected) in [
        (format!("00-{TRACE}-{PARENT}-01"), said(Some(PARENT), Some(true))),
        (format!("00-{TRACE}-{PARENT}-00"), said(Some(PARENT), Some(false))),
        (format!("cc-{TRACE}-{PARENT}-03-later"), said(Some(PARENT), Some(true))),
        (format!("00-{TRACE}-{PARENT}-01-more"), None),
        (format!("ff-{TRACE}-{PARENT}-01"), None),
        (format!("00-{TRACE}-{PARENT}"), None),
        (format!("00-{TRACE}-{PARENT}-+1"), None),
        (format!("00-{TRACE}-0000000000000000-01"), None),
        ("00-00000000000000000000000000000000-53995c3f42cd8ad8-01".to_owned(), None),
        ("00-{}-x".to_owned(), None),
    ] {
        assert_eq!(caller(&[("traceparent", &header)]), expected, "{header}");
    }
}

#[test]
fn the_mesh_is_nearer_than_a_traceparent() {
    let traceparent = format!("00-{OTHER_TRACE}-b7ad6b7169203331-00");
    let xray = format!("Root={ROOT};Parent={PARENT};Sampled=1");
    let both = [("traceparent", &*traceparent), ("x-amzn-trace-id", &*xray)];
    assert_eq!(caller(&both), said(Some(PARENT), Some(true)));
    // A load balancer's, too: it is the id that its access log has.
    let root = format!("Root={ROOT}");
    assert_eq!(
        caller(&[("traceparent", &*traceparent), ("x-amzn-trace-id", &*root)]),
        said(None, None)
    );
    // Of the same trace, the span that only one of them has is the parent.
    let same = format!("00-{TRACE}-{PARENT}-01");
    assert_eq!(
        caller(&[("traceparent", &*same), ("x-amzn-trace-id", &*root)]),
        said(Some(PARENT), Some(true))
    );
    // One that cannot be read does not hide the other.
    assert_eq!(
        caller(&[("traceparent", &*same), ("x-amzn-trace-id", "Root=?")]),
        said(Some(PARENT), Some(true))
    );
}

#[test]
fn both_forms_go_out_with_one_id() {
    for (sampled, flag) in [(true, '1'), (false, '0')] {
        let headers = passed_on(&[], sampled);
        let xray = format!("Root={ROOT};Parent={OURS};Sampled={flag}");
        assert_eq!(headers["x-amzn-trace-id"], xray);
        assert_eq!(headers["traceparent"], format!("00-{TRACE}-{OURS}-0{flag}"));
        assert_eq!(Caller::of(&headers), said(Some(OURS), Some(sampled)));
    }
}

#[test]
fn self_and_lineage_survive_as_they_were_written() {
    let ours = format!("Root={ROOT};Parent={OURS};Sampled=1");
    for (came, rest) in [
        (format!("Root={ROOT}"), ""),
        (format!("Root={ROOT};Parent={PARENT};Sampled=?"), ""),
        (
            format!("Self=1-67891233-12456789abcdef0123456789;Root={ROOT}"),
            ";Self=1-67891233-12456789abcdef0123456789",
        ),
        (
            format!("Root={ROOT}; Parent={PARENT}; Sampled=1; Lineage=25:a87bd80c:1"),
            ";Lineage=25:a87bd80c:1",
        ),
        (format!("Root={ROOT};CalledFrom=app;Lineage=a:1|b:2"), ";CalledFrom=app;Lineage=a:1|b:2"),
        ("Root=1-2;Self=x".to_owned(), ""),
    ] {
        assert_eq!(xray_passed_on(&came), format!("{ours}{rest}"), "{came}");
    }
}

#[test]
fn tracestate_stays_with_its_trace() {
    let state = "vendor=a,other=b";
    let same = format!("00-{TRACE}-{PARENT}-01");
    let kept = passed_on(&[("traceparent", &same), ("tracestate", state)], true);
    assert_eq!(kept["tracestate"], state);
    let of_another = format!("00-{OTHER_TRACE}-{PARENT}-01");
    let dropped = passed_on(&[("traceparent", &of_another), ("tracestate", state)], true);
    assert!(!dropped.contains_key("tracestate"));
    assert!(!passed_on(&[("tracestate", state)], true).contains_key("tracestate"));
}
