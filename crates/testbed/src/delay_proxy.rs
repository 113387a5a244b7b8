//! A proxy that delays what clients send.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Passes TCP connections on to a server, and what clients send only after a delay: each round trip takes that much longer,
/// and nothing else changes.
#[derive(Debug)]
pub struct DelayProxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    delay_ms: AtomicU64,
    closed: AtomicBool,
}

impl DelayProxy {
    /// A proxy of the server on this port of 127.0.0.1, without a delay yet.
    #[track_caller]
    pub fn to(server: u16) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the kernel has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let state = Arc::new(State::default());
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.closed.load(Ordering::Acquire) {
                    return;
                }
                // The server is down: the proxy closes the connection.
                let Ok(server) = TcpStream::connect(local(server)) else { continue };
                connect(client, server, &accepting);
            }
        });
        Self { port, state }
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on it takes this much longer.
    pub fn takes(&self, delay: Duration) {
        let milliseconds = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.state.delay_ms.store(milliseconds, Ordering::Release);
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::Release);
        // The listener looks at it when a connection comes.
        drop(TcpStream::connect(local(self.port)));
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn connect(client: TcpStream, server: TcpStream, state: &Arc<State>) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a connected socket takes options");
    }
    let clone = |stream: &TcpStream| stream.try_clone().expect("there is a descriptor for it");
    let (from_server, to_client) = (clone(&server), clone(&client));
    let there = Arc::clone(state);
    thread::spawn(move || {
        pass(client, server, || {
            thread::sleep(Duration::from_millis(there.delay_ms.load(Ordering::Acquire)));
        });
    });
    thread::spawn(move || pass(from_server, to_client, || {}));
}

/// Passes on what comes, until either side ends.
fn pass(mut from: TcpStream, mut to: TcpStream, wait: impl Fn()) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        wait();
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // Both ends read the end of the stream, and the other direction ends as well.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::Redis;

    #[test]
    fn a_round_trip_takes_as_long_as_it_is_told() {
        let redis = Redis::start();
        let proxy = DelayProxy::to(redis.port());
        let mut client = TcpStream::connect(local(proxy.port())).unwrap();
        let mut ping = || {
            let sent = Instant::now();
            client.write_all(b"PING\r\n").unwrap();
            client.read_exact(&mut [0; 7]).unwrap();
            sent.elapsed()
        };
        ping();
        proxy.takes(Duration::from_millis(200));
        assert!(ping() >= Duration::from_millis(200));

        redis.kill();
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "it ends with the server's connection");
    }
}
