//! The log: text for a person at a terminal, JSON lines for programs.

mod queue;

use std::io::IsTerminal;
use std::str::FromStr;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use super::traces::Bridge;
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

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogFilter(String);

impl FromStr for LogFilter {
    type Err = &'static str;

    /// Reads a level, or a list such as `info,yelb_db=debug`.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let parts: Vec<&str> = parts.collect();
        // The filter takes a word that is no level, such as `inof`, for a target, and silences all others.
        let is_known = |part: &&str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
        let list = parts.join(",");
        if parts.iter().all(is_known) && EnvFilter::builder().parse(&list).is_ok() {
            Ok(Self(list))
        } else {
            Err(
                "expected a level (off, error, warn, info, debug, trace) or a list such as info,yelb_db=debug",
            )
        }
    }
}

impl LogFilter {
    /// What is at least of `level`.
    pub(super) fn at(level: Level) -> Self {
        Self(level.to_string())
    }

    fn filter(&self) -> EnvFilter {
        let filter = EnvFilter::builder().parse(&self.0).expect("it was parsed when it was read");
        filter.add_directive(QUIET.parse().expect("a directive"))
    }
}

/// Makes `subscriber` that of the process.
pub(super) fn start(subscriber: impl Subscriber + Send + Sync) {
    // A second call finds the log started, which is as well.
    let _ = subscriber.try_init();
}

/// The log, and beside it what makes traces of spans. Either has a filter of its own: `RUST_LOG` says nothing of traces.
pub(super) fn subscriber(
    filter: &LogFilter,
    log: &Log,
    bridge: Option<Bridge>,
) -> impl Subscriber + Send + Sync + use<> {
    let queue = log.0.clone();
    let lines = fmt::layer().with_writer(move || queue.clone());
    let lines = if std::io::stderr().is_terminal() {
        lines.with_target(false).boxed()
    } else {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    };
    Registry::default().with(bridge).with(lines.with_filter(filter.filter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_databases_url_are_not_logged_at_any_level() {
        assert!(LogFilter::at(Level::TRACE).filter().to_string().contains(QUIET));
    }

    #[test]
    fn a_filter_is_a_level_or_a_list_with_targets() {
        for text in [
            "info",
            "WARN",
            "off",
            "0",
            "5",
            "info,yelb_db=debug",
            "yelb=0, hyper=off",
            "info,",
            "[store]=debug",
        ] {
            assert!(text.parse::<LogFilter>().is_ok(), "{text}");
        }
        let spaced = "info, yelb_db=debug".parse::<LogFilter>();
        assert_eq!(spaced, Ok(LogFilter("info,yelb_db=debug".to_owned())));
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_refused() {
        for text in ["WARNING", "inof", "yelb_db", "info,debgu", "6", "-1", "yelb=loud", "in fo"] {
            assert!(text.parse::<LogFilter>().is_err(), "{text}");
        }
    }
}
