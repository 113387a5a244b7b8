//! A server outside the mesh that tells its visitors where they come from.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use testbed::Namespace;

/// The server. It goes with the test process.
pub(crate) struct Visited {
    address: SocketAddr,
    visits: Arc<AtomicUsize>,
}

impl Visited {
    /// Starts one.
    #[track_caller]
    pub(crate) fn start(namespace: &Namespace, address: Ipv4Addr, port: u16) -> Self {
        let listener = namespace.within(|| TcpListener::bind((address, port))).unwrap();
        let address = listener.local_addr().unwrap();
        let visits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&visits);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, SeqCst);
                thread::spawn(move || answer(stream));
            }
        });
        Self { address, visits }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there have been.
    pub(crate) fn visits(&self) -> usize {
        self.visits.load(SeqCst)
    }
}

/// Answers one request with the address that it comes from.
fn answer(mut stream: TcpStream) -> Option<()> {
    let visitor = stream.peer_addr().ok()?.ip().to_string();
    let lines = BufReader::new(stream.try_clone().ok()?).lines();
    lines.map_while(Result::ok).find(String::is_empty)?;
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{visitor}", visitor.len()).ok()
}
