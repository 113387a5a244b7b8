//! Yelb on the command line.

mod load;
mod serve;

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
    /// Votes at a steady rate, whatever the answers take, and measures them
    Load(Box<load::LoadFlags>),
    /// Ask the Yelb on this host whether it lives; exit 0 if so
    Healthcheck(Healthcheck),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = parse();
    match cli.command {
        None => yelb_service::exit("yelb", serve::run(cli.serve).await),
        Some(Command::Load(flags)) => load::run(*flags).await,
        Some(Command::Healthcheck(healthcheck)) => {
            let environment = Environment::of_process();
            let outcome = healthcheck.run(&environment, yelb_ui::config::PORT).await;
            yelb_service::exit("yelb", outcome)
        }
    }
}

fn parse() -> Cli {
    let matches = command().get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
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
