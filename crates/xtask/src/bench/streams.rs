//! Live streams: what thousands of viewers cost, and how soon a vote has reached the last of them.

mod crowd;

use std::fmt::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use testbed::http;

use super::figures::median;
use super::servers::{self, Databases, Served};
use super::wrk;
use crowd::Crowd;

/// What votes are cast for in a closed loop, so that the probes are told from them.
const LOAD: &str = "/api/outback";
/// What a probe is cast for.
pub(super) const PROBE: &str = "ihop";
/// Of wrk.
const CONNECTIONS: u32 = 256;
const PROBES: usize = 10;
/// Between two probes: the pause between two events, and time for all viewers to read.
const BETWEEN_PROBES: Duration = Duration::from_secs(1);

/// What `cargo xtask bench streams` can be told.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// How many viewers there are; each server has half of its file descriptors for them and for those who vote
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(1..))]
    viewers: u16,
    /// Seconds of votes in each pass
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    seconds: u16,
    /// How often votes are cast with viewers and without, in turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    passes: u16,
}

/// What was measured of a server.
#[derive(Default)]
struct Figures {
    memory_mib: f64,
    /// From sending a vote to its arrival at each viewer, while nothing else is done, and while others vote.
    quiet_ms: Vec<f64>,
    busy_ms: Vec<f64>,
    /// Of one core, for viewers that see heartbeats alone.
    idle_cpu: f64,
    with: Vec<f64>,
    without: Vec<f64>,
}

/// `cargo xtask bench streams`, once the programs are built.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let databases = Databases::own();
    let api = databases.app_server();
    let page = servers::page(api.address());
    let viewers = usize::from(options.viewers);
    let mut table = format!(
        "| {viewers} viewers | most memory | a vote reaches them, p50 / p99 / last | the same while others vote | CPU for heartbeats | votes/s with viewers | without | ratio |\n|---|---|---|---|---|---|---|---|\n"
    );
    for (name, server) in [("app server", &api), ("yelb-ui", &page)] {
        let figures = measure(server, options).with_context(|| name.to_owned())?;
        writeln!(table, "{}", figures.row(name)).expect("a string takes everything");
    }
    println!("\n{table}");
    Ok(ExitCode::SUCCESS)
}

fn measure(server: &Served, options: &Options) -> Result<Figures> {
    let (mut figures, address) = (Figures::default(), server.address());
    let (viewers, time) = (options.viewers.into(), Duration::from_secs(options.seconds.into()));
    let load = || wrk::run(&format!("http://{address}{LOAD}"), CONNECTIONS, time);
    for pass in 1..=options.passes {
        let mut crowd = Crowd::open(address, viewers)?;
        figures.quiet_ms.extend(probe(&mut crowd, address, PROBES)?);
        let (began, before) = (Instant::now(), servers::cpu(server.pid()));
        thread::sleep(time);
        let used = servers::cpu(server.pid()).saturating_sub(before);
        figures.idle_cpu = used.as_secs_f64() / began.elapsed().as_secs_f64();
        let voted = thread::scope(|scope| {
            let voting = scope.spawn(load);
            let probes = usize::from(options.seconds).div_ceil(2);
            figures.busy_ms.extend(probe(&mut crowd, address, probes)?);
            voting.join().expect("wrk is run")
        });
        figures.with.push(voted?.per_second);
        drop(crowd);
        figures.without.push(load()?.per_second);
        println!("pass {pass} of {}", options.passes);
    }
    figures.memory_mib = server.most_memory_mib();
    Ok(figures)
}

/// Casts votes one by one, and waits for each to reach all viewers. How long it took for each, in milliseconds.
fn probe(crowd: &mut Crowd, server: SocketAddr, probes: usize) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..probes {
        thread::sleep(BETWEEN_PROBES);
        crowd.expect_one_more();
        http::get(server, &format!("/api/{PROBE}"));
        times.extend(crowd.reached()?);
    }
    Ok(times)
}

impl Figures {
    fn row(&self, name: &str) -> String {
        let rate = |rates: &[f64]| median(rates, |rate| **rate);
        let (with, without) = (rate(&self.with), rate(&self.without));
        format!(
            "| {name} | {:.0} MB | {} | {} | {:.0} % of a core | {with:.0} | {without:.0} | {:.2} |",
            self.memory_mib * 1024.0 * 1024.0 / 1e6,
            spread(&self.quiet_ms),
            spread(&self.busy_ms),
            self.idle_cpu * 100.0,
            with / without
        )
    }
}

fn spread(times_ms: &[f64]) -> String {
    let mut sorted = times_ms.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |percent: usize| sorted[(sorted.len() - 1) * percent / 100];
    format!("{:.0} / {:.0} / {:.0} ms", at(50), at(99), at(100))
}
