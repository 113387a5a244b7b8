//! Every check and every test of the project, and a count of them all.

use std::process::{Command, ExitCode};
use std::thread;

use anyhow::{Result, anyhow};
use clap::Args;

use crate::report::{Outcome, Report};
use crate::setup::{self, Step};
use crate::{browser, count, dependencies, e2e, infra, postgres, redis, run};

/// What `cargo xtask test` can be told.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Runs only a part, for a short loop; may be repeated
    #[arg(long, value_enum)]
    only: Vec<Step>,
}

impl Options {
    pub(crate) fn only(step: Step) -> Self {
        Self { only: vec![step] }
    }

    fn wants(&self, step: Step) -> bool {
        self.only.is_empty() || self.only.contains(&step)
    }
}

/// `cargo xtask test`
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let steps = if options.only.is_empty() { &Step::OF_TESTS[..] } else { &options.only };
    if let Some(code) = setup::provide(steps)? {
        return Ok(code);
    }
    let mut report = Report::default();
    if options.wants(Step::Lint) {
        lint(&mut report);
    }
    if options.wants(Step::Rust) {
        report.step("yelb by itself", yelb_by_itself);
    }
    // The programs: tests of one crate run those of another, and Cargo does not know.
    let built = options.only == [Step::Lint] || report.step("build", || check(&mut run::build()));
    let mut after_build = |step, name, work: fn() -> Result<Outcome>| {
        if options.wants(step) {
            report.step(name, || if built { work() } else { Ok(Outcome::not_built()) });
        }
    };
    after_build(Step::Rust, "cargo test", cargo_tests);
    if cfg!(target_os = "linux") {
        after_build(Step::Rust, "cargo test on PostgreSQL 10", || postgres::tests("10"));
        after_build(Step::Rust, "cargo test on PostgreSQL 18", || postgres::tests("18"));
    }
    if redis::ARE_THERE {
        after_build(Step::Rust, "cargo test on Redis 5", || redis::OLDEST.tests());
        after_build(Step::Rust, "cargo test on Valkey 9", || redis::VALKEY.tests());
    }
    after_build(Step::Browser, "browser tests", browser::tests);
    thread::scope(|scope| {
        // While the tests of the deployment wait for an emulator, the processors are free for images.
        let stack = (built && options.wants(Step::E2e)).then(|| scope.spawn(e2e::Stack::provide));
        if options.wants(Step::Infra) {
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
        // With examples the features are those of clippy's run, so that nothing is checked anew. The other programs have the
        // name of a library, which takes their place.
        doc.args(["--lib", "--examples", "--bin=xtask", "--bin=yelb"]);
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
    fn a_step_is_wanted_unless_another_was_asked_for() {
        let all = Options { only: Vec::new() };
        assert!(all.wants(Step::Lint) && all.wants(Step::Browser));
        let one = Options::only(Step::Rust);
        assert!(one.wants(Step::Rust) && !one.wants(Step::Lint));
    }
}
