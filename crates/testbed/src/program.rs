//! The workspace's own programs, run as a user would run them.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use crate::directory::Directory;
use crate::namespace::Namespace;
use crate::path;
use crate::process::{self, Owned, Place, User};
use crate::running::Running;

/// What tests put into the place of a password, and look for where it must not come out.
pub const SECRET: &str = "hunter2";

/// How soon a person who made a mistake is told.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A program to be run with the arguments and the environment that the test gives it, and no others.
///
/// It gets `PATH`, and a `HOME` and a working directory that are empty and its own.
#[derive(Debug)]
pub struct Program {
    name: String,
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    /// Its working directory, unless that is its home.
    directory: Option<PathBuf>,
    namespace: Option<Namespace>,
    user: Option<User>,
    home: Arc<Directory>,
}

impl Program {
    /// The program at `path`: `env!("CARGO_BIN_EXE_…")` in an integration test of the crate that builds it.
    #[track_caller]
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self::at_home(path, &Arc::new(Directory::make()))
    }

    /// As [`Self::new`], with a home that others have, too.
    #[track_caller]
    pub(crate) fn at_home(path: impl AsRef<Path>, home: &Arc<Directory>) -> Self {
        let path = path.as_ref();
        assert!(
            path.is_file(),
            "there is no program {}: `cargo build --workspace`",
            path.display()
        );
        Self {
            name: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            path: path.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            namespace: None,
            user: None,
            home: Arc::clone(home),
        }
    }

    /// A program of the system's, which the Debian package `package` has.
    #[track_caller]
    pub fn installed(name: &str, package: &str) -> Self {
        Self::new(path::find(name, package))
    }

    /// A program of another crate of this workspace. Cargo builds only its own crate's for an integration test, so this
    /// one must have been built before: `cargo build --workspace`, which `cargo xtask test` begins with.
    #[track_caller]
    pub fn of_workspace(name: &str) -> Self {
        // target/debug/deps/the_test-0123456789abcdef
        let test = env::current_exe().expect("the running test has a path");
        let directory: PathBuf = test.ancestors().skip(2).take(1).collect();
        Self::new(directory.join(name))
    }

    /// A program of `crates/testbed/requirements.txt`, which `cargo xtask setup` installs.
    #[track_caller]
    pub fn of_python(name: &str) -> Self {
        let path = path::workspace().join("target/tools/python/bin").join(name);
        assert!(path.is_file(), "there is no {}: `cargo xtask setup`", path.display());
        Self::new(path)
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// One more variable in its environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// More variables, written as `NAME=value, NAME=value`.
    #[must_use]
    #[track_caller]
    pub fn envs(self, variables: &str) -> Self {
        variables.split(", ").fold(self, |program, variable| {
            let (name, value) = variable.split_once('=').expect("NAME=value, NAME=value");
            program.env(name.trim(), value.trim())
        })
    }

    /// Another working directory than its home.
    #[must_use]
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// In a network of the test's own, instead of the machine's.
    #[must_use]
    pub fn inside(self, namespace: &Namespace) -> Self {
        self.at(Some(namespace))
    }

    /// In this network, or in the machine's.
    pub(crate) fn at(mut self, namespace: Option<&Namespace>) -> Self {
        self.namespace = namespace.cloned();
        self
    }

    /// As another user, one who need not have a name; `id` is their uid and their gid. They may read what root may, because
    /// the program may be in another user's home. Only root can do this, and only on Linux.
    #[must_use]
    pub fn as_user(self, id: u32) -> Self {
        self.run_by(Some(User { uid: id, gid: id, reads_everything: true }))
    }

    /// As this user, or as the one who runs the test.
    pub(crate) fn run_by(mut self, user: Option<User>) -> Self {
        self.user = user;
        self
    }

    /// Its home, to put files there before it starts.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Starts it.
    #[track_caller]
    pub fn spawn(self) -> Running {
        let network = self.namespace.as_ref().map(Namespace::network);
        let mut command = process::command(&Place { network, user: self.user }, &self.path);
        command.env_clear().env("HOME", self.home.path());
        if let Some(path) = path::path() {
            command.env("PATH", path);
        }
        command.args(self.arguments).envs(self.environment);
        command.current_dir(self.directory.as_deref().unwrap_or(self.home.path()));
        let process = Owned::spawn(command);
        Running { name: self.name, process, home: self.home, _namespace: self.namespace }
    }

    /// Runs it; it must end by itself within `limit`.
    #[track_caller]
    pub fn run_to_end(self, limit: Duration) -> Output {
        self.try_run(limit).unwrap_or_else(|why| panic!("{why}"))
    }

    /// As [`Self::run_to_end`], but that it did not end is for the test to judge.
    pub(crate) fn try_run(self, limit: Duration) -> Result<Output, String> {
        let running = self.spawn();
        let status = running.try_wait(limit)?;
        Ok(Output { status, stdout: running.stdout(), stderr: running.stderr() })
    }

    /// Runs it with settings that it must refuse: it ends at once with code 2 and with one line, which begins with its name
    /// and `line` and does not tell the [`SECRET`].
    #[track_caller]
    pub fn refuses(self, line: &str) {
        let line = format!("{}: {line}", self.name);
        let output = self.run_to_end(AT_ONCE);
        let Output { status, stdout, stderr } = &output;
        assert_eq!(status.code(), Some(2), "{line}: {output:?}");
        assert!(stderr.starts_with(&line), "{line}: {output:?}");
        assert_eq!(stderr.lines().count(), 1, "{output:?}");
        assert_eq!(stdout, "", "{output:?}");
        assert!(!stderr.contains(SECRET), "{output:?}");
    }
}

