//! Several app servers behind one address, and an app server behind TLS or a path.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use testbed::http;
use testbed::{Nginx, PATIENCE, eventually};

use crate::upstream::Upstream;
use crate::{start_ui_of, ui};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A TCP balancer: each connection goes to the next of the servers.
fn balance(servers: [SocketAddr; 2]) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        for (client, server) in listener.incoming().zip(servers.iter().cycle()) {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) else { return };
            let twin = |stream: &TcpStream| stream.try_clone().expect("there are descriptors left");
            for (mut from, mut to) in [(twin(&client), twin(&server)), (server, client)] {
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    address
}

#[test]
fn every_app_server_behind_a_balancer_is_used_also_by_steady_traffic() {
    let servers = [(); 2].map(|()| Upstream::saying(OK));
    let (_ui, page) = start_ui_of(balance(servers.each_ref().map(Upstream::address)));
    eventually(PATIENCE, "both are used", || {
        assert_eq!(http::get(page, "/api/getvotes").text(), "ok");
        thread::sleep(Duration::from_millis(50));
        servers.iter().all(|server| !server.requests().is_empty())
    });
}

#[test]
fn an_app_server_behind_tls_and_a_path_is_reached_if_its_certificate_is_trusted() {
    let upstream = Upstream::saying(OK);
    let nginx = Nginx::with_tls_before(upstream.address().port());
    let url = format!("https://{}/v1/", nginx.address());
    let start = |certificate| {
        let ui = ui().env("YELB_APPSERVER_ENDPOINT", &url).env("SSL_CERT_FILE", certificate);
        ui.spawn()
    };
    let trusting = start(nginx.certificate());
    assert_eq!(http::get(trusting.address("page"), "/api/ihop?x").text(), "ok");
    assert_eq!(upstream.request().line, "GET /v1/api/ihop?x HTTP/1.1");

    let other = Nginx::with_tls_before(upstream.address().port());
    let wary = start(other.certificate());
    let page = wary.address("page");
    assert_eq!(http::get(page, "/api/ihop").status, 502);
    assert_eq!(upstream.requests().len(), 1, "nothing is sent to it");
    let readiness = http::get(page, "/readyz");
    assert!(readiness.text().contains("certificate"), "{readiness:?}");
}
