//! A connection to the byte.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::response::Response;
use crate::wait::PATIENCE;

/// More than any answer of ours; beyond it a server has run wild.
const MOST: usize = 32 * 1024 * 1024;

/// How long [`Raw::is_closed`] waits for the server to close.
const CLOSING: Duration = Duration::from_secs(3);

/// How long a server that does not read is taken for busy.
const STUCK: Duration = Duration::from_secs(1);

/// One connection to a server.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    /// Received and not yet part of a response.
    pending: Vec<u8>,
    limit: Duration,
}

impl Raw {
    /// Connects.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        match Self::try_connect(address) {
            Ok(connection) => connection,
            Err(error) => panic!("cannot connect to {address}: {error}"),
        }
    }

    /// As [`Self::connect`], but that nothing listens is for the test to judge.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, pending: Vec::new(), limit: PATIENCE })
    }

    /// How long a response may take from now on, instead of [`PATIENCE`].
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sends these bytes and no others.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        if let Err(error) = self.try_send(bytes) {
            panic!("cannot send: {error}; pending: {:?}", String::from_utf8_lossy(&self.pending))
        }
    }

    /// As [`Self::send`], but that the server has closed the connection is for the test to judge.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.set_write_timeout(Some(self.limit))?;
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends these bytes again and again and reads nothing, until the server, whose answers pile up, reads no more.
    #[track_caller]
    pub fn send_until_stuck(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.set_write_timeout(Some(STUCK)).expect("a limit can be set");
        let many = bytes.as_ref().repeat(100);
        let error = loop {
            if let Err(error) = self.stream.write_all(&many) {
                break error.kind();
            }
        };
        assert!(matches!(error, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    }

    /// Says that nothing more will be sent, and still listens.
    pub fn finish_sending(&mut self) {
        drop(self.stream.shutdown(std::net::Shutdown::Write));
    }

    /// Reads the next response, to a request of any method but HEAD and CONNECT.
    #[track_caller]
    pub fn read_response(&mut self) -> Response {
        self.read_response_to("GET")
    }

    /// Reads the next response, to a request of this method: the response to HEAD has the headers of a body and no body.
    #[track_caller]
    pub fn read_response_to(&mut self, method: &str) -> Response {
        match self.try_read_response_to(method) {
            Ok(response) => response,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`Self::read_response_to`], but no response, or half of one, is for the test to judge.
    pub fn try_read_response_to(&mut self, method: &str) -> Result<Response, String> {
        let deadline = Instant::now() + self.limit;
        let mut interim = Vec::new();
        loop {
            let mut response = self.read_head(deadline)?;
            if (100..200).contains(&response.status) && response.status != 101 {
                interim.push(response.status);
                continue;
            }
            response.interim = interim;
            response.body = self.read_body(method, &response, deadline)?;
            return Ok(response);
        }
    }

    /// Reads the head of the next response, whose body has no end.
    #[track_caller]
    pub(super) fn read_head_of_response(&mut self) -> Response {
        match self.read_head(Instant::now() + self.limit) {
            Ok(head) => head,
            Err(error) => panic!("{error}"),
        }
    }

    /// Reads the next chunk of such a body; nothing if it has ended after all, or was cut.
    #[track_caller]
    pub(super) fn read_chunk(&mut self) -> Option<Vec<u8>> {
        let deadline = Instant::now() + self.limit;
        match self.try_read_chunk(deadline) {
            Ok(chunk) => chunk,
            Err(error) if error.contains("the connection is closed") => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Whether the server closes the connection, within three seconds, without sending anything more.
    pub fn is_closed(&mut self) -> bool {
        self.closes_within(CLOSING)
    }

    /// Whether the server closes the connection within `limit`, without sending anything more.
    ///
    /// For the opposite claim, that it stays open, a short limit keeps the test short.
    pub fn closes_within(&mut self, limit: Duration) -> bool {
        self.pending.is_empty() && matches!(self.receive(Instant::now() + limit), Received::End)
    }

    /// Whatever the server sends until it closes the connection.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + self.limit;
        match self.fill_until_end(deadline) {
            Ok(()) => std::mem::take(&mut self.pending),
            Err(error) => panic!("{error}"),
        }
    }

    fn read_head(&mut self, deadline: Instant) -> Result<Response, String> {
        let end = loop {
            if let Some(at) = find(&self.pending, b"\r\n\r\n") {
                break at + 4;
            }
            self.more(deadline, "a response's head")?;
        };
        let raw_head: Vec<u8> = self.pending.drain(..end).collect();
        Response::of_head(raw_head)
    }

    fn read_body(
        &mut self,
        method: &str,
        head: &Response,
        deadline: Instant,
    ) -> Result<Vec<u8>, String> {
        let bodiless = method == "HEAD" || matches!(head.status, 101 | 204 | 304);
        let tunnel = method == "CONNECT" && (200..300).contains(&head.status);
        if bodiless || tunnel {
            return Ok(Vec::new());
        }
        let coding = head.header("transfer-encoding");
        if coding.is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return self.read_chunks(deadline);
        }
        if let Some(length) = head.header("content-length") {
            let length = length.parse().map_err(|_| format!("a bad Content-Length: {head:?}"))?;
            return self.take(length, deadline, "a body of the announced length");
        }
        self.fill_until_end(deadline)?;
        Ok(std::mem::take(&mut self.pending))
    }

    fn read_chunks(&mut self, deadline: Instant) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        while let Some(chunk) = self.try_read_chunk(deadline)? {
            body.extend(chunk);
        }
        Ok(body)
    }

    /// The next chunk; nothing after the last one.
    fn try_read_chunk(&mut self, deadline: Instant) -> Result<Option<Vec<u8>>, String> {
        let line = self.take_line(deadline)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size =
            usize::from_str_radix(size, 16).map_err(|_| format!("a bad chunk size: {line:?}"))?;
        if size == 0 {
            // Trailers, if any, and the empty line.
            while !self.take_line(deadline)?.is_empty() {}
            return Ok(None);
        }
        let chunk = self.take(size, deadline, "a whole chunk")?;
        let after = self.take_line(deadline)?;
        if !after.is_empty() {
            return Err(format!("a chunk is longer than announced: {after:?} follows it"));
        }
        Ok(Some(chunk))
    }

    fn take(&mut self, length: usize, deadline: Instant, what: &str) -> Result<Vec<u8>, String> {
        while self.pending.len() < length {
            self.more(deadline, what)?;
        }
        Ok(self.pending.drain(..length).collect())
    }

    fn take_line(&mut self, deadline: Instant) -> Result<String, String> {
        let end = loop {
            if let Some(at) = find(&self.pending, b"\r\n") {
                break at;
            }
            self.more(deadline, "a line of a chunked body")?;
        };
        let line: Vec<u8> = self.pending.drain(..end + 2).take(end).collect();
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    fn fill_until_end(&mut self, deadline: Instant) -> Result<(), String> {
        loop {
            match self.receive(deadline) {
                Received::Bytes => {}
                Received::End => return Ok(()),
                Received::Nothing => {
                    return Err(self.complain("the connection's end", "it stays open"));
                }
            }
        }
    }

    fn more(&mut self, deadline: Instant, what: &str) -> Result<(), String> {
        match self.receive(deadline) {
            Received::Bytes => Ok(()),
            Received::End => Err(self.complain(what, "the connection is closed")),
            Received::Nothing => Err(self.complain(what, "nothing more comes")),
        }
    }

    fn receive(&mut self, deadline: Instant) -> Received {
        // Zero would mean without a limit.
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(left)).expect("a limit can be set");
        let mut buffer = [0; 16 * 1024];
        loop {
            return match self.stream.read(&mut buffer) {
                Ok(0) => Received::End,
                Ok(length) => {
                    self.pending.extend_from_slice(&buffer[..length]);
                    assert!(self.pending.len() <= MOST, "the response is longer than {MOST} bytes");
                    Received::Bytes
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    Received::Nothing
                }
                // Reset: closed, and rudely.
                Err(_) => Received::End,
            };
        }
    }

    fn complain(&self, what: &str, why: &str) -> String {
        format!(
            "waited for {what}, but {why}; received: {:?}",
            String::from_utf8_lossy(&self.pending)
        )
    }
}

enum Received {
    Bytes,
    End,
    Nothing,
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A connection to a server that says this, whatever it is asked, and closes.
    fn saying(bytes: &'static [u8]) -> Raw {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // In two parts, so that a response may arrive in the middle of anything.
            let (first, rest) = bytes.split_at(bytes.len() / 2);
            stream.write_all(first).unwrap();
            thread::sleep(Duration::from_millis(20));
            stream.write_all(rest).unwrap();
        });
        Raw::connect(address).with_limit(Duration::from_secs(5))
    }

    #[test]
    fn bodies_of_a_length_follow_each_other_on_one_connection() {
        let mut connection =
            saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
        let first = connection.read_response();
        assert_eq!((first.status, &*first.reason, first.text()), (200, "OK", "hi"));
        assert_eq!(first.header("content-LENGTH"), Some("2"));
        assert_eq!(first.headers[0].0, "Content-Length");
        let second = connection.read_response();
        assert_eq!((second.status, &*second.reason), (404, "Not Found"));
        assert!(connection.is_closed());
    }

    #[test]
    fn chunks_are_put_together() {
        let body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                     2;a=b\r\n[1\r\nA\r\n,2,3,4,5,6\r\n1\r\n]\r\n0\r\nTrailer: x\r\n\r\n";
        let mut connection = saying(body);
        assert_eq!(connection.read_response().json(), serde_json::json!([1, 2, 3, 4, 5, 6]));
        assert!(connection.is_closed());
    }

    #[test]
    fn a_body_without_a_length_ends_with_the_connection() {
        assert_eq!(
            saying(b"HTTP/1.0 200 OK\r\n\r\nall of this").read_response().text(),
            "all of this"
        );
    }

    #[test]
    fn the_response_to_head_has_no_body() {
        let mut connection =
            saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
        assert!(connection.read_response_to("HEAD").body.is_empty());
        assert_eq!(connection.read_response().status, 204);
    }

    #[test]
    fn interim_responses_are_noted() {
        let mut connection =
            saying(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let response = connection.read_response();
        assert_eq!((response.status, &*response.interim), (200, &[100][..]));
    }

    #[test]
    #[should_panic(
        expected = "waited for a body of the announced length, but the connection is closed"
    )]
    fn a_body_cut_short_fails_the_test() {
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort").read_response();
    }

    #[test]
    fn a_silent_server_fails_the_test_within_the_limit() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut connection =
            Raw::connect(listener.local_addr().unwrap()).with_limit(Duration::from_millis(50));
        let error = connection.try_read_response_to("GET").unwrap_err();
        assert!(error.contains("nothing more comes"), "{error}");
        assert!(!connection.closes_within(Duration::from_millis(50)));
    }
}
