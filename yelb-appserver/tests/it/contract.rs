//! The recorded behaviour of the original app server, replayed against ours.
//!
//! `tests/contract/` has what the original was sent, what it answered, and which counter it moved: `cases.jsonl` with all
//! well, `failures.jsonl` with something broken. What is expected of ours is the recording, changed by [`rules`] where we
//! differ on purpose; everything that neither names is a failure.

mod breakages;
mod recording;
mod rules;

use std::fmt::Write;
use std::net::SocketAddr;

use breakages::{BREAKAGES, Breakage, Kind};
use recording::{Case, Counters, cases};
use rules::Expected;
use testbed::{Postgres, Redis, StandIn, http};

use crate::{DATABASE, Yelb, appserver, bare};

const CASES: &str = include_str!("../contract/cases.jsonl");
const FAILURES: &str = include_str!("../contract/failures.jsonl");

#[test]
fn every_recorded_request_is_answered_as_recorded_or_as_a_rule_says() {
    replay_on(&Yelb::start(), cases(CASES));
}

#[test]
fn the_originals_own_settings_lead_to_its_stores() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    postgres.create_original_schema();
    let program = bare()
        .env("RACK_ENV", "custom")
        .env("YELB_DB_SERVER_ENDPOINT", "127.0.0.1")
        .env("YELB_DB_SERVER_PORT", postgres.port().to_string())
        .env("REDIS_SERVER_ENDPOINT", "127.0.0.1")
        .env("REDIS_SERVER_PORT", redis.port().to_string());
    let gets = cases(CASES).into_iter().filter(|case| case.name.ends_with("-GET"));
    replay_on(&Yelb::of(program, postgres, redis), gets.collect());
}

#[test]
fn with_redis_broken_votes_go_on_and_views_are_refused() {
    replay_failures(|name| name.starts_with("redis") || name.starts_with("pageviews"));
}

#[test]
fn with_postgres_broken_views_go_on_and_votes_are_refused() {
    replay_failures(|name| !name.starts_with("redis") && !name.starts_with("pageviews"));
}

#[test]
fn a_browser_is_told_that_there_is_nothing_as_by_the_original() {
    let server = appserver().spawn();
    let browser = [("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")];
    let answer = http::request(server.address("api"), "GET", "/api/unknown", &browser, "");
    assert_eq!((answer.status, answer.text()), (404, "<h1>Not Found</h1>"));
    assert_eq!(answer.header("content-type"), Some("text/html;charset=utf-8"));
}

#[test]
fn every_rule_is_needed() {
    let all = [cases(CASES), cases(FAILURES)].concat();
    let used: Vec<_> = all.iter().flat_map(|recorded| rules::expected(recorded).1).collect();
    for rule in rules::RULES {
        let needed = used.iter().any(|used| used.name == rule.name);
        assert!(needed, "it changes nothing of what is recorded: {}", rule.name);
    }
}

/// What other tests take for the original's app server says what that was recorded to say, or they would show nothing.
#[test]
fn the_stand_in_answers_as_recorded() {
    let (postgres, redis) = (Postgres::start(), Redis::start());
    postgres.create_original_schema();
    let stand_in = StandIn::start(&postgres, &redis);
    let subject = Subject {
        api: stand_in.address(),
        postgres: &postgres,
        redis: &redis,
        expected: rules::as_recorded,
    };
    let mut mismatches = Mismatches::default();
    for Breakage { name, kind } in BREAKAGES {
        let Kind::Data(change) = kind else { continue };
        let failures = cases(FAILURES).into_iter().filter(|case| case.name.starts_with(name));
        for recorded in failures {
            mismatches.look_for_with(&subject, &recorded, *change);
        }
    }
    // It waits for a body, and the recording ends there.
    let waits = "body-expect100-POST-ihop";
    let recorded = cases(CASES).into_iter().filter(|case| case.name != waits);
    mismatches.replay(&subject, recorded.collect());
    mismatches.report(&stand_in.log());
}

fn replay_on(yelb: &Yelb, recording: Vec<Case>) {
    let mut mismatches = Mismatches::default();
    mismatches.replay(&Subject::of(yelb), recording);
    mismatches.report(&yelb.server.stderr());
}

/// The failures that are recorded under the breakages whose name is `wanted`.
fn replay_failures(wanted: fn(&str) -> bool) {
    let yelb = breakages::yelb();
    let subject = Subject::of(&yelb);
    let mut mismatches = Mismatches::default();
    let mut left: Vec<_> = cases(FAILURES).into_iter().filter(|case| wanted(&case.name)).collect();
    for Breakage { name, kind } in BREAKAGES.iter().filter(|breakage| wanted(breakage.name)) {
        let of_this: Vec<_> = left.extract_if(.., |case| case.name.starts_with(name)).collect();
        assert!(!of_this.is_empty(), "nothing is recorded of {name}");
        let before = subject.reset(None);
        match kind {
            Kind::Data(change) => {
                for recorded in &of_this {
                    mismatches.look_for_with(&subject, recorded, *change);
                }
            }
            Kind::Server { away, during } => {
                during(&yelb, &mut || {
                    for recorded in &of_this {
                        let before = subject.reset(*away);
                        mismatches.look_for(&subject, recorded, &before, *away);
                    }
                });
                breakages::await_mended(&yelb);
                // What was down has not moved, neither meanwhile nor, for a request of that time, afterwards.
                let (after, others) = (subject.counters(None), subject.counters(*away));
                for (counter, count) in
                    before.iter().filter(|(name, _)| !others.contains_key(*name))
                {
                    assert_eq!(after.get(counter), Some(count), "{counter}, after {name}");
                }
            }
        }
    }
    let forgotten: Vec<_> = left.iter().map(|case| &case.name).collect();
    assert!(forgotten.is_empty(), "no breakage is implemented for {forgotten:?}");
    mismatches.report(&yelb.server.stderr());
}

