//! Yelb, in the mesh.

use e2e::line_of_calls;
use testbed::{PATIENCE, eventually, http};

use crate::task::Task;
use crate::virtual_node::{APPSERVER, DATABASE, REDIS, VirtualNode};
use crate::yelb::Yelb;

#[test]
fn a_vote_is_answered_1_and_counted_in_the_database() {
    let yelb = Yelb::start();
    let answer = yelb.get("/api/ihop", &[]);
    assert_eq!((answer.status, answer.text()), (200, "1"));
    let counted = "SELECT count FROM restaurants WHERE name = 'ihop'";
    assert_eq!(yelb.postgres.sql("yelbdatabase", counted), "1");
    assert_eq!(yelb.get("/api/pageviews", &[]).text(), "1");
}

#[test]
fn every_connection_of_a_hop_goes_through_both_its_envoys() {
    let yelb = Yelb::start();
    yelb.get("/api/ihop", &[]);
    yelb.get("/api/getstats", &[]);

    let assert_hop = |from: &Task, to: &Task, callee: &VirtualNode| {
        // A pool may be opening one more.
        eventually(PATIENCE, "both Envoys count the same connections", || {
            let sent = from.counter(&callee.connections("egress"));
            sent > 0 && sent == to.came_in()
        });
    };
    assert_hop(&yelb.ui, &yelb.appserver, &APPSERVER);
    assert_hop(&yelb.appserver, &yelb.database, &DATABASE);
    assert_hop(&yelb.appserver, &yelb.cache, &REDIS);
    assert_eq!(yelb.ui.came_in(), 2);

    // All that the database sees of the app server is the Envoy of its own task.
    let clients = "SELECT DISTINCT client_addr FROM pg_stat_activity
                   WHERE application_name LIKE 'yelb-appserver%'";
    assert_eq!(yelb.postgres.sql("yelbdatabase", clients), "127.0.0.1");
}

#[test]
fn a_vote_behind_a_load_balancer_is_one_trace_through_envoys_and_apps() {
    let root = "1-67891233-abcdef012345678912345678";
    let yelb = Yelb::start();
    yelb.get("/api/ihop", &[("x-amzn-trace-id", &format!("Root={root}"))]);

    let hops = [
        "yelb/yelb-ui-vn",
        "yelb-ui",
        "yelb-appserver",
        "yelb/yelb-ui-vn",
        "yelb/yelb-appserver-vn",
        "yelb-appserver",
        "yelb-db",
    ];
    eventually(PATIENCE, "the whole trace is sent", || yelb.trace(root).len() >= hops.len());
    assert_eq!(line_of_calls(&yelb.trace(root)), hops);
}

#[test]
fn a_request_is_routed_by_its_authority_and_not_by_its_address() {
    let yelb = Yelb::start();
    let request = |host: &str| {
        let headers = [("Host", host)];
        let to = yelb.appserver.address();
        let from = &yelb.ui.namespace;
        from.within(|| http::request(to, "GET", "/api/getvotes", &headers, b"")).status
    };
    assert_eq!(request("yelb-appserver:4567"), 200);
    assert_eq!(request("yelb-appserver"), 200);
    // Hence `SEARCH_DOMAIN` is for looking names up, and is no part of the name on the wire.
    assert_eq!(request(&APPSERVER.hostname()), 404);
    assert_eq!(request(&yelb.appserver.address().to_string()), 404);
}
