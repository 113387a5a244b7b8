//! The steps of a run, and what came of each.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::count::Count;

/// What came of a step.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    /// Why it failed, where the output of the step does not say it.
    pub(crate) note: Option<String>,
}

impl Outcome {
    pub(crate) fn failure(note: &str) -> Self {
        Self { passed: 0, failed: 1, note: Some(note.to_owned()) }
    }

    pub(crate) fn not_built() -> Self {
        Self::failure("not run, because the build failed")
    }

    /// Judges what a test runner counted, by how it ended as well: it can fail without a failed test.
    pub(crate) fn of_tests(count: Count, success: bool) -> Self {
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
pub(crate) struct Report {
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
    pub(crate) fn step(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<Outcome>,
    ) -> bool {
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

    /// Says what came of it all. The last line is the count.
    pub(crate) fn conclude(&self) -> ExitCode {
        println!("\n{table}", table = self.table());
        let sum = self.sum();
        println!("{} passed, {} failed", sum.passed, sum.failed);
        if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
}
