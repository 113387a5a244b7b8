//! What each request pays before a route sees it: `cargo bench --package yelb-service`.

use std::hint::black_box;

use axum::http::{HeaderMap, HeaderValue};
use criterion::{Criterion, criterion_group, criterion_main};
use yelb_service::telemetry::propagation::Caller;

fn trace_headers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("the trace of a request");
    let w3c = "00-67891233abcdef012345678912345678-53995c3f42cd8ad8-01";
    for (name, header) in [
        ("none", None),
        ("load balancer", Some(("x-amzn-trace-id", "Root=1-67891233-abcdef012345678912345678"))),
        (
            "sidecar",
            Some((
                "x-amzn-trace-id",
                "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1",
            )),
        ),
        ("traceparent", Some(("traceparent", w3c))),
    ] {
        let headers: HeaderMap = header
            .map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        group.bench_function(name, |bencher| bencher.iter(|| Caller::of(black_box(&headers))));
    }
}

criterion_group!(benches, trace_headers);
criterion_main!(benches);
