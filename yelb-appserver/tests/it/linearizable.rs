//! Several app servers on one database are one ballot box: what all their clients see together is what one that does one
//! thing after the other could have shown them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Instant;

use testbed::http::{self, Response};
use testbed::{DynamoDb, PATIENCE, Postgres, Program, Running, eventually};

use crate::history::{self, Operation, Saw};
use crate::{await_ready, bare, on};

const RESTAURANTS: [&str; 4] = ["outback", "bucadibeppo", "ihop", "chipotle"];
const APP_SERVERS: usize = 3;
const CLIENTS: u64 = 6;

/// What was done to each restaurant.
type Histories = HashMap<String, Vec<Operation>>;

struct Replicas {
    _servers: Vec<Running>,
    apis: Vec<SocketAddr>,
    clock: Instant,
    histories: Mutex<Histories>,
}

impl Replicas {
    fn start(program: impl Fn() -> Program) -> Self {
        let servers: Vec<Running> = (0..APP_SERVERS).map(|_| program().spawn()).collect();
        let apis: Vec<SocketAddr> = servers.iter().map(|server| server.address("api")).collect();
        for api in &apis {
            await_ready(*api);
        }
        Self { _servers: servers, apis, clock: Instant::now(), histories: Mutex::default() }
    }

    /// Each client does `rounds` things, one after the other, at any app server. Then one reads, with no other client.
    fn record(&self, rounds: u64) -> Histories {
        thread::scope(|scope| {
            for client in 1..=CLIENTS {
                scope.spawn(move || self.be_client(client, rounds));
            }
        });
        self.read(self.apis[0]);
        std::mem::take(&mut *self.noted())
    }

    fn be_client(&self, client: u64, rounds: u64) {
        let mut dice = Dice(client);
        for round in 0..rounds {
            let restaurant = RESTAURANTS[dice.below(RESTAURANTS.len())];
            let at = |dice: &mut Dice| self.apis[dice.below(APP_SERVERS)];
            match dice.below(4) {
                0 => self.vote(&[at(&mut dice)], restaurant, None),
                1 => {
                    let key = format!("{client}-{round}");
                    let twice = [at(&mut dice), at(&mut dice)];
                    self.vote(&twice, restaurant, Some(&key));
                }
                _ => self.read(at(&mut dice)),
            }
        }
    }

    /// One vote, sent to each of these; it is over when the last has answered, and known when one has.
    fn vote(&self, apis: &[SocketAddr], restaurant: &str, key: Option<&str>) {
        let began = self.now();
        let fields: Vec<_> = key.iter().map(|key| ("Idempotency-Key", *key)).collect();
        let path = format!("/api/{restaurant}");
        let answers = apis.iter().map(|api| http::request(*api, "POST", &path, &fields, b""));
        let made: Vec<i64> = answers.filter_map(|answer| count(&answer)).collect();
        assert!(made.windows(2).all(|pair| pair[0] == pair[1]), "one key, two answers: {made:?}");
        let saw = made.first().map_or(Saw::Unknown, |made| Saw::Vote(*made));
        self.note(restaurant, Operation { began, ended: self.now(), saw });
    }

    fn read(&self, api: SocketAddr) {
        let began = self.now();
        let answer = http::get(api, "/api/getvotes");
        let ended = self.now();
        if answer.status != 200 {
            assert_eq!(answer.status, 503, "{answer:?}");
            return;
        }
        for row in answer.json().as_array().expect("a list") {
            let seen = row["value"].as_i64().expect("a count");
            let restaurant = row["name"].as_str().expect("a name");
            self.note(restaurant, Operation { began, ended, saw: Saw::Read(seen) });
        }
    }

    fn note(&self, restaurant: &str, operation: Operation) {
        self.noted().entry(restaurant.to_owned()).or_default().push(operation);
    }

    fn noted(&self) -> MutexGuard<'_, Histories> {
        self.histories.lock().expect("no client has panicked")
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_nanos()).expect("a test does not take centuries")
    }
}

fn count(answer: &Response) -> Option<i64> {
    if answer.status == 503 {
        return None;
    }
    assert_eq!(answer.status, 200, "{answer:?}");
    Some(answer.text().parse().expect("a count"))
}

/// Numbers that are the same in each run (Knuth's linear congruential generator).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }
}

#[track_caller]
fn holds(histories: &Histories) {
    assert_eq!(histories.len(), RESTAURANTS.len());
    for (restaurant, history) in histories {
        assert_eq!(history::check(0, history), Ok(()), "{restaurant}");
    }
}

#[test]
fn on_postgres() {
    let postgres = Postgres::start();
    postgres.create_original_schema();
    let histories = Replicas::start(|| on(&postgres)).record(150);
    holds(&histories);

    // It would have been noticed, had the last read been a vote behind.
    for (restaurant, mut history) in histories {
        let last = history.last_mut().expect("a client has read");
        let Saw::Read(seen) = last.saw else { panic!("the last is a read: {last:?}") };
        last.saw = Saw::Read(seen - 1);
        assert!(history::check(0, &history).is_err(), "{restaurant}");
    }
}

#[test]
fn on_postgres_while_it_is_killed() {
    let postgres = Postgres::start();
    postgres.create_original_schema();
    let replicas = Replicas::start(|| on(&postgres));
    let (over, unknown) = (AtomicBool::new(false), AtomicU64::new(0));
    let histories = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(SeqCst) {
                let votes = || replicas.noted().values().map(Vec::len).sum::<usize>();
                let before = votes();
                let going = || over.load(SeqCst) || votes() > before + 400;
                eventually(PATIENCE, "clients go on", going);
                postgres.kill();
                postgres.start_again();
                unknown.fetch_add(1, SeqCst);
            }
        });
        let histories = replicas.record(400);
        over.store(true, SeqCst);
        histories
    });
    assert!(unknown.load(SeqCst) > 1, "it was killed in the middle");
    holds(&histories);
}

#[test]
fn on_dynamodb() {
    let emulator = DynamoDb::start();
    let program = || {
        let program = bare().envs(&emulator.variables());
        program.env("DATABASE_URL", "dynamodb://yelb-votes").env("REDIS_URL", "sqlite:views.db")
    };
    let histories = Replicas::start(program).record(25);
    holds(&histories);
}
