//! To X-Ray: segments and subsegments, as its daemon gets them.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::PATIENCE;
use testbed::http::{self, Raw};
use testbed::xray::{Daemon, named};

use crate::server::Server;
use crate::{Yelb, program, root, ui_of};

/// The two servers, which send to a daemon.
fn traced() -> (Yelb, Daemon) {
    let daemon = Daemon::start();
    let yelb = Yelb::start(&[("AWS_XRAY_DAEMON_ADDRESS", &daemon.address())]);
    (yelb, daemon)
}

/// Checks that a trace is one tree, from the UI through its call to the app server and its store. Each hop is there once.
#[track_caller]
fn assert_whole(trace: &[Value], parent: Option<&str>, store: &str) {
    assert_eq!(trace.len(), 4, "{trace:#?}");
    let page = named(trace, "yelb-ui", "segment");
    let call = named(trace, "yelb-appserver", "subsegment");
    let api = named(trace, "yelb-appserver", "segment");
    let store = named(trace, store, "subsegment");
    assert_eq!(page.get("parent_id").and_then(Value::as_str), parent, "{page:#}");
    assert_eq!(call["parent_id"], page["id"], "{trace:#?}");
    assert_eq!(api["parent_id"], call["id"], "{trace:#?}");
    assert_eq!(store["parent_id"], api["id"], "{trace:#?}");
}

/// The `trace_id` of each request that a program has logged, in X-Ray's form.
fn logged(program: &testbed::Running) -> Vec<String> {
    let lines = program.stderr();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let answers = lines
        .filter(|line| line["message"].as_str().is_some_and(|text| text.contains(" answered ")));
    let ids = answers.filter_map(|line| line["trace_id"].as_str().map(str::to_owned));
    ids.map(|id| format!("1-{}-{}", &id[..8], &id[8..])).collect()
}

#[test]
fn a_vote_behind_a_load_balancer_is_one_trace_down_to_the_database() {
    let (yelb, daemon) = traced();
    assert_eq!(yelb.get("/api/ihop", &format!("Root={}", root(1))).text(), "1");

    let trace = daemon.whole_trace(&root(1), 4);
    assert_whole(&trace, None, "yelb-db");

    let page = named(&trace, "yelb-ui", "segment");
    let url = format!("http://127.0.0.1:{}/api/ihop", yelb.page.port());
    assert_eq!(page["http"]["request"]["url"], url);
    assert_eq!(page["http"]["request"]["method"], "GET");
    assert_eq!(page["http"]["response"]["status"], 200);
    assert_eq!(page["annotations"]["http_route"], "/api/{*path}");
    assert!(page["aws"].get("elastic_beanstalk").is_none(), "{page:#}");

    let call = named(&trace, "yelb-appserver", "subsegment");
    assert_eq!(call["namespace"], "remote");
    assert_eq!(call["http"]["response"]["status"], 200);
    assert!(call.get("sql").is_none(), "a call by HTTP is no SQL: {call:#}");

    let api = named(&trace, "yelb-appserver", "segment");
    assert_eq!(api["annotations"]["http_route"], "/api/ihop");

    let store = named(&trace, "yelb-db", "subsegment");
    let database = format!("127.0.0.1:{}/yelbdatabase", yelb.postgres.port());
    assert_eq!(store["namespace"], "remote");
    assert_eq!(store["sql"], json!({ "url": database, "database_type": "postgresql" }));

    // Each line of the log names the trace, and nothing comes twice.
    yelb.stop();
    assert_eq!(logged(&yelb.ui), [root(1)]);
    assert_eq!(logged(&yelb.appserver), [root(1)]);
    assert_eq!(daemon.documents().len(), 4);
}

#[test]
fn stats_show_redis() {
    let (yelb, daemon) = traced();
    yelb.get("/api/getstats", &format!("Root={}", root(1)));
    let trace = daemon.whole_trace(&root(1), 4);
    assert_whole(&trace, None, "redis-server");
    let redis = named(&trace, "redis-server", "subsegment");
    assert_eq!(redis["namespace"], "remote");
    assert!(redis.get("sql").is_none(), "Redis is no SQL: {redis:#}");
}

