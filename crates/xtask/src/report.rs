//! The steps of a run, and what came of each.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

/// What came of a step.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Why it failed, where the output of the step does not say it.
    pub(crate) note: Option<String>,
}

impl Outcome {
    /// A check that passed as a whole.
    pub(crate) fn success() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    pub(crate) fn failure(note: &str) -> Self {
        Self { passed: 0, failed: 1, note: Some(note.to_owned()) }
    }

    pub(crate) fn not_built() -> Self {
        Self::failure("not run, because the build failed")
    }

    /// Of a command that passes or fails as a whole, and says why.
    pub(crate) fn of_check(success: bool) -> Self {
        if success { Self::success() } else { Self::failure("it found something, see above") }
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
    /// Runs a step under a heading, and returns whether it passed. If it fails, later steps still run.
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
        let verdict = if passed { "passed" } else { "FAILED" };
        if let Some(note) = &outcome.note {
            println!("{note}");
        }
        println!("=== {name}: {verdict}, {:.1} s ===", time.as_secs_f32());
        self.steps.push(Step { name, outcome, time });
        passed
    }

    /// Says what came of it all. The last line is the count.
    pub(crate) fn conclude(&self) -> ExitCode {
        println!("\n{table}", table = self.table());
        let (passed, failed) = self.sum();
        println!("{passed} passed, {failed} failed");
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn sum(&self) -> (usize, usize) {
        let outcomes = || self.steps.iter().map(|step| &step.outcome);
        (outcomes().map(|it| it.passed).sum(), outcomes().map(|it| it.failed).sum())
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

    #[test]
    fn a_step_that_cannot_be_run_fails_and_the_next_one_runs() {
        let mut report = Report::default();
        assert!(!report.step("one", || anyhow::bail!("no such program")));
        assert!(report.step("two", || Ok(Outcome { passed: 3, ..Outcome::default() })));
        assert_eq!(report.sum(), (3, 1));
        assert!(report.table().contains("no such program"));
    }
}
