//! What was measured, as a table.

use std::fmt::{self, Write};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::budgets::{Budget, budgets};
use super::stage::{SINGLE, STATIC, VOTE};

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

/// A thing that was measured in each pass at each number of connections, or why it was not.
struct Subject {
    name: String,
    rows: Result<[Vec<Row>; CONNECTIONS.len()], &'static str>,
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
    time: Duration,
    passes: u16,
    /// How much else the machine was doing.
    load: Option<f64>,
    subjects: Vec<Subject>,
    /// The app server's CPU time for votes, and how many they were.
    votes: (Duration, u64),
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
            votes: (Duration::ZERO, 0),
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
        if let Ok(rows) = &mut self.subject(name).rows {
            rows[place.expect("one of these numbers")].push(row);
        }
        Ok(())
    }

    fn subject(&mut self, name: &str) -> &mut Subject {
        let place = self.subjects.iter().position(|subject| subject.name == name);
        let place = place.unwrap_or_else(|| {
            self.subjects
                .push(Subject { name: name.to_owned(), rows: Ok([const { Vec::new() }; 3]) });
            self.subjects.len() - 1
        });
        &mut self.subjects[place]
    }

    /// Says why something was not measured.
    pub(crate) fn lacks(&mut self, name: &str, why: &'static str) {
        self.subjects.push(Subject { name: name.to_owned(), rows: Err(why) });
    }

    /// Votes were counted, with so much CPU time.
    pub(crate) fn votes_took(&mut self, time: Duration, votes: u64) {
        self.votes.0 += time;
        self.votes.1 += votes;
    }

    /// What was measured at 256 connections, in the order of the table.
    pub(crate) fn at_256(&self) -> impl Iterator<Item = (&str, f64)> {
        self.subjects.iter().filter_map(|subject| {
            let rows = &subject.rows.as_ref().ok()?[2];
            Some((subject.name.as_str(), median(rows, |row| row.per_second)))
        })
    }

    fn rows(&self, name: &str) -> Option<&[Vec<Row>; CONNECTIONS.len()]> {
        self.subjects.iter().find(|subject| subject.name == name)?.rows.as_ref().ok()
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
    fn cpu_times(&self) -> impl Iterator<Item = (String, String)> {
        self.subjects.iter().filter_map(|subject| {
            let rows = subject.rows.as_ref().ok()?;
            let times = rows.each_ref().map(|rows| median(rows, |row| row.cpu_us));
            let [_, some, many] = times;
            let what = format!("CPU time of the process for a {}", subject.name);
            let figure = format!("{some:.1} µs at 32 connections, {many:.1} µs at 256");
            (many > 0.0).then_some((what, figure))
        })
    }

    /// The table, and what else was measured.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from(
            "| requests/s (p99) | 1 connection | 32 | 256 | of the static reply at 256 |\n|---|---|---|---|---|\n",
        );
        for Subject { name, rows } in &self.subjects {
            match rows {
                Err(why) => writeln!(text, "| {name} | {why} | | | |"),
                Ok(rows) => {
                    let cells = rows.each_ref().map(|rows| cell(rows)).join(" | ");
                    let ratio = self.ratio(name, STATIC, 2).unwrap_or_default();
                    let digits = if ratio < 0.01 { 4 } else { 2 };
                    writeln!(text, "| {name} | {cells} | {ratio:.digits$} |")
                }
            }
            .expect("a string takes everything");
        }
        text += "\n| budget | | measured | |\n|---|---|---|---|\n";
        for Budget { what, limit, measured, is_met } in budgets(self) {
            let verdict = if is_met { "met" } else { "**missed**" };
            writeln!(text, "| {what} | {limit} | {measured} | {verdict} |")
                .expect("a string takes everything");
        }
        text.push('\n');
        for (what, figure) in self.others().into_iter().chain(self.cpu_times()) {
            writeln!(text, "- {what}: {figure}").expect("a string takes everything");
        }
        text
    }

    fn others(&self) -> Vec<(String, String)> {
        let mut others = Vec::new();
        let mut say = |what: &str, figure: String| others.push((what.to_owned(), figure));
        if let Some(ratio) = self.ratio(VOTE, SINGLE, 2) {
            let what = "Batches against one statement for each vote, at 256 connections";
            say(what, format!("{ratio:.0} times"));
        }
        if let Some(load) = self.load {
            say(
                "Load average before all of this, which is 0 on a machine with nothing else to do",
                format!("{load:.1}"),
            );
        }
        if !self.sync_us.is_empty() {
            let micros = median(&self.sync_us, |micros| **micros);
            let figure = format!("{micros:.0} µs, the median; no commit is faster");
            say("`fdatasync` of 8 KiB on this disk meanwhile", figure);
        }
        if let (time, votes @ 1..) = self.votes {
            #[expect(clippy::cast_precision_loss, reason = "a mean of millions needs no more")]
            let micros = time.as_secs_f64() * 1e6 / votes as f64;
            say("CPU time of the app server for a vote", format!("{micros:.1} µs"));
        }
        if let Some(Slow { delay_ms, alone, crowd }) = &self.slow {
            say(
                &format!("Votes {delay_ms} ms from the database"),
                format!(
                    "{} alone, the median; at 256 connections {}/s, p99 {}",
                    time(alone.p50_ms),
                    thousands(crowd.per_second),
                    time(crowd.p99_ms)
                ),
            );
        }
        others
    }

    /// The page of the folder.
    pub(crate) fn page(&self) -> String {
        format!(
            "# Figures\n\nWritten by `cargo xtask bench`: wrk, the servers and Postgres (with `fsync`) on one machine with {} \
             cores, {} s for each figure, {} times in turn; the medians. Only ratios within one table mean something.\n\n\
             ![Requests per second at 256 connections](votes.svg)\n\n{}",
            std::thread::available_parallelism().map_or(0, usize::from),
            self.time.as_secs(),
            self.passes,
            self.table()
        )
    }
}

