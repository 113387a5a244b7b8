//! What came of a load: the verdict in one sentence, a table for people, JSON for scripts.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::figures::Latencies;
use super::run::Run;
use super::schedule::real;
use super::verify::Verification;

const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// What came of a load.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// One sentence.
    verdict: String,
    /// Whether all went as it should.
    pub(crate) passed: bool,
    target: String,
    shape: String,
    seed: u64,
    /// Whether Ctrl-C ended it.
    interrupted: bool,
    /// From the beginning until the last response.
    seconds: f64,
    votes: Requests,
    /// Votes that were not confirmed, by what became of them.
    refused: u64,
    unknown: u64,
    never_sent: u64,
    reads: Requests,
    /// Failed attempts by kind.
    failures: BTreeMap<String, u64>,
    /// The most requests that were due and waited for a connection.
    most_waiting: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<Verification>,
}

/// Requests of one kind.
#[derive(Debug, Serialize)]
struct Requests {
    due: u64,
    succeeded: u64,
    failed: u64,
    succeeded_per_second: f64,
    /// Of those that succeeded, from the moment at which they were due: waiting for a connection and retries included.
    latency_ms: BTreeMap<&'static str, f64>,
    /// Of those that succeeded, from the beginning of the last attempt.
    service_ms: BTreeMap<&'static str, f64>,
}

impl Requests {
    fn new(due: u64, latencies: &Latencies, time: Duration) -> Self {
        let succeeded = latencies.succeeded();
        Self {
            due,
            succeeded,
            failed: due - succeeded,
            succeeded_per_second: (real(succeeded) / time.as_secs_f64() * 10.0).round() / 10.0,
            latency_ms: milliseconds(&latencies.since_due),
            service_ms: milliseconds(&latencies.since_sent),
        }
    }
}

fn milliseconds(micros: &Histogram<u64>) -> BTreeMap<&'static str, f64> {
    let at = |quantile| real(micros.value_at_quantile(quantile)) / 1000.0;
    QUANTILES.iter().map(|(name, quantile)| (*name, at(*quantile))).collect()
}

impl Report {
    /// The report on a run that took this time. Its verification is none if it was not asked for.
    pub(crate) fn new(
        run: &Run,
        interrupted: bool,
        time: Duration,
        verification: &anyhow::Result<Option<Verification>>,
    ) -> Self {
        let (dispatcher, figures) = (&run.dispatcher, run.figures());
        let started = dispatcher.started.load(Relaxed);
        // What was not sent because of Ctrl-C was not asked for any more.
        let due = if interrupted { started } else { dispatcher.schedule.total };
        let is_vote = |number: &u64| run.workload.restaurant(*number).is_some();
        let votes_due = (0..due).filter(is_vote).count() as u64;
        let votes = Requests::new(votes_due, &figures.votes, time);
        let (refused, unknown) = (figures.refused, figures.unknown.iter().sum());
        let mut report = Self {
            verdict: String::new(),
            passed: false,
            target: run.options.target().to_owned(),
            shape: run.options.description(),
            seed: run.options.seed,
            interrupted,
            seconds: (time.as_secs_f64() * 1000.0).round() / 1000.0,
            refused,
            unknown,
            never_sent: votes.failed - refused - unknown,
            votes,
            reads: Requests::new(due - votes_due, &figures.reads, time),
            failures: figures.failures.clone(),
            most_waiting: dispatcher.most_waiting.load(Relaxed),
            verify: verification.as_ref().ok().copied().flatten(),
        };
        report.judge(verification);
        report
    }

    fn judge(&mut self, verification: &anyhow::Result<Option<Verification>>) {
        let Self { votes, reads, refused, unknown, never_sent, .. } = self;
        let mut problems = Vec::new();
        if votes.failed > 0 {
            problems.push(format!(
                "{} of {} votes were not confirmed ({refused} refused, {unknown} unknown, {never_sent} never sent)",
                votes.failed, votes.due
            ));
        }
        if reads.failed > 0 {
            problems.push(format!("{} of {} reads failed", reads.failed, reads.due));
        }
        match verification {
            Ok(Some(Verification { lost, duplicated, .. })) if lost + duplicated > 0 => {
                problems
                    .push(format!("{lost} confirmed votes are lost, {duplicated} counted twice"));
            }
            Err(error) => problems.push(format!("the votes could not be verified: {error:#}")),
            Ok(_) => {}
        }
        let verified = if self.verify.is_some() { " and verified" } else { "" };
        self.passed = problems.is_empty();
        self.verdict = if self.passed {
            format!("OK: all {} votes were confirmed{verified}.", votes.due)
        } else {
            format!("FAILED: {}.", problems.join("; "))
        };
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { target, shape, seed, seconds, most_waiting, .. } = self;
        let early = if self.interrupted { ", interrupted" } else { "" };
        writeln!(f, "{}\n", self.verdict)?;
        writeln!(f, "{target}: {shape}, seed {seed}, took {seconds:.1} s{early}\n")?;
        self.write_requests(f)?;
        self.write_latencies(f)?;
        writeln!(f, "\nat most {most_waiting} requests were waiting for a connection")?;
        self.write_failures(f)?;
        self.write_verification(f)
    }
}

impl Report {
    fn kinds(&self) -> impl Iterator<Item = (&'static str, &Requests)> {
        let kinds = [("votes", &self.votes), ("reads", &self.reads)];
        kinds.into_iter().filter(|(_, requests)| requests.due > 0)
    }

    fn write_requests(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_row(f, "", &["due", "succeeded", "failed", "per second"])?;
        for (name, Requests { due, succeeded, failed, succeeded_per_second, .. }) in self.kinds() {
            let rate = format!("{succeeded_per_second:.1}");
            let cells = [due.to_string(), succeeded.to_string(), failed.to_string(), rate];
            write_row(f, name, &cells)?;
        }
        Ok(())
    }

    fn write_latencies(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        write_row(f, "milliseconds", &QUANTILES.map(|(name, _)| name))?;
        for (name, requests) in self.kinds() {
            for (since, times) in [("due", &requests.latency_ms), ("sent", &requests.service_ms)] {
                let cells = QUANTILES.map(|(name, _)| format!("{:.2}", times[name]));
                write_row(f, &format!("{name} since {since}"), &cells)?;
            }
        }
        match self.votes.failed + self.reads.failed {
            0 => Ok(()),
            failed => writeln!(f, "({failed} requests failed and are left out here)"),
        }
    }

    fn write_failures(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.failures.is_empty() {
            return writeln!(f, "no attempt failed");
        }
        writeln!(f, "failed attempts")?;
        self.failures.iter().try_for_each(|(kind, count)| writeln!(f, "  {kind:36}{count:>10}"))
    }

    fn write_verification(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(verify) = &self.verify else { return Ok(()) };
        writeln!(f, "\nverified\n  {:36}{:>10}", "counted", verify.counted)?;
        writeln!(f, "  {:36}{:>10}", "counted, not sent by this run", verify.by_others)?;
        writeln!(f, "  {:36}{:>10}", "lost", verify.lost)?;
        writeln!(f, "  {:36}{:>10}", "duplicated", verify.duplicated)?;
        writeln!(f, "  {:36}{:>10}", "repeated answers", verify.repeated_answers)
    }
}

fn write_row(f: &mut Formatter<'_>, name: &str, cells: &[impl Display]) -> fmt::Result {
    write!(f, "{name:16}")?;
    cells.iter().try_for_each(|cell| write!(f, "{cell:>12}"))?;
    writeln!(f)
}
