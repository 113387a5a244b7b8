//! Page views in a Redis cluster, and in a Redis whose primary changes.

use std::net::SocketAddr;

use testbed::{PATIENCE, Redis, Running, eventually, free_port, http};

use crate::{appserver, await_ready};

/// Two nodes.
struct Cluster {
    /// It has not got the page views.
    first: Redis,
    /// It has.
    second: Redis,
    /// The slot of the page views.
    slot: u16,
}

impl Cluster {
    fn start() -> Self {
        let [(first, _), (second, bus)] = [node(), node()];
        let slot: u16 = second.cli(&["cluster", "keyslot", "pageviews"]).parse().expect("a number");
        first.cli(&["cluster", "addslotsrange", "0", &(slot - 1).to_string()]);
        second.cli(&["cluster", "addslotsrange", &slot.to_string(), "16383"]);
        second.cli(&["cluster", "set-config-epoch", "2"]);
        first.cli(&["cluster", "meet", "127.0.0.1", &second.port().to_string(), &bus]);
        let whole = |node: &Redis| node.cli(&["cluster", "info"]).contains("cluster_state:ok");
        let known = |node: &Redis| node.cli(&["cluster", "nodes"]).lines().count() == 2;
        eventually(PATIENCE, "the cluster is whole", || {
            [&first, &second].iter().all(|node| whole(node) && known(node))
        });
        Self { first, second, slot }
    }

    /// Gives the slot of the page views, and them, to the first node.
    fn rearrange(&self) {
        let [first, second] =
            [&self.first, &self.second].map(|node| node.cli(&["cluster", "myid"]));
        let slot = self.slot.to_string();
        self.first.cli(&["cluster", "setslot", &slot, "importing", &second]);
        self.second.cli(&["cluster", "setslot", &slot, "migrating", &first]);
        let port = self.first.port().to_string();
        self.second.cli(&["migrate", "127.0.0.1", &port, "pageviews", "0", "5000"]);
        for node in [&self.first, &self.second] {
            node.cli(&["cluster", "setslot", &slot, "node", &first]);
        }
    }
}

/// A node, and the port by which others of its cluster reach it.
fn node() -> (Redis, String) {
    let bus = free_port().to_string();
    let node = Redis::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    (node, bus)
}

fn on(redis: &Redis) -> (Running, SocketAddr) {
    let server = appserver().env("REDIS_URL", redis.url()).spawn();
    let api = server.address("api");
    await_ready(api);
    (server, api)
}

fn views(api: SocketAddr) -> Option<String> {
    let response = http::get(api, "/api/pageviews");
    (response.status == 200).then(|| response.text().to_owned())
}

#[track_caller]
fn counts_again(api: SocketAddr) -> u32 {
    let mut count = None;
    eventually(PATIENCE, "page views are counted", || {
        count = views(api);
        count.is_some()
    });
    count.expect("it was counted").parse().expect("a number")
}

#[test]
fn whichever_node_is_named_page_views_are_counted_where_they_belong() {
    let cluster = Cluster::start();
    cluster.second.cli(&["set", "pageviews", "100"]);
    let (_one, by_first) = on(&cluster.first);
    assert_eq!(counts_again(by_first), 101);
    let (_other, by_second) = on(&cluster.second);
    assert_eq!(counts_again(by_second), 102);
    assert_eq!(cluster.second.cli(&["get", "pageviews"]), "102");
}

#[test]
fn page_views_that_move_to_another_node_are_followed() {
    let cluster = Cluster::start();
    let (_server, api) = on(&cluster.second);
    let before = counts_again(api);
    cluster.rearrange();

    // Those that are asked of the old node are 503, and not counted.
    assert_eq!(counts_again(api), before + 1);
    assert_eq!(cluster.first.cli(&["get", "pageviews"]), (before + 1).to_string());
}

#[test]
fn a_redis_that_no_longer_writes_is_looked_for_anew() {
    // As behind the name of a managed Redis, which leads to another server once its primary has changed.
    let redis = Redis::start();
    let (_server, api) = on(&redis);
    let before = counts_again(api);
    let connections = || {
        let stats = redis.cli(&["info", "stats"]);
        let mut lines = stats.lines();
        let line = lines.find_map(|line| line.strip_prefix("total_connections_received:"));
        line.unwrap().trim().parse::<u32>().unwrap()
    };
    redis.cli(&["replicaof", "127.0.0.1", "1"]);
    eventually(PATIENCE, "it no longer writes", || views(api).is_none());
    // Each look from here is one connection, too.
    let (known, mut looks) = (connections(), 0);
    eventually(PATIENCE, "it is looked for", || {
        looks += 1;
        views(api);
        connections() > known + looks
    });
    redis.cli(&["replicaof", "no", "one"]);
    assert_eq!(counts_again(api), before + 1);
}
