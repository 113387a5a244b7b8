//! The figures as Markdown.

use std::fmt::Write;

use super::budgets::{Budget, budgets};
use super::figures::{Figures, Row, SINGLE, STATIC, Slow, Subject, VOTE, median, thousands, time};

/// The table of the figures, the table of the budgets, and a list of further measurements.
pub(crate) fn table(figures: &Figures) -> String {
    let mut text = String::from(
        "| requests/s (p99) | 1 connection | 32 | 256 | of the static reply at 256 |\n|---|---|---|---|---|\n",
    );
    for Subject { name, rows } in &figures.subjects {
        let cells = rows.each_ref().map(|rows| cell(rows)).join(" | ");
        let ratio = figures.ratio(name, STATIC, 2).unwrap_or_default();
        let digits = if ratio < 0.01 { 4 } else { 2 };
        writeln!(text, "| {name} | {cells} | {ratio:.digits$} |")
            .expect("writing to a string cannot fail");
    }
    text += "\n| budget | | measured | |\n|---|---|---|---|\n";
    for Budget { what, limit, measured, is_met } in budgets(figures) {
        let verdict = if is_met { "met" } else { "**missed**" };
        writeln!(text, "| {what} | {limit} | {measured} | {verdict} |")
            .expect("writing to a string cannot fail");
    }
    text.push('\n');
    for (what, figure) in others(figures).into_iter().chain(figures.cpu_times()) {
        writeln!(text, "- {what}: {figure}").expect("writing to a string cannot fail");
    }
    text
}

fn others(figures: &Figures) -> Vec<(String, String)> {
    let mut others = Vec::new();
    let mut say = |what: &str, figure: String| others.push((what.to_owned(), figure));
    if let Some(ratio) = figures.ratio(VOTE, SINGLE, 2) {
        let what = "Batches against one statement for each vote, at 256 connections";
        say(what, format!("{ratio:.0} times"));
    }
    if let Some(load) = figures.load {
        say(
            "Load average before the run (about 0 on a machine without other work)",
            format!("{load:.1}"),
        );
    }
    if !figures.sync_us.is_empty() {
        let micros = median(&figures.sync_us, |micros| **micros);
        let figure = format!("{micros:.0} µs, the median; a commit takes at least this time");
        say("`fdatasync` of 8 KiB on this disk during the run", figure);
    }
    if let Some(Slow { delay_ms, alone, crowd }) = &figures.slow {
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

/// The text of `bench/README.md`.
pub(crate) fn page(figures: &Figures) -> String {
    format!(
        "# Figures\n\nWritten by `cargo xtask bench`. wrk, the servers and Postgres (with `fsync`) ran on one machine with {} cores. \
         Each measurement took {} s and was made {} times; each figure is the median. Compare figures only within one table.\n\n\
         ![Requests per second at 256 connections](votes.svg)\n\n{}",
        std::thread::available_parallelism().map_or(0, usize::from),
        figures.time.as_secs(),
        figures.passes,
        table(figures)
    )
}

fn cell(rows: &[Row]) -> String {
    let (rate, p99) = (median(rows, |row| row.per_second), median(rows, |row| row.p99_ms));
    format!("{} ({})", thousands(rate), time(p99))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::figures::CONNECTIONS;
    use super::*;

    fn row(per_second: f64) -> Row {
        Row { per_second, p50_ms: 0.1, p99_ms: 0.2, requests: 1, failed: 0, cpu_us: 0.0 }
    }

    #[test]
    fn a_table_has_medians_and_ratios_and_says_which_budgets_are_missed() {
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
        let table = table(&figures);
        let vote = "| vote, committed | 500 (200 µs) | 16,000 (200 µs) | 128,000 (200 µs) | 0.50 |";
        assert!(table.contains(vote), "{table}");
        let missed =
            "| vote, committed, of the static reply at 256 | at least 0.8 | 0.50 | **missed** |\n";
        assert!(table.contains(missed), "{table}");
        let met = "| vote, committed, times that of original: vote at 32 | at least 100 | 150.00 | met |\n";
        assert!(table.contains(met), "{table}");
    }
}
