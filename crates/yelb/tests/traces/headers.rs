//! What the app server is told, with traces on and off.

use testbed::xray::Daemon;
use testbed::{PATIENCE, eventually, http};

use crate::server::{Request, Server};
use crate::{root, ui_of};

const OTHERS: &str = "Self=1-67891234-12456789abcdef0123456789;Lineage=25:a87bd80c:1";
const STATE: &str = "vendor=a,other=b";

/// What comes of these headers at the app server behind a UI with these variables.
fn passed_on(variables: &[(&str, &str)], headers: &[(&str, &str)]) -> Request {
    let appserver = Server::start();
    let ui = ui_of(appserver.address(), variables).spawn();
    http::request(ui.address("page"), "GET", "/api/getvotes", headers, b"");
    let requests = appserver.requests();
    assert_eq!(requests.len(), 1);
    requests[0].clone()
}

fn ids(number: u32) -> (String, String) {
    let root = root(number);
    let trace = root[2..].replace('-', "");
    (root, trace)
}

#[test]
fn with_traces_off_they_pass_unchanged() {
    let (root, trace) = ids(1);
    let headers = [
        ("x-amzn-trace-id", &*format!("Self=x; Root={root}; Sampled=?;Lineage=a:1")),
        ("traceparent", &*format!("00-{trace}-00f067aa0ba902b7-01")),
        ("tracestate", STATE),
    ];
    let daemon = Daemon::start();
    let disabled = [("AWS_XRAY_DAEMON_ADDRESS", &*daemon.address()), ("OTEL_SDK_DISABLED", "true")];
    for variables in [&disabled[..], &[("OTEL_TRACES_EXPORTER", "none")], &[]] {
        let request = passed_on(variables, &headers);
        for (name, value) in headers {
            assert_eq!(request.field(name), Some(value), "{variables:?}");
        }
        let bare = passed_on(variables, &[]);
        for (name, _) in headers {
            assert_eq!(bare.field(name), None, "{variables:?}");
        }
    }
    assert!(daemon.documents().is_empty());
}

#[test]
fn with_traces_off_the_log_has_the_callers_trace() {
    let (root, trace) = ids(1);
    let appserver = Server::start();
    let ui = ui_of(appserver.address(), &[]).spawn();
    let header = format!("Root={root}");
    let headers = [("x-amzn-trace-id", &*header)];
    http::request(ui.address("page"), "GET", "/api/getvotes", &headers, b"");
    eventually(PATIENCE, "the log has it", || {
        ui.stderr().contains(&format!("\"trace_id\":\"{trace}\""))
    });
}

#[test]
fn with_traces_on_both_forms_name_our_call() {
    let (root, trace) = ids(1);
    let daemon = Daemon::start();
    let headers = [
        ("x-amzn-trace-id", &*format!("Root={root};{OTHERS}")),
        ("traceparent", &*format!("00-{trace}-00f067aa0ba902b7-01")),
        ("tracestate", STATE),
    ];
    let request = passed_on(&[("AWS_XRAY_DAEMON_ADDRESS", &daemon.address())], &headers);
    let traceparent = request.field("traceparent").unwrap();
    let call = &traceparent[36..52];
    assert_eq!(traceparent, format!("00-{trace}-{call}-01"));
    let xray = format!("Root={root};Parent={call};Sampled=1;{OTHERS}");
    assert_eq!(request.field("x-amzn-trace-id"), Some(&*xray));
    assert_eq!(request.field("tracestate"), Some(STATE));
}

#[test]
fn with_traces_on_a_request_without_a_trace_gets_one() {
    let daemon = Daemon::start();
    let request = passed_on(&[("AWS_XRAY_DAEMON_ADDRESS", &daemon.address())], &[]);
    let xray = request.field("x-amzn-trace-id").unwrap();
    assert!(xray.starts_with("Root=1-") && xray.ends_with(";Sampled=1"), "{xray}");
    assert!(request.field("traceparent").is_some());
}

#[test]
fn what_is_not_sampled_is_told_so() {
    let (root, trace) = ids(1);
    let daemon = Daemon::start();
    let header = format!("Root={root};Parent=53995c3f42cd8ad8;Sampled=0");
    let variables = [("AWS_XRAY_DAEMON_ADDRESS", &*daemon.address())];
    let request = passed_on(&variables, &[("x-amzn-trace-id", &header)]);
    let xray = request.field("x-amzn-trace-id").unwrap();
    assert!(
        xray.starts_with(&format!("Root={root};Parent=")) && xray.ends_with(";Sampled=0"),
        "{xray}"
    );
    let traceparent = request.field("traceparent").unwrap();
    assert!(
        traceparent.starts_with(&format!("00-{trace}-")) && traceparent.ends_with("-00"),
        "{traceparent}"
    );
}