#[test]
fn what_the_log_leaves_out_is_traced_nevertheless() {
    let daemon = Daemon::start();
    // What says where they listen is all that is logged.
    let log = ("RUST_LOG", "off,yelb_service::server=info");
    let yelb = Yelb::start(&[("AWS_XRAY_DAEMON_ADDRESS", &daemon.address()), log]);
    yelb.get("/api/getvotes", &format!("Root={}", root(1)));
    assert_whole(&daemon.whole_trace(&root(1), 4), None, "yelb-db");
    assert!(!yelb.ui.stderr().contains(" answered "));
}

#[test]
fn envoys_segment_is_the_parent() {
    let (yelb, daemon) = traced();
    let header = format!("Root={};Parent=53995c3f42cd8ad8;Sampled=1", root(1));
    yelb.get("/api/getvotes", &header);
    assert_whole(&daemon.whole_trace(&root(1), 4), Some("53995c3f42cd8ad8"), "yelb-db");
}

#[test]
fn fifty_requests_at_once_are_fifty_whole_traces() {
    let (yelb, daemon) = traced();
    thread::scope(|scope| {
        for number in 0..50 {
            let yelb = &yelb;
            scope.spawn(move || {
                let path = if number % 2 == 0 { "/api/outback" } else { "/api/getvotes" };
                assert_eq!(yelb.get(path, &format!("Root={}", root(number))).status, 200);
            });
        }
    });
    yelb.stop();
    for number in 0..50 {
        assert_whole(&daemon.whole_trace(&root(number), 4), None, "yelb-db");
    }
    assert_eq!(daemon.documents().len(), 200);
}

#[test]
fn a_trace_that_began_here_is_whole_and_has_the_id_of_the_log() {
    let (yelb, daemon) = traced();
    http::get(yelb.page, "/api/getvotes");
    yelb.stop();
    let logged = logged(&yelb.ui);
    assert_whole(&daemon.whole_trace(&logged[0], 4), None, "yelb-db");
}

#[test]
fn what_is_not_sampled_is_not_sent_and_goes_on_all_the_same() {
    let (yelb, daemon) = traced();
    yelb.get("/api/getvotes", &format!("Root={};Parent=53995c3f42cd8ad8;Sampled=0", root(1)));
    yelb.stop();
    assert_eq!(logged(&yelb.appserver), [root(1)]);
    assert_eq!(daemon.documents(), Vec::<Value>::new());
}

#[test]
fn a_request_right_before_the_end_is_sent() {
    let (yelb, daemon) = traced();
    yelb.get("/api/ihop", &format!("Root={}", root(1)));
    yelb.stop();
    // What was sent has arrived: this is one host.
    assert_whole(&daemon.whole_trace(&root(1), 4), None, "yelb-db");
}

#[test]
fn a_client_behind_a_load_balancer_is_named_with_what_it_spoke() {
    let (yelb, daemon) = traced();
    let headers = [
        ("x-amzn-trace-id", &*format!("Root={}", root(1))),
        ("x-forwarded-for", "203.0.113.7, 10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("host", "yelb.example.com"),
    ];
    http::request(yelb.page, "GET", "/api/getvotes", &headers, b"");
    let trace = daemon.whole_trace(&root(1), 4);
    for name in ["yelb-ui", "yelb-appserver"] {
        let request = &named(&trace, name, "segment")["http"]["request"];
        assert_eq!(request["client_ip"], "203.0.113.7", "{request:#}");
        assert_eq!(request["x_forwarded_for"], true, "{request:#}");
        assert!(request["url"].as_str().unwrap().starts_with("https://"), "{request:#}");
    }
    let page = named(&trace, "yelb-ui", "segment");
    assert_eq!(page["http"]["request"]["url"], "https://yelb.example.com/api/getvotes");
}

/// What a segment or subsegment says of its outcome.
fn outcome(document: &Value) -> Vec<&'static str> {
    let marks = ["error", "throttle", "fault"].into_iter();
    marks.filter(|mark| document.get(mark).is_some_and(|it| it == true)).collect()
}

