//! Running other programs.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::{env, io};

use anyhow::{Context, Result};

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a directory of the workspace")
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

/// Runs a command and shows its output as it comes, each line of its stdout to `read` as well.
pub(crate) fn stream(command: &mut Command, mut read: impl FnMut(&str)) -> Result<ExitStatus> {
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
    Ok(child.wait()?)
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

/// Where a program is on the path; a path as it is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// A variable of the environment that this program was started in.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "chores have no settings, only the machine they run on"
    )]
    env::var_os(name)
}
