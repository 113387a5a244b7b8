//! A collector that is down or does not answer delays no request.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use testbed::{PATIENCE, eventually, http};

use crate::{NO_STORES, Yelb, program};

/// Requests as usual and an end as usual, whatever these variables point to.
#[track_caller]
fn assert_unhindered(variables: &[(&str, &str)]) {
    let yelb = Yelb::start(variables);
    for round in 0..5 {
        let began = Instant::now();
        assert_eq!(http::get(yelb.page, "/api/ihop").status, 200);
        let took = began.elapsed();
        assert!(took < Duration::from_millis(500), "request {round} took {took:?}");
        // Long enough for the exporter to be in the middle of an attempt.
        std::thread::sleep(Duration::from_millis(300));
    }
    for program in [&yelb.ui, &yelb.appserver] {
        let began = Instant::now();
        program.terminate();
        assert!(program.wait(PATIENCE).success());
        let took = began.elapsed();
        assert!(took < Duration::from_secs(2), "it took {took:?} to end");
    }
}

#[test]
fn one_that_is_away() {
    let address = "127.0.0.1:1";
    let endpoint = format!("http://{address}");
    assert_unhindered(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("AWS_XRAY_DAEMON_ADDRESS", address),
    ]);
}

#[test]
fn one_that_accepts_and_says_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    assert_unhindered(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint)]);
}

#[test]
fn one_that_cannot_be_routed_to() {
    // TEST-NET-1 of RFC 5737: no host is there, and no router says so.
    assert_unhindered(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://192.0.2.1:4318")]);
}

#[test]
fn one_whose_name_nobody_knows_is_told_of_once() {
    let address = ("AWS_XRAY_DAEMON_ADDRESS", "xray-daemon.invalid:2000");
    let appserver = program("yelb-appserver", &[&[address], &NO_STORES[..]].concat()).spawn();
    let api = appserver.address("api");
    let told = || appserver.stderr().matches("traces cannot be sent").count();
    http::get(api, "/api/ihop");
    eventually(PATIENCE, "the log tells of it", || told() == 1);
    http::get(api, "/api/ihop");
    appserver.terminate();
    assert!(appserver.wait(PATIENCE).success());
    assert_eq!(told(), 1);
}
