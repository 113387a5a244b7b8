//! An app server that does what a test tells it to, byte by byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use testbed::PATIENCE;

/// A server that plays a script on every connection, and notes what it hears. Dropping it closes all of them.
pub(crate) struct Upstream {
    address: SocketAddr,
    heard: Arc<Heard>,
}

#[derive(Default)]
struct Heard {
    requests: Mutex<Vec<Request>>,
    connections: Mutex<Vec<TcpStream>>,
    over: AtomicBool,
}

/// A request, as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// Method, target and version.
    pub(crate) line: String,
    /// Names and values in their order.
    pub(crate) fields: Vec<(String, String)>,
    /// The body, without the framing of chunks.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| &**value).collect()
    }
}

impl Upstream {
    /// Listens on a free port.
    pub(crate) fn start(script: impl Fn(&mut Conversation) + Send + Sync + 'static) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), script)
    }

    /// Listens where another one has stopped.
    pub(crate) fn start_at(
        address: SocketAddr,
        script: impl Fn(&mut Conversation) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("the port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let heard = Arc::new(Heard::default());
        let (notes, script) = (Arc::clone(&heard), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if notes.over.load(SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let kept = stream.try_clone().expect("there are file descriptors left");
                notes.connections().push(kept);
                let mut conversation = Conversation::new(stream, Arc::clone(&notes));
                let script = Arc::clone(&script);
                thread::spawn(move || {
                    script(&mut conversation);
                    conversation.hang_up();
                });
            }
        });
        Self { address, heard }
    }

    /// Gives every request this answer.
    pub(crate) fn saying(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self::start(move |conversation| {
            while conversation.hear().is_some() {
                conversation.say(&answer);
            }
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests it has heard, the bodies included that it was told to listen to.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.heard.requests().clone()
    }

    /// The only request it has heard.
    #[track_caller]
    pub(crate) fn request(&self) -> Request {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests[0].clone()
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.heard.connections().len()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.heard.over.store(true, SeqCst);
        // Wakes the listener, which then finds that it is over.
        drop(TcpStream::connect(self.address));
        for connection in self.heard.connections().iter() {
            // It may have been closed before.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Heard {
    fn requests(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().expect("no thread panics that notes a request")
    }

    fn connections(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.connections.lock().expect("no thread panics that notes a connection")
    }
}

/// A connection, as a script sees it. A client that has gone is not heard, and what is said to it is lost.
pub(crate) struct Conversation {
    stream: BufReader<TcpStream>,
    heard: Arc<Heard>,
}

impl Conversation {
    fn new(stream: TcpStream, heard: Arc<Heard>) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit can be set");
        stream.set_nodelay(true).expect("a connected socket takes options");
        Self { stream: BufReader::new(stream), heard }
    }

    /// The next request to its last byte; nothing if there is none.
    pub(crate) fn hear(&mut self) -> Option<Request> {
        let mut request = self.read_head()?;
        request.body = self.read_body(&request)?;
        self.note(request.clone());
        Some(request)
    }

    /// The next request without its body, which [`Self::hear_bytes`] gives.
    pub(crate) fn hear_head(&mut self) -> Option<Request> {
        let request = self.read_head()?;
        self.note(request.clone());
        Some(request)
    }

    /// So many bytes of a body.
    pub(crate) fn hear_bytes(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Waits until the other side closes.
    pub(crate) fn hear_nothing_more(&mut self) {
        drop(self.stream.read_to_end(&mut Vec::new()));
    }

    /// Sends these bytes and no others.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_say(bytes);
    }

    /// Sends these bytes. `false` if nothing listens any more.
    pub(crate) fn try_say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.get_mut().write_all(bytes.as_ref()).is_ok()
    }

    /// Dropping it would not do: the server keeps a handle.
    fn hang_up(&self) {
        let _ = self.stream.get_ref().shutdown(Shutdown::Both);
    }

    fn note(&self, request: Request) {
        self.heard.requests().push(request);
    }

    fn read_head(&mut self) -> Option<Request> {
        let line = self.read_line()?;
        let mut request = Request { line, ..Request::default() };
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                return Some(request);
            }
            let (name, value) = line.split_once(':')?;
            request.fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    fn read_body(&mut self, request: &Request) -> Option<Vec<u8>> {
        if request.all("transfer-encoding") == ["chunked"] {
            return self.read_chunks();
        }
        match request.all("content-length")[..] {
            [] => Some(Vec::new()),
            [length] => self.hear_bytes(length.parse().ok()?),
            _ => None,
        }
    }

    fn read_chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(&self.read_line()?, 16).ok()?;
            body.extend(self.hear_bytes(size)?);
            if !self.read_line()?.is_empty() {
                return None;
            }
            if size == 0 {
                return Some(body);
            }
        }
    }

    fn read_line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).ok()?;
        Some(String::from_utf8_lossy(line.strip_suffix(b"\r\n")?).into_owned())
    }
}
