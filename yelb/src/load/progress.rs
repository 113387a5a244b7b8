//! How it goes, while it goes, on standard error: a bar at a terminal, a line now and then elsewhere.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{MissedTickBehavior, interval};

use super::drive::Load;
use super::report::milliseconds;
use super::schedule::real;

/// Often enough to look alive, seldom enough to read.
const AT_A_TERMINAL: Duration = Duration::from_millis(250);
const IN_A_LOG: Duration = Duration::from_secs(5);

/// Shows it until it is dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Progress {
    /// A bar as long as the load.
    pub(crate) fn new(load: &Load) -> Self {
        let length = u64::try_from(load.plan.schedule.duration().as_millis()).unwrap_or(u64::MAX);
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:24.cyan/dim} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar }
    }

    /// Follows the load, for ever.
    pub(crate) async fn follow(&self, load: &Load) {
        let every = if self.bar.is_hidden() { IN_A_LOG } else { AT_A_TERMINAL };
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks.tick().await;
        let (mut before, mut answered) = (load.now(), 0);
        loop {
            ticks.tick().await;
            let now = load.now();
            let total = answered_so_far(load);
            let rate = real(total - answered) / now.saturating_sub(before).as_secs_f64();
            self.show(load, now, rate);
            (before, answered) = (now, total);
        }
    }

    fn show(&self, load: &Load, now: Duration, rate: f64) {
        let line = line(load, now, rate);
        if self.bar.is_hidden() {
            // Nobody may be listening there; the report still tells.
            let _ = writeln!(std::io::stderr(), "{line}");
        } else {
            self.bar.set_position(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
            self.bar.set_message(line);
        }
    }
}

fn answered_so_far(load: &Load) -> u64 {
    let figures = load.figures();
    figures.votes.answered() + figures.reads.answered()
}

fn line(load: &Load, now: Duration, rate: f64) -> String {
    let (busy, waiting) = {
        let desk = load.desk();
        (desk.busy(), desk.waiting(now))
    };
    let figures = load.figures();
    let busiest =
        if figures.votes.taken >= figures.reads.taken { &figures.votes } else { &figures.reads };
    let at = |quantile| milliseconds(busiest.latency.value_at_quantile(quantile));
    format!(
        "{:.0} s of {:.0} s  {rate:.0}/s  p50 {:.1} ms  p99 {:.1} ms  {busy} on their way  {waiting} waiting  {} failures",
        now.as_secs_f64(),
        load.plan.schedule.duration().as_secs_f64(),
        at(0.5),
        at(0.99),
        figures.failed(),
    )
}
