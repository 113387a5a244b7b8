//! What was measured, as a table.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{STATIC, VOTE};

/// As few, some, and many.
pub(crate) const CONNECTIONS: [u32; 3] = [1, 32, 256];

/// What came of one load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) per_second: f64,
    pub(crate) p99_ms: f64,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
}

impl Row {
    /// Requests that were answered, and how many were not.
    #[expect(clippy::cast_precision_loss, reason = "a percentage needs no more")]
    fn cell(&self) -> String {
        let (rate, p99) = (thousands(self.per_second), time(self.p99_ms));
        match self.failed as f64 * 100.0 / self.requests as f64 {
            0.0 => format!("{rate} ({p99})"),
            failed => format!("{rate} ({p99}; {failed:.1} % failed)"),
        }
    }
}

/// A thing that was measured at each number of connections, or why it was not.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) rows: Result<[Row; 3], &'static str>,
}

/// All of it.
pub(crate) struct Figures {
    time: Duration,
    /// How much else the machine was doing.
    load: Option<f64>,
    pub(crate) subjects: Vec<Subject>,
    cpu_us_per_vote: Option<f64>,
    pub(crate) memory_mib: Option<f64>,
    /// How long the disk takes for what a commit waits for.
    pub(crate) sync_us: Option<f64>,
    /// From the start of the process until it is ready.
    pub(crate) starts_ms: Vec<f64>,
    /// The delay of a slow database, and votes at 256 connections.
    pub(crate) slow: Option<(u64, Row)>,
}

impl Figures {
    pub(crate) fn new(time: Duration) -> Self {
        Self {
            time,
            load: load_average(),
            subjects: Vec::new(),
            cpu_us_per_vote: None,
            memory_mib: None,
            sync_us: None,
            starts_ms: Vec::new(),
            slow: None,
        }
    }

    /// Measures something, and answers with how many requests it was.
    pub(crate) fn add(
        &mut self,
        name: &'static str,
        measure: impl Fn(u32) -> Result<Row>,
    ) -> Result<u64> {
        let mut rows = [Row { per_second: 0.0, p99_ms: 0.0, requests: 0, failed: 0 }; 3];
        for (row, connections) in rows.iter_mut().zip(CONNECTIONS) {
            *row = measure(connections)?;
            ensure!(row.requests > row.failed, "{name}: all {} requests failed", row.requests);
            println!("{name}, {connections}: {}", row.cell());
        }
        self.subjects.push(Subject { name, rows: Ok(rows) });
        Ok(rows.iter().map(|row| row.requests).sum())
    }

    /// Says why something was not measured.
    pub(crate) fn lacks(&mut self, name: &'static str, why: &'static str) -> u64 {
        println!("{name}: {why}");
        self.subjects.push(Subject { name, rows: Err(why) });
        0
    }

    #[expect(clippy::cast_precision_loss, reason = "a mean of millions needs no more")]
    pub(crate) fn cpu_per_vote(&mut self, time: Duration, votes: u64) {
        self.cpu_us_per_vote = Some(time.as_secs_f64() * 1e6 / votes as f64);
    }

    pub(crate) fn rows(&self, name: &str) -> Option<&[Row; 3]> {
        self.subjects.iter().find(|subject| subject.name == name)?.rows.as_ref().ok()
    }

