//! Running other programs.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use std::{env, io};

use anyhow::{Context, Result, bail, ensure};

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.find(|directory| directory.join("Cargo.lock").is_file()).expect("a workspace has a lock")
}

/// Where what is installed for this checkout alone goes.
pub(crate) fn tools() -> PathBuf {
    root().join("target/tools")
}

/// A command in the root of the checkout, with nothing to read.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// Cargo, as the person who runs this would call it.
///
/// What `cargo run` has told *this* program about its package is taken out again. Build scripts that watch those variables
/// would run anew, and the workspace would be compiled twice: once by hand and once from here.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = command("cargo", arguments);
    #[expect(
        clippy::disallowed_methods,
        reason = "these are Cargo's, and no settings of the project"
    )]
    let variables = env::vars_os();
    for (name, _) in variables {
        let about_this_program = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if about_this_program {
            command.env_remove(name);
        }
    }
    command
}

/// Builds our programs and all tests, with one set of features for all that comes after it: a package that is built alone gets
/// others, and then tokio and all that use it are compiled again.
pub(crate) fn build() -> Command {
    cargo(&["test", "--workspace", "--no-run"])
}

/// Whether a command succeeds. Its output is shown.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    let program = command.get_program().to_owned();
    let status = command.status().with_context(|| format!("cannot start {}", program.display()))?;
    Ok(status.success())
}

/// Runs a command that has to succeed.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    ensure!(succeeds(command)?, "{command:?} failed, see above");
    Ok(())
}

/// As [`succeeds`], with each line of its stdout for `read` as well.
pub(crate) fn stream(command: &mut Command, mut read: impl FnMut(&str)) -> Result<bool> {
    let program = command.get_program().to_owned();
    let started = command.stdout(Stdio::piped()).spawn();
    let mut child = started.with_context(|| format!("cannot start {}", program.display()))?;

    let mut stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    let mut line = Vec::new();
    while stdout.read_until(b'\n', &mut line)? > 0 {
        io::stdout().write_all(&line)?;
        io::stdout().flush()?;
        read(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(child.wait()?.success())
}

/// Runs a long command that has to succeed and says more than people want to read, unless it fails: into a log.
pub(crate) fn succeed_logged(what: &str, log: &Path, command: &mut Command) -> Result<()> {
    println!("{what}, log in {}", log.display());
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdout(file.try_clone()?).stderr(file);
    let began = Instant::now();
    if !succeeds(command)? {
        self::succeeds(self::command("tail", &["-n", "30"]).arg(log))?;
        bail!("{what}: failed, see {}", log.display());
    }
    println!("    done in {:.1} s", began.elapsed().as_secs_f32());
    Ok(())
}

/// What a command prints, or nothing when it fails or is not there.
pub(crate) fn answer(program: &str, arguments: &[&str]) -> Option<String> {
    output(&mut command(program, arguments))
}

/// As [`answer`], for a command that needs more than arguments.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The programs of this name, wherever the path leads and then where only an administrator's does; a path as it is.
pub(crate) fn all(program: &str) -> impl Iterator<Item = PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = env::split_paths(&path).collect();
    directories.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let files = directories.into_iter().map(move |directory| directory.join(program));
    files.filter(|file| file.is_file())
}

/// A path on which the programs of this directory are the first ones.
pub(crate) fn path_that_begins_with(first: &Path) -> Result<OsString> {
    let path = variable("PATH").unwrap_or_default();
    let directories = [first.to_owned()].into_iter().chain(env::split_paths(&path));
    Ok(env::join_paths(directories)?)
}

/// The first of [`all`].
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    all(program).next()
}

/// Whether this is root.
pub(crate) fn is_root() -> bool {
    answer("id", &["-u"]).as_deref() == Some("0")
}

/// A variable of the environment that this program was started in.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "chores have no settings, only the machine they run on"
    )]
    env::var_os(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_says_is_in_its_log_which_its_failure_names() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut failing = command("/bin/sh", &["-c", "echo one; echo two >&2; exit 3"]);
        let error = succeed_logged("testing", &log, &mut failing).unwrap_err().to_string();
        assert_eq!(error, format!("testing: failed, see {}", log.display()));
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "one\ntwo\n");
        succeed_logged("testing", &log, &mut command("true", &[])).unwrap();
    }

    #[test]
    fn a_path_begins_with_the_directory_and_goes_on_as_before() {
        let path = path_that_begins_with(Path::new("/first")).unwrap();
        let directories: Vec<_> = env::split_paths(&path).collect();
        let before = variable("PATH").unwrap();
        assert_eq!(directories[0], Path::new("/first"));
        assert_eq!(directories[1..], env::split_paths(&before).collect::<Vec<_>>());
    }
}
