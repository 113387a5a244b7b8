//! Every check and every test of the project, one after the other, and a count of them all.

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::count::{self, Count};
use crate::report::{Outcome, Report};
use crate::setup::{self, Set};
use crate::{browser, e2e, infra, run};

/// What `cargo xtask test` can be told.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Runs only a part, for a short loop; may be repeated
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn needs(&self) -> Vec<Set> {
        let mut needs = Vec::new();
        for (part, sets) in [
            (Part::Rust, &[Set::Servers, Set::Python][..]),
            (Part::Browser, &[Set::Browser]),
            (Part::Infra, &[Set::Servers, Set::Infra]),
            (Part::E2e, &e2e::NEEDS),
        ] {
            if self.wants(part) {
                needs.extend(sets);
            }
        }
        needs
    }
}

/// A part of the checks and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Formatting, clippy, documentation
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

/// `cargo xtask test`
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if !setup::provide(&options.needs())? {
        return Ok(ExitCode::from(setup::NOT_BEGUN));
    }

    let mut report = Report::default();
    if options.wants(Part::Lint) {
        report.step("formatting", || check(&mut run::cargo(&["fmt", "--all", "--check"])));
        report.step("clippy", || {
            let warnings = ["--", "--deny", "warnings"];
            check(run::cargo(&["clippy", "--workspace", "--all-targets"]).args(warnings))
        });
        report.step("documentation", || {
            let arguments = ["doc", "--workspace", "--no-deps", "--document-private-items"];
            check(run::cargo(&arguments).env("RUSTDOCFLAGS", "--deny warnings"))
        });
    }
    if options.wants(Part::Rust) || options.wants(Part::Browser) {
        report.step("yelb by itself", yelb_by_itself);
        // The programs: tests of one crate run those of another, and Cargo does not know.
        let built = report.step("build", || check(&mut run::cargo(&["build", "--workspace"])));
        if options.wants(Part::Rust) {
            report.step(
                "cargo test",
                || if built { cargo_tests() } else { Ok(Outcome::not_built()) },
            );
        }
        if options.wants(Part::Browser) {
            report.step("browser tests", || {
                if built { browser::tests() } else { Ok(Outcome::not_built()) }
            });
        }
    }
    if options.wants(Part::Infra) {
        report.step("infra tests", infra::tests);
    }
    if options.wants(Part::E2e) {
        report.step(e2e::STEP, || e2e::tests(e2e::Afterwards::Stop));
    }

    Ok(report.conclude())
}

/// A command that passes or fails as a whole.
fn check(command: &mut Command) -> Result<Outcome> {
    let status = run::stream(command, |_| ())?;
    let outcome = Outcome { passed: 1, ..Outcome::default() };
    Ok(if status.success() { outcome } else { Outcome::failure("it found something, see above") })
}

/// `yelb` leaves DynamoDB out and says where it is. A build of the whole workspace would give it the features of all: so it
/// is built alone, as for `cargo run`.
fn yelb_by_itself() -> Result<Outcome> {
    if !run::stream(&mut run::cargo(&["build", "--package", "yelb"]), |_| ())?.success() {
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
    let outcome = Outcome { passed: 1, ..Outcome::default() };
    Ok(if is_refused { outcome } else { Outcome::failure("a dynamodb:// URL is not refused") })
}

fn cargo_tests() -> Result<Outcome> {
    let mut count = Count::default();
    // Without the tests that need the whole stack: they have a step of their own.
    let arguments = ["test", "--workspace", "--exclude", e2e::PACKAGE, "--no-fail-fast"];
    let mut command = run::cargo(&arguments);
    let status = run::stream(&mut command, |line| count += count::cargo_line(line))?;
    Ok(Outcome::of_tests(count, status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_wanted_unless_another_was_asked_for() {
        let all = Options { only: Vec::new() };
        assert!(all.wants(Part::Lint) && all.wants(Part::Browser));
        let one = Options { only: vec![Part::Rust] };
        assert!(one.wants(Part::Rust) && !one.wants(Part::Lint));
    }

    #[test]
    fn a_part_needs_what_its_tests_run() {
        let needs = |part| Options { only: vec![part] }.needs();
        assert_eq!(needs(Part::Lint), []);
        assert_eq!(needs(Part::Browser), [Set::Browser]);
        assert!(needs(Part::Rust).contains(&Set::Servers));
        assert!(needs(Part::E2e).contains(&Set::Containers));
        assert!(!needs(Part::Rust).contains(&Set::Containers));
    }
}