/// What a program that has ended left behind.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// All it wrote to stdout.
    pub stdout: String,
    /// All it wrote to stderr.
    pub stderr: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::PATIENCE;

    const SECOND: Duration = Duration::from_secs(1);

    fn shell(script: &str) -> Program {
        Program::new("/bin/sh").args(["-c", script])
    }

    #[test]
    fn a_program_sees_only_the_environment_it_was_given() {
        let output = shell("env; pwd").env("YELB", "1").run_to_end(PATIENCE);
        assert!(output.status.success());
        let names: Vec<_> = output.stdout.lines().filter_map(|line| line.split_once('=')).collect();
        assert!(names.contains(&("YELB", "1")), "{names:?}");
        // A shell sets PWD, SHLVL, OLDPWD and _ by itself.
        let ours = ["YELB", "HOME", "PATH", "PWD", "OLDPWD", "SHLVL", "_"];
        assert!(names.iter().all(|(name, _)| ours.contains(name)), "{names:?}");
    }

    #[test]
    fn the_exit_code_and_both_outputs_are_kept() {
        let output = shell("echo out; echo err >&2; exit 3").run_to_end(PATIENCE);
        assert_eq!(
            (output.status.code(), &*output.stdout, &*output.stderr),
            (Some(3), "out\n", "err\n")
        );
    }

    #[test]
    fn a_line_is_found_before_and_after_it_was_waited_for() {
        let running = shell("echo one; sleep 0.1; echo two >&2; sleep 60").spawn();
        assert_eq!(running.wait_for_line(|line| line == "two", PATIENCE), "two");
        assert_eq!(running.wait_for_line(|line| line == "one", PATIENCE), "one");
    }

    #[test]
    #[should_panic(expected = "it ended without; its stdout:\nonly this")]
    fn a_program_that_ends_is_not_waited_for() {
        shell("echo only this").spawn().wait_for_line(|line| line == "more", PATIENCE);
    }

    #[test]
    #[should_panic(expected = "still runs after")]
    fn a_program_that_does_not_end_fails_the_test() {
        shell("sleep 60").run_to_end(Duration::from_millis(50));
    }

    #[test]
    fn a_program_from_pypi_runs() {
        let output = Program::of_python("envoy").arg("--version").run_to_end(PATIENCE);
        assert!(output.stdout.contains("1.40.0"), "{output:?}");
    }

    #[test]
    fn signals_reach_the_program() {
        let running =
            shell("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done").spawn();
        running.wait_for_line(|line| line == "ready", PATIENCE);
        running.terminate();
        assert!(running.wait(PATIENCE).success());
        assert_eq!(running.stdout(), "ready\nbye\n");
        // It is gone: no other process is signalled in its place.
        running.terminate();
        running.kill();
    }

    #[test]
    fn a_frozen_program_goes_on_where_it_was() {
        let running = shell("sleep 0.2; echo done").spawn();
        running.freeze();
        std::thread::sleep(SECOND / 2);
        assert!(running.is_running());
        running.thaw();
        assert!(running.wait(PATIENCE).success());
    }

    #[test]
    fn dropping_kills_the_descendants_too() {
        let running = shell("sleep 60 & echo $!; wait").spawn();
        let sleeper = running.wait_for_line(|line| !line.is_empty(), PATIENCE);
        let sleeper = rustix::process::Pid::from_raw(sleeper.parse().unwrap()).unwrap();
        drop(running);
        crate::process_table::wait_until_gone(&[sleeper]);
    }

    #[test]
    fn a_program_outlives_the_thread_that_started_it() {
        let running = std::thread::spawn(|| shell("sleep 60").spawn()).join().unwrap();
        std::thread::sleep(SECOND / 10);
        assert!(running.is_running());
    }
}
