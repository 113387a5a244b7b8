//! Long commands that say more than anybody wants to read, unless they fail.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::directory;

/// Whoever waits wants to know that something goes on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// The pause between two looks at whether a command has ended.
const GLANCE: Duration = Duration::from_millis(20);

/// How much of a log is shown when a command has failed.
const LINES: usize = 30;

/// A command that is shown as a line when it begins, a line every ten seconds, and a line when it is done. What it says goes
/// to a file.
#[derive(Debug)]
pub(super) struct Quiet<'a> {
    what: &'a str,
    log: PathBuf,
    limit: Duration,
}

impl<'a> Quiet<'a> {
    /// One that makes `what`, and writes to the log of this name.
    pub(super) fn new(what: &'a str, log: &str, limit: Duration) -> Self {
        Self { what, log: directory().join(log).with_extension("log"), limit }
    }

    /// Runs it; if it fails, shows the end of what it said.
    pub(super) fn run(&self, command: &mut Command) -> Result<()> {
        println!("{}: being made", self.what);
        let began = Instant::now();
        let status = self.wait(command)?;
        if status.success() {
            println!("{}: made in {:.1} s", self.what, began.elapsed().as_secs_f32());
            return Ok(());
        }
        println!("{}", last_lines(&self.log));
        let program = command.get_program().display();
        bail!(
            "{} could not be made: {program} failed ({status}), see {}",
            self.what,
            self.log.display()
        );
    }

    /// Runs it to whatever end. Answers what it said if it fails.
    pub(super) fn attempt(&self, command: &mut Command) -> Result<Result<(), String>> {
        let status = self.wait(command)?;
        let said =
            || String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned();
        Ok(if status.success() { Ok(()) } else { Err(said()) })
    }

    fn wait(&self, command: &mut Command) -> Result<ExitStatus> {
        fs::create_dir_all(directory())?;
        let log = File::create(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        command.stdout(log.try_clone()?).stderr(log);
        let program = command.get_program().to_owned();
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", program.display()))?;

        let began = Instant::now();
        let mut next_sign = SIGN_OF_LIFE;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            let elapsed = began.elapsed();
            if elapsed > self.limit {
                child.kill()?;
                child.wait()?;
                bail!(
                    "{}: given up after {} s, see {}",
                    self.what,
                    elapsed.as_secs(),
                    self.log.display()
                );
            }
            if elapsed > next_sign {
                next_sign += SIGN_OF_LIFE;
                println!("{}: {} s", self.what, elapsed.as_secs());
            }
            thread::sleep(GLANCE);
        }
    }
}

/// The end of a log, for people to read.
pub(super) fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
