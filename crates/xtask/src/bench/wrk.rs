//! wrk, the load generator: as many requests as so many connections can take, for some seconds.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::figures::Row;
use crate::run;

/// How often a URL is answered.
pub(crate) fn run(url: &str, connections: u32, time: Duration) -> Result<Row> {
    measure(url, connections, time, &[])
}

/// The same for votes, each with a key of its own.
pub(crate) fn run_with_keys(url: &str, connections: u32, time: Duration) -> Result<Row> {
    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bench/keys.lua");
    measure(url, connections, time, &["-s", SCRIPT])
}

fn measure(url: &str, connections: u32, time: Duration, more: &[&str]) -> Result<Row> {
    let (connections, threads) = (connections.to_string(), connections.min(2).to_string());
    let seconds = format!("{}s", time.as_secs());
    let mut arguments = vec!["-c", &connections, "-t", &threads, "-d", &seconds, "--latency"];
    arguments.extend(more);
    arguments.push(url);
    let output = run::command("wrk", &arguments).output().context("cannot start wrk")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "wrk {url}: {}", String::from_utf8_lossy(&output.stderr));
    read(&text).with_context(|| format!("wrk {url} says something else:\n{text}"))
}

/// What wrk prints. What failed was not done: it does not count.
#[expect(clippy::cast_precision_loss, reason = "a ratio of millions needs no more")]
fn read(text: &str) -> Result<Row> {
    let after = |name: &str| {
        let mut lines = text.lines().map(str::trim);
        lines.find_map(|line| line.strip_prefix(name)).map(str::trim)
    };
    let per_second: f64 = after("Requests/sec:").context("no rate")?.parse()?;
    let percentile = |name| milliseconds(after(name).context("no percentile")?).context("no time");
    let (p50_ms, p99_ms) = (percentile("50%")?, percentile("99%")?);
    let requests =
        text.lines().find_map(|line| line.split_once(" requests in ")).context("no sum")?;
    // wrk says nothing where nothing failed.
    let failed: u64 = after("Non-2xx or 3xx responses:").map_or(Ok(0), str::parse)?;
    let requests: u64 = requests.0.trim().parse()?;
    let per_second = per_second * (requests.saturating_sub(failed) as f64) / requests.max(1) as f64;
    Ok(Row { per_second, p50_ms, p99_ms, requests, failed, cpu_us: 0.0 })
}

/// `131.00us`, `4.20ms`, `1.03s`
fn milliseconds(text: &str) -> Option<f64> {
    let unit = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let number: f64 = text[..unit].parse().ok()?;
    match &text[unit..] {
        "us" => Some(number / 1000.0),
        "ms" => Some(number),
        "s" => Some(number * 1000.0),
        "m" => Some(number * 60_000.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_report_is_read() {
        let report = "Running 3s test @ http://127.0.0.1:1/\n  2 threads and 32 connections\n  Latency Distribution\n     50%  101.00us\n     99%    4.20ms\n  449230 requests in 3.00s, 1.00MB read\n  Non-2xx or 3xx responses: 7\nRequests/sec: 149740.99\nTransfer/sec:      1.00MB\n";
        let row = read(report).unwrap();
        assert_eq!((row.requests, row.failed), (449_230, 7));
        assert!((row.per_second - 149_738.66).abs() < 0.01 && (row.p99_ms - 4.2).abs() < 0.01);
        assert!((row.p50_ms - 0.101).abs() < 0.001);
        assert!(read("wrk: unable to connect").is_err());
    }
}
