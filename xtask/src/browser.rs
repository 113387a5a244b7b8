//! The tests of the page in a browser, and what drives one.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::count::{self, Count};
use crate::report::Outcome;
use crate::{run, setup};

/// Where these tests are, and the Node.js packages that they and others drive a browser by.
fn directory() -> PathBuf {
    run::root().join("yelb-ui/tests/browser")
}

/// Programs that visit a page.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) node: PathBuf,
    pub(crate) browser: PathBuf,
}

impl Driver {
    /// Finds the programs, which are among the needs of these tests, and installs the packages.
    pub(crate) fn provide() -> Result<Self> {
        let node = setup::node().context("there is no Node.js that will do")?;
        let node = run::find(&node).context("Node.js has vanished")?;
        let browser = setup::browser().context("there is no browser")?;
        install_packages()?;
        Ok(Self { node, browser })
    }
}

/// Runs the tests.
pub(crate) fn tests() -> Result<Outcome> {
    let Driver { node, browser } = Driver::provide()?;
    let mut command = run::command(&node.to_string_lossy(), &["--test", "--test-reporter=spec"]);
    command.current_dir(directory()).env("CHROMIUM", browser);
    let mut count = Count::default();
    let status = run::stream(&mut command, |line| count += count::node_line(line))?;
    Ok(Outcome::of_tests(count, status.success()))
}

fn install_packages() -> Result<()> {
    let directory = directory();
    let lock = directory.join("package-lock.json");
    let wanted = fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    // What is installed is known by a copy of the lock file it was installed from.
    let stamp = directory.join("node_modules/.installed-package-lock.json");
    if fs::read(&stamp).ok().as_ref() == Some(&wanted) {
        return Ok(());
    }
    let mut install = run::command("npm", &["ci", "--no-audit", "--no-fund"]);
    if !run::stream(install.current_dir(&directory), |_| ())?.success() {
        bail!("npm could not install what the tests need");
    }
    fs::create_dir_all(directory.join("node_modules"))?;
    fs::write(&stamp, wanted)?;
    Ok(())
}
