//! What a batch costs without a store: `cargo bench --package yelb-db`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use yelb_db::batcher::{Batcher, Outputs, Session, Workers};
use yelb_db::{StatusSender, StoreError, StoreKind, Vote, VoteBatch, VoteKey};
use yelb_poll::Poll;

/// As many votes as clients that the budgets are measured with.
const VOTES: usize = 256;

static KIND: StoreKind = StoreKind {
    keeps: "votes",
    name: "none",
    system: "none",
    node: None,
    write: "UPDATE nothing",
    read: "SELECT nothing",
};

/// A session with a store that takes no time.
struct Counter(i64);

impl Session for Counter {
    type Store = ();
    type Input = Vote;
    type Output = i64;

    async fn connect((): &()) -> Result<Self, StoreError> {
        Ok(Self(0))
    }

    async fn run(&mut self, votes: &[Vote]) -> Outputs<i64> {
        let count = |_: &Vote| {
            self.0 += 1;
            Ok(self.0)
        };
        Ok(votes.iter().map(count).collect())
    }
}

/// How long so many clients take for so many votes each.
async fn vote(clients: u64, votes: u64) -> Duration {
    let workers = Workers::default();
    let batcher = Batcher::start::<Counter>((), StatusSender::new(&KIND), None, &workers);
    let choice = Poll::default().ids().next().expect("there is a choice");
    let began = Instant::now();
    let mut voting = JoinSet::new();
    for _ in 0..clients {
        let batcher = batcher.clone();
        voting.spawn(async move {
            for _ in 0..votes {
                let counted = batcher.submit(Vote { choice, key: None }).await;
                black_box(counted.is_ok_and(|count| count > 0));
            }
        });
    }
    voting.join_all().await;
    workers.stop.cancel();
    began.elapsed()
}

fn submitting(criterion: &mut Criterion) {
    let runtime = Builder::new_multi_thread().enable_time().build().expect("there are threads");
    let mut group = criterion.benchmark_group("a vote of each client");
    for clients in [1, 32, 256] {
        group.throughput(Throughput::Elements(clients));
        let id = BenchmarkId::from_parameter(format!("{clients} clients"));
        group.bench_function(id, |bencher| {
            bencher.to_async(&runtime).iter_custom(|votes| vote(clients, votes));
        });
    }
}

fn sorting(criterion: &mut Criterion) {
    let key = |vote: usize| format!("7f3c1f0e-5d8a-4b7e-9a55-{vote:012}").parse().ok();
    let with_keys: Vec<Option<VoteKey>> = (0..VOTES).map(key).collect();
    let names = Poll::default().names();
    let mut group = criterion.benchmark_group("a batch of 256 votes");
    group.throughput(Throughput::Elements(VOTES as u64));
    for (name, keys) in [("without keys", vec![None; VOTES]), ("with keys", with_keys)] {
        let choices = Poll::default().ids().collect::<Vec<_>>().into_iter().cycle();
        let votes: Vec<Vote> =
            choices.zip(keys).map(|(choice, key)| Vote { choice, key }).collect();
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(VoteBatch::new(&names, &votes)));
        });
    }
}

criterion_group!(benches, submitting, sorting);
criterion_main!(benches);
