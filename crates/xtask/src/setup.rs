//! Installs the programs that the tests need: by itself on Debian and Ubuntu, elsewhere by naming them.

use std::fs;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

use crate::{browser, compose, infra, postgres, python, redis, run};

/// The ending of a run that cannot begin, as opposed to one that found something.
const NOT_BEGUN: u8 = 2;

/// A part of the checks and tests, or what else needs programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Formatting, clippy, documentation, unused dependencies
    Lint,
    /// The crates' tests
    Rust,
    /// The page's tests in a browser
    Browser,
    /// CloudFormation, and deployment to two emulated accounts
    Infra,
    /// The tests of the whole stack in containers, as `cargo xtask e2e` runs them
    E2e,
    #[value(skip)]
    Bench,
}

/// A program, and the Debian packages that have it: where there are several, distributions differ, and the first that exists
/// is installed.
type Need = (&'static str, &'static [&'static str]);

const DATABASES: [Need; 3] = [
    (POSTGRES, &["postgresql"]),
    ("redis-server", &["redis-server"]),
    ("redis-cli", &["redis-tools"]),
];
const SERVERS: [Need; 4] = [
    ("pgbouncer", &["pgbouncer"]),
    ("nginx", &["nginx"]),
    ("openssl", &["openssl"]),
    (VENV, &["python3-venv"]),
];
/// For the stand-in for the original's app server.
const STAND_IN: [Need; 4] =
    [(SINATRA, &["ruby-sinatra"]), (PG, &["ruby-pg"]), (REDIS, &["ruby-redis"]), (PUMA, &["puma"])];
const LINUX: [Need; 3] =
    [("setpriv", &["util-linux"]), ("nsenter", &["util-linux"]), ("ps", &["procps"])];
const NPM: [Need; 1] = [("npm", &["npm"])];
const BROWSER: [Need; 3] = [
    (CHROMIUM, &["chromium", "chromium-browser"]),
    (FONTS, &["fonts-liberation"]),
    (NODE, &["nodejs"]),
];
const CONTAINERS: [Need; 5] = [
    (ENGINE, &["docker.io"]),
    ("docker", &["docker-cli", "docker.io"]),
    (COMPOSE, &["docker-compose"]),
    ("iptables", &["iptables"]),
    ("ip", &["iproute2"]),
];
/// `make` is for the memory allocator of yelb-ui, which is compiled for measurements and not for tests.
const LOAD: [Need; 2] = [("wrk", &["wrk"]), ("make", &["make"])];

// Those that are looked for in another way than by their name on the path.
const POSTGRES: &str = "PostgreSQL's server";
const VENV: &str = "Python 3.10 or newer with venv";
const CHROMIUM: &str = "Chromium";
const FONTS: &str = "the Liberation fonts";
const NODE: &str = "Node.js 20.19 or newer";
const ENGINE: &str = "Docker's engine";
const COMPOSE: &str = "docker-compose 1.29";
const SINATRA: &str = "Ruby's sinatra";
const PG: &str = "Ruby's pg";
const REDIS: &str = "Ruby's redis";
const PUMA: &str = "Ruby's puma";

impl Step {
    pub(crate) const OF_TESTS: [Self; 5] =
        [Self::Lint, Self::Rust, Self::Browser, Self::Infra, Self::E2e];

    fn needs(self) -> Vec<Need> {
        let lists: &[&[Need]] = match self {
            Self::Lint => &[],
            Self::Browser => &[&DATABASES, &STAND_IN, &NPM, &BROWSER],
            Self::Rust => &[&DATABASES, &SERVERS, &STAND_IN, &NPM],
            Self::Infra => &[&DATABASES, &SERVERS, &NPM],
            Self::E2e => &[&DATABASES, &SERVERS, &NPM, &BROWSER, &CONTAINERS],
            Self::Bench => &[&DATABASES, &SERVERS, &LOAD],
        };
        // macOS has no such programs, and the tests do without them there.
        let linux: &[Need] = if cfg!(target_os = "linux") { &LINUX } else { &[] };
        [&lists.concat(), linux].concat()
    }
}

/// `cargo xtask setup`
pub(crate) fn run() -> Result<ExitCode> {
    let is_possible = |step: &Step| *step != Step::E2e || cfg!(target_os = "linux");
    let steps: Vec<Step> = Step::OF_TESTS.into_iter().filter(is_possible).collect();
    if let Some(code) = provide(&steps)? {
        return Ok(code);
    }
    println!("everything that the tests need is there");
    Ok(ExitCode::SUCCESS)
}

/// Sees to it that the needs of these steps are there. If they cannot be had, says so and answers how to end.
pub(crate) fn provide(steps: &[Step]) -> Result<Option<ExitCode>> {
    if steps.contains(&Step::E2e) && !cfg!(target_os = "linux") {
        println!(
            "the tests of the whole stack look into the networks of containers, which takes Linux; `cargo xtask test --help` \
             tells how to run the others"
        );
        return Ok(Some(ExitCode::from(NOT_BEGUN)));
    }
    let mut lacking = missing(steps);
    if !lacking.is_empty() && run::find("apt-get").is_some() {
        apt_install(&lacking)?;
        lacking = missing(steps);
    }
    if lacking.iter().any(|(name, _)| *name == NODE) && run::find("npm").is_some() {
        browser::install_node()?;
        lacking = missing(steps);
    }
    if !lacking.is_empty() {
        let list = lacking.iter().map(|(name, packages)| format!("{name} ({})", packages[0]));
        println!("missing, install first: {}", list.collect::<Vec<_>>().join(", "));
        return Ok(Some(ExitCode::from(NOT_BEGUN)));
    }
    if steps.iter().any(|step| step.needs().contains(&SERVERS[0])) {
        python::PROGRAMS.provide()?;
    }
    if steps.contains(&Step::Rust) && cfg!(target_os = "linux") {
        postgres::provide()?;
    }
    if steps.contains(&Step::Rust) && redis::ARE_THERE {
        redis::OLDEST.provide()?;
        redis::VALKEY.provide()?;
    }
    if steps.contains(&Step::Infra) {
        infra::provide()?;
    }
    Ok(None)
}

/// What the steps need that is not there, each once.
fn missing(steps: &[Step]) -> Vec<Need> {
    let mut missing: Vec<Need> = Vec::new();
    for need in steps.iter().flat_map(|step| step.needs()) {
        if !missing.contains(&need) && !is_there(need.0) {
            missing.push(need);
        }
    }
    missing
}

fn is_there(name: &str) -> bool {
    match name {
        // Debian keeps the server's programs off the path, a directory for each version.
        POSTGRES => {
            let mut versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
            run::find("postgres").is_some()
                || versions.any(|version| version.path().join("bin/postgres").is_file())
        }
        VENV => python::is_there(),
        CHROMIUM => browser::chromium().is_some(),
        FONTS => has_fonts(),
        NODE => browser::node().is_some(),
        // Its server may be another machine's, or run already.
        ENGINE => run::find("dockerd").is_some() || run::answer("docker", &["version"]).is_some(),
        COMPOSE => compose::first().is_some(),
        SINATRA | PG | REDIS | PUMA => has_gem(name.trim_start_matches("Ruby's ")),
        program => run::find(program).is_some(),
    }
}

/// Whether text is as wide as on most systems. A small container has one font only, whose letters are wider.
fn has_fonts() -> bool {
    !cfg!(target_os = "linux")
        || run::answer("fc-match", &["Liberation Sans"])
            .is_some_and(|font| font.contains("Liberation"))
}

fn has_gem(name: &str) -> bool {
    run::answer("ruby", &["-e", "gem ARGV[0]", name]).is_some()
}

/// Installs packages, if this user may: one installation for all of them. Whether it succeeded is seen afterwards.
fn apt_install(needs: &[Need]) -> Result<()> {
    let names: Vec<_> = needs.iter().map(|(name, _)| *name).collect();
    println!("installing {}: this takes a minute", names.join(", "));
    // A list that cannot be refreshed may still do.
    apt_get(&["update"])?;
    let exists = |package: &&&str| run::answer("apt-cache", &["show", package]).is_some();
    let packages = needs.iter().filter_map(|(_, packages)| packages.iter().find(exists));
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    apt_get(&arguments)
}

/// Runs `apt-get`, which is not to ask questions, and whose thousand lines are only of interest when it fails.
fn apt_get(arguments: &[&str]) -> Result<()> {
    // Without a password: there may be no person to type one.
    let sudo: &[&str] = if run::is_root() { &[] } else { &["sudo", "-n"] };
    let apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"];
    let words = [sudo, &apt, arguments].concat();
    let output = run::command(words[0], &words[1..]).output()?;
    if !output.status.success() {
        println!("{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_needs_what_its_tests_run() {
        let needs = |step: Step, name| step.needs().iter().any(|need| need.0 == name);
        assert!(needs(Step::Rust, POSTGRES) && !needs(Step::Rust, ENGINE));
        assert!(needs(Step::E2e, ENGINE) && needs(Step::E2e, CHROMIUM));
        assert!(needs(Step::Rust, SINATRA) && needs(Step::Browser, SINATRA));
        assert_eq!(missing(&[]), []);
    }
}
