//! Yelb on the command line.

mod load;
mod serve;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use yelb_service::healthcheck::Healthcheck;
use yelb_service::settings::Environment;
use yelb_service::telemetry;

/// Yelb in one process: the page and its app server, with the votes in a file unless told otherwise.
///
/// Settings come from the environment; a flag wins over the variable of the same meaning.
#[derive(Parser)]
#[command(
    version,
    after_help = format!("{}\n{}", yelb_appserver::config::ALIASES, telemetry::HELP),
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeFlags,
}

#[derive(Subcommand)]
enum Command {
    /// Vote on a schedule, however long the responses take, and say what became of every vote
    Load(Box<load::LoadOptions>),
    /// Ask the Yelb on this host whether it lives; exit 0 if so
    Healthcheck(Healthcheck),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = parse();
    match cli.command {
        None => yelb_service::exit("yelb", serve::run(cli.serve).await),
        Some(Command::Load(options)) => load::run(*options).await,
        Some(Command::Healthcheck(healthcheck)) => {
            let environment = Environment::of_process();
            let outcome = healthcheck.run(&environment, yelb_ui::config::PORT).await;
            yelb_service::exit("yelb", outcome)
        }
    }
}

fn parse() -> Cli {
    let matches = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    matches.unwrap_or_else(|error| refuse(&error))
}

/// Ends the process with one line about a mistake on the command line, or with the help that was asked for.
fn refuse(error: &clap::Error) -> ! {
    if !error.use_stderr() {
        error.exit();
    }
    let text = error.to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    let line = lines.collect::<Vec<_>>().join("; ");
    // Standard error may be closed; the code still tells.
    let _ = writeln!(std::io::stderr(), "yelb: {}", line.trim_start_matches("error: "));
    std::process::exit(error.exit_code())
}

/// The command line. The servers' flags are of no use to `load`: they are not handed down to it.
fn command() -> clap::Command {
    Cli::command().mut_args(|flag| flag.global(false))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_formed() {
        super::command().debug_assert();
    }
}
