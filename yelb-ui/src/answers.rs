//! `GET /screen/answers`: the hosts that have answered, and the votes of the last two minutes, for the big screen.
//!
//! Both are counted from the API's answers that pass through this process. They are not part of the live stream, because pages
//! do not show them, and thousands of pages follow that stream.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;
use futures_util::FutureExt;
use http::{HeaderName, Method, StatusCode};
use tokio::time::{Instant, sleep};
use yelb_poll::Poll;
use yelb_service::broadcast::Broadcast;
use yelb_service::health::Health;
use yelb_service::server::App;

use crate::live::HEARTBEAT;

const PATH: &str = "/screen/answers";
const YELB_HOST: HeaderName = HeaderName::from_static("yelb-host");
/// The most hosts to remember. Older ones have probably ended.
const MOST_HOSTS: usize = 32;
/// Longer than any host's name.
const LONGEST_NAME: usize = 255;
/// The number of seconds for which votes are kept.
const SECONDS: usize = 120;
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// Counts the API's answers, and sends the counts to big screens. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub struct Answers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    poll: Poll,
    began: Instant,
    tally: Mutex<Tally>,
    broadcast: Broadcast,
}

impl Answers {
    /// Starts the task that sends the counts. It ends the streams when this process stops accepting connections.
    pub fn start(health: &Health) -> Self {
        let (poll, began) = (Poll::default(), Instant::now());
        let (tally, broadcast) = (Mutex::default(), Broadcast::default());
        let shared = Arc::new(Shared { poll, began, tally, broadcast });
        tokio::spawn(run(Arc::clone(&shared), health.clone()));
        Self(shared)
    }

    /// The same API, with its answers counted.
    #[must_use]
    pub fn of(&self, api: App) -> App {
        let shared = Arc::clone(&self.0);
        App::from_fn(move |request| {
            let (shared, is_vote) = (Arc::clone(&shared), shared.is_vote(&request));
            let note = move |response: &Response| shared.note(response, is_vote);
            api.answer(request).inspect(note).boxed()
        })
    }

    /// The stream of the counts.
    pub fn routes(&self) -> Router {
        let shared = Arc::clone(&self.0);
        Router::new().route(PATH, get(async move || shared.broadcast.answer()))
    }
}

async fn run(shared: Arc<Shared>, health: Health) {
    shared.broadcast.run(&health, HEARTBEAT, shared.show()).await;
}

impl Shared {
    fn is_vote(&self, request: &Request) -> bool {
        let id = request.uri().path().strip_prefix("/api/");
        matches!(*request.method(), Method::GET | Method::POST)
            && id.is_some_and(|id| self.poll.find(id).is_some())
    }

    fn note(&self, response: &Response, is_vote: bool) {
        let host = response.headers().get(YELB_HOST).and_then(|host| host.to_str().ok());
        let is_counted = is_vote && response.status() == StatusCode::OK;
        self.count(|tally, second| {
            if let Some(host) = host.filter(|host| is_name(host)) {
                tally.answered(host, second);
            }
            if is_counted {
                tally.voted(second);
            }
        });
    }

    /// A poisoned lock can be used: a panic cannot leave the tally half updated.
    fn count<T>(&self, update: impl FnOnce(&mut Tally, u64) -> T) -> T {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        update(&mut tally, self.began.elapsed().as_secs())
    }

    async fn show(&self) {
        loop {
            self.broadcast.viewer().await;
            self.broadcast.show(self.count(Tally::event));
            sleep(SHOW_EVERY).await;
        }
    }
}

/// Whether `host` can be a host's name. It is written into the event without escaping.
fn is_name(host: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    (1..=LONGEST_NAME).contains(&host.len()) && host.bytes().all(is_part)
}

/// Counts of hosts and votes. A second is a number of seconds since the process began.
#[derive(Debug)]
struct Tally {
    /// In the order of their first answers.
    hosts: Vec<Host>,
    /// The votes of each second. The last element is the second `newest`.
    votes: [u32; SECONDS + 1],
    newest: u64,
}

#[derive(Debug)]
struct Host {
    name: String,
    answers: u64,
    last: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { hosts: Vec::new(), votes: [0; SECONDS + 1], newest: 0 }
    }
}

