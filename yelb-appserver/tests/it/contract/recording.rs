//! The recorded behaviour of the original, and ours in the same terms.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use serde_json::Value;
use testbed::http::{self, Raw, Response};

/// What stands in a recorded request where the client paused.
const PAUSE: &str = "\n--- (0.2 s pause) ---\n";
/// What stands in a recorded request for so many letters.
const LETTERS: (&str, usize) = ("<12288 a>", 12288);
/// What can be said of the counter of a vote whose client hung up.
pub(super) const AT_MOST_ONE: &str = "+1 or not";
/// The name of the recorded host.
const RECORDED_HOST: &str = "vm";

/// One connection to the server: what was sent, what came back, and what it changed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) name: String,
    /// What the client sends, one part after the other.
    parts: Vec<Vec<u8>>,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) connection: Connection,
    /// What became of each counter that moved, such as `+1` or `None->1`.
    pub(super) effects: BTreeMap<String, String>,
}

/// A request and its answer.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Exchange {
    /// As sent; empty where there is no request line.
    pub(super) method: String,
    pub(super) target: String,
    /// Such as `1.1`.
    pub(super) version: String,
    /// Whether `100 Continue` came before the answer.
    pub(super) interim: bool,
    /// None where the connection ended instead.
    pub(super) answer: Option<Answer>,
}

/// An answer. What our own recording would have different each time is replaced: a date by `now`, the body of a problem
/// by its status and title, the length of that by `its own`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

/// How the connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    KeptOpen,
    Closed,
    /// The client hung up.
    Left,
}

/// All counters, by name. One that does not exist is not listed.
pub(super) type Counters = BTreeMap<String, String>;

/// Reads a recording: a case a line.
pub(super) fn cases(recording: &str) -> Vec<Case> {
    recording.lines().map(|line| Case::read(&serde_json::from_str(line).expect("JSON"))).collect()
}

impl Case {
    fn read(case: &Value) -> Self {
        let request = text(&case["request"]).replace(LETTERS.0, &"a".repeat(LETTERS.1));
        let parts: Vec<_> = request.split(PAUSE).map(str::to_owned).collect();
        let mut exchanges = asked(&parts.concat());

        let responses = case["responses"].as_array().expect("a list");
        let (interim, answers): (Vec<_>, Vec<_>) =
            responses.iter().partition(|response| text(&response["status"]).contains(" 100 "));
        exchanges[0].interim = !interim.is_empty();
        for (exchange, answer) in exchanges.iter_mut().zip(answers) {
            exchange.answer = Some(Answer::read(answer, &exchange.path()));
        }
        Self {
            name: text(&case["name"]).to_owned(),
            // Recorded as if each byte were a letter (Latin-1).
            parts: parts.iter().map(|part| part.chars().map(|byte| byte as u8).collect()).collect(),
            exchanges,
            connection: match text(&case["connection"]) {
                "kept-open" => Connection::KeptOpen,
                "closed-by-server" => Connection::Closed,
                _ => Connection::Left,
            },
            effects: strings(&case["side_effects"]),
        }
    }

    /// Sends the same to a server. The effects are for the caller to see.
    pub(super) fn perform(&self, api: SocketAddr) -> Self {
        let mut connection = Raw::connect(api);
        let mut performed = self.clone();
        performed.effects.clear();
        let mut due = performed.exchanges.iter_mut();
        for (index, part) in self.parts.iter().enumerate() {
            connection.send(part);
            if self.connection == Connection::Left {
                return performed;
            }
            let last = index + 1 == self.parts.len();
            if !last && !part.ends_with(b"\r\n\r\n") {
                // Time enough for the server to read the beginning of a request on its own.
                http::get(api, "/api/hostname");
                continue;
            }
            for exchange in due.by_ref().take(if last { usize::MAX } else { 1 }) {
                let answer = connection.try_read_response_to(exchange.answered_as());
                exchange.interim = answer.as_ref().is_ok_and(|response| response.interim == [100]);
                exchange.answer = match answer {
                    Ok(response) => Some(Answer::of(&response)),
                    Err(why) if why.contains("connection is closed; received: \"\"") => None,
                    Err(why) => Some(Answer { status: why, ..Answer::default() }),
                };
            }
        }
        performed.connection = match self.connection {
            Connection::KeptOpen if answers_again(&mut connection) => Connection::KeptOpen,
            Connection::Closed if !connection.is_closed() => Connection::KeptOpen,
            _ => Connection::Closed,
        };
        performed
    }

    /// Whether a request says that it has a body.
    pub(super) fn sends_a_body(&self) -> bool {
        let sent = String::from_utf8_lossy(&self.parts.concat()).into_owned();
        let mut fields = sent.split("\r\n").filter_map(|line| line.split_once(": "));
        fields.any(|(name, value)| {
            name == "Transfer-Encoding" || (name == "Content-Length" && value != "0")
        })
    }

