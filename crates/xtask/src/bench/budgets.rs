//! The limits that the measured figures have to keep.

use super::figures::{
    Figures, GETSTATS, GETVOTES, KEYED, KEYED_BY_NGINX, KEYED_BY_UI, KEYED_POOLED, STATIC, VOTE,
    VOTE_POOLED,
};

/// Requests per second of votes and reads at 256 connections, divided by those of the static reply.
const LEAST_RATIO: f64 = 0.8;
/// Votes with keys per second through yelb-ui, divided by those through nginx.
const LEAST_OF_NGINX: f64 = 0.85;
/// Votes per second through PgBouncer, divided by those without.
const LEAST_OF_DIRECT: f64 = 0.5;
/// CPU time of yelb-ui for such a vote at 256 connections, divided by nginx's.
const MOST_CPU_OF_NGINX: f64 = 1.7;
/// The same, divided by its own at 32 connections.
const MOST_CPU_OF_FEWER: f64 = 1.05;
/// Requests per second of votes and reads at 32 connections, divided by those of the original.
const LEAST_TIMES: f64 = 100.0;
/// Resident memory of a server, in megabytes of 10^6 bytes.
const MOST_MEMORY_MB: f64 = 20.0;
const MOST_START_MS: f64 = 100.0;
/// With a slow database: the latency (p99) at 256 connections, divided by the latency (p50) at 1 connection.
const MOST_ROUND_TRIPS: f64 = 2.0;

/// One limit, with the figure that was measured.
pub(crate) struct Budget {
    pub(crate) what: String,
    pub(crate) limit: String,
    pub(crate) measured: String,
    pub(crate) is_met: bool,
}

impl Budget {
    fn least(what: impl Into<String>, least: f64, measured: f64) -> Self {
        let limit = format!("at least {least}");
        let (what, measured, is_met) = (what.into(), format!("{measured:.2}"), measured >= least);
        Self { what, limit, measured, is_met }
    }

    fn most(what: impl Into<String>, most: f64, measured: f64, unit: &str) -> Self {
        let limit = format!("at most {most}{unit}");
        let digits = if unit.is_empty() { 2 } else { 1 };
        let (what, measured, is_met) =
            (what.into(), format!("{measured:.digits$}{unit}"), measured <= most);
        Self { what, limit, measured, is_met }
    }
}

/// The limits for which there is a measured figure.
pub(crate) fn budgets(figures: &Figures) -> Vec<Budget> {
    let of_static = [VOTE, GETVOTES, GETSTATS].into_iter().filter_map(|name| {
        let ratio = figures.ratio(name, STATIC, 2)?;
        Some(Budget::least(format!("{name}, of the static reply at 256"), LEAST_RATIO, ratio))
    });
    let beside = [VOTE, GETVOTES].into_iter().zip(figures.beside.iter().flatten());
    let of_others = beside.filter_map(|(ours, other)| {
        let times = figures.ratio(ours, other, 1)?;
        Some(Budget::least(format!("{ours}, times that of {other} at 32"), LEAST_TIMES, times))
    });
    let memory = figures.memory_mib.iter().map(|(server, mib)| {
        let megabytes = mib * 1024.0 * 1024.0 / 1e6;
        Budget::most(format!("most memory at 256: {server}"), MOST_MEMORY_MB, megabytes, " MB")
    });
    let slowest = figures.starts_ms.iter().copied().reduce(f64::max);
    let start = slowest.map(|worst| {
        Budget::most("from start to ready, on a new SQLite file", MOST_START_MS, worst, " ms")
    });
    let slow = figures.slow.as_ref().map(|slow| {
        let what = format!("p99 of votes {} ms from the database at 256", slow.delay_ms);
        Budget::most(what, MOST_ROUND_TRIPS, slow.round_trips(), " round trips")
    });
    let of_nginx = of_nginx(figures);
    let pooled = pooled(figures);
    of_static
        .chain(of_nginx)
        .chain(pooled)
        .chain(of_others)
        .chain(memory)
        .chain(start)
        .chain(slow)
        .collect()
}

/// Votes through a pooler that lends a session for a transaction.
fn pooled(figures: &Figures) -> Vec<Budget> {
    let kinds = [(VOTE_POOLED, VOTE), (KEYED_POOLED, KEYED)];
    let budget = |(place, connections): (usize, u32), (pooled, direct): (&str, &str)| {
        let ratio = figures.ratio(pooled, direct, place)?;
        let what = format!("{pooled}, of those without at {connections}");
        Some(Budget::least(what, LEAST_OF_DIRECT, ratio))
    };
    let places = [(1, 32), (2, 256)];
    places.into_iter().flat_map(|place| kinds.map(|kind| budget(place, kind))).flatten().collect()
}

/// The limits that compare yelb-ui with nginx as the proxy.
fn of_nginx(figures: &Figures) -> Vec<Budget> {
    let rate = |place, connections| {
        let ratio = figures.ratio(KEYED_BY_UI, KEYED_BY_NGINX, place)?;
        let what = format!("{KEYED_BY_UI}, of nginx's at {connections}");
        Some(Budget::least(what, LEAST_OF_NGINX, ratio))
    };
    let cpu = |what: &str, most, other| {
        let ratio = figures.cpu_ratio((KEYED_BY_UI, 2), other)?;
        Some(Budget::most(format!("CPU time of yelb-ui at 256, times {what}"), most, ratio, ""))
    };
    let of_nginx = cpu("nginx's", MOST_CPU_OF_NGINX, (KEYED_BY_NGINX, 2));
    let of_fewer = cpu("its own at 32", MOST_CPU_OF_FEWER, (KEYED_BY_UI, 1));
    [rate(1, 32), rate(2, 256), of_nginx, of_fewer].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_met_or_not() {
        let least = Budget::least("votes", 0.8, 0.797);
        assert_eq!(
            (&*least.limit, &*least.measured, least.is_met),
            ("at least 0.8", "0.80", false)
        );
        let most = Budget::most("memory", 20.0, 18.04, " MB");
        assert_eq!(
            (&*most.limit, &*most.measured, most.is_met),
            ("at most 20 MB", "18.0 MB", true)
        );
    }
}
