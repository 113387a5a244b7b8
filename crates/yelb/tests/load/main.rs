//! `yelb load`, run as a user runs it, against real servers and against some that cheat.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;
mod kills;
mod slow;
mod verdict;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use fake::Fake;
use serde_json::Value;
use testbed::{Nginx, Output, PATIENCE, Postgres, Program, Redis, Running, eventually, http};

fn load(url: &str, flags: &str) -> Program {
    Program::new(env!("CARGO_BIN_EXE_yelb")).args(["load", url]).args(flags.split_whitespace())
}

fn report(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The numbers that tell whether every vote was counted.
fn verdict(output: &Output) -> [i64; 5] {
    let report = report(output);
    ["sent", "acknowledged", "counted", "lost", "duplicated"].map(|name| {
        report["verify"][name].as_i64().unwrap_or_else(|| panic!("no {name}: {report}"))
    })
}

fn ended(running: &Running) -> Output {
    let status = running.wait(2 * PATIENCE);
    Output { status, stdout: running.stdout(), stderr: running.stderr() }
}

/// A real app server on a real Postgres and a real Redis.
struct Yelb {
    pub(crate) postgres: Postgres,
    redis: Redis,
}

impl Yelb {
    fn start() -> Self {
        let yelb = Self { postgres: Postgres::start(), redis: Redis::start() };
        yelb.postgres.create_original_schema();
        yelb
    }

    fn app_server(&self, port: u16) -> (Running, SocketAddr) {
        let server = Program::of_workspace("yelb-appserver")
            .env("DATABASE_URL", self.postgres.url("yelbdatabase"))
            .env("REDIS_URL", self.redis.url())
            .env("PORT", port.to_string())
            .env("YELB_ADMIN_PORT", "off")
            .env("RUST_LOG", "info,yelb_service::observe=warn")
            .spawn();
        let address = server.address("api");
        eventually(PATIENCE, "it reads its votes", || status(address) == 200);
        (server, address)
    }

    /// Waits until the load has begun, by what it has left behind.
    fn wait_for_votes(&self) {
        let votes = || self.postgres.sql("yelbdatabase", "select sum(count) from restaurants");
        eventually(PATIENCE, "votes come in", || votes().parse::<u32>().unwrap() >= 50);
    }
}

fn status(address: SocketAddr) -> u16 {
    http::get(address, "/api/getvotes").status
}

#[test]
fn every_vote_is_counted_once() {
    let yelb = Yelb::start();
    let (_server, address) = yelb.app_server(0);

    // A machine with other things to do can make the store too slow for the server, which then says 503.
    let flags = "--rate 300 --duration 2s --reads 25 --retry --verify --json";
    let output = load(&format!("http://{address}/"), flags).run_to_end(PATIENCE);

    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let [sent, acknowledged, counted, lost, duplicated] = verdict(&output);
    let report = report(&output);
    assert_eq!((acknowledged, counted, lost, duplicated), (sent, sent, 0, 0), "{report}");
    assert_eq!(sent + report["reads"]["due"].as_i64().unwrap(), 600);
    assert_eq!(report["verify"]["repeated_answers"], 0);
}

#[test]
fn a_database_that_is_killed_loses_no_vote() {
    let yelb = Yelb::start();
    let (_server, address) = yelb.app_server(0);

    let flags = "--rate 300 --duration 4s --retry --grace 30s --verify --json";
    let running = load(&format!("http://{address}"), flags).spawn();
    yelb.wait_for_votes();
    yelb.postgres.kill();
    eventually(PATIENCE, "the outage is noticed", || status(address) == 503);
    yelb.postgres.start_again();

    let output = ended(&running);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(verdict(&output), [1200, 1200, 1200, 0, 0]);
    assert!(!report(&output)["failures"].as_object().unwrap().is_empty(), "{output:?}");
}

#[test]
fn an_app_server_that_is_killed_loses_no_vote() {
    let yelb = Yelb::start();
    let (server, address) = yelb.app_server(0);

    let flags = "--rate 300 --duration 4s --retry --grace 30s --verify --json";
    let running = load(&format!("http://{address}"), flags).spawn();
    yelb.wait_for_votes();
    server.kill();
    let (_again, _) = yelb.app_server(address.port());

    let output = ended(&running);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(verdict(&output), [1200, 1200, 1200, 0, 0]);
    assert!(!report(&output)["failures"].as_object().unwrap().is_empty(), "{output:?}");
}

#[test]
fn a_stall_is_charged_to_all_who_would_have_come_meanwhile() {
    let fake = Fake::yelb(|count| {
        *count += 1;
        if *count == 100 {
            // With the count in hand: everybody else stands still as well.
            thread::sleep(Duration::from_secs(1));
        }
        Some(*count)
    });
    let flags = "--rate 200 --duration 3s --connections 8 --json";
    let output = load(&fake.url(), flags).run_to_end(PATIENCE);

    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = report(&output);
    let latency = |times: &str, at: &str| report["votes"][times][at].as_f64().unwrap();
    assert!(latency("latency_ms", "max") >= 990.0, "{report}");
    assert!(latency("latency_ms", "p99.9") >= 900.0, "{report}");
    // 200 of the 600 were due in that second, and wait for what is left of it: 100 of them for half a second or more.
    // Only 8 had been sent.
    assert!(latency("latency_ms", "p90") >= 300.0, "{report}");
    assert!(latency("service_ms", "p90") < latency("latency_ms", "p90"), "{report}");
    assert!(report["most_waiting"].as_u64().unwrap() >= 150, "{report}");
}

#[test]
fn a_mistake_is_one_line_and_sends_nothing() {
    let fake = Fake::yelb(|_| None);
    for (flags, line) in [
        ("--rate 0", "yelb: --rate: expected a number above 0 and at most 1000000, got \"0\""),
        ("--shape step", "yelb: --shape: expected one of constant, ramp, spike, got \"step\""),
        ("--shape soak", "yelb: --shape: expected one of constant, ramp, spike, got \"soak\""),
        ("--weights ihop=-1", "yelb: --weights: expected a list such as ihop=4,chipotle=1"),
        ("--retry --no-keys", "yelb: --retry: conflicts with --no-keys"),
        (
            "--rat 5",
            "yelb: unexpected argument '--rat' found; tip: a similar argument exists: '--rate'",
        ),
        ("--peak 5", "yelb load: --peak: is for the shapes ramp and spike"),
    ] {
        let output = load(&fake.url(), flags).run_to_end(PATIENCE);
        assert_eq!(output.status.code(), Some(2), "{flags}: {output:?}");
        assert!(output.stderr.starts_with(line), "{output:?}");
        assert_eq!((output.stderr.lines().count(), &*output.stdout), (1, ""), "{output:?}");
    }
    let output = load("yelb:8080", "").run_to_end(PATIENCE);
    assert_eq!((output.status.code(), output.stderr.lines().count()), (Some(2), 1), "{output:?}");
    assert_eq!(fake.requests(), 0);

    let output = load(&fake.url(), "--weights kfc=1").run_to_end(PATIENCE);
    let stranger = "yelb load: --weights: names kfc; the target has ihop\n";
    assert_eq!((output.status.code(), &*output.stderr), (Some(2), stranger));
    assert_eq!(fake.requests(), 1);
}

#[test]
fn help_is_printed_and_explains_each_term_of_the_report() {
    let output = load("http://127.0.0.1:1", "--help").env("COLUMNS", "80").run_to_end(PATIENCE);
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), ""));
    for term in ["confirmed", "refused", "unknown", "never sent", "since due", "since sent", "lost"]
    {
        let explained = |line: &str| line.starts_with(&format!("  {term} "));
        assert!(output.stdout.lines().any(explained), "{term}: {}", output.stdout);
    }
    assert!(output.stdout.lines().all(|line| line.chars().count() <= 80), "{}", output.stdout);
}