/// A store, and the counters in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Store {
    Postgres,
    Redis,
}

/// The counters before each case of the recording.
const VOTES: [(&str, &str); 4] =
    [("outback", "11"), ("bucadibeppo", "22"), ("chipotle", "33"), ("ihop", "44")];
const PAGE_VIEWS: (&str, &str) = ("pageviews", "100");

/// An app server that is asked, and the stores that it counts in.
struct Subject<'a> {
    api: SocketAddr,
    postgres: &'a Postgres,
    redis: &'a Redis,
    /// What it should do where the original did what is recorded.
    expected: fn(&Case) -> Expected,
}

impl<'a> Subject<'a> {
    fn of(Yelb { api, postgres, redis, .. }: &'a Yelb) -> Self {
        Self { api: *api, postgres, redis, expected: rules::expected }
    }

    /// Sets all counters as before each case, but for those of a store that is down.
    fn reset(&self, away: Option<Store>) -> Counters {
        let mut counters = Vec::new();
        if away != Some(Store::Postgres) {
            let rows = VOTES.map(|(name, count)| format!("('{name}', {count})")).join(", ");
            let reset = format!("DELETE FROM restaurants; INSERT INTO restaurants VALUES {rows}");
            self.postgres.sql(DATABASE, &reset);
            counters.extend(VOTES);
        }
        if away != Some(Store::Redis) {
            self.redis.cli(&["set", PAGE_VIEWS.0, PAGE_VIEWS.1]);
            counters.push(PAGE_VIEWS);
        }
        counters.iter().map(|&(name, count)| (name.to_owned(), count.to_owned())).collect()
    }

    /// All counters, but for those of a store that is down.
    fn counters(&self, away: Option<Store>) -> Counters {
        const GET: &str = "local kind = redis.call('type', 'pageviews').ok
                           return kind == 'string' and redis.call('get', 'pageviews') or kind";
        let mut counters = Counters::new();
        if away != Some(Store::Postgres) {
            let rows = "SELECT trim(name), coalesce(count::text, 'NULL') FROM restaurants";
            let rows = self.postgres.sql(DATABASE, rows);
            let rows = rows.lines().filter_map(|row| row.split_once('|'));
            counters.extend(rows.map(|(name, count)| (name.to_owned(), count.to_owned())));
        }
        if away != Some(Store::Redis) {
            let page_views = self.redis.cli(&["eval", GET, "0"]);
            if page_views != "none" {
                counters.insert(PAGE_VIEWS.0.to_owned(), page_views);
            }
        }
        counters
    }
}

/// What was not as expected.
#[derive(Default)]
struct Mismatches(String, usize);

impl Mismatches {
    /// Sends all that was recorded, each with the counters as they were then.
    fn replay(&mut self, subject: &Subject<'_>, recording: Vec<Case>) {
        let mut before = subject.reset(None);
        for recorded in recording {
            let after = self.look_for(subject, &recorded, &before, None);
            if after != before {
                before = subject.reset(None);
            }
        }
    }

    /// As [`Self::look_for`], with other data than there should be.
    fn look_for_with(&mut self, subject: &Subject<'_>, recorded: &Case, change: fn(&Subject<'_>)) {
        subject.reset(None);
        change(subject);
        self.look_for(subject, recorded, &subject.counters(None), None);
    }

    /// Sends what was recorded and notes it if the outcome is not as it should be. Returns the counters afterwards.
    fn look_for(
        &mut self,
        subject: &Subject<'_>,
        recorded: &Case,
        before: &Counters,
        away: Option<Store>,
    ) -> Counters {
        let (expected, rules) = (subject.expected)(recorded);
        let got = expected.perform(subject.api);
        let after = subject.counters(away);
        let got = got.affected(before, &after);
        if got != expected {
            self.1 += 1;
            let rules: Vec<_> = rules.iter().map(|rule| (rule.name, rule.why)).collect();
            let name = &recorded.name;
            write!(self.0, "\n{name}\n  expected, by {rules:#?}\n{expected}  got\n{got}")
                .expect("a string can be written to");
        }
        after
    }

    #[track_caller]
    fn report(&self, log: &str) {
        let Self(said, count) = self;
        // Without what went well, and the calls that led to an error of the stand-in.
        let is_telling =
            |line: &&str| !line.contains(r#""level":"INFO""#) && !line.starts_with('\t');
        let log: Vec<_> = log.lines().filter(is_telling).collect();
        assert!(*count == 0, "{count} cases are not as expected:\n{said}\nlog: {log:#?}");
        assert!(!log.iter().any(|line| line.contains("panicked")), "{log:#?}");
    }
}
