//! Every part is killed in turn in the middle of a load: three app servers on one database, behind Envoy.
//!
//! Once for each part, unless `YELB_KILLS` says how often:
//! `YELB_KILLS=10 cargo test --package yelb --test load kills -- --nocapture`
#![expect(clippy::print_stdout, reason = "a long run shows how far it is")]

use std::net::SocketAddr;
use std::sync::Mutex;

use testbed::{Envoy, Output, PATIENCE, Running, eventually, http};

use crate::{Yelb, ended, load, report, verdict};

const APP_SERVERS: usize = 3;
/// How many votes come in before the next is killed, and are to come in after the last was.
const VOTES_BETWEEN: u64 = 60;

struct Mesh {
    yelb: Yelb,
    app_servers: Mutex<Vec<(Running, SocketAddr)>>,
    envoy: Envoy,
}

impl Mesh {
    fn start() -> Self {
        let yelb = Yelb::start();
        let app_servers: Vec<_> = (0..APP_SERVERS).map(|_| yelb.app_server(0)).collect();
        let ports: Vec<u16> = app_servers.iter().map(|(_, address)| address.port()).collect();
        let envoy = Envoy::before(&ports);
        Self { yelb, app_servers: Mutex::new(app_servers), envoy }
    }

    /// Puts a load on, kills each part in the middle of it, each as often as was asked for, and ends the load.
    fn killed_under(&self, flags: &str) -> Output {
        let url = format!("http://{}", self.envoy.address());
        let flags = format!("--rate 200 --duration 1h --grace 30s --verify --json {flags}");
        let running = load(&url, &flags).spawn();
        for round in 0..kills() {
            for (what, kill) in [
                ("Postgres", Self::kill_postgres as fn(&Self, usize)),
                ("Redis", Self::kill_redis),
                ("an app server", Self::kill_app_server),
                ("Envoy", Self::kill_envoy),
            ] {
                self.wait_for_votes(&running);
                kill(self, round);
                println!("{what} was killed and started again, {} of {}", round + 1, kills());
            }
        }
        self.wait_for_votes(&running);
        running.interrupt();
        ended(&running)
    }

    fn wait_for_votes(&self, load: &Running) {
        let votes = || {
            let sum = "select sum(count) from restaurants";
            self.yelb.postgres.sql("yelbdatabase", sum).parse::<u64>().unwrap()
        };
        let enough = votes() + VOTES_BETWEEN;
        eventually(2 * PATIENCE, "votes come in", || votes() >= enough || !load.is_running());
        assert!(load.is_running(), "{load:?}");
    }

    fn kill_postgres(&self, _: usize) {
        self.yelb.postgres.kill();
        self.yelb.postgres.start_again();
    }

    fn kill_redis(&self, _: usize) {
        self.yelb.redis.kill();
        self.yelb.redis.start_again();
    }

    fn kill_app_server(&self, round: usize) {
        let mut app_servers = self.app_servers.lock().unwrap();
        let (server, address) = app_servers.remove(round % APP_SERVERS);
        server.kill();
        app_servers.push(self.yelb.app_server(address.port()));
    }

    fn kill_envoy(&self, _: usize) {
        self.envoy.kill();
        self.envoy.start_again();
        let ready = || http::get(self.envoy.address(), "/api/getvotes").status == 200;
        eventually(PATIENCE, "Envoy finds its servers", ready);
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a test runs is no setting of ours")]
fn kills() -> usize {
    std::env::var("YELB_KILLS").map_or(1, |kills| kills.parse().expect("YELB_KILLS is a number"))
}

#[test]
fn with_keys_every_vote_is_counted_once_whatever_is_killed() {
    let output = Mesh::start().killed_under("--retry");
    println!("{}", report(&output)["verify"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let [sent, acknowledged, counted, lost, duplicated] = verdict(&output);
    assert_eq!((acknowledged, counted, lost, duplicated), (sent, sent, 0, 0), "{output:?}");
    assert_eq!(report(&output)["verify"]["repeated_answers"], 0);
    assert!(!report(&output)["failures"].as_object().unwrap().is_empty(), "it was noticed");
}

#[test]
fn without_keys_no_acknowledged_vote_is_lost_whatever_is_killed() {
    let output = Mesh::start().killed_under("--no-keys");
    println!("{}", report(&output)["verify"]);
    let [sent, acknowledged, counted, lost, duplicated] = verdict(&output);
    assert_eq!((lost, duplicated), (0, 0), "{output:?}");
    assert!(acknowledged <= counted && counted <= sent, "{output:?}");
    assert!(acknowledged < sent, "some were in the middle: {output:?}");
    // Those are not confirmed, and the verdict says so.
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
