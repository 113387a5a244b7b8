//! An X-Ray daemon that keeps what it is sent.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::wait::{PATIENCE, eventually};

/// An X-Ray daemon of the test's own. Dropping it closes its port.
#[derive(Debug)]
pub struct Daemon {
    port: u16,
    documents: Arc<Mutex<Vec<Value>>>,
    over: Arc<AtomicBool>,
}

impl Daemon {
    /// Starts one on a free port of 127.0.0.1.
    #[track_caller]
    pub fn start() -> Self {
        Self::listen(UdpSocket::bind("127.0.0.1:0").expect("the kernel has a free port"))
    }

    /// Starts one on this socket, which may be one of another network.
    #[track_caller]
    pub fn listen(socket: UdpSocket) -> Self {
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a limit can be set");
        make_room(&socket);
        let port = socket.local_addr().expect("a bound socket has an address").port();
        let (documents, over) = <(Arc<Mutex<Vec<Value>>>, Arc<AtomicBool>)>::default();
        let (kept, stop) = (Arc::clone(&documents), Arc::clone(&over));
        thread::spawn(move || {
            let mut packet = vec![0; 65536];
            while !stop.load(SeqCst) {
                let Ok(length) = socket.recv(&mut packet) else { continue };
                let document = document(&packet[..length]);
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(document);
            }
        });
        Self { port, documents, over }
    }

    /// What the programs are told of it, in `AWS_XRAY_DAEMON_ADDRESS`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it listens, by UDP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// All documents so far.
    pub fn documents(&self) -> Vec<Value> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The documents of a trace so far.
    pub fn trace(&self, root: &str) -> Vec<Value> {
        let mut documents = self.documents();
        documents.retain(|document| document["trace_id"] == root);
        documents
    }

    /// The documents of a trace once there are this many of them.
    #[track_caller]
    pub fn whole_trace(&self, root: &str, size: usize) -> Vec<Value> {
        eventually(PATIENCE, "the whole trace is sent", || self.trace(root).len() >= size);
        self.trace(root)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
    }
}

/// What does not fit into a socket's buffer is lost, and a test machine may have other things to do than to empty it. Only
/// root gets as much room as it likes.
fn make_room(socket: &UdpSocket) {
    const ROOM: usize = 8 * 1024 * 1024;
    #[cfg(target_os = "linux")]
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, ROOM).is_ok() {
        return;
    }
    // Whatever the system gives at the most.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(socket, ROOM);
}

/// A packet is a line that says what follows, and one document.
fn document(packet: &[u8]) -> Value {
    let text = std::str::from_utf8(packet).expect("a packet is text");
    let (header, document) = text.split_once('\n').expect("a packet begins with a line");
    let header: Value = serde_json::from_str(header).expect("a packet's first line is JSON");
    assert_eq!(header, json!({ "format": "json", "version": 1 }));
    serde_json::from_str(document).expect("a packet is one document")
}

/// The one document of this name and type, `segment` or `subsegment`.
#[track_caller]
pub fn named<'a>(trace: &'a [Value], name: &str, kind: &str) -> &'a Value {
    let is_of_kind = |document: &Value| match kind {
        "subsegment" => document["type"] == "subsegment",
        _ => document.get("type").is_none(),
    };
    let found: Vec<_> =
        trace.iter().filter(|document| document["name"] == name && is_of_kind(document)).collect();
    assert_eq!(found.len(), 1, "one {kind} is called {name}: {trace:#?}");
    found[0]
}
