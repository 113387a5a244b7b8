//! Servers that only say they are a Yelb.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// A server that answers each path as the test says; it hangs up where the test says nothing.
pub(crate) struct Fake {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl Fake {
    pub(crate) fn start(answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
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

    /// A Yelb with one restaurant; `vote` gets the count and answers with the number that it tells the voter.
    pub(crate) fn yelb(vote: impl Fn(&mut u64) -> Option<u64> + Send + Sync + 'static) -> Self {
        let count = std::sync::Mutex::new(0_u64);
        Self::start(move |path| {
            let mut count = count.lock().unwrap();
            match path {
                "/api/getvotes" => Some(format!(r#"[{{"name": "ihop", "value": {count}}}]"#)),
                "/api/ihop" => vote(&mut count).map(|number| number.to_string()),
                other => panic!("nobody asks for {other}"),
            }
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

fn converse(mut stream: TcpStream, answer: &dyn Fn(&str) -> Option<String>, counter: &AtomicU64) {
    stream.set_nodelay(true).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    while let Some(first) = lines.next() {
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        while lines.next().is_some_and(|line| !line.is_empty()) {}
        counter.fetch_add(1, Ordering::SeqCst);
        let Some(body) = answer(&path) else { return };
        let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}