    /// What moved between `before` and `after`.
    pub(super) fn affected(mut self, before: &Counters, after: &Counters) -> Self {
        for name in before.keys().chain(after.keys()) {
            let (before, after) = (before.get(name), after.get(name));
            if before == after {
                continue;
            }
            let number = |count: Option<&String>| count?.parse::<i128>().ok();
            let effect = match (number(before), number(after)) {
                (Some(before), Some(after)) => format!("{:+}", after - before),
                _ => {
                    let shown = |count: Option<&String>| count.map_or("None".into(), String::clone);
                    format!("{}->{}", shown(before), shown(after))
                }
            };
            self.effects.insert(name.clone(), effect);
        }
        if self.connection == Connection::Left && self.effects.values().all(|vote| vote == "+1") {
            // It may have been counted by now, or be counted yet.
            self.effects = [("ihop".to_owned(), AT_MOST_ONE.to_owned())].into();
        }
        self
    }
}

/// The requests that were sent, at least one.
fn asked(sent: &str) -> Vec<Exchange> {
    let exchange = |method: &str, target: &str, version: &str| Exchange {
        method: method.to_owned(),
        target: target.to_owned(),
        version: version.to_owned(),
        interim: false,
        answer: None,
    };
    let requests = sent.split("\r\n").filter_map(|line| {
        let (request, version) = line.split_once(" HTTP/")?;
        let (method, target) = request.split_once(' ')?;
        Some(exchange(method, target, version))
    });
    let requests: Vec<_> = requests.collect();
    if requests.is_empty() { vec![exchange("", "", "")] } else { requests }
}

/// Whether another request on the connection is answered.
fn answers_again(connection: &mut Raw) -> bool {
    connection.send("GET /api/hostname HTTP/1.1\r\nHost: yelb\r\n\r\n");
    connection.try_read_response_to("GET").is_ok_and(|response| response.status == 200)
}

impl Exchange {
    /// The method that is to be answered: where another one overrides it, an answer without its body shows that.
    fn answered_as(&self) -> &str {
        let is_without_body = |answer: &Answer| {
            let length = answer.headers.get("Content-Length");
            answer.body.is_empty() && length.is_some_and(|length| length != "0")
        };
        if self.answer.as_ref().is_some_and(is_without_body) { "HEAD" } else { &self.method }
    }

    /// The path, without query and fragment, with the escapes of the recording as the letters that they mean.
    pub(super) fn path(&self) -> String {
        let path = self.target.strip_prefix("http://127.0.0.1:4567").unwrap_or(&self.target);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        path.replace("%69", "i").replace("%67", "g")
    }
}

impl Answer {
    fn read(response: &Value, path: &str) -> Self {
        let pairs = response["headers"].as_array().expect("a list");
        let pair = |pair: &Value| match (text(&pair[0]), text(&pair[1])) {
            // In which case it is written means nothing.
            (name @ "Connection", value) => (name.to_owned(), value.to_lowercase()),
            (name, value) => (name.to_owned(), value.to_owned()),
        };
        let mut answer = Self {
            status: text(&response["status"]).to_owned(),
            headers: pairs.iter().map(pair).collect(),
            body: text(&response["body"]).to_owned(),
        };
        if answer.status.ends_with(" 200 OK") && matches!(path, "/api/hostname" | "/api/getstats") {
            let host = gethostname::gethostname().to_string_lossy().into_owned();
            let length: usize = answer.headers["Content-Length"].parse().expect("a number");
            let length = length - RECORDED_HOST.len() + host.len();
            answer.headers.insert("Content-Length".into(), length.to_string());
            answer.body = answer.body.replace(RECORDED_HOST, &host);
        }
        answer
    }

    fn of(response: &Response) -> Self {
        let head = String::from_utf8_lossy(&response.raw_head).into_owned();
        let mut headers = BTreeMap::new();
        for (name, value) in &response.headers {
            // A name that comes twice would be lost.
            headers
                .entry(name.clone())
                .and_modify(|first: &mut String| *first = format!("{first}, {value}"))
                .or_insert_with(|| value.clone());
        }
        if let Some(connection) = headers.get_mut("Connection") {
            *connection = connection.to_lowercase();
        }
        if let Some(date) = headers.get_mut("Date") {
            "now".clone_into(date);
        }
        let mut body = String::from_utf8_lossy(&response.body).into_owned();
        if response.header("content-type") == Some("application/problem+json") {
            if let Some(length) = headers.get_mut("Content-Length") {
                "its own".clone_into(length);
            }
            if !body.is_empty() {
                body = problem(&body);
            }
        }
        let status = head.lines().next().unwrap_or_default().to_owned();
        Self { status, headers, body }
    }
}

/// Status and title of a problem (RFC 9457), if it is a whole one.
fn problem(body: &str) -> String {
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    let said = |name: &str| problem[name].as_str().filter(|text| !text.is_empty());
    match (said("type"), said("detail"), said("title"), problem["status"].as_u64()) {
        (Some("about:blank"), Some(_), Some(title), Some(status)) => {
            format!("(problem {status} {title})")
        }
        _ => format!("(not a problem: {body})"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn strings(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.map(|(name, value)| (name.clone(), text(value).to_owned())).collect()
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Exchange { method, target, interim, answer, .. } in &self.exchanges {
            let target: String = target.chars().take(80).collect();
            writeln!(f, "    {method} {target}{}", if *interim { " (100 Continue)" } else { "" })?;
            if let Some(Answer { status, headers, body }) = answer {
                writeln!(f, "      {status} {headers:?}\n      {body:?}")?;
            }
        }
        writeln!(f, "    connection {:?}, effects {:?}", self.connection, self.effects)
    }
}
