//! The end of a process.

use std::io::Write;

use crate::problem::Chain;
use crate::settings::SettingError;

/// Ends the process: with 0, or with one line on standard error and 2 for a setting that cannot be used, 1 for all else.
///
/// At once: the runtime would wait for look-ups of names that are under way.
pub fn exit(name: &str, outcome: anyhow::Result<()>) -> ! {
    let Err(error) = outcome else { std::process::exit(0) };
    // Standard error may be closed. The exit code still shows the failure.
    let _ = writeln!(std::io::stderr(), "{name}: {}", Chain(error.as_ref()));
    std::process::exit(if error.is::<SettingError>() { 2 } else { 1 })
}
