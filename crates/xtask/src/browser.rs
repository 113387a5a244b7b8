//! The tests of the page in a browser, and what drives one.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::count;
use crate::report::Outcome;
use crate::run;

/// What the tests ask for in `engines`.
const OLDEST_NODE: (u32, u32) = (20, 19);

/// What npm installs where the distribution's Node.js is older than that, as that of Debian 12 and Ubuntu 24.04 is.
const NODE_PACKAGE: &str = "node@22.23.3";

/// The names that browsers of its family go by.
const BROWSERS: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// The browser for the tests of the page: that of `$CHROMIUM`, or the first one that answers. Ubuntu has a program of that
/// name which only says where else to get it.
pub(crate) fn chromium() -> Option<PathBuf> {
    let chosen = run::variable("CHROMIUM").map(PathBuf::from);
    chosen.or_else(|| {
        let mut found = BROWSERS.iter().flat_map(|browser| run::all(browser));
        found.find(|browser| run::answer(&browser.to_string_lossy(), &["--version"]).is_some())
    })
}

/// Node.js of an age that will do: the machine's or, failing that, that of [`install_node`].
pub(crate) fn node() -> Option<PathBuf> {
    let ours = run::tools().join("node_modules/.bin/node");
    let mut candidates = run::all("node").chain([ours]);
    candidates.find(|node| {
        let version = run::answer(&node.to_string_lossy(), &["--version"]);
        version.and_then(|version| major_and_minor(&version)) >= Some(OLDEST_NODE)
    })
}

/// Of `v20.19.2`.
fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix('v')?.split('.').map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// Installs Node.js for this checkout alone.
pub(crate) fn install_node() -> Result<()> {
    println!("installing {NODE_PACKAGE} into {}", run::tools().display());
    let install = ["install", "--no-audit", "--no-fund", "--prefix"];
    run::succeed(run::command("npm", &install).arg(run::tools()).arg(NODE_PACKAGE))
}

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
        let node = node().context("there is no Node.js that will do")?;
        let browser = chromium().context("there is no browser")?;
        install_packages()?;
        Ok(Self { node, browser })
    }
}

/// Runs the tests.
pub(crate) fn tests() -> Result<Outcome> {
    let Driver { node, browser } = Driver::provide()?;
    let report = run::tools().join("browser-tests.xml");
    let mut command = run::command(&node.to_string_lossy(), &["--test"]);
    command.args(["--test-reporter=spec", "--test-reporter-destination=stdout"]);
    command.arg("--test-reporter=junit");
    command.arg(format!("--test-reporter-destination={}", report.display()));
    count::by_junit(command.current_dir(directory()).env("CHROMIUM", browser), &report)
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
    run::succeed(install.current_dir(&directory))?;
    fs::create_dir_all(directory.join("node_modules"))?;
    fs::write(&stamp, wanted)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_tells_its_version() {
        assert_eq!(major_and_minor("v20.19.2"), Some((20, 19)));
        assert_eq!(major_and_minor("v23.0.0-nightly"), Some((23, 0)));
        assert_eq!(major_and_minor("unknown"), None);
        assert!(major_and_minor("v18.20.4") < Some(OLDEST_NODE));
    }
}
