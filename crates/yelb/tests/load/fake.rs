//! Servers that only say they are a Yelb.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A status and a body; none to hang up.
pub(crate) type Answer = Option<(u16, String)>;

/// A server that answers each path, and the key of the request, as the test says.
pub(crate) struct Fake {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
}

/// What a fake Yelb with one restaurant knows.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) count: u64,
    /// The counts that the keys were answered with.
    pub(crate) keys: HashMap<String, u64>,
}

impl Fake {
    pub(crate) fn start(
        answer: impl Fn(&str, Option<&str>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, requests) = (Arc::new(answer), Arc::new(AtomicU64::new(0)));
        let counter = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, counter) = (Arc::clone(&answer), Arc::clone(&counter));
                thread::spawn(move || converse(stream, &*answer, &counter));
            }
        });
        Self { address, requests }
    }

    /// A Yelb with one restaurant; `vote` gets what it knows and the vote's key, and answers the voter.
    pub(crate) fn cheating(
        vote: impl Fn(&mut State, Option<&str>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let state = Mutex::new(State::default());
        Self::start(move |path, key| {
            let mut state = state.lock().unwrap();
            match path {
                "/api/getvotes" => {
                    let count = state.count;
                    Some((200, format!(r#"[{{"name": "ihop", "value": {count}}}]"#)))
                }
                "/api/ihop" => vote(&mut state, key),
                other => panic!("unexpected request for {other}"),
            }
        })
    }

    /// A Yelb that answers a known key as before; `vote` gets the count and answers with the number that it tells the
    /// voter, or hangs up.
    pub(crate) fn yelb(vote: impl Fn(&mut u64) -> Option<u64> + Send + Sync + 'static) -> Self {
        Self::cheating(move |state, key| {
            if let Some(known) = key.and_then(|key| state.keys.get(key)) {
                return told(*known);
            }
            let number = vote(&mut state.count)?;
            state.keys.extend(key.map(|key| (key.to_owned(), number)));
            told(number)
        })
    }

    /// A server that answers one request and is gone.
    pub(crate) fn once(body: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&requests);
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            drop(listener);
            let answered = AtomicBool::new(false);
            let answer = |_: &str, _: Option<&str>| {
                (!answered.swap(true, Ordering::SeqCst)).then(|| (200, body.to_owned()))
            };
            converse(stream, &answer, &counter);
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// The answer to a vote.
#[expect(clippy::unnecessary_wraps, reason = "an answer may be none")]
pub(crate) fn told(number: u64) -> Answer {
    Some((200, number.to_string()))
}

fn converse(
    mut stream: TcpStream,
    answer: &dyn Fn(&str, Option<&str>) -> Answer,
    counter: &AtomicU64,
) {
    stream.set_nodelay(true).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    while let Some(first) = lines.next() {
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let key = head.iter().find_map(|line| line.strip_prefix("idempotency-key: "));
        counter.fetch_add(1, Ordering::SeqCst);
        let Some((status, body)) = answer(&path, key) else { return };
        let length = body.len();
        let response = format!("HTTP/1.1 {status} -\r\ncontent-length: {length}\r\n\r\n{body}");
        if stream.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}