impl Tally {
    fn answered(&mut self, name: &str, second: u64) {
        if let Some(host) = self.hosts.iter_mut().find(|host| host.name == name) {
            host.answers += 1;
            host.last = second;
            return;
        }
        if self.hosts.len() == MOST_HOSTS {
            let oldest = (0..MOST_HOSTS).min_by_key(|at| self.hosts[*at].last);
            self.hosts.remove(oldest.unwrap_or(0));
        }
        self.hosts.push(Host { name: name.to_owned(), answers: 1, last: second });
    }

    fn voted(&mut self, second: u64) {
        self.advance(second);
        self.votes[SECONDS] += 1;
    }

    /// Moves the list of seconds forward to this second.
    fn advance(&mut self, second: u64) {
        let passed = usize::try_from(second.saturating_sub(self.newest)).unwrap_or(usize::MAX);
        let passed = passed.min(self.votes.len());
        self.votes.rotate_left(passed);
        let begun = self.votes.len() - passed;
        self.votes[begun..].fill(0);
        self.newest = self.newest.max(second);
    }

    /// The event: the hosts, the newest first, and the votes of each complete second, the newest last.
    fn event(&mut self, second: u64) -> Bytes {
        self.advance(second);
        let hosts = self.hosts.iter().rev();
        let hosts = hosts.map(|Host { name, answers, .. }| format!("[\"{name}\", {answers}]"));
        let known = usize::try_from(self.newest).unwrap_or(SECONDS).min(SECONDS);
        let votes = self.votes[SECONDS - known..SECONDS].iter().map(u32::to_string);
        let (hosts, votes) = (listed(hosts), listed(votes));
        format!("data: {{\"hosts\": [{hosts}], \"votes\": [{votes}]}}\n\n").into()
    }
}

fn listed(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(tally: &mut Tally, second: u64) -> (Vec<(String, u64)>, Vec<u32>) {
        let event = tally.event(second);
        let json = event.strip_prefix(b"data: ").unwrap();
        let json: serde_json::Value = serde_json::from_slice(json).unwrap();
        let list = |name: &str| serde_json::from_value(json[name].clone()).unwrap();
        (list("hosts"), serde_json::from_value(json["votes"].clone()).unwrap())
    }

    #[test]
    fn each_host_has_the_number_of_its_answers_and_the_newest_host_is_first() {
        let mut tally = Tally::default();
        for host in ["one", "two", "one", "one"] {
            tally.answered(host, 0);
        }
        let (hosts, _) = event(&mut tally, 0);
        assert_eq!(hosts, [("two".to_owned(), 1), ("one".to_owned(), 3)]);
    }

    #[test]
    fn if_there_are_too_many_hosts_the_one_with_the_oldest_answer_is_dropped() {
        let mut tally = Tally::default();
        for number in 0..MOST_HOSTS {
            tally.answered(&number.to_string(), 1);
        }
        tally.answered("0", 2);
        tally.answered("another", 2);
        let (hosts, _) = event(&mut tally, 2);
        assert_eq!(hosts.len(), MOST_HOSTS);
        assert!(hosts.contains(&("0".to_owned(), 2)));
        assert!(!hosts.contains(&("1".to_owned(), 1)));
    }

    #[test]
    fn votes_are_known_for_each_whole_second_of_the_last_two_minutes() {
        let mut tally = Tally::default();
        assert!(event(&mut tally, 0).1.is_empty());
        for second in [0, 0, 2, 3] {
            tally.voted(second);
        }
        assert_eq!(event(&mut tally, 3).1, [2, 0, 1]);
        assert_eq!(event(&mut tally, 4).1, [2, 0, 1, 1]);
        // A vote of an earlier second is counted, too: threads read the clock in any order.
        tally.voted(3);
        assert_eq!(event(&mut tally, 5).1, [2, 0, 1, 1, 1]);

        let (_, votes) = event(&mut tally, 122);
        assert_eq!((votes.len(), votes[0], votes[2]), (SECONDS, 1, 1));
        assert_eq!(event(&mut tally, 9_999).1, [0; SECONDS]);
    }

    #[test]
    fn nothing_but_a_name_gets_into_the_event() {
        for name in ["ip-10-0-1-7.ec2.internal", "vm_1", "fe80::1"] {
            assert!(is_name(name), "{name}");
        }
        for text in ["", "a\"b", "a\\b", "<b>", "a b", &"a".repeat(256)] {
            assert!(!is_name(text), "{text}");
        }
    }
}
