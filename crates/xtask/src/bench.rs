//! The budgets, measured side by side in one run: the vote path against the server's own static reply, nginx's, and one
//! statement for each vote.

mod attacks;
mod budgets;
mod figures;
mod page;
mod plot;
mod servers;
mod stage;
mod streams;
mod wrk;

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::run;
use crate::setup::{self, Step};
use figures::{CONNECTIONS, Figures};
use stage::{Beside, Stage};

/// Where the figures go.
const FOLDER: &str = "bench";

/// What `cargo xtask bench` can be told.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    other: Option<Other>,
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
    /// Another yelb-ui to measure with ours, by settings or the path of a program, such as `RUST_LOG=info`; several may be given
    #[arg(long, value_name = "COMMAND")]
    yelb_ui: Vec<String>,
    /// A Postgres whose votes grow by those of the measurement, instead of one that is made for this
    #[arg(long, value_name = "URL", requires = "redis_url")]
    database_url: Option<String>,
    /// A Redis to count page views in, instead of one that is made for this
    #[arg(long, value_name = "URL", requires = "database_url")]
    redis_url: Option<String>,
}

/// What is measured by itself.
#[derive(Subcommand, Debug)]
enum Other {
    /// What thousands of viewers of the live stream cost, and how soon a vote has reached them; prints the figures
    Streams(streams::Options),
    /// What clients cost that hold many connections, and how long others wait meanwhile; prints the figures
    Attacks(attacks::Options),
}

/// `cargo xtask bench`
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if let Some(code) = setup::provide(&[Step::Bench])? {
        return Ok(code);
    }
    let packages = ["--package=yelb-appserver", "--package=yelb-ui", "--bins", "--examples"];
    // With the memory allocator of the image.
    let features = ["--features", "yelb-ui/jemalloc"];
    run::succeed(run::cargo(&["build", "--release"]).args(packages).args(features))?;

    match &options.other {
        Some(Other::Streams(options)) => return streams::run(options),
        Some(Other::Attacks(options)) => return attacks::run(options),
        None => {}
    }
    let figures = measure(options)?;
    println!("\n{}", page::table(&figures));
    if !options.dry {
        let folder = run::root().join(FOLDER);
        fs::write(folder.join("README.md"), page::page(&figures))?;
        fs::write(folder.join("votes.svg"), plot::svg(&figures))?;
        println!("written to {}", folder.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything in turn, a few times over: whatever the machine does besides meets all alike.
fn measure(options: &Options) -> Result<Figures> {
    let time = Duration::from_secs(options.seconds.into());
    let mut figures = Figures::new(time, options.passes);
    let given = options.database_url.as_deref().zip(options.redis_url.as_deref());
    let stage = Stage::start(given, options.beside.clone(), &options.yelb_ui);
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
                let row = subject.measure(connections, time)?;
                done += 1;
                println!("[{done}/{loads}] {}, {connections}: {row}", subject.name);
                figures.add(&subject.name, connections, row)?;
            }
        }
        figures.sync_us.push(servers::sync_us()?);
    }
    figures.beside = options.beside.as_ref().map(Beside::names);
    figures.memory_mib = stage.memory_mib(time)?;
    figures.slow = stage.slow(time * options.passes.into())?;
    drop(subjects);
    drop(stage);
    figures.starts_ms = servers::starts_ms();
    Ok(figures)
}
