//! Every check and every test of the project, and a count of them all.

use std::process::{Command, ExitCode};
use std::thread;

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};

use crate::report::{Outcome, Report};
use crate::setup::{self, Step};
use crate::{browser, count, dependencies, e2e, infra, run};

/// What `cargo xtask test` can be told.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Runs only a part, for a short loop; may be repeated
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

/// A part of the checks and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Formatting, clippy, documentation, unused dependencies
    Lint,
    /// The crates' tests
    Rust,
    /// The page's tests in a browser
    Browser,
    /// CloudFormation, and deployment to two emulated accounts
    Infra,
    /// The tests of the whole stack in containers, as `cargo xtask e2e` runs them
    E2e,
}

impl Options {
    pub(crate) fn only(part: Part) -> Self {
        Self { only: vec![part] }
    }

    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn needs(&self) -> Vec<Step> {
        let steps = [
            (Part::Rust, Step::Rust),
            (Part::Browser, Step::Browser),
            (Part::Infra, Step::Infra),
            (Part::E2e, Step::E2e),
        ];
        steps.into_iter().filter(|(part, _)| self.wants(*part)).map(|(_, step)| step).collect()
    }
}

/// `cargo xtask test`
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if let Some(code) = setup::provide(&options.needs())? {
        return Ok(code);
    }
    let mut report = Report::default();
    if options.wants(Part::Lint) {
        lint(&mut report);
    }
    if options.wants(Part::Rust) {
        report.step("yelb by itself", yelb_by_itself);
    }
    // The programs: tests of one crate run those of another, and Cargo does not know.
    let built = options.only == [Part::Lint] || report.step("build", || check(&mut run::build()));
    let mut after_build = |part, name, work: fn() -> Result<Outcome>| {
        if options.wants(part) {
            report.step(name, || if built { work() } else { Ok(Outcome::not_built()) });
        }
    };
    after_build(Part::Rust, "cargo test", cargo_tests);
    after_build(Part::Browser, "browser tests", browser::tests);
    thread::scope(|scope| {
        // While the tests of the deployment wait for an emulator, the processors are free for images.
        let stack = (built && options.wants(Part::E2e)).then(|| scope.spawn(e2e::Stack::provide));
        if options.wants(Part::Infra) {
            report.step("infra tests", infra::tests);
        }
        let Some(stack) = stack else { return };
        report.step("e2e", || stack.join().map_err(|_| anyhow!("a panic, see above"))??.tests());
    });
    Ok(report.conclude())
}

fn lint(report: &mut Report) {
    report.step("formatting", || check(&mut run::cargo(&["fmt", "--all", "--check"])));
    report.step("clippy", || {
        let warnings = ["--", "--deny", "warnings"];
        check(run::cargo(&["clippy", "--workspace", "--all-targets"]).args(warnings))
    });
    report.step("documentation", || {
        let mut doc = run::cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
        // With examples the features are those of clippy's run, so that nothing is checked anew.
        doc.args(["--lib", "--bins", "--examples"]);
        check(doc.env("RUSTDOCFLAGS", "--deny warnings"))
    });
    report.step("dependencies", dependencies::check);
}

/// A command that passes or fails as a whole.
fn check(command: &mut Command) -> Result<Outcome> {
    Ok(Outcome::of_check(run::succeeds(command)?))
}

/// `yelb` leaves DynamoDB out and says where it is. A build of the whole workspace would give it the features of all: so it
/// is built alone, as for `cargo run`.
fn yelb_by_itself() -> Result<Outcome> {
    if !run::succeeds(&mut run::cargo(&["build", "--package", "yelb"]))? {
        return Ok(Outcome::not_built());
    }
    let mut yelb = run::cargo(&["run", "--quiet", "--package", "yelb"]);
    yelb.env("DATABASE_URL", "dynamodb://yelb-votes").env("AWS_REGION", "eu-west-1");
    let refused = yelb.output()?;
    let said = String::from_utf8_lossy(&refused.stderr);
    println!("{said}");
    let is_refused = refused.status.code() == Some(2)
        && said.starts_with("yelb: DATABASE_URL:")
        && said.contains("cargo run --package yelb-appserver");
    let failure = Outcome::failure("a dynamodb:// URL is not refused");
    Ok(if is_refused { Outcome::success() } else { failure })
}

/// The crates' tests, without those that need the whole stack: they have a step of their own.
fn cargo_tests() -> Result<Outcome> {
    let arguments = ["test", "--workspace", "--exclude", e2e::PACKAGE, "--no-fail-fast"];
    count::by_libtest(&mut run::cargo(&arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_wanted_unless_another_was_asked_for() {
        let all = Options { only: Vec::new() };
        assert!(all.wants(Part::Lint) && all.wants(Part::Browser));
        let one = Options::only(Part::Rust);
        assert!(one.wants(Part::Rust) && !one.wants(Part::Lint));
    }

    #[test]
    fn a_part_needs_what_its_tests_run() {
        let needs = |part| Options::only(part).needs();
        assert_eq!(needs(Part::Lint), []);
        assert_eq!(needs(Part::Browser), [Step::Browser]);
        assert_eq!(needs(Part::E2e), [Step::E2e]);
    }
}
