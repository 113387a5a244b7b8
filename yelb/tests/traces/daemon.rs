//! An X-Ray daemon that keeps what it is sent.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use testbed::{PATIENCE, eventually};

const HEADER: &str = "{\"format\": \"json\", \"version\": 1}\n";

/// The daemon. Dropping it closes its port.
pub(crate) struct Daemon {
    port: u16,
    documents: Arc<Mutex<Vec<Value>>>,
    over: Arc<AtomicBool>,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let port = socket.local_addr().unwrap().port();
        let (documents, over) = <(Arc<Mutex<Vec<Value>>>, Arc<AtomicBool>)>::default();
        let (kept, stop) = (Arc::clone(&documents), Arc::clone(&over));
        thread::spawn(move || {
            let mut packet = vec![0; 65536];
            while !stop.load(SeqCst) {
                let Ok(length) = socket.recv(&mut packet) else { continue };
                kept.lock().unwrap().push(document(&packet[..length]));
            }
        });
        Self { port, documents, over }
    }

    /// What the programs are told of it.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// All documents so far.
    pub(crate) fn documents(&self) -> Vec<Value> {
        self.documents.lock().unwrap().clone()
    }

    /// The documents of a trace so far.
    pub(crate) fn trace(&self, root: &str) -> Vec<Value> {
        let mut documents = self.documents();
        documents.retain(|document| document["trace_id"] == root);
        documents
    }

    /// The documents of a trace once there are this many of them.
    #[track_caller]
    pub(crate) fn whole_trace(&self, root: &str, size: usize) -> Vec<Value> {
        eventually(PATIENCE, "the whole trace is sent", || self.trace(root).len() >= size);
        self.trace(root)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
    }
}

fn document(packet: &[u8]) -> Value {
    let text = std::str::from_utf8(packet).expect("a packet is text");
    let document = text.strip_prefix(HEADER).expect("a packet begins with the daemon's header");
    serde_json::from_str(document).expect("a packet is one document")
}

/// The one document of this name and type, `segment` or `subsegment`.
#[track_caller]
pub(crate) fn named<'a>(trace: &'a [Value], name: &str, kind: &str) -> &'a Value {
    let is_of_kind = |document: &Value| match kind {
        "subsegment" => document["type"] == "subsegment",
        _ => document.get("type").is_none(),
    };
    let found: Vec<_> =
        trace.iter().filter(|document| document["name"] == name && is_of_kind(document)).collect();
    assert_eq!(found.len(), 1, "one {kind} is called {name}: {trace:#?}");
    found[0]
}
