//! The project's own chores: `cargo xtask --help`.

#![expect(clippy::print_stdout, reason = "a chore reports at the terminal")]

mod bench;
mod browser;
mod compose;
mod count;
mod dependencies;
mod e2e;
mod infra;
mod postgres;
mod python;
mod redis;
mod report;
mod run;
mod setup;
mod test;

use std::process::ExitCode;

use clap::Parser;

/// The project's own chores.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Chore {
    /// Measures the budgets, and writes the figures to bench/
    Bench(bench::Options),
    /// Installs the programs that the tests need
    Setup,
    /// Runs every check and every test, after installing what they need
    Test(test::Options),
    /// Tests the whole stack in containers, after making ready a container engine and the images
    E2e,
}

fn main() -> anyhow::Result<ExitCode> {
    match Chore::parse() {
        Chore::Bench(options) => bench::run(&options),
        Chore::Setup => setup::run(),
        Chore::Test(options) => test::run(&options),
        Chore::E2e => test::run(&test::Options::only(setup::Step::E2e)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Chore::command().debug_assert();
    }
}