fn cell(rows: &[Row]) -> String {
    let (rate, p99) = (median(rows, |row| row.per_second), median(rows, |row| row.p99_ms));
    format!("{} ({})", thousands(rate), time(p99))
}

/// The one in the middle, or the lower of the two.
fn median<T>(all: impl IntoIterator<Item = T>, figure: impl Fn(&T) -> f64) -> f64 {
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

fn time(milliseconds: f64) -> String {
    if milliseconds < 1.0 {
        format!("{:.0} µs", milliseconds * 1000.0)
    } else {
        format!("{milliseconds:.1} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(per_second: f64) -> Row {
        Row { per_second, p50_ms: 0.1, p99_ms: 0.2, requests: 1, failed: 0, cpu_us: 0.0 }
    }

    #[test]
    fn a_table_has_medians_and_ratios_and_says_what_is_missing() {
        let mut figures = Figures::new(Duration::from_secs(3), 3);
        figures.beside = Some(["original: vote", "original: `getvotes`"].map(str::to_owned));
        // The machine was half as fast in the second pass.
        for speed in [1000.0, 500.0, 1100.0] {
            for connections in CONNECTIONS {
                let rate = f64::from(connections) * speed;
                figures.add(STATIC, connections, row(rate)).unwrap();
                figures.add(VOTE, connections, row(rate / 2.0)).unwrap();
                figures.add("original: vote", connections, row(rate / 300.0)).unwrap();
            }
        }
        figures.lacks("nginx, static", "nginx is not installed");
        let table = figures.table();
        let vote = "| vote, committed | 500 (200 µs) | 16,000 (200 µs) | 128,000 (200 µs) | 0.50 |";
        assert!(table.contains(vote), "{table}");
        assert!(table.contains("| nginx, static | nginx is not installed |"), "{table}");
        let missed =
            "| vote, committed, of the static reply at 256 | at least 0.8 | 0.50 | **missed** |\n";
        assert!(table.contains(missed), "{table}");
        let met = "| vote, committed, times that of original: vote at 32 | at least 100 | 150.00 | met |\n";
        assert!(table.contains(met), "{table}");
    }

    #[test]
    fn a_load_that_fails_is_no_figure() {
        let mut figures = Figures::new(Duration::from_secs(3), 1);
        let failed = Row { requests: 9, failed: 9, ..row(9.0) };
        assert!(figures.add(VOTE, 1, failed).is_err());
        assert_eq!(Row { failed: 1, ..failed }.to_string(), "9 (200 µs; 11.1 % failed)");
    }
}
