//! The log: text for a person at a terminal, JSON lines for programs.

mod queue;

use std::io::IsTerminal;
use std::time::Duration;

use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use super::traces::Bridge;
use crate::settings::{Environment, SettingError};
use queue::Queue;

/// Says which parameters of a database's URL it does not know, with their values, one of which may be a password.
const QUIET: &str = "sqlx_postgres::options::parse=off";
/// How long a process that ends waits for its last lines to be read.
const FLUSH_LIMIT: Duration = Duration::from_millis(200);

/// The log of this process. Its last lines are written when it is dropped.
#[must_use = "the last lines are written when it is dropped"]
#[derive(Debug)]
pub struct Log(Queue);

impl Log {
    /// A log on standard error, to which nothing is written yet.
    pub(super) fn on_stderr() -> Self {
        Self(Queue::to(std::io::stderr()))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.0.flush(FLUSH_LIMIT);
    }
}

/// Starts the log of this process, on standard error. For `main` alone: it is global.
///
/// `RUST_LOG` says what is logged; unless it is set, what is at least of `level`.
pub fn init(environment: &Environment, level: Level) -> Result<Log, SettingError> {
    let log = Log::on_stderr();
    start(subscriber(environment, level, &log, None)?);
    Ok(log)
}

/// Makes `subscriber` that of the process.
pub(super) fn start(subscriber: impl Subscriber + Send + Sync) {
    // A second call finds the log started, which is as well.
    let _ = subscriber.try_init();
}

/// The log, and beside it what makes traces of spans. Either has a filter of its own: `RUST_LOG` says nothing of traces.
pub(super) fn subscriber(
    environment: &Environment,
    level: Level,
    log: &Log,
    bridge: Option<Bridge>,
) -> Result<impl Subscriber + Send + Sync + use<>, SettingError> {
    let filter = filter(environment, level)?;
    let queue = log.0.clone();
    let lines = fmt::layer().with_writer(move || queue.clone());
    let lines = if std::io::stderr().is_terminal() {
        lines.with_target(false).boxed()
    } else {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    };
    Ok(Registry::default().with(bridge).with(lines.with_filter(filter)))
}

fn filter(environment: &Environment, level: Level) -> Result<EnvFilter, SettingError> {
    let given = environment.get("RUST_LOG")?;
    let directives = given.map_or(level.as_str(), |given| given.value);
    let filter = EnvFilter::builder().parse(directives).map_err(|_| {
        let expected = "must be a level (error, warn, info, debug, trace) or a list such as `info,yelb_db=debug`";
        SettingError::new("RUST_LOG", expected)
    })?;
    Ok(filter.add_directive(QUIET.parse().expect("a directive")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_databases_url_are_not_logged_at_any_level() {
        let environment = [("RUST_LOG", "trace")].into_iter().collect();
        assert!(filter(&environment, Level::INFO).unwrap().to_string().contains(QUIET));
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_refused() {
        let environment = [("RUST_LOG", "yelb=loud")].into_iter().collect();
        assert!(
            filter(&environment, Level::INFO)
                .unwrap_err()
                .to_string()
                .starts_with("RUST_LOG: must be a level")
        );
    }
}
