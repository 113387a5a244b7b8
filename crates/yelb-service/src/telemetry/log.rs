//! The log: text for a person at a terminal, JSON lines for programs.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use super::traces::Bridge;

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
        EnvFilter::builder().parse(&self.0).expect("it was parsed when it was read")
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
    bridge: Option<Bridge>,
) -> impl Subscriber + Send + Sync + use<> {
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if std::io::stderr().is_terminal() {
        lines.with_target(false).boxed()
    } else {
        lines.json().flatten_event(true).with_span_list(false).boxed()
    };
    Registry::default().with(bridge).with(lines.with_filter(filter.filter()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
