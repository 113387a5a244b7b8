//! `yelb load`: votes by the clock, whatever the answers take, and what became of every vote.
//!
//! An open model: when a request is due follows from the schedule alone. A latency begins when its request was due, so that
//! a server that stalls is charged for all who would have come meanwhile, and not for the few that it kept waiting
//! (coordinated omission).

mod ballot;
mod counts;
mod desk;
mod drive;
mod figures;
mod line;
mod plan;
mod progress;
mod report;
mod schedule;
mod target;
mod verify;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;

use ballot::Ballot;
use counts::Counts;
use drive::Load;
pub(crate) use plan::LoadFlags;
use plan::Plan;
use progress::Progress;
use report::Report;
use verify::Verdict;

/// Puts the load on, prints the report; 1 if votes were lost or counted twice.
pub(crate) async fn run(flags: LoadFlags) -> ExitCode {
    match load(&flags).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => yelb_service::exit("yelb load", Err(error)),
    }
}

/// Whether the votes are as they should be, as far as anybody asked.
async fn load(flags: &LoadFlags) -> anyhow::Result<bool> {
    let plan = Plan::from_flags(flags)?;
    // Also without `--verify`: what is no Yelb gets no load.
    let before = counts::read(&plan.target, plan.timeout).await?;
    let ballot = Ballot::new(plan.weights.as_ref(), &before.names(), plan.reads, plan.seed)?;
    let load = Load::new(plan, ballot);
    let report = put_on(&load).await;
    if !load.plan.verify {
        print(&load, &report)?;
        return Ok(true);
    }
    match verify(&load, &before).await {
        Ok(verdict) => {
            print(&load, &report.verified(verdict))?;
            Ok(verdict.holds())
        }
        Err(error) => {
            print(&load, &report)?;
            Err(error)
        }
    }
}

async fn put_on(load: &Arc<Load>) -> Report {
    let progress = Progress::new(load);
    let follow = async {
        progress.follow(load).await;
        std::future::pending().await
    };
    let ending = tokio::select! {
        ending = load.run() => ending,
        ending = follow => ending,
    };
    Report::new(load, ending)
}

async fn verify(load: &Load, before: &Counts) -> anyhow::Result<Verdict> {
    let after = counts::settled(&load.plan.target, load.plan.timeout, load.plan.grace).await;
    let after = after.context("the votes cannot be verified")?;
    Ok(Verdict::new(load.ballot.names(), &load.figures().fates, before, &after))
}

fn print(load: &Load, report: &Report) -> std::io::Result<()> {
    let text = if load.plan.json { report.json() + "\n" } else { report.to_string() };
    std::io::stdout().write_all(text.as_bytes())
}
