//! Counting what test runners say about themselves.

use std::ops::AddAssign;

/// Tests that ran, and how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    /// Neither: ignored, skipped, cancelled or to do. No test of this project may be, so they make the step fail.
    pub(crate) skipped: u32,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// Reads a line of `cargo test`, which ends each of its programs with
/// `test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s`.
pub(crate) fn cargo_line(line: &str) -> Count {
    let mut count = Count::default();
    let line = without_colors(line);
    let Some((_, result)) =
        line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
    else {
        return count;
    };
    for part in result.split(';') {
        match number_and_word(part) {
            Some((number, "passed")) => count.passed = number,
            Some((number, "failed")) => count.failed = number,
            Some((number, "ignored")) => count.skipped = number,
            _ => {}
        }
    }
    count
}

/// Reads a line of `node --test`, which ends with a line for each kind: `ℹ pass 12`, or `# pass 12` in TAP.
pub(crate) fn node_line(line: &str) -> Count {
    let mut count = Count::default();
    let line = without_colors(line);
    // At the very beginning: an indented line belongs to the output of a test.
    let Some(summary) = line.strip_prefix("ℹ ").or_else(|| line.strip_prefix("# ")) else {
        return count;
    };
    match summary.trim_end().split_once(' ').map(|(word, number)| (word, number.parse())) {
        Some(("pass", Ok(number))) => count.passed = number,
        Some(("fail", Ok(number))) => count.failed = number,
        Some(("cancelled" | "skipped" | "todo", Ok(number))) => count.skipped = number,
        _ => {}
    }
    count
}

/// Reads a line of `pytest`, which ends with `12 passed, 1 failed in 3.45s`, between equals signs unless it is told to be quiet.
pub(crate) fn pytest_line(line: &str) -> Count {
    let line = without_colors(line);
    let summary = line.trim().trim_matches('=').trim();
    let Some((parts, _)) = summary.split_once(" in ").filter(|(_, time)| is_duration(time)) else {
        return Count::default();
    };
    let mut count = Count::default();
    for part in parts.split(',') {
        match number_and_word(part) {
            Some((number, "passed")) => count.passed += number,
            Some((number, "failed" | "error" | "errors")) => count.failed += number,
            Some((number, "skipped" | "xfailed" | "xpassed")) => count.skipped += number,
            Some((_, "deselected" | "warning" | "warnings" | "rerun")) => {}
            _ => return Count::default(),
        }
    }
    count
}

/// `3.45s`, and after a minute `75.10s (0:01:15)`.
fn is_duration(text: &str) -> bool {
    let seconds = text.split(' ').next().and_then(|seconds| seconds.strip_suffix('s'));
    seconds.is_some_and(|seconds| seconds.parse::<f32>().is_ok())
}

fn number_and_word(part: &str) -> Option<(u32, &str)> {
    let (number, word) = part.trim().split_once(' ')?;
    Some((number.parse().ok()?, word))
}

/// A text without the escape sequences that colour it at a terminal.
pub(crate) fn without_colors(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, colored)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = colored.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(passed: u32, failed: u32, skipped: u32) -> Count {
        Count { passed, failed, skipped }
    }

    #[test]
    fn a_result_of_cargo_test_is_read() {
        let ok = "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s\n";
        assert_eq!(cargo_line(ok), count(12, 0, 0));
        let failed = "test result: FAILED. 10 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1s";
        assert_eq!(cargo_line(failed), count(10, 2, 1));
    }

    #[test]
    fn a_colored_result_is_read() {
        let line =
            "test result: \u{1b}[32mok\u{1b}(B\u{1b}[m. 3 passed; 0 failed; 0 ignored; 0 measured";
        assert_eq!(cargo_line(line), count(3, 0, 0));
    }

    #[test]
    fn other_lines_of_cargo_test_count_nothing() {
        for line in [
            "",
            "running 3 tests",
            "test a ... ok",
            "  test result: ok. 9 passed; 0 failed",
            "5 passed; 6 failed",
        ] {
            assert_eq!(cargo_line(line), Count::default(), "{line}");
        }
    }

    #[test]
    fn a_summary_of_pytest_is_read() {
        for line in [
            "12 passed, 2 failed, 1 skipped, 1 error, 3 warnings in 3.45s",
            "===== 2 failed, 12 passed, 1 xfailed, 1 error in 75.10s (0:01:15) =====\n",
            "\u{1b}[31m\u{1b}[1m2 failed\u{1b}[0m, \u{1b}[32m12 passed\u{1b}[0m, 1 skipped, 1 errors\u{1b}[31m in 1.00s\u{1b}[0m",
        ] {
            assert_eq!(pytest_line(line), count(12, 3, 1), "{line}");
        }
    }

    #[test]
    fn other_lines_of_pytest_count_nothing() {
        for line in [
            "",
            "no tests ran in 0.01s",
            "........ [100%]",
            "FAILED test_a.py::test_b - 3 passed in 1.0s",
            "12 passed in time",
            "3.94s call     test_a.py::test_b",
        ] {
            assert_eq!(pytest_line(line), Count::default(), "{line}");
        }
    }

    #[test]
    fn the_summary_of_node_is_read_in_both_of_its_formats() {
        for mark in ["ℹ", "#"] {
            let mut sum = Count::default();
            for line in [
                "tests 9",
                "suites 2",
                "pass 4",
                "fail 1",
                "cancelled 1",
                "skipped 1",
                "todo 2",
                "duration_ms 5.2",
            ] {
                sum += node_line(&format!("{mark} {line}\n"));
            }
            assert_eq!(sum, count(4, 1, 4), "{mark}");
        }
    }

    #[test]
    fn other_lines_of_node_count_nothing() {
        for line in
            ["✔ passes 3", "    # pass 3", "# Subtest: pass 3", "ℹ passed", "ℹ pass three", ""]
        {
            assert_eq!(node_line(line), Count::default(), "{line}");
        }
    }
}
