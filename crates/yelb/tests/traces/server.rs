//! An HTTP server that keeps what it is sent and answers all of it alike: a collector, or an app server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The server. It goes with the test process.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// A request, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a field, which must not be repeated.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let named = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let values: Vec<_> = named.map(|(_, value)| &**value).collect();
        assert!(values.len() <= 1, "{name} once: {values:?}");
        values.first().copied()
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::answering("200 OK")
    }

    /// One that answers with this status.
    pub(crate) fn answering(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                thread::spawn(move || converse(stream, status, &kept));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn converse(stream: TcpStream, status: &str, kept: &Mutex<Vec<Request>>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = hear(&mut stream) {
        kept.lock().unwrap().push(request);
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        if stream.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn hear(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let line = read_line(stream)?;
    let mut fields = Vec::new();
    loop {
        let field = read_line(stream)?;
        let Some((name, value)) = field.split_once(':') else { break };
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut request = Request { line, fields, body: Vec::new() };
    let length = request.field("content-length").map_or(0, |length| length.parse().unwrap());
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body).ok()?;
    Some(request)
}

fn read_line(stream: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let length = stream.read_line(&mut line).ok()?;
    (length > 0).then(|| line.trim_end().to_owned())
}
