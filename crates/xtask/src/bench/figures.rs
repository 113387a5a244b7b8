//! What was measured.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};

// What is measured, as the tables call it.

/// The static reply that everything is compared with.
pub(crate) const STATIC: &str = "static reply, `/api/hostname`";
pub(crate) const VOTE: &str = "vote, committed";
pub(crate) const KEYED: &str = "vote with a key";
/// The same where the database is reached through PgBouncer.
pub(crate) const VOTE_POOLED: &str = "vote, committed, through PgBouncer";
pub(crate) const KEYED_POOLED: &str = "vote with a key, through PgBouncer";
pub(crate) const GETVOTES: &str = "`getvotes`";
pub(crate) const GETSTATS: &str = "`getstats`, which counts a page view";
/// What the page sends: through yelb-ui, and through nginx in its place.
pub(crate) const KEYED_BY_UI: &str = "vote with a key through yelb-ui";
pub(crate) const KEYED_BY_NGINX: &str = "vote with a key through nginx, `proxy_pass`";
pub(crate) const KEYED_BY_MESH: &str = "vote with a key through Envoy, yelb-ui and Envoy";
pub(crate) const SINGLE: &str = "one statement for each vote";

/// As few, some, and many.
pub(crate) const CONNECTIONS: [u32; 3] = [1, 32, 256];

/// What came of one load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// CPU time of the process in question for each request; 0 where it is not asked for.
    pub(crate) cpu_us: f64,
}

impl Row {
    /// The same, for which a process used so much CPU time.
    #[expect(clippy::cast_precision_loss, reason = "a mean of millions needs no more")]
    pub(crate) fn with_cpu(self, used: Duration) -> Self {
        Self { cpu_us: used.as_secs_f64() * 1e6 / self.requests.max(1) as f64, ..self }
    }
}

impl fmt::Display for Row {
    /// Requests that were answered, and how many were not.
    #[expect(clippy::cast_precision_loss, reason = "a percentage needs no more")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", thousands(self.per_second), time(self.p99_ms))?;
        if self.failed > 0 {
            let failed = self.failed as f64 * 100.0 / self.requests as f64;
            write!(f, "; {failed:.1} % failed")?;
        }
        f.write_str(")")
    }
}

/// A thing that was measured in each pass at each number of connections.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) rows: [Vec<Row>; CONNECTIONS.len()],
}

/// Votes when each round trip to the database takes longer.
pub(crate) struct Slow {
    pub(crate) delay_ms: u64,
    /// At 1 connection, which is a round trip to the database and little more.
    pub(crate) alone: Row,
    /// At 256.
    pub(crate) crowd: Row,
}

impl Slow {
    /// How many round trips the slowest but 1 % of a crowd's votes took.
    pub(crate) fn round_trips(&self) -> f64 {
        self.crowd.p99_ms / self.alone.p50_ms
    }
}

/// All of it.
pub(crate) struct Figures {
    pub(crate) time: Duration,
    pub(crate) passes: u16,
    /// How much else the machine was doing.
    pub(crate) load: Option<f64>,
    pub(crate) subjects: Vec<Subject>,
    /// What another Yelb's votes and `getvotes` are called here, if there is one.
    pub(crate) beside: Option<[String; 2]>,
    /// The most that each server had.
    pub(crate) memory_mib: Vec<(&'static str, f64)>,
    /// How long the disk takes for what a commit waits for, in each pass.
    pub(crate) sync_us: Vec<f64>,
    /// From the start of the process until it is ready.
    pub(crate) starts_ms: Vec<f64>,
    pub(crate) slow: Option<Slow>,
}

impl Figures {
    pub(crate) fn new(time: Duration, passes: u16) -> Self {
        Self {
            time,
            passes,
            load: load_average(),
            subjects: Vec::new(),
            beside: None,
            memory_mib: Vec::new(),
            sync_us: Vec::new(),
            starts_ms: Vec::new(),
            slow: None,
        }
    }

    /// One more measurement of something.
    pub(crate) fn add(&mut self, name: &str, connections: u32, row: Row) -> Result<()> {
        ensure!(row.requests > row.failed, "{name}: all {} requests failed", row.requests);
        let place = CONNECTIONS.iter().position(|number| *number == connections);
        self.subject(name).rows[place.expect("one of these numbers")].push(row);
        Ok(())
    }

    fn subject(&mut self, name: &str) -> &mut Subject {
        let place = self.subjects.iter().position(|subject| subject.name == name);
        let place = place.unwrap_or_else(|| {
            self.subjects.push(Subject { name: name.to_owned(), rows: Default::default() });
            self.subjects.len() - 1
        });
        &mut self.subjects[place]
    }

    /// What was measured at 256 connections, in the order of the table.
    pub(crate) fn at_256(&self) -> impl Iterator<Item = (&str, f64)> {
        let rate = |subject: &Subject| median(&subject.rows[2], |row| row.per_second);
        self.subjects.iter().map(move |subject| (subject.name.as_str(), rate(subject)))
    }

    fn rows(&self, name: &str) -> Option<&[Vec<Row>; CONNECTIONS.len()]> {
        self.subjects.iter().find(|subject| subject.name == name).map(|subject| &subject.rows)
    }

    /// How many times as many requests of `one` were answered as of `other`: the median over the passes, in each of which they
    /// were measured one soon after the other.
    pub(crate) fn ratio(&self, one: &str, other: &str, place: usize) -> Option<f64> {
        let (one, other) = (&self.rows(one)?[place], &self.rows(other)?[place]);
        Some(median(one.iter().zip(other), |(one, other)| one.per_second / other.per_second))
    }

    /// How many times as much CPU time a request of `one` took as of `other`, in the same way.
    pub(crate) fn cpu_ratio(&self, one: (&str, usize), other: (&str, usize)) -> Option<f64> {
        let (one, other) = (&self.rows(one.0)?[one.1], &self.rows(other.0)?[other.1]);
        Some(median(one.iter().zip(other), |(one, other)| one.cpu_us / other.cpu_us))
    }

    /// CPU time for each request, of the processes of which it was measured.
    pub(crate) fn cpu_times(&self) -> impl Iterator<Item = (String, String)> {
        self.subjects.iter().filter_map(|Subject { name, rows }| {
            let [_, some, many] = rows.each_ref().map(|rows| median(rows, |row| row.cpu_us));
            let figure = format!("{some:.1} µs at 32 connections, {many:.1} µs at 256");
            (many > 0.0).then_some((format!("CPU time of the process for a {name}"), figure))
        })
    }
}

/// The one in the middle, or the lower of the two.
pub(crate) fn median<T>(all: impl IntoIterator<Item = T>, figure: impl Fn(&T) -> f64) -> f64 {
    let mut figures: Vec<f64> = all.into_iter().map(|one| figure(&one)).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// The machine's load average over the last minute (proc(5)).
fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// `152,340`
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(crate) fn time(milliseconds: f64) -> String {
    if milliseconds < 1.0 {
        format!("{:.0} µs", milliseconds * 1000.0)
    } else {
        format!("{milliseconds:.1} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_that_fails_is_no_figure() {
        let mut figures = Figures::new(Duration::from_secs(3), 1);
        let failed =
            Row { per_second: 9.0, p50_ms: 0.1, p99_ms: 0.2, requests: 9, failed: 9, cpu_us: 0.0 };
        assert!(figures.add(VOTE, 1, failed).is_err());
        assert_eq!(Row { failed: 1, ..failed }.to_string(), "9 (200 µs; 11.1 % failed)");
    }
}
