//! The tests of the whole stack in containers, and what they stand on: an engine, images, two lines of Docker Compose.
//!
//! All of it is made on a machine that has nothing but Debian's packages, without a registry; and nothing of it is made
//! where it is there already.

pub(crate) mod compose;
mod context;
mod engine;
mod images;
mod quiet;
mod stand_in;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::browser::Driver;
use crate::count::{self, Count};
use crate::report::{Outcome, Report};
use crate::run;
use crate::setup::{self, Set};

use self::compose::Compose;
use self::engine::Engine;
use self::quiet::Quiet;

/// The crate of the tests.
pub(crate) const PACKAGE: &str = "e2e";

/// What this is called among the steps of a run.
pub(crate) const STEP: &str = "e2e";

/// What has to be there before anything else.
pub(crate) const NEEDS: [Set; 4] = [Set::Servers, Set::Python, Set::Browser, Set::Containers];

/// The first build compiles everything in release mode.
const BUILD_LIMIT: Duration = Duration::from_hours(1);

/// What `cargo xtask e2e` can be told.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Leaves an engine that was started for the tests running, for a short loop; the next run uses it again
    #[arg(long)]
    keep: bool,
}

/// What becomes of an engine of our own after the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    Stop,
    Keep,
}

/// `cargo xtask e2e`
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if !setup::provide(&NEEDS)? {
        return Ok(ExitCode::from(setup::NOT_BEGUN));
    }
    let afterwards = if options.keep { Afterwards::Keep } else { Afterwards::Stop };
    let mut report = Report::default();
    report.step(STEP, || tests(afterwards));
    Ok(report.conclude())
}

/// Makes everything ready and runs the tests.
pub(crate) fn tests(afterwards: Afterwards) -> Result<Outcome> {
    let driver = Driver::provide()?;
    let engine = Engine::find_or_start(afterwards)?;
    let programs = Programs { compose: Compose::provide(&engine)?, driver };
    let outcome = tests_on(&engine, &programs);
    if afterwards == Afterwards::Keep {
        engine.explain_keeping(&programs.variables());
    }
    if !matches!(&outcome, Ok(Outcome { failed: 0, .. })) {
        engine.point_to_log();
    }
    outcome
}

/// What the tests run, besides containers.
#[derive(Debug)]
struct Programs {
    compose: Compose,
    driver: Driver,
}

impl Programs {
    /// How the tests are told where they are.
    fn variables(&self) -> [(&'static str, &Path); 4] {
        [
            ("YELB_COMPOSE_V1", &self.compose.v1),
            ("YELB_COMPOSE_V2", &self.compose.v2),
            ("YELB_NODE", &self.driver.node),
            ("CHROMIUM", &self.driver.browser),
        ]
    }
}

fn tests_on(engine: &Engine, programs: &Programs) -> Result<Outcome> {
    images::provide(engine)?;

    // By the second line, whose builder is Docker's usual one since 23: the older one loses the capabilities of files.
    let mut build = run::command(&programs.compose.v2.to_string_lossy(), &[]);
    build
        .args(["--file", "docker-compose.yml", "--file", "e2e/one-process.yml", "build"])
        .env("DOCKER_HOST", engine.host());
    Quiet::new("building all images", "build", BUILD_LIMIT).run(&mut build)?;

    // The programs: some tests run them without containers, and Cargo does not know.
    if !run::stream(&mut run::cargo(&["build", "--workspace"]), |_| ())?.success() {
        return Ok(Outcome::not_built());
    }
    let mut count = Count::default();
    let arguments = ["test", "--package", PACKAGE, "--no-fail-fast", "--", "--test-threads=1"];
    let mut command = run::cargo(&arguments);
    command.env("DOCKER_HOST", engine.host()).envs(programs.variables());
    let status = run::stream(&mut command, |line| count += count::cargo_line(line))?;
    Ok(Outcome::of_tests(count, status.success()))
}

/// Where everything goes that these tests need and that is not an installed program.
fn directory() -> PathBuf {
    run::root().join("target/e2e")
}
