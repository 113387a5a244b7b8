//! A small HTTP client that hides nothing: a test sends bytes and sees the bytes that come back.

mod events;
mod raw;
mod response;

use std::net::SocketAddr;

pub use events::Events;
pub use raw::Raw;
pub use response::Response;

/// Gets a page on a connection of its own.
#[track_caller]
pub fn get(address: SocketAddr, path: &str) -> Response {
    request(address, "GET", path, &[], b"")
}

/// Makes a request on a connection of its own. `Host`, `Connection: close` and, for a body, `Content-Length` are added
/// where `headers` does not have them.
#[track_caller]
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Response {
    let mut connection = Raw::connect(address);
    connection.send(write_request(address, method, path, headers, body.as_ref()));
    match connection.try_read_response_to(method) {
        Ok(response) => response,
        Err(error) => panic!("{method} {path}: {error}"),
    }
}

fn write_request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let given = |name: &str| headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
    let framed = given("content-length") || given("transfer-encoding");
    let carries_body = !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH");

    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    let mut line = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);
    if !given("host") {
        line("Host", &address.to_string());
    }
    for (name, value) in headers {
        line(name, value);
    }
    if !given("connection") {
        line("Connection", "close");
    }
    if carries_body && !framed {
        line("Content-Length", &body.len().to_string());
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

/// Clients of a server that hold on to it: one reads none of the answers to its many requests for `path`, one stops in the
/// middle of a head, one in the middle of a body.
#[track_caller]
pub fn stuck_clients(server: SocketAddr, path: &str) -> [Raw; 3] {
    let mut clients = [(); 3].map(|()| Raw::connect(server));
    let [slow_reader, half_head, half_body] = &mut clients;
    half_head.send(format!("GET {path} HTTP/1.1\r\nHost:"));
    half_body.send(format!("POST {path} HTTP/1.1\r\nHost: yelb\r\nContent-Length: 5\r\n\r\nhe"));
    slow_reader.send_until_stuck(format!("GET {path} HTTP/1.1\r\nHost: yelb\r\n\r\n"));
    clients
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_gets_the_headers_it_lacks() {
        let address = "127.0.0.1:80".parse().unwrap();
        let bytes = write_request(address, "POST", "/api/ihop", &[("host", "yelb")], b"x");
        let expected = "POST /api/ihop HTTP/1.1\r\nhost: yelb\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }
}
