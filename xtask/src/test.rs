//! Every check and every test of the project, one after the other, and a count of them all.

use std::fmt::Write;
use std::fs;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::count::{self, Count};
use crate::{python, run, setup};

/// The tests of the page in a browser.
const BROWSER_TESTS: &str = "yelb-ui/tests/browser";

/// The tests of the deployment.
const INFRA_TESTS: &str = "infra/tests";

/// The ending of a run that cannot begin, as opposed to one that found something.
const NOT_BEGUN: u8 = 2;

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
}

/// `cargo xtask test`
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let wanted = setup::Wanted {
        servers: options.wants(Part::Rust),
        browser: options.wants(Part::Browser),
        infra: options.wants(Part::Infra),
    };
    if !setup::provide(wanted)? {
        return Ok(ExitCode::from(NOT_BEGUN));
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
                if built { browser_tests() } else { Ok(Outcome::not_built()) }
            });
        }
    }

    if options.wants(Part::Infra) {
        report.step("infra tests", infra_tests);
    }

    println!("\n{report}", report = report.table());
    let sum = report.sum();
    println!("{} passed, {} failed", sum.passed, sum.failed);
    Ok(if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A command that passes or fails as a whole.
fn check(command: &mut Command) -> Result<Outcome> {
    let status = run::stream(command, |_| ())?;
    let outcome = Outcome { passed: 1, ..Outcome::default() };
    Ok(if status.success() { outcome } else { Outcome::failure("it found something, see above") })
}

fn cargo_tests() -> Result<Outcome> {
    let mut count = Count::default();
    let mut command = run::cargo(&["test", "--workspace", "--no-fail-fast"]);
    let status = run::stream(&mut command, |line| count += count::cargo_line(line))?;
    Ok(Outcome::of_tests(count, status.success()))
}

fn browser_tests() -> Result<Outcome> {
    let directory = run::root().join(BROWSER_TESTS);
    let lock = directory.join("package-lock.json");
    let wanted = fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    // What is installed is known by a copy of the lock file it was installed from.
    let stamp = directory.join("node_modules/.installed-package-lock.json");
    if fs::read(&stamp).ok().as_ref() != Some(&wanted) {
        let mut install = run::command("npm", &["ci", "--no-audit", "--no-fund"]);
        let status = run::stream(install.current_dir(&directory), |_| ())?;
        if !status.success() {
            return Ok(Outcome::failure("npm could not install what the tests need"));
        }
        fs::create_dir_all(directory.join("node_modules"))?;
        fs::write(&stamp, wanted)?;
    }

    let mut count = Count::default();
    let node = setup::node().context("there is no Node.js that will do")?;
    let browser = setup::browser().context("there is no browser")?;
    let mut command = run::command(&node, &["--test", "--test-reporter=spec"]);
    command.env("CHROMIUM", browser);
    let status =
        run::stream(command.current_dir(&directory), |line| count += count::node_line(line))?;
    Ok(Outcome::of_tests(count, status.success()))
}

fn infra_tests() -> Result<Outcome> {
    let mut count = Count::default();
    let pytest = python::INFRA.program("pytest");
    // Two at a time: most of the time goes into a command waiting for the emulator.
    let mut command = run::command(&pytest.to_string_lossy(), &["--numprocesses", "2"]);
    command
        .env("CFN_GUARD", setup::guard())
        .env("CHECKOV", python::CHECKOV.program("checkov"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(run::root().join(INFRA_TESTS));
    let status = run::stream(&mut command, |line| count += count::pytest_line(line))?;
    Ok(Outcome::of_tests(count, status.success()))
}

/// What came of a step.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    passed: u32,
    failed: u32,
    /// Why it failed, where the output of the step does not say it.
    note: Option<String>,
}

impl Outcome {
    fn failure(note: &str) -> Self {
        Self { passed: 0, failed: 1, note: Some(note.to_owned()) }
    }

    fn not_built() -> Self {
        Self::failure("not run, because the build failed")
    }

    /// Judges what a test runner counted, by how it ended as well: it can fail without a failed test.
    fn of_tests(count: Count, success: bool) -> Self {
        let Count { passed, failed, skipped } = count;
        if skipped > 0 {
            let note = format!(
                "{skipped} ignored or skipped, which counts as failed: no test of this project may be"
            );
            return Self { passed, failed: failed + skipped, note: Some(note) };
        }
        if failed > 0 {
            return Self { passed, failed, note: None };
        }
        let note = match (success, passed) {
            (false, _) => "it ended with an error, and not by a test that failed",
            (true, 0) => "no test was run",
            (true, _) => return Self { passed, failed, note: None },
        };
        Self { passed, ..Self::failure(note) }
    }
}

/// The steps that were run.
#[derive(Debug, Default)]
struct Report {
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    outcome: Outcome,
    time: Duration,
}

impl Report {
    /// Runs a step under a heading; whether it passed. A later step runs all the same.
    fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<Outcome>) -> bool {
        println!("\n=== {name} ===");
        let began = Instant::now();
        let outcome = work().unwrap_or_else(|error| Outcome::failure(&format!("{error:#}")));
        let time = began.elapsed();
        let passed = outcome.failed == 0;
        println!(
            "=== {name}: {}, {:.1} s ===",
            if passed { "passed" } else { "FAILED" },
            time.as_secs_f32()
        );
        self.steps.push(Step { name, outcome, time });
        passed
    }

    fn sum(&self) -> Count {
        let mut sum = Count::default();
        for Step { outcome, .. } in &self.steps {
            sum += Count { passed: outcome.passed, failed: outcome.failed, skipped: 0 };
        }
        sum
    }

    fn table(&self) -> String {
        let mut table = format!("{:<16}{:>8}{:>8}{:>10}\n", "step", "passed", "failed", "time");
        for Step { name, outcome, time } in &self.steps {
            let (Outcome { passed, failed, note }, seconds) = (outcome, time.as_secs_f32());
            let note = note.as_ref().map(|note| format!("  {note}")).unwrap_or_default();
            // Writing to a string does not fail.
            let _ = writeln!(table, "{name:<16}{passed:>8}{failed:>8}{seconds:>8.1} s{note}");
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(passed: u32, failed: u32, skipped: u32, success: bool) -> (u32, u32, bool) {
        let outcome = Outcome::of_tests(Count { passed, failed, skipped }, success);
        (outcome.passed, outcome.failed, outcome.note.is_some())
    }

    #[test]
    fn tests_are_taken_as_counted() {
        assert_eq!(judge(12, 0, 0, true), (12, 0, false));
        assert_eq!(judge(10, 2, 0, false), (10, 2, false));
    }

    #[test]
    fn a_skipped_test_is_a_failed_test() {
        assert_eq!(judge(10, 0, 2, true), (10, 2, true));
        assert_eq!(judge(10, 1, 2, false), (10, 3, true));
    }

    #[test]
    fn a_run_of_no_test_is_a_failure() {
        assert_eq!(judge(0, 0, 0, true), (0, 1, true));
    }

    #[test]
    fn a_runner_that_fails_without_a_failed_test_is_a_failure() {
        assert_eq!(judge(0, 0, 0, false), (0, 1, true));
        assert_eq!(judge(10, 0, 0, false), (10, 1, true));
    }

    #[test]
    fn a_step_that_cannot_be_run_fails_and_the_next_one_runs() {
        let mut report = Report::default();
        assert!(!report.step("one", || anyhow::bail!("no such program")));
        assert!(report.step("two", || Ok(Outcome { passed: 3, ..Outcome::default() })));
        assert_eq!((report.sum().passed, report.sum().failed), (3, 1));
        assert!(report.table().contains("no such program"));
    }

    #[test]
    fn a_part_is_wanted_unless_another_was_asked_for() {
        let all = Options { only: Vec::new() };
        assert!(all.wants(Part::Lint) && all.wants(Part::Browser));
        let one = Options { only: vec![Part::Rust] };
        assert!(one.wants(Part::Rust) && !one.wants(Part::Lint));
    }
}
