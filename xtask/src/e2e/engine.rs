//! The container engine: this machine's, or one of our own.

mod daemon;
mod heir;

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::Afterwards;
use crate::run;

use self::daemon::Daemon;
use self::heir::Heir;

/// A container engine that answers.
#[derive(Debug)]
pub(super) struct Engine {
    host: String,
    is_our_own: bool,
    /// Who stops it when this is dropped, if anybody is to.
    _heir: Option<Heir>,
}

impl Engine {
    /// The engine of `$DOCKER_HOST`, our own if it still runs, or this machine's; only when there is none of them, a new one.
    /// Those that others have started are left running.
    pub(super) fn find_or_start(afterwards: Afterwards) -> Result<Self> {
        if let Some(host) = run::variable("DOCKER_HOST").filter(|host| !host.is_empty()) {
            let host = host.to_string_lossy().into_owned();
            if !answers(&host) {
                bail!(
                    "no container engine answers at {host}, which is in DOCKER_HOST: start it, or unset DOCKER_HOST"
                );
            }
            println!("container engine: {host}, from DOCKER_HOST");
            return Ok(Self::of_others(host));
        }
        if let Some(daemon) = Daemon::kept().filter(|daemon| answers(&daemon.host())) {
            println!("container engine: our own, kept by an earlier run");
            let heir = daemon.heir()?;
            return Ok(Self::of_our_own(&daemon, heir, afterwards));
        }
        let endpoint = ["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"];
        if let Some(host) = run::answer("docker", &endpoint).filter(|host| answers(host)) {
            println!("container engine: this machine's, {host}");
            return Ok(Self::of_others(host));
        }

        println!("container engine: none answers, so one of our own is started");
        let (daemon, heir) = Daemon::start()?;
        let engine = Self::of_our_own(&daemon, heir, afterwards);
        engine.remove_leftovers();
        Ok(engine)
    }

    fn of_others(host: String) -> Self {
        Self { host, is_our_own: false, _heir: None }
    }

    fn of_our_own(daemon: &Daemon, heir: Heir, afterwards: Afterwards) -> Self {
        let heir = match afterwards {
            Afterwards::Stop => Some(heir),
            Afterwards::Keep => {
                heir.dismiss();
                None
            }
        };
        Self { host: daemon.host(), is_our_own: true, _heir: heir }
    }

    /// Where it listens, as `$DOCKER_HOST` has it.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Docker's command line, speaking to it.
    pub(super) fn docker(&self, arguments: &[&str]) -> Command {
        let mut command = run::command("docker", arguments);
        command.env("DOCKER_HOST", &self.host);
        command
    }

    /// What `docker` prints, or nothing when it fails.
    pub(super) fn answer(&self, arguments: &[&str]) -> Option<String> {
        run::output(&mut self.docker(arguments))
    }

    /// Tells how to go on by hand with an engine of our own.
    pub(super) fn explain_keeping(&self, variables: &[(&str, &Path)]) {
        if !self.is_our_own {
            return;
        }
        println!("\nthe container engine goes on, log in {}; to use it:", daemon::log().display());
        println!("    export DOCKER_HOST={}", self.host);
        for (name, program) in variables {
            println!("    export {name}={}", program.display());
        }
        println!("to stop it:\n    kill $(cat {})", daemon::pid_file().display());
    }

    /// Tells where an engine of our own says what it has to say.
    pub(super) fn point_to_log(&self) {
        if self.is_our_own {
            println!("the container engine's log is {}", daemon::log().display());
        }
    }

    /// Removes what a run left that was interrupted: in an engine of our own it is nobody else's.
    fn remove_leftovers(&self) {
        for (list, remove) in [
            (&["ps", "--all", "--quiet"][..], &["rm", "--force", "--volumes"][..]),
            (&["network", "ls", "--quiet", "--filter=type=custom"], &["network", "rm"]),
            (&["volume", "ls", "--quiet"], &["volume", "rm"]),
        ] {
            let leftovers = self.answer(list).unwrap_or_default();
            if !leftovers.is_empty() {
                self.answer(&[remove, &leftovers.lines().collect::<Vec<_>>()].concat());
            }
        }
    }
}

fn answers(host: &str) -> bool {
    let mut question = run::command("docker", &["version", "--format", "{{.Server.Version}}"]);
    run::output(question.env("DOCKER_HOST", host)).is_some()
}
