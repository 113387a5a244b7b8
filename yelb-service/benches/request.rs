//! What each request pays before a route sees it: `cargo bench --package yelb-service`.

use std::hint::black_box;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::runtime::Builder;
use yelb_service::framing::StrictRequests;
use yelb_service::telemetry::propagation::Caller;

/// What a load generator sends.
const SHORT: &str = "GET /api/ihop HTTP/1.1\r\nHost: yelb-appserver:4567\r\n\r\n";
/// What arrives from a browser by way of a load balancer and two proxies.
const LONG: &str = "GET /api/ihop HTTP/1.1\r\nHost: yelb-appserver:4567\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36\r\n\
    Accept: application/json\r\nAccept-Language: en-GB,en;q=0.9\r\nAccept-Encoding: gzip, deflate, br\r\n\
    Referer: https://yelb.example/\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin\r\n\
    Idempotency-Key: 7f3c1f0e-5d8a-4b7e-9a55-000000000001\r\nX-Forwarded-For: 203.0.113.7, 10.0.0.12\r\n\
    X-Forwarded-Proto: https\r\nX-Envoy-Expected-Rq-Timeout-Ms: 5300\r\nX-Request-Id: 5c1f0b7e-1111-4222-8333-444455556666\r\n\
    X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1\r\n\r\n";

/// Reads to the end, as hyper would.
async fn drain(mut requests: impl AsyncRead + Unpin) -> usize {
    let (mut buffer, mut read) = ([0; 8192], 0);
    while let Ok(length @ 1..) = requests.read(&mut buffer).await {
        read += length;
    }
    read
}

fn framing(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_time().build().expect("there is a thread");
    let mut group = criterion.benchmark_group("the framing of a request");
    for (name, request) in [("short", SHORT), ("long", LONG)] {
        group.throughput(Throughput::Bytes(request.len() as u64));
        group.bench_function(name, |bencher| {
            let strict = || StrictRequests::new(request.as_bytes(), Duration::from_secs(5));
            bencher.to_async(&runtime).iter(|| drain(strict()));
        });
    }
}

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

criterion_group!(benches, framing, trace_headers);
criterion_main!(benches);
