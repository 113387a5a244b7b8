//! A store that fails over: another server takes its place, and then its name.
//!
//! Both servers are in a network of the test's own, on the same port of two addresses; the name is a line of the programs'
//! `/etc/hosts`, as it is a record of a name server elsewhere.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the seconds of an outage are for the reader of the run")]

mod drill;
mod redis;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use drill::{Load, Outage, counted, total};
use testbed::http::{self, Response};
use testbed::{Namespace, PATIENCE, Postgres, Program, Running, eventually, happens};

const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const DATABASE: &str = "yelbdatabase";

/// How soon votes count again once the name has moved.
const LIMIT: Duration = Duration::from_secs(5);

/// A primary and its standby, and an app server that knows them by one name.
struct Cluster {
    network: Namespace,
    primary: Postgres,
    standby: Postgres,
    api: SocketAddr,
    _appserver: Running,
}

impl Cluster {
    fn start() -> Self {
        let network = Namespace::start();
        name_leads_to(&network, FIRST);
        let primary = Postgres::start_inside_at(&network, FIRST);
        primary.create_original_schema();
        let appserver = Program::of_workspace("yelb-appserver")
            .inside(&network)
            .env("PORT", "0")
            .env("YELB_ADMIN_PORT", "off")
            .env("DATABASE_URL", primary.url(DATABASE).replace(&FIRST.to_string(), "yelb-db"))
            .env("REDIS_URL", "sqlite:views.db")
            .spawn();
        let api = appserver.address("api");
        let standby = primary.standby_at(SECOND);
        let cluster = Self { network, primary, standby, api, _appserver: appserver };
        eventually(PATIENCE, "votes count", || cluster.get("/api/ihop").status == 200);
        cluster
    }

    fn get(&self, path: &str) -> Response {
        self.network.within(|| http::get(self.api, path))
    }

    /// The votes that the app server reads, and those that a server has.
    fn votes(&self) -> i64 {
        total(&self.get("/api/getvotes"))
    }

    /// Waits until the standby has every vote.
    fn await_replication(&self) {
        eventually(PATIENCE, "the standby has every vote", || {
            counted(&self.standby) == counted(&self.primary)
        });
    }

    /// From then on, the primary acknowledges a commit after the standby has it, too.
    fn replicate_synchronously(&self) {
        let primary = |statement| self.primary.sql("postgres", statement);
        primary("alter system set synchronous_standby_names = '*'");
        primary("select pg_reload_conf()");
        eventually(PATIENCE, "commits wait for the standby", || {
            primary("select sync_state from pg_stat_replication") == "sync"
        });
    }

    /// Makes the standby a primary, and moves the name to it.
    fn promote_and_move(&self) {
        assert_eq!(self.standby.sql("postgres", "select pg_promote()"), "t");
        name_leads_to(&self.network, SECOND);
    }

    /// Kills the primary, and puts the standby in its place once the app server has noticed. Ends when a vote of the test's
    /// own is confirmed.
    fn fail_over(&self) -> Outage {
        let killed = Instant::now();
        self.primary.kill();
        eventually(PATIENCE, "it is noticed", || self.is_down("refused"));
        self.promote_and_move();
        let moved = Instant::now();
        // The outage is measured here. The other tests hold its limit.
        eventually(PATIENCE, "a vote is confirmed", || self.vote_is_confirmed());
        Outage { total: killed.elapsed(), after_the_move: moved.elapsed() }
    }

    /// Sends a vote, always with the same key: it counts once, however often it is sent.
    fn vote_is_confirmed(&self) -> bool {
        let key = ("Idempotency-Key", "a-vote-of-this-test");
        let vote = || http::request(self.api, "GET", "/api/ihop", &[key], b"");
        self.network.within(vote).status == 200
    }

    fn is_down(&self, reason: &str) -> bool {
        let votes = self.get("/readyz").json()["dependencies"][0].clone();
        votes["state"] == "down" && votes["reason"].as_str().is_some_and(|it| it.contains(reason))
    }
}

fn name_leads_to(network: &Namespace, address: Ipv4Addr) {
    network.set_hosts(&format!("127.0.0.1 localhost\n{address} yelb-db\n"));
}

#[test]
fn when_a_primary_dies_votes_count_on_its_standby_soon_after_the_name_has_moved() {
    let cluster = Cluster::start();
    let before = cluster.votes();
    cluster.await_replication();
    cluster.primary.kill();
    eventually(PATIENCE, "it is noticed", || cluster.is_down("refused"));

    cluster.promote_and_move();
    assert!(happens(LIMIT, || cluster.get("/api/ihop").status == 200), "not within {LIMIT:?}");
    // The reader has a session of its own, which it tries to begin once a second.
    assert!(happens(LIMIT, || cluster.votes() == before + 1), "not within {LIMIT:?}");
}

#[test]
fn a_primary_that_has_become_read_only_is_left_though_it_answers() {
    let cluster = Cluster::start();
    let before = cluster.votes();
    cluster.await_replication();
    // As a managed database does it that keeps the connections of its old primary.
    cluster.primary.sql("postgres", "alter system set default_transaction_read_only = on");
    cluster.primary.sql("postgres", "select pg_reload_conf()");
    eventually(PATIENCE, "it is noticed", || cluster.is_down("read-only"));
    assert_eq!(cluster.get("/api/ihop").status, 503);
    assert_eq!(cluster.votes(), before, "it is read all the same");

    cluster.promote_and_move();
    assert!(happens(LIMIT, || cluster.get("/api/ihop").status == 200), "not within {LIMIT:?}");
    assert_eq!(
        cluster.votes(),
        before + 1,
        "and so is its successor, by those who have voted there"
    );
}

#[test]
fn when_a_primary_dies_under_load_each_vote_is_confirmed_and_counted_once() {
    let cluster = Cluster::start();
    cluster.replicate_synchronously();
    let before = counted(&cluster.primary);
    let load = Load::begin(&cluster.network, cluster.api);
    load.wait_for_votes(before);
    let outage = cluster.fail_over();
    load.wait_for_votes(counted(&cluster.standby));

    let outcome = load.end();
    assert!(outcome.failed_attempts > 0, "it was noticed: {outcome}");
    // One more: the test's own.
    assert_eq!(counted(&cluster.standby), before + outcome.confirmed + 1, "{outcome}");
    println!("PostgreSQL: no vote was confirmed for {outage}. {outcome}");
}
