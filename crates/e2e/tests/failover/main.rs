//! A store that fails over: another server takes its place, and then its name.
//!
//! Both servers are in a network of the test's own, on the same port of two addresses; the name is a line of the programs'
//! `/etc/hosts`, as it is a record of a name server elsewhere.

mod redis;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

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
        let list = self.get("/api/getvotes").json();
        let rows = list.as_array().cloned().unwrap_or_default();
        rows.iter().filter_map(|row| row["value"].as_i64()).sum()
    }

    /// Waits until the standby has every vote.
    fn await_replication(&self) {
        let votes = |server: &Postgres| server.sql(DATABASE, "select sum(count) from restaurants");
        eventually(PATIENCE, "the standby has every vote", || {
            votes(&self.standby) == votes(&self.primary)
        });
    }

    /// Makes the standby a primary, and moves the name to it.
    fn promote_and_move(&self) {
        assert_eq!(self.standby.sql("postgres", "select pg_promote()"), "t");
        name_leads_to(&self.network, SECOND);
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
