//! What the rules send to Envoy, and what they leave alone.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use testbed::http::{self, Raw};
use testbed::{PATIENCE, Redis};

use crate::proxy_configuration::ProxyConfiguration;
use crate::task::{ENVOY, Task, Vpc};
use crate::virtual_node::{APPSERVER, REDIS};
use crate::visited::Visited;

/// Whether a request that a task's app makes is cut off without an answer. Whether with a reset is a matter of who is faster:
/// Envoy closes as soon as it has seen where the connection was for.
fn is_cut_off(task: &Task, address: SocketAddr) -> bool {
    task.namespace.within(|| {
        let mut connection = Raw::connect(address);
        connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        connection.closes_within(PATIENCE)
    })
}

#[test]
fn what_comes_to_the_apps_port_from_outside_is_taken_by_the_ingress_listener() {
    let vpc = Vpc::start();
    let task = Task::start(&vpc, &REDIS);
    let _redis = Redis::start_inside(&task.namespace);

    let client = vpc.namespace.within(|| TcpStream::connect(task.address())).unwrap();
    (&client).write_all(b"CLIENT INFO\r\n").unwrap();
    let mut answer = BufReader::new(client).lines().map_while(Result::ok);
    let told = answer.find(|line| line.contains(" addr=")).unwrap();
    assert!(told.contains(" addr=127.0.0.1:"), "the client is the task's own Envoy: {told}");
    assert_eq!((task.came_in(), task.counter(&REDIS.connections("ingress"))), (1, 1));

    // Another port of the task's is none of Envoy's business.
    let other = Visited::start(&task.namespace, Ipv4Addr::UNSPECIFIED, 8080);
    let address = (REDIS.address, other.address().port()).into();
    let visitor = vpc.namespace.within(|| http::get(address, "/"));
    assert_eq!((visitor.text(), task.came_in()), (&*Vpc::ADDRESS.to_string(), 1));
}

#[test]
fn what_goes_to_a_port_that_is_no_backends_is_cut_off() {
    let vpc = Vpc::start();
    let task = Task::start(&vpc, &APPSERVER);
    let outside = Visited::start(&vpc.namespace, Vpc::ADDRESS, 0);

    assert!(is_cut_off(&task, outside.address()));
    assert_eq!(outside.visits(), 0);
    let dropped = task.counter("cluster.nowhere.upstream_cx_none_healthy");
    assert_eq!((task.went_out(), dropped), (1, 1));
}

#[test]
fn what_envoys_user_sends_goes_past_envoy() {
    let vpc = Vpc::start();
    let task = Task::start(&vpc, &APPSERVER);
    let outside = Visited::start(&vpc.namespace, Vpc::ADDRESS, 0);

    let visitor = task.namespace.within_as(ENVOY, || http::get(outside.address(), "/"));
    assert_eq!(visitor.text(), APPSERVER.address.to_string());
    assert_eq!(task.went_out(), 0);
}

#[test]
fn the_credentials_endpoint_is_reached_because_it_is_listed() {
    let vpc = Vpc::start();
    let endpoint = Visited::start(&vpc.namespace, Vpc::CREDENTIALS, 80);

    let task = Task::start(&vpc, &APPSERVER);
    let visitor = task.namespace.within(|| http::get(endpoint.address(), "/"));
    assert_eq!(visitor.text(), APPSERVER.address.to_string());
    assert_eq!(task.went_out(), 0);

    let defined = ProxyConfiguration::of(REDIS.service);
    let unlisted = ProxyConfiguration { egress_ignored_ips: Vec::new(), ..defined };
    let task = Task::start_with(&vpc, &REDIS, &unlisted);
    assert!(is_cut_off(&task, endpoint.address()));
    assert_eq!(endpoint.visits(), 1);
}
