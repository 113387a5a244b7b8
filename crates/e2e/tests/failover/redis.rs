//! Redis that fails over: page views go on with the replica that was promoted, and votes do not notice.

use std::net::{Ipv4Addr, SocketAddr};

use testbed::http::{self, Response};
use testbed::{Namespace, PATIENCE, Postgres, Program, Redis, Running, eventually, happens};

use crate::{DATABASE, FIRST, LIMIT, SECOND};

const DATABASES: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);

/// A primary and its replica, and an app server that knows them by one name.
struct Cluster {
    network: Namespace,
    primary: Redis,
    replica: Redis,
    api: SocketAddr,
    _appserver: Running,
    _postgres: Postgres,
}

impl Cluster {
    fn start() -> Self {
        let network = Namespace::start();
        name_leads_to(&network, FIRST);
        let postgres = Postgres::start_inside_at(&network, DATABASES);
        postgres.create_original_schema();
        let primary = Redis::start_inside_at(&network, FIRST);
        let replica = Redis::start_inside_at(&network, SECOND);
        replicate(&replica, &FIRST.to_string(), "6379");
        let appserver = Program::of_workspace("yelb-appserver")
            .inside(&network)
            .env("PORT", "0")
            .env("YELB_ADMIN_PORT", "off")
            .env("DATABASE_URL", postgres.url(DATABASE))
            .env("REDIS_URL", "redis://redis-server:6379")
            .spawn();
        let api = appserver.address("api");
        let cluster =
            Self { network, primary, replica, api, _appserver: appserver, _postgres: postgres };
        for path in ["/api/ihop", "/api/pageviews"] {
            eventually(PATIENCE, "it counts", || cluster.get(path).status == 200);
        }
        eventually(PATIENCE, "the replica has every page view", || {
            cluster.replica.cli(&["get", "pageviews"]) == "1"
        });
        cluster
    }

    fn get(&self, path: &str) -> Response {
        self.network.within(|| http::get(self.api, path))
    }

    #[track_caller]
    fn a_vote_counts(&self) {
        let vote = self.get("/api/ihop");
        assert_eq!(vote.status, 200, "{vote:?}");
    }

    /// Makes the replica a primary, and moves the name to it.
    fn promote_and_move(&self) {
        replicate(&self.replica, "no", "one");
        name_leads_to(&self.network, SECOND);
    }

    /// Page views count soon after the name has moved, where the replica left off, and votes count meanwhile.
    fn goes_on_with_the_replica(&self) {
        let counts = || {
            self.a_vote_counts();
            self.get("/api/pageviews").status == 200
        };
        assert!(happens(LIMIT, counts), "not within {LIMIT:?}");
        assert_eq!(self.replica.cli(&["get", "pageviews"]), "2");
    }
}

/// Makes a server follow another one, or none.
fn replicate(server: &Redis, host: &str, port: &str) {
    assert_eq!(server.cli(&["replicaof", host, port]), "OK");
}

fn name_leads_to(network: &Namespace, address: Ipv4Addr) {
    network.set_hosts(&format!("127.0.0.1 localhost\n{address} redis-server\n"));
}

#[test]
fn when_a_primary_of_redis_dies_page_views_count_on_its_replica_and_votes_do_not_notice() {
    let cluster = Cluster::start();
    cluster.primary.kill();
    eventually(PATIENCE, "it is noticed", || {
        cluster.a_vote_counts();
        cluster.get("/api/pageviews").status == 503
    });
    cluster.promote_and_move();
    cluster.goes_on_with_the_replica();
}

#[test]
fn a_primary_of_redis_that_has_become_a_replica_is_left_though_it_answers() {
    let cluster = Cluster::start();
    replicate(&cluster.replica, "no", "one");
    replicate(&cluster.primary, &SECOND.to_string(), "6379");
    eventually(PATIENCE, "it is noticed", || {
        cluster.a_vote_counts();
        cluster.get("/readyz").text().contains("read only replica")
    });
    assert_eq!(cluster.get("/api/pageviews").status, 503);
    name_leads_to(&cluster.network, SECOND);
    cluster.goes_on_with_the_replica();
}
