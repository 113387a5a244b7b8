//! What came of it: a table for people, JSON for machines.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::drive::{Ending, Load};
use super::figures::{Asked, Figures};
use super::schedule::real;
use super::verify::Verdict;

/// What came of a load.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    target: String,
    shape: String,
    seed: u64,
    /// Whether somebody ended it before its time.
    interrupted: bool,
    /// From the beginning until the last answer.
    seconds: f64,
    votes: Requests,
    reads: Requests,
    /// Failed attempts, by kind.
    failures: BTreeMap<String, u64>,
    /// The most requests that were on their way at a time.
    most_on_their_way: usize,
    /// The most that were due and waited for a connection.
    most_waiting: u64,
    /// What was due and still waited when it ended.
    never_sent: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<Verdict>,
}

/// Requests of one kind.
#[derive(Debug, Serialize)]
struct Requests {
    due: u64,
    answered: u64,
    unanswered: u64,
    answered_per_second: f64,
    /// From the moment when a request was due, waiting for a connection and retries included.
    latency_ms: Percentiles,
    /// From the moment when it was sent, for the last time if it was retried.
    service_ms: Percentiles,
}

#[derive(Debug, Serialize)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p99_9: f64,
    max: f64,
}

impl Percentiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| milliseconds(histogram.value_at_quantile(quantile));
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: milliseconds(histogram.max()),
        }
    }
}

impl Requests {
    fn of(asked: &Asked, seconds: f64) -> Self {
        let answered = asked.answered();
        Self {
            due: asked.taken,
            answered,
            unanswered: asked.taken - answered,
            answered_per_second: (real(answered) / seconds * 10.0).round() / 10.0,
            latency_ms: Percentiles::of(&asked.latency),
            service_ms: Percentiles::of(&asked.service),
        }
    }
}

/// Microseconds in milliseconds.
pub(crate) fn milliseconds(micros: u64) -> f64 {
    real(micros) / 1000.0
}

impl Report {
    /// As it stands now that nothing is on its way.
    pub(crate) fn new(load: &Load, ending: Ending) -> Self {
        let now = load.now();
        let (most_on_their_way, most_waiting, never_sent) = {
            let desk = load.desk();
            (desk.most_busy, desk.most_waiting, desk.waiting(now))
        };
        let figures: Figures = load.figures().clone();
        let seconds = now.as_secs_f64();
        let interrupted = ending == Ending::Interrupted;
        Self {
            target: load.plan.target.to_string(),
            shape: load.plan.shape.clone(),
            seed: load.plan.seed,
            interrupted,
            seconds: (seconds * 1000.0).round() / 1000.0,
            votes: Requests::of(&figures.votes, seconds),
            reads: Requests::of(&figures.reads, seconds),
            failures: figures.failures.iter().map(|(kind, n)| (kind.to_string(), *n)).collect(),
            most_on_their_way,
            most_waiting,
            // What was not sent because it was told to stop is nobody's failure.
            never_sent: if interrupted { 0 } else { never_sent },
            verify: None,
        }
    }

    /// With a verdict on the votes.
    pub(crate) fn verified(self, verdict: Verdict) -> Self {
        Self { verify: Some(verdict), ..self }
    }

    /// For machines.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("names and numbers become JSON")
    }

    fn kinds(&self) -> impl Iterator<Item = (&'static str, &Requests)> {
        [("votes", &self.votes), ("reads", &self.reads)]
            .into_iter()
            .filter(|(_, asked)| asked.due > 0)
    }

    fn write_requests(&self, text: &mut String) -> fmt::Result {
        writeln!(
            text,
            "{:<20}{:>10}{:>10}{:>12}{:>12}",
            "", "due", "answered", "unanswered", "per second"
        )?;
        for (name, Requests { due, answered, unanswered, answered_per_second, .. }) in self.kinds()
        {
            writeln!(
                text,
                "{name:<20}{due:>10}{answered:>10}{unanswered:>12}{answered_per_second:>12.1}"
            )?;
        }
        Ok(())
    }

    fn write_latencies(&self, text: &mut String) -> fmt::Result {
        writeln!(
            text,
            "{:<20}{:>10}{:>10}{:>12}{:>12}{:>12}",
            "milliseconds", "p50", "p90", "p99", "p99.9", "max"
        )?;
        for (name, asked) in self.kinds() {
            for (since, times) in [("due", &asked.latency_ms), ("sent", &asked.service_ms)] {
                let Percentiles { p50, p90, p99, p99_9, max } = times;
                let name = format!("{name} since {since}");
                writeln!(
                    text,
                    "{name:<20}{p50:>10.2}{p90:>10.2}{p99:>12.2}{p99_9:>12.2}{max:>12.2}"
                )?;
            }
        }
        Ok(())
    }

    fn write_failures(&self, text: &mut String) -> fmt::Result {
        if self.failures.is_empty() {
            return writeln!(text, "no attempt failed");
        }
        writeln!(text, "failed attempts")?;
        for (kind, count) in &self.failures {
            writeln!(text, "{:<20}{count:>10}", format!("  {kind}"))?;
        }
        Ok(())
    }

    fn write_verdict(&self, text: &mut String) -> fmt::Result {
        let Some(verdict) = &self.verify else { return Ok(()) };
        writeln!(text, "\nverified")?;
        let Verdict { sent, acknowledged, refused, unresolved, counted, .. } = *verdict;
        for (name, votes) in [
            ("sent", sent),
            ("acknowledged", acknowledged),
            ("refused", refused),
            ("unresolved", unresolved),
        ] {
            writeln!(text, "{:<20}{votes:>10}", format!("  {name}"))?;
        }
        writeln!(text, "{:<20}{counted:>10}", "  counted")?;
        writeln!(text, "{:<20}{:>10}", "  lost", verdict.lost)?;
        writeln!(text, "{:<20}{:>10}", "  duplicated", verdict.duplicated)?;
        writeln!(text, "{:<20}{:>10}", "  repeated answers", verdict.repeated_answers)
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        let Self { target, shape, seed, seconds, .. } = self;
        writeln!(text, "{target}: {shape}, seed {seed}, took {seconds:.1} s")?;
        if self.interrupted {
            writeln!(text, "interrupted before its time")?;
        }
        writeln!(text)?;
        self.write_requests(text)?;
        writeln!(text)?;
        self.write_latencies(text)?;
        let Self { most_on_their_way, most_waiting, never_sent, .. } = self;
        writeln!(
            text,
            "\nat most {most_on_their_way} on their way, {most_waiting} waiting for a connection; {never_sent} never sent"
        )?;
        self.write_failures(text)?;
        self.write_verdict(text)
    }
}

/// For people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text)?;
        f.write_str(&text)
    }
}
