//! Yelb on the command line.

mod load;
mod serve;
#[cfg(test)]
mod settings_page_tests;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use yelb_appserver::config;
use yelb_service::healthcheck::Healthcheck;
use yelb_service::settings::{self, Environment};

/// Yelb in one process: the page and its app server, with the votes in a file of the user's data folder unless told otherwise.
/// Settings come from the environment; a flag wins over the variable of the same meaning.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = config::variables())]
struct Cli {
    #[command(flatten)]
    config: serve::Config,
    #[command(subcommand)]
    command: Option<Command>,
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
    let environment = Environment::of_process();
    let (Cli { config, command }, names) = settings::parse(&environment, config::ALIASES);
    let outcome = match command {
        None => serve::run(&config, &environment, &names).await,
        Some(Command::Load(options)) => return load::run(*options).await,
        Some(Command::Healthcheck(healthcheck)) => healthcheck.run(yelb_ui::config::PORT).await,
    };
    yelb_service::exit("yelb", outcome)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
