//! The budgets, measured side by side in one run: the vote path against the server's own static reply, nginx's, and one
//! statement for each vote.

mod budgets;
mod figures;
mod plot;
mod servers;
mod stage;
mod wrk;

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::run;
use crate::setup::{self, Set};
use figures::{CONNECTIONS, Figures, Row};
use stage::{Beside, Stage, VOTE};

/// Where the figures go.
const FOLDER: &str = "bench";

/// What `cargo xtask bench` can be told.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Seconds of load for each figure in each pass
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    seconds: u16,
    /// How often everything is measured; the table has the medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    passes: u16,
    /// Prints the figures and leaves the folder `bench` as it is
    #[arg(long)]
    dry: bool,
    /// Another Yelb to measure with it, such as `original=http://127.0.0.1:4567`
    #[arg(long, value_name = "NAME=URL")]
    beside: Option<Beside>,
    /// A Postgres to count votes in, which they are added to, instead of one that is made for this
    #[arg(long, value_name = "URL", requires = "redis_url")]
    database_url: Option<String>,
    /// A Redis to count page views in, instead of one that is made for this
    #[arg(long, value_name = "URL", requires = "database_url")]
    redis_url: Option<String>,
}

/// `cargo xtask bench`
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if !setup::provide(&[Set::Servers, Set::Python, Set::Bench])? {
        return Ok(ExitCode::from(setup::NOT_BEGUN));
    }
    let build = [
        "build",
        "--release",
        "--package=yelb-appserver",
        "--package=yelb-ui",
        "--bins",
        "--examples",
    ];
    let built = run::stream(&mut run::cargo(&build), |_| ())?;
    anyhow::ensure!(built.success(), "the release build failed");

    let figures = measure(options)?;
    println!("\n{}", figures.table());
    if !options.dry {
        let folder = run::root().join(FOLDER);
        fs::create_dir_all(&folder).context("cannot make the folder of the figures")?;
        fs::write(folder.join("README.md"), figures.page())?;
        fs::write(folder.join("votes.svg"), plot::svg(&figures))?;
        println!("written to {}", folder.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything in turn, a few times over: whatever the machine does besides meets all alike.
fn measure(options: &Options) -> Result<Figures> {
    let time = Duration::from_secs(options.seconds.into());
    let mut figures = Figures::new(time, options.passes);
    let stage = Stage::start(options);
    let subjects = stage.subjects();
    let loads = usize::from(options.passes) * CONNECTIONS.len() * subjects.len();
    let mut done = 0;
    for pass in 0..options.passes {
        for connections in CONNECTIONS {
            // There and back: a machine that slows down meets the first as often as the last.
            let mut in_turn: Vec<_> = subjects.iter().collect();
            if pass % 2 == 1 {
                in_turn.reverse();
            }
            for subject in in_turn {
                let used = stage.cpu();
                let row = subject.measure(connections, time)?;
                if subject.name == VOTE {
                    figures.votes_took(stage.cpu().saturating_sub(used), row.requests);
                }
                done += 1;
                println!("[{done}/{loads}] {}, {connections}: {row}", subject.name);
                figures.add(&subject.name, connections, row)?;
            }
        }
        figures.sync_us.push(servers::sync_us()?);
    }
    if let Some((name, why)) = stage.missing() {
        println!("{name}: {why}");
        figures.lacks(name, why);
    }
    figures.beside = options.beside.as_ref().map(Beside::names);
    figures.memory_mib = stage.memory_mib(time)?;
    figures.slow = stage.slow(time * options.passes.into())?;
    drop(subjects);
    drop(stage);
    figures.starts_ms = servers::starts_ms();
    Ok(figures)
}
