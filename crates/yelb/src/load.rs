//! `yelb load`: votes on a schedule, however long the responses take, and what became of every vote.
//!
//! An open model: when a request is due follows from the schedule alone. A latency begins when its request was due, so that
//! a server that stalls is charged for all requests that would have been sent meanwhile, and not only for the few that it
//! kept waiting (coordinated omission).

mod client;
mod counts;
mod dispatcher;
mod figures;
mod options;
mod progress;
mod report;
mod run;
mod schedule;
mod verify;
mod workload;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use client::Client;
pub(crate) use options::LoadOptions;
use report::Report;
use run::Run;
use workload::Workload;

/// Puts the load on and prints the report. The exit code is that of the verdict.
pub(crate) async fn run(options: LoadOptions) -> ExitCode {
    match load(options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => yelb_service::exit("yelb load", Err(error)),
    }
}

/// Whether the load passed.
async fn load(options: LoadOptions) -> anyhow::Result<bool> {
    let schedule = options.schedule()?;
    let client = Client::new(&options)?;
    // Also without `--verify`: a target that is not a Yelb gets no load.
    let before = client.counts().await;
    let before =
        before.with_context(|| format!("{} does not answer as a Yelb", options.target()))?;
    let workload = Workload::new(&options, &before.names())?;
    let run = Run::new(options, schedule, workload, client);
    let interrupted = tokio::select! {
        interrupted = run.to_end() => interrupted,
        never = progress::follow(&run) => never,
    };
    let time = run.dispatcher.elapsed();
    let verification = verify::verify(&run, &before).await;
    let report = Report::new(&run, interrupted, time, &verification);
    let json = serde_json::to_string_pretty(&report)? + "\n";
    let text = if run.options.json { json } else { report.to_string() };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(report.passed)
}