#[test]
fn a_refused_request_is_an_error_everywhere() {
    let (yelb, daemon) = traced();
    assert_eq!(yelb.get("/api/nowhere", &format!("Root={}", root(1))).status, 404);
    let trace = daemon.whole_trace(&root(1), 3);
    assert_eq!(trace.len(), 3, "{trace:#?}");
    for document in &trace {
        assert_eq!(outcome(document), ["error"], "{document:#}");
    }
}

#[test]
fn an_answer_is_marked_by_its_status() {
    for (status, marks) in [
        ("200 OK", &[][..]),
        ("404 Not Found", &["error"]),
        ("429 Too Many Requests", &["error", "throttle"]),
        ("503 Service Unavailable", &["fault"]),
    ] {
        let (appserver, daemon) = (Server::answering(status), Daemon::start());
        let variables = [("AWS_XRAY_DAEMON_ADDRESS", &*daemon.address())];
        let ui = ui_of(appserver.address(), &variables).spawn();
        let header = format!("Root={}", root(1));
        let headers = [("x-amzn-trace-id", &*header)];
        http::request(ui.address("page"), "GET", "/api/getvotes", &headers, b"");
        let trace = daemon.whole_trace(&root(1), 2);
        for (name, kind) in [("yelb-ui", "segment"), ("yelb-appserver", "subsegment")] {
            assert_eq!(outcome(named(&trace, name, kind)), marks, "{status} {name}");
        }
    }
}

#[test]
fn a_lost_database_is_a_fault_with_its_causes() {
    let (yelb, daemon) = traced();
    yelb.postgres.kill();
    assert_eq!(yelb.get("/api/ihop", &format!("Root={}", root(1))).status, 503);
    let trace = daemon.whole_trace(&root(1), 4);
    assert_whole(&trace, None, "yelb-db");
    for document in &trace {
        assert_eq!(document["fault"], true, "{document:#}");
    }
    let api = named(&trace, "yelb-appserver", "segment");
    let cause = api["cause"]["exceptions"][0]["message"].as_str().unwrap();
    assert!(cause.starts_with("a vote was not confirmed: "), "{cause}");
    // The log has the same words.
    yelb.appserver.wait_for_line(|line| line.contains(cause), PATIENCE);
}

#[test]
fn a_client_that_goes_away_leaves_a_whole_trace() {
    let (yelb, daemon) = traced();
    yelb.postgres.freeze();
    let mut client = Raw::connect(yelb.page);
    client.send(format!(
        "GET /api/ihop HTTP/1.1\r\nHost: yelb\r\nX-Amzn-Trace-Id: Root={}\r\n\r\n",
        root(1)
    ));
    std::thread::sleep(Duration::from_millis(200));
    drop(client);
    assert_whole(&daemon.whole_trace(&root(1), 4), None, "yelb-db");
}

#[test]
fn a_daemon_is_found_by_name() {
    let daemon = Daemon::start();
    let address = format!("udp:localhost:{}", daemon.port());
    let yelb = Yelb::start(&[("AWS_XRAY_DAEMON_ADDRESS", &address), ("OTEL_SERVICE_NAME", "mine")]);
    yelb.get("/api/hostname", &format!("Root={}", root(1)));
    let trace = daemon.whole_trace(&root(1), 3);
    assert_eq!(trace.iter().filter(|document| document["name"] == "mine").count(), 2);
}

#[test]
fn all_in_one_process_is_one_trace_too() {
    let daemon = Daemon::start();
    let variables = [("AWS_XRAY_DAEMON_ADDRESS", &*daemon.address()), ("RUST_LOG", "info")];
    let yelb = program("yelb", &variables).spawn();
    let header = format!("Root={}", root(1));
    http::request(yelb.address("page"), "GET", "/api/ihop", &[("x-amzn-trace-id", &header)], b"");
    // The page's /api is the app server's own service: one request, and what it asks of the store.
    let trace = daemon.whole_trace(&root(1), 2);
    let request = named(&trace, "yelb", "segment");
    let store = named(&trace, "UPDATE restaurants", "subsegment");
    assert_eq!(request["annotations"]["http_route"], "/api/ihop");
    assert_eq!(store["parent_id"], request["id"]);
    yelb.interrupt();
    assert!(yelb.wait(PATIENCE).success());
    assert_eq!(daemon.documents().len(), 2);
}
