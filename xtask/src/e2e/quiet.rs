//! Long commands that say more than anybody wants to read, unless they fail.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::directory;
use crate::count;

/// When a command shows its first sign of life. Each of the next ones takes as long again, at most [`LONGEST_SILENCE`].
const FIRST_SIGN_OF_LIFE: Duration = Duration::from_secs(10);

const LONGEST_SILENCE: Duration = Duration::from_mins(1);

/// The pause between two looks at whether a command has ended.
const GLANCE: Duration = Duration::from_millis(20);

/// How much of a log is shown when a command has failed.
const LINES: usize = 30;

/// A command whose output goes to a file. What is shown is a line when it begins, another now and then, and one at its end.
#[derive(Debug)]
pub(super) struct Quiet<'a> {
    what: &'a str,
    log: PathBuf,
    limit: Duration,
}

impl<'a> Quiet<'a> {
    /// One that is doing `what`, and writes to the log of this name.
    pub(super) fn new(what: &'a str, log: &str, limit: Duration) -> Self {
        Self { what, log: directory().join(log).with_extension("log"), limit }
    }

    /// Runs it; if it fails, shows the end of what it said.
    pub(super) fn run(&self, command: &mut Command) -> Result<()> {
        let status = self.wait(command)?;
        if status.success() {
            return Ok(());
        }
        println!("{}", last_lines(&self.log));
        let program = command.get_program().display();
        bail!("{}: {program} failed ({status}), see {}", self.what, self.log.display());
    }

    /// Runs it to whatever end. If it fails, answers the last thing it said.
    pub(super) fn attempt(&self, command: &mut Command) -> Result<Result<(), String>> {
        let status = self.wait(command)?;
        if status.success() {
            return Ok(Ok(()));
        }
        Ok(Err(last_words(&self.log).unwrap_or_else(|| status.to_string())))
    }

    fn wait(&self, command: &mut Command) -> Result<ExitStatus> {
        fs::create_dir_all(directory())?;
        let log = File::create(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        command.stdout(log.try_clone()?).stderr(log);
        let program = command.get_program().to_owned();
        println!("{}", self.what);
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", program.display()))?;

        let began = Instant::now();
        let mut next_sign = FIRST_SIGN_OF_LIFE;
        loop {
            let elapsed = began.elapsed();
            if let Some(status) = child.try_wait()? {
                let how = if status.success() { "done in" } else { "failed after" };
                println!("    {how} {:.1} s", elapsed.as_secs_f32());
                return Ok(status);
            }
            if elapsed > self.limit {
                child.kill()?;
                child.wait()?;
                let seconds = elapsed.as_secs();
                bail!("{}: given up after {seconds} s, see {}", self.what, self.log.display());
            }
            if elapsed > next_sign {
                next_sign += next_sign.min(LONGEST_SILENCE);
                let words = last_words(&self.log).unwrap_or_default();
                println!("    … {} s  {words:.100}", elapsed.as_secs());
            }
            thread::sleep(GLANCE);
        }
    }
}

/// The last line of a log that says anything.
fn last_words(log: &Path) -> Option<String> {
    let end = count::without_colors(&last_lines(log));
    let last = end.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.map(str::to_owned)
}

/// The end of a log, for people to read.
pub(super) fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    fn quiet<'a>(directory: &tempfile::TempDir, limit: Duration) -> Quiet<'a> {
        Quiet { what: "testing", log: directory.path().join("log"), limit }
    }

    #[test]
    fn what_a_command_says_is_in_its_log_and_the_last_of_it_is_the_reason_for_its_failure() {
        let directory = tempfile::tempdir().unwrap();
        let quiet = quiet(&directory, Duration::from_mins(1));
        let ended = quiet.attempt(&mut shell("echo one; echo two >&2; echo; exit 3")).unwrap();
        assert_eq!(ended, Err("two".to_owned()));
        assert_eq!(last_lines(&quiet.log), "one\ntwo\n");

        let error = quiet.run(&mut shell("exit 3")).unwrap_err().to_string();
        assert!(error.starts_with("testing: /bin/sh failed (exit status: 3), see "), "{error}");
        quiet.run(&mut shell("exit 0")).unwrap();
    }

    #[test]
    fn a_command_that_takes_too_long_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        let quiet = quiet(&directory, Duration::from_millis(50));
        let error = quiet.run(&mut shell("exec sleep 60")).unwrap_err().to_string();
        assert!(error.starts_with("testing: given up after 0 s, see "), "{error}");
    }

    #[test]
    fn a_long_log_is_shown_from_near_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let lines: Vec<String> = (1..=100).map(|number| number.to_string()).collect();
        fs::write(&log, lines.join("\n")).unwrap();
        assert!(last_lines(&log).starts_with("71\n72\n") && last_lines(&log).ends_with("\n100"));
        assert_eq!(last_lines(&directory.path().join("none")), "");
    }
}
