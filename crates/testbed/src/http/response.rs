//! Responses.

use std::fmt;

use serde_json::Value;

/// A response, as it came.
#[derive(Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The words after it.
    pub reason: String,
    /// Names and values in their order, the names as they were written.
    pub headers: Vec<(String, String)>,
    /// The body, without the framing of chunks.
    pub body: Vec<u8>,
    /// The head, byte for byte, with the empty line that ends it.
    pub raw_head: Vec<u8>,
    /// Responses such as `100 Continue` that preceded it.
    pub interim: Vec<u16>,
}

impl Response {
    /// Takes a head apart, up to the empty line that ends it; its body is still to come.
    pub(super) fn of_head(raw_head: Vec<u8>) -> Result<Self, String> {
        let text = String::from_utf8_lossy(&raw_head).into_owned();
        let bad = || format!("not a response: {text:?}");

        let mut lines = text.trim_end().split("\r\n");
        let mut status_line = lines.next().unwrap_or_default().splitn(3, ' ');
        if !status_line.next().unwrap_or_default().starts_with("HTTP/1.") {
            return Err(bad());
        }
        let status = status_line.next().and_then(|code| code.parse().ok()).ok_or_else(bad)?;
        let reason = status_line.next().unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(bad)?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Self { status, reason, headers, body: Vec::new(), raw_head, interim: Vec::new() })
    }

    /// The value of a header; the first if there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// The values of a header, for one that may be repeated.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        named.map(|(_, value)| &**value).collect()
    }

    /// The body as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body)
            .unwrap_or_else(|_| panic!("the body is not UTF-8: {self:?}"))
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("the body is not JSON ({error}): {self:?}"))
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.raw_head))?;
        f.write_str(&String::from_utf8_lossy(&self.body))
    }
}
