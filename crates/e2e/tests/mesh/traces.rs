//! One trace over every hop, as X-Ray's daemon gets it.

use std::net::UdpSocket;
use std::thread;

use e2e::line_of_calls;
use serde_json::{Value, json};
use testbed::xray::Daemon;
use testbed::{PATIENCE, happens, http, within_network_of};

use crate::stack::Stack;

/// What a vote passes, from the front door to the database.
const HOPS_OF_A_VOTE: [&str; 7] = [
    "yelb-ui/envoy",
    "yelb-ui",
    "yelb-appserver",
    "yelb-ui/envoy",
    "yelb-appserver/envoy",
    "yelb-appserver",
    "yelb-db",
];

/// The collectors of the two tasks that speak HTTP: where a task's containers send, the test listens.
struct Collectors([Daemon; 2]);

impl Collectors {
    #[track_caller]
    fn of(stack: &Stack) -> Self {
        Self(["yelb-ui-task", "yelb-appserver-task"].map(|task| {
            let socket = within_network_of(stack.pid(task), || UdpSocket::bind("127.0.0.1:2000"));
            Daemon::listen(socket.unwrap())
        }))
    }

    fn trace(&self, root: &str) -> Vec<Value> {
        self.0.iter().flat_map(|daemon| daemon.trace(root)).collect()
    }

    #[track_caller]
    fn whole_trace(&self, root: &str, size: usize) -> Vec<Value> {
        let is_whole = happens(PATIENCE, || self.trace(root).len() >= size);
        assert!(is_whole, "not {size} documents of {root}: {:#?}", self.trace(root));
        self.trace(root)
    }
}

/// The id of a trace, as a load balancer makes one.
fn root(number: usize) -> String {
    format!("1-67891233-abcdef0123456789{number:08x}")
}

/// A request behind a load balancer, which names the trace and nothing else.
#[track_caller]
fn ask(stack: &Stack, path: &str, root: &str) {
    let header = format!("Root={root}");
    let answer = http::request(stack.page(), "GET", path, &[("x-amzn-trace-id", &header)], b"");
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn a_vote_behind_a_load_balancer_is_one_trace_over_every_hop() {
    let stack = Stack::up();
    let collectors = Collectors::of(&stack);

    ask(&stack, "/api/ihop", &root(1));
    let trace = collectors.whole_trace(&root(1), HOPS_OF_A_VOTE.len());
    assert_eq!(line_of_calls(&trace), HOPS_OF_A_VOTE);
    let store = trace.iter().find(|document| document["name"] == "yelb-db").unwrap();
    assert_eq!(store["namespace"], "remote");
    let sql = json!({ "url": "yelb-db:5432/yelbdatabase", "database_type": "postgresql" });
    assert_eq!(store["sql"], sql);

    ask(&stack, "/api/getstats", &root(2));
    let trace = collectors.whole_trace(&root(2), HOPS_OF_A_VOTE.len());
    let before = &HOPS_OF_A_VOTE[..HOPS_OF_A_VOTE.len() - 1];
    assert_eq!(line_of_calls(&trace), [before, &["redis-server"][..]].concat());
}

#[test]
fn two_hundred_requests_are_two_hundred_whole_traces() {
    const REQUESTS: usize = 200;
    const CLIENTS: usize = 8;
    let stack = Stack::up();
    let collectors = Collectors::of(&stack);
    let paths = ["/api/ihop", "/api/getvotes", "/api/getstats", "/api/outback", "/api/hostname"];

    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let stack = &stack;
            scope.spawn(move || {
                for number in (client..REQUESTS).step_by(CLIENTS) {
                    ask(stack, paths[number % paths.len()], &root(number));
                }
            });
        }
    });

    for number in 0..REQUESTS {
        // An app server that is asked for the name of its host calls no other server.
        let hops =
            HOPS_OF_A_VOTE.len() - usize::from(paths[number % paths.len()] == "/api/hostname");
        let trace = collectors.whole_trace(&root(number), hops);
        assert_eq!(line_of_calls(&trace).len(), hops, "{trace:#?}");
    }
}
