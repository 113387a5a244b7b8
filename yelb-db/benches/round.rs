//! What it costs to gather the votes of a round, before any store sees them: `cargo bench --package yelb-db`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use yelb_db::{Poll, Round, VoteKey};

/// As many votes as clients that the budgets are measured with.
const VOTES: usize = 256;

/// A round of votes for everybody in turn, with these keys.
fn gather(poll: &Poll, keys: Vec<Option<VoteKey>>) -> Round {
    let mut round = Round::default();
    for (restaurant, key) in poll.restaurants().iter().cycle().zip(keys) {
        round.add(restaurant, key);
    }
    round
}

fn gathering(criterion: &mut Criterion) {
    let poll = Poll::default();
    let key = |vote: usize| format!("7f3c1f0e-5d8a-4b7e-9a55-{vote:012}").parse().ok();
    let with_keys: Vec<Option<VoteKey>> = (0..VOTES).map(key).collect();
    let mut group = criterion.benchmark_group("a round of 256 votes");
    group.throughput(Throughput::Elements(VOTES as u64));
    for (name, keys) in [("without keys", vec![None; VOTES]), ("with keys", with_keys)] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || keys.clone(),
                |keys| gather(&poll, keys),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, gathering);
criterion_main!(benches);