#[test]
fn what_is_no_yelb_gets_no_load() {
    let page = Fake::start(|_, _| Some((200, "<!doctype html>".to_owned())));
    let output = load(&page.url(), "").run_to_end(PATIENCE);
    assert_eq!(output.status.code(), Some(1));
    let told = format!("yelb load: {} does not answer as a Yelb: unexpected body\n", page.url());
    assert_eq!((output.stderr, page.requests()), (told, 1));

    // No server listens on port 1.
    let output = load("http://127.0.0.1:1", "").run_to_end(PATIENCE);
    let told = "yelb load: http://127.0.0.1:1 does not answer as a Yelb: Connection refused";
    assert!(output.status.code() == Some(1) && output.stderr.starts_with(told), "{output:?}");
}

#[test]
fn https_is_spoken_with_a_trusted_server_and_with_no_other() {
    let fake = Fake::yelb(|count| {
        *count += 1;
        Some(*count)
    });
    let nginx = Nginx::with_tls_before(fake.port());
    let url = format!("https://{}", nginx.address());
    let flags = "--rate 100 --duration 500ms --verify --json";

    let trusted = load(&url, flags).env("SSL_CERT_FILE", nginx.certificate());
    let output = trusted.run_to_end(PATIENCE);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(verdict(&output), [50, 50, 50, 0, 0]);

    let requests = fake.requests();
    let other = Nginx::with_tls_before(fake.port());
    let output = load(&url, flags).env("SSL_CERT_FILE", other.certificate()).run_to_end(PATIENCE);
    assert_eq!((output.status.code(), fake.requests()), (Some(1), requests), "{output:?}");
    assert!(output.stderr.contains("invalid peer certificate"), "{output:?}");
}

#[test]
fn an_interrupt_ends_it_early_with_a_report() {
    let fake = Fake::yelb(|count| {
        *count += 1;
        Some(*count)
    });
    let running = load(&fake.url(), "--rate 100 --duration 1h --verify --json").spawn();
    eventually(PATIENCE, "the load has begun", || fake.requests() > 10);
    running.interrupt();

    let output = ended(&running);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let [sent, acknowledged, counted, ..] = verdict(&output);
    assert!(sent >= 10 && (sent, sent) == (acknowledged, counted));
    assert_eq!(report(&output)["interrupted"], true);
}
