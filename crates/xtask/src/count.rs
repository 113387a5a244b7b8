//! How many tests ran.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::Result;

use crate::report::Outcome;
use crate::run;

/// Tests that ran, and how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Ignored, skipped, cancelled or to do. No test of this project may be, so they make the step fail.
    pub(crate) skipped: usize,
}

impl Count {
    /// Reads a report in the XML of `JUnit`.
    fn of_junit(xml: &str) -> Self {
        let elements = |name: &str| xml.matches(&format!("<{name}")).count();
        let (failed, skipped) = (elements("failure") + elements("error"), elements("skipped"));
        Self { passed: elements("testcase").saturating_sub(failed + skipped), failed, skipped }
    }

    /// Adds a line of libtest, if it is one of those that end a program's tests:
    /// `test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s`.
    fn add_libtest(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let number = |word| {
            let mut parts = result.split(['.', ';']);
            parts.find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<usize>().ok())
        };
        self.passed += number("passed").unwrap_or_default();
        self.failed += number("failed").unwrap_or_default();
        self.skipped += number("ignored").unwrap_or_default();
    }
}

/// Judges what was counted, and how the runner ended as well: it can fail without a failed test.
fn judge(Count { passed, failed, skipped }: Count, success: bool) -> Outcome {
    let note = match (skipped, failed, success, passed) {
        (1.., ..) => {
            Some(format!("{skipped} ignored or skipped: no test may be, so they count as failed"))
        }
        (0, 1.., ..) | (0, 0, true, 1..) => None,
        (0, 0, true, 0) => Some("no test was run".to_owned()),
        (0, 0, false, _) => Some("it ended with an error, and not by a failed test".to_owned()),
    };
    let failed = failed + skipped;
    Outcome { passed, failed: if note.is_some() { failed.max(1) } else { failed }, note }
}

/// Runs tests that write their results to `report` in the XML of `JUnit`.
pub(crate) fn by_junit(command: &mut Command, report: &Path) -> Result<Outcome> {
    // Of an earlier run.
    if report.exists() {
        fs::remove_file(report)?;
    }
    report.parent().map_or(Ok(()), fs::create_dir_all)?;
    let success = run::succeeds(command)?;
    let xml = fs::read_to_string(report).unwrap_or_default();
    Ok(judge(Count::of_junit(&xml), success))
}

/// Runs `cargo test`. Its exit code says whether all passed. For programs libtest writes results only behind an unstable
/// option, so that the number of tests is taken from what it writes for people.
///
/// Two tests run at a time for each processor: most of them wait, for a server that starts or for the end of an outage.
pub(crate) fn by_libtest(command: &mut Command) -> Result<Outcome> {
    let threads = 2 * thread::available_parallelism()?.get();
    command.env("RUST_TEST_THREADS", threads.to_string());
    let mut count = Count::default();
    let success = run::stream(command, |line| count.add_libtest(line))?;
    Ok(judge(count, success))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(passed: usize, failed: usize, skipped: usize) -> Count {
        Count { passed, failed, skipped }
    }

    fn judged(passed: usize, failed: usize, skipped: usize, success: bool) -> (usize, usize, bool) {
        let outcome = judge(count(passed, failed, skipped), success);
        (outcome.passed, outcome.failed, outcome.note.is_some())
    }

    #[test]
    fn tests_are_taken_as_counted() {
        assert_eq!(judged(12, 0, 0, true), (12, 0, false));
        assert_eq!(judged(10, 2, 0, false), (10, 2, false));
    }

    #[test]
    fn a_skipped_test_is_a_failed_test() {
        assert_eq!(judged(10, 0, 2, true), (10, 2, true));
        assert_eq!(judged(10, 1, 2, false), (10, 3, true));
    }

    #[test]
    fn a_run_of_no_test_is_a_failure() {
        assert_eq!(judged(0, 0, 0, true), (0, 1, true));
    }

    #[test]
    fn a_runner_that_fails_without_a_failed_test_is_a_failure() {
        assert_eq!(judged(0, 0, 0, false), (0, 1, true));
        assert_eq!(judged(10, 0, 0, false), (10, 1, true));
    }

    #[test]
    fn results_of_libtest_are_added_and_nothing_else() {
        let mut sum = Count::default();
        for line in [
            "running 3 tests",
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s",
            "  test result: ok. 9 passed; 0 failed",
            "test result: FAILED. 10 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1s",
            "5 passed; 6 failed",
        ] {
            sum.add_libtest(line);
        }
        assert_eq!(sum, count(22, 2, 1));
    }

    #[test]
    fn a_report_of_pytest_is_read() {
        let xml = r#"<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4"><testcase classname="t" name="test_a" time="0.0" /><testcase classname="t" name="test_b" time="0.0"><failure message="assert &lt;failure">def</failure></testcase><testcase classname="t" name="test_c" time="0.0"><skipped type="pytest.skip" message="no">t.py</skipped></testcase><testcase classname="t" name="test_d" time="0.0"><error message="failed on setup">x</error></testcase></testsuite></testsuites>"#;
        assert_eq!(Count::of_junit(xml), count(1, 2, 1));
    }

    #[test]
    fn a_report_of_node_is_read() {
        let xml = r#"<?xml version="1.0" encoding="utf-8"?>
<testsuites>
    <testsuite name="suite" time="0.1" disabled="0" errors="0" tests="2" failures="1" skipped="0" hostname="vm">
        <testcase name="one" time="0.001" classname="test"/>
        <testcase name="two" time="0.001" classname="test" failure="no">
            <failure type="testCodeFailure" message="no">
            </failure>
        </testcase>
    </testsuite>
    <testcase name="three" time="0.001" classname="test">
        <skipped type="todo" message="true"/>
    </testcase>
    <!-- tests 3 -->
</testsuites>"#;
        assert_eq!(Count::of_junit(xml), count(1, 1, 1));
    }

    #[test]
    fn tests_that_end_without_a_report_are_a_failure() {
        let directory = tempfile::tempdir().unwrap();
        let report = directory.path().join("report.xml");
        fs::write(&report, "<testcase/>").unwrap();
        let outcome = by_junit(&mut Command::new("true"), &report).unwrap();
        assert_eq!((outcome.passed, outcome.failed), (0, 1));
    }
}
