//! How a load goes while it goes, on standard error: a bar at a terminal, a line now and then elsewhere.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use tokio::time::{MissedTickBehavior, interval};

use super::run::Run;

/// Often enough to look alive, seldom enough to read.
const AT_A_TERMINAL: Duration = Duration::from_millis(250);
const IN_A_LOG: Duration = Duration::from_secs(5);

/// Shows how the run goes, until the future is dropped.
pub(crate) async fn follow(run: &Run) -> ! {
    let duration = run.dispatcher.schedule.duration.as_secs();
    let bar = ProgressBar::with_draw_target(Some(duration), ProgressDrawTarget::stderr());
    // The words come first: the bar takes the columns that they leave.
    let style = ProgressStyle::with_template("{msg} {wide_bar:.cyan/dim}");
    let bar = bar
        .with_style(style.expect("the template is well-formed"))
        .with_finish(ProgressFinish::AndClear);
    let mut ticks = interval(if bar.is_hidden() { IN_A_LOG } else { AT_A_TERMINAL });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let elapsed = run.dispatcher.elapsed().as_secs();
        let (succeeded, failed) = run.figures().so_far();
        let line = line(elapsed, duration, succeeded, failed, run.dispatcher.waiting());
        if bar.is_hidden() {
            // Standard error may be closed; the report still tells.
            let _ = writeln!(std::io::stderr(), "{line}");
        } else {
            bar.set_position(elapsed);
            bar.set_message(line);
        }
    }
}

fn line(elapsed: u64, duration: u64, succeeded: u64, failed: u64, waiting: u64) -> String {
    format!(
        "{elapsed}/{duration} s  {succeeded} succeeded  {failed} failed attempts  {waiting} waiting"
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_line_fits_80_columns_with_its_failures_after_a_week() {
        let line = super::line(604_800, 604_800, 99_999_999, 9_999_999, 9_999_999);
        assert_eq!(
            line,
            "604800/604800 s  99999999 succeeded  9999999 failed attempts  9999999 waiting"
        );
        assert!(line.len() < 80);
    }
}
