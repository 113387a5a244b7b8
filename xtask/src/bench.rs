//! The budgets, measured side by side in one run: the vote path against the server's own static reply, nginx's, and one
//! statement for each vote.

mod figures;
mod plot;
mod servers;
mod wrk;

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::run;
use crate::setup::{self, Set};
use figures::{Figures, Row};
use servers::{AppServer, Nginx, Single};

/// Where the figures go.
const FOLDER: &str = "bench";

/// The static reply that everything is compared with.
const STATIC: &str = "static reply, `/api/hostname`";
const VOTE: &str = "vote, committed";

/// What `cargo xtask bench` can be told.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Seconds for each figure
    #[arg(long, default_value_t = 3)]
    seconds: u16,
    /// Prints the figures and leaves the folder `bench` as it is
    #[arg(long)]
    dry: bool,
}

/// `cargo xtask bench`
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if !setup::provide(&[Set::Servers, Set::Python, Set::Bench])? {
        return Ok(ExitCode::from(setup::NOT_BEGUN));
    }
    let build = ["build", "--release", "--package", "yelb-appserver", "--bins", "--examples"];
    let built = run::stream(&mut run::cargo(&build), |_| ())?;
    ensure!(built.success(), "the release build failed");

    let figures = measure(Duration::from_secs(options.seconds.into()))?;
    let table = figures.table();
    println!("\n{table}");
    if !options.dry {
        let folder = run::root().join(FOLDER);
        fs::create_dir_all(&folder).context("cannot make the folder of the figures")?;
        fs::write(folder.join("README.md"), figures.page())?;
        fs::write(folder.join("votes.svg"), plot::svg(&figures))?;
        println!("written to {}", folder.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(time: Duration) -> Result<Figures> {
    let mut figures = Figures::new(time);
    let yelb = AppServer::start();
    let ask = |address, path| move |connections| wrk::run(address, path, connections, time);

    figures.add(STATIC, ask(yelb.address(), "/api/hostname"))?;
    figures.sync_us = Some(servers::sync_us()?);
    let idle = yelb.cpu();
    let votes = figures.add(VOTE, ask(yelb.address(), "/api/ihop"))?;
    figures.cpu_per_vote(yelb.cpu().saturating_sub(idle), votes);
    figures.add("vote with a key", |connections| {
        wrk::run_with_keys(yelb.address(), "/api/ihop", connections, time)
    })?;
    figures.add("`getvotes`", ask(yelb.address(), "/api/getvotes"))?;
    figures.add("`getstats`, which counts a page view", ask(yelb.address(), "/api/getstats"))?;

    let single = Single::start(&yelb);
    figures.add("one statement for each vote", ask(single.address(), "/api/ihop"))?;
    drop(single);
    match Nginx::start() {
        Some(nginx) => figures.add("nginx, static", ask(nginx.address(), "/"))?,
        None => figures.lacks("nginx, static", "nginx is not installed"),
    };
    let envoy = yelb.behind_envoy();
    figures.add("static reply behind Envoy", ask(envoy.address(), "/api/hostname"))?;
    figures.add("vote behind Envoy", ask(envoy.address(), "/api/ihop"))?;
    drop(envoy);

    figures.memory_mib = Some(yelb.most_memory_mib());
    figures.slow = Some(slow(&yelb, time)?);
    drop(yelb);
    figures.starts_ms = servers::starts_ms();
    Ok(figures)
}

/// What a vote takes at 256 connections when each round trip to the database takes longer, by these milliseconds.
fn slow(yelb: &AppServer, time: Duration) -> Result<(u64, Row)> {
    const DELAY_MS: u64 = 20;
    let (server, detour) = yelb.another_by_detour();
    detour.takes(Duration::from_millis(DELAY_MS));
    let row = wrk::run(server.address("api"), "/api/ihop", 256, time)?;
    Ok((DELAY_MS, row))
}
