//! Docker and Compose, by their command lines.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The root of the checkout, where docker-compose.yml is.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|it| it.join("Cargo.lock").is_file())
        .unwrap()
}

/// A generation of Docker Compose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compose {
    /// The line of 1.29, in Python: `docker-compose`.
    V1,
    /// Since 2: `docker compose`.
    V2,
}

impl Compose {
    /// Compose on this project.
    #[track_caller]
    pub(crate) fn command(self, project: &str) -> Command {
        let variable = match self {
            Self::V1 => "YELB_COMPOSE_V1",
            Self::V2 => "YELB_COMPOSE_V2",
        };
        let mut command = Command::new(provided(variable));
        command.args(["--project-name", project]).current_dir(root());
        command
    }
}

/// Docker's client.
pub(crate) fn docker(arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(arguments);
    command
}

/// What a command that has to succeed writes to stdout.
#[track_caller]
pub(crate) fn said(command: &mut Command) -> String {
    let output = ended(command);
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What a command that may fail leaves behind.
#[track_caller]
pub(crate) fn ended(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// A program that the chore has found or installed.
#[track_caller]
pub(crate) fn provided(variable: &str) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "what the chore provides is no setting of ours")]
    let program = env::var_os(variable);
    program.unwrap_or_else(|| panic!("{variable} is not set: run this by `cargo xtask e2e`")).into()
}