    /// The table, and what else was measured.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from(
            "| requests/s (p99) | 1 connection | 32 | 256 | of the static reply at 256 |\n|---|---|---|---|---|\n",
        );
        let whole = self.rows(STATIC).map(|rows| rows[2].per_second);
        for Subject { name, rows } in &self.subjects {
            match rows {
                Err(why) => writeln!(text, "| {name} | {why} | | | |"),
                Ok(rows) => {
                    let cells = rows
                        .map(|row| format!("{} ({})", thousands(row.per_second), time(row.p99_ms)));
                    let ratio = whole.map_or(0.0, |whole| rows[2].per_second / whole);
                    writeln!(text, "| {name} | {} | {ratio:.2} |", cells.join(" | "))
                }
            }
            .expect("a string takes everything");
        }
        for (what, figure) in self.others() {
            writeln!(text, "- {what}: {figure}").expect("a string takes everything");
        }
        text.replacen("\n- ", "\n\n- ", 1)
    }

    fn others(&self) -> Vec<(String, String)> {
        let mut others = Vec::new();
        let mut say = |what: &str, figure: String| others.push((what.to_owned(), figure));
        if let (Some(votes), Some(single)) =
            (self.rows(VOTE), self.rows("one statement for each vote"))
        {
            let times = votes[2].per_second / single[2].per_second;
            say("Rounds against one statement for each vote, at 256", format!("{times:.0} times"));
        }
        if let Some(load) = self.load {
            say(
                "Load average before all of this, which is 0 on a machine with nothing else to do",
                format!("{load:.1}"),
            );
        }
        if let Some(micros) = self.sync_us {
            let figure = format!("{micros:.0} µs, the median; no commit is faster");
            say("`fdatasync` of 8 KiB on this disk meanwhile", figure);
        }
        if let Some(micros) = self.cpu_us_per_vote {
            say("CPU time of the app server for a vote", format!("{micros:.1} µs"));
        }
        if let Some(memory) = self.memory_mib {
            say("Most memory of the app server, after all of this", format!("{memory:.1} MiB"));
        }
        if let (Some(best), Some(worst)) = (
            self.starts_ms.iter().copied().reduce(f64::min),
            self.starts_ms.iter().copied().reduce(f64::max),
        ) {
            let tries = self.starts_ms.len();
            let figure = format!("{best:.0} to {worst:.0} ms in {tries} starts");
            say("From start to ready, on a new SQLite file", figure);
        }
        if let Some((delay, row)) = self.slow {
            let what = format!("Votes at 256 connections, {delay} ms from the database");
            let trips = format!(
                "{:.1} round trips",
                row.p99_ms / f64::from(u32::try_from(delay).unwrap_or(1))
            );
            say(
                &what,
                format!("{}/s, p99 {} ({trips})", thousands(row.per_second), time(row.p99_ms)),
            );
        }
        others
    }

    /// The page of the folder.
    pub(crate) fn page(&self) -> String {
        format!(
            "# Figures\n\nWritten by `cargo xtask bench`: wrk, the servers and Postgres (with `fsync`) on one machine with {} \
             cores, {} s for each figure. Only ratios within one table mean something.\n\n![Requests per second at 256 \
             connections](votes.svg)\n\n{}",
            std::thread::available_parallelism().map_or(0, usize::from),
            self.time.as_secs(),
            self.table()
        )
    }
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

    #[test]
    fn a_table_has_ratios_and_says_what_is_missing() {
        let mut figures = Figures::new(Duration::from_secs(3));
        let row = |per_second| Row { per_second, p99_ms: 0.2, requests: 1, failed: 0 };
        figures.add(STATIC, |connections| Ok(row(f64::from(connections) * 1000.0))).unwrap();
        figures.add(VOTE, |connections| Ok(row(f64::from(connections) * 500.0))).unwrap();
        figures.lacks("nginx, static", "nginx is not installed");
        let table = figures.table();
        let vote = "| vote, committed | 500 (200 µs) | 16,000 (200 µs) | 128,000 (200 µs) | 0.50 |";
        assert!(table.contains(vote), "{table}");
        assert!(table.contains("| nginx, static | nginx is not installed |"), "{table}");
    }

    #[test]
    fn a_load_that_fails_is_no_figure() {
        let mut figures = Figures::new(Duration::from_secs(3));
        let failed = Row { per_second: 9.0, p99_ms: 0.2, requests: 9, failed: 9 };
        assert!(figures.add(VOTE, |_| Ok(failed)).is_err());
        assert_eq!(Row { failed: 1, ..failed }.cell(), "9 (200 µs; 11.1 % failed)");
    }
}
