//! What it costs to join a round and be answered, without a store: `cargo bench --package yelb-appserver`.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use yelb_appserver::rounds::{Rounds, Work};

/// A store that takes no time.
#[derive(Default)]
struct Counter(AtomicI64);

impl Work for Counter {
    type Load = i64;
    /// The count before the round.
    type Done = i64;
    type Error = Infallible;

    async fn run(&self, votes: i64) -> Result<i64, Infallible> {
        Ok(self.0.fetch_add(votes, Ordering::Relaxed))
    }
}

/// How long so many clients take for so many votes each.
async fn vote(clients: u64, votes: u64) -> Duration {
    let rounds = Rounds::new(Counter::default());
    let began = Instant::now();
    let mut voting = JoinSet::new();
    for _ in 0..clients {
        let rounds = rounds.clone();
        voting.spawn(async move {
            for _ in 0..votes {
                let add = |load: &mut i64| {
                    *load += 1;
                    *load
                };
                let counted = rounds.join(add, |place, before| before + place).await;
                black_box(counted.is_ok_and(|count| count > 0));
            }
        });
    }
    voting.join_all().await;
    began.elapsed()
}

fn joining(criterion: &mut Criterion) {
    let runtime: Runtime =
        Builder::new_multi_thread().enable_time().build().expect("there are threads");
    let mut group = criterion.benchmark_group("a vote of each client");
    for clients in [1, 32, 256] {
        group.throughput(Throughput::Elements(clients));
        let id = BenchmarkId::from_parameter(format!("{clients} clients"));
        group.bench_function(id, |bencher| {
            bencher.to_async(&runtime).iter_custom(|votes| vote(clients, votes));
        });
    }
}

criterion_group!(benches, joining);
criterion_main!(benches);
