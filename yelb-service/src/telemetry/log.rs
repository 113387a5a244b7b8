//! The log: text for a person at a terminal, JSON lines for everybody else.

use std::io::IsTerminal;

use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use super::traces::Bridge;
use crate::settings::{Environment, SettingError};

/// Starts the log of this process, on standard error. For `main` alone: it is global.
///
/// `RUST_LOG` says what is logged; unless it is set, what is at least of `level`.
pub fn init(environment: &Environment, level: Level) -> Result<(), SettingError> {
    start(subscriber(environment, level, None)?);
    Ok(())
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
    bridge: Option<Bridge>,
) -> Result<impl Subscriber + Send + Sync + use<>, SettingError> {
    let filter = filter(environment, level)?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if std::io::stderr().is_terminal() {
        lines.with_target(false).boxed()
    } else {
        lines.json().flatten_event(true).with_span_list(false).boxed()
    };
    Ok(Registry::default().with(bridge).with(lines.with_filter(filter)))
}

fn filter(environment: &Environment, level: Level) -> Result<EnvFilter, SettingError> {
    let given = environment.get("RUST_LOG")?;
    let directives = given.map_or(level.as_str(), |given| given.value);
    EnvFilter::builder().parse(directives).map_err(|_| {
        let expected = "must be a level (error, warn, info, debug, trace) or a list such as `info,yelb_db=debug`";
        SettingError::new("RUST_LOG", expected)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
