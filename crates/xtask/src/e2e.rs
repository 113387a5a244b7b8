//! The tests of the whole stack in containers, and what they stand on: an engine, images, two lines of Docker Compose.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::browser::Driver;
use crate::report::Outcome;
use crate::{compose, count, python, run};

/// The crate of the tests.
pub(crate) const PACKAGE: &str = "e2e";

/// What takes the place of Docker's engine, of Compose 2 and of base images where a machine cannot have them from the
/// internet. Without this folder they have to be there; nothing else depends on it.
const STAND_INS: &str = "crates/e2e/stand-ins";

/// An engine with the images of docker-compose.yml, and what the tests run besides containers.
#[derive(Debug)]
pub(crate) struct Stack {
    engine: Engine,
    compose_v1: PathBuf,
    compose_v2: PathBuf,
}

impl Stack {
    /// Makes everything ready.
    pub(crate) fn provide() -> Result<Self> {
        fs::create_dir_all(directory())?;
        let engine = Engine::find_or_start()?;
        let compose_v1 = compose::first().context("there is no docker-compose 1.29")?;
        let compose_v2 = compose::second(&engine.host).map_or_else(download_compose, Ok)?;
        let stack = Self { engine, compose_v1, compose_v2 };
        if let Some(mut images) = stand_in("images") {
            images.arg(directory()).arg(&stack.compose_v2).arg(python::PROGRAMS.program("python"));
            run::succeed(images.env("DOCKER_HOST", &stack.engine.host))?;
        }
        stack.build_images()?;
        Ok(stack)
    }

    /// Builds the images by the second line, whose builder is Docker's usual one since 23: the older one loses the
    /// capabilities of files.
    fn build_images(&self) -> Result<()> {
        let mut build = run::command("timeout", &["1h"]);
        build.arg(&self.compose_v2);
        build.args([
            "--file",
            "docker-compose.yml",
            "--file",
            "crates/e2e/one-process.yml",
            "build",
        ]);
        build.env("DOCKER_HOST", &self.engine.host);
        let log = directory().join("build.log");
        run::succeed_logged("building all images", &log, &mut build)
    }

    /// Runs the tests.
    pub(crate) fn tests(&self) -> Result<Outcome> {
        let Driver { node, browser } = Driver::provide()?;
        // With the features that the whole workspace has, so that nothing is compiled anew.
        let tests = ["--test=failover", "--test=interception", "--test=mesh"];
        let mut command = run::cargo(&["test", "--workspace", "--no-fail-fast"]);
        // Most of the time goes into waiting for containers.
        command.args(tests).args(["--", "--test-threads=2"]);
        let variables = [
            ("DOCKER_HOST", Path::new(&self.engine.host)),
            ("YELB_COMPOSE_V1", &self.compose_v1),
            ("YELB_COMPOSE_V2", &self.compose_v2),
            ("YELB_NODE", &node),
            ("CHROMIUM", &browser),
        ];
        for (name, value) in variables {
            println!("{name}={}", value.display());
        }
        count::by_libtest(command.envs(variables))
    }
}

/// A container engine that answers.
#[derive(Debug)]
struct Engine {
    /// Where it listens, as `$DOCKER_HOST` has it.
    host: String,
    /// What keeps it running, unless it runs without us.
    _keeper: Option<Keeper>,
}

impl Engine {
    /// The engine of `$DOCKER_HOST` or this machine's, which are left running; only when there is none of them, a new one.
    fn find_or_start() -> Result<Self> {
        // Docker's client has the value of `$DOCKER_HOST` here, if it is set.
        let endpoint = ["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"];
        if let Some(host) = run::answer("docker", &endpoint).filter(|host| answers(host)) {
            println!("container engine: {host}");
            return Ok(Self { host, _keeper: None });
        }
        ensure!(
            run::variable("DOCKER_HOST").is_none(),
            "no container engine answers at DOCKER_HOST: start it, or unset DOCKER_HOST"
        );
        let start = stand_in("engine").context("no container engine answers: start Docker")?;
        let (keeper, host) = Keeper::start(start)?;
        println!("container engine: none answered, so one was started at {host}");
        Ok(Self { host, _keeper: Some(keeper) })
    }
}

fn answers(host: &str) -> bool {
    let mut question = run::command("docker", &["version", "--format", "{{.Server.Version}}"]);
    run::output(question.env("DOCKER_HOST", host)).is_some()
}

/// A process that runs an engine until its input ends, which it does with this program, however that ends.
#[derive(Debug)]
struct Keeper(Child);

impl Keeper {
    /// Starts it, and waits until its engine answers; it says where.
    fn start(mut command: Command) -> Result<(Self, String)> {
        command.arg(directory()).stdin(Stdio::piped()).stdout(Stdio::piped());
        // Out of reach of an interrupt typed at the terminal: the end of its input tells it.
        command.process_group(0);
        let mut keeper = Self(command.spawn().context("cannot start a container engine")?);
        let mut host = String::new();
        let stdout = keeper.0.stdout.take().expect("stdout is a pipe");
        BufReader::new(stdout).read_line(&mut host)?;
        ensure!(!host.is_empty(), "no container engine answers, and none could be started");
        Ok((keeper, host.trim_end().to_owned()))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

fn download_compose() -> Result<PathBuf> {
    let program = run::tools().join("compose/docker-compose");
    if !program.is_file() {
        let missing = "there is no Docker Compose 2: install it";
        let mut download = stand_in("compose").context(missing)?;
        let pip = python::PROGRAMS.program("pip");
        run::succeed(download.arg(pip).arg(run::tools().join("compose")))?;
    }
    Ok(program)
}

/// A script that takes the place of something, if it is there.
fn stand_in(script: &str) -> Option<Command> {
    let script = run::root().join(STAND_INS).join(script);
    script.is_file().then(|| run::command(&script.to_string_lossy(), &[]))
}

/// Where everything goes that these tests need and that is not an installed program.
fn directory() -> PathBuf {
    run::root().join("target/e2e")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper(script: &str) -> Result<(Keeper, String)> {
        Keeper::start(run::command("/bin/sh", &["-c", script, "engine"]))
    }

    #[test]
    fn a_keeper_says_where_its_engine_is_and_ends_with_its_input() {
        let directory = tempfile::tempdir().unwrap();
        let ended = directory.path().join("ended");
        let script = format!("echo unix:///engine; read -r _; : >{}", ended.display());
        let (keeper, host) = keeper(&script).unwrap();
        assert_eq!(host, "unix:///engine");
        assert!(!ended.exists());
        drop(keeper);
        assert!(ended.exists());
    }

    #[test]
    fn a_keeper_that_says_nothing_is_an_error() {
        assert!(keeper("exit 1").is_err());
    }
}
