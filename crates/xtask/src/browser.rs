//! The tests of the page in a browser, and the programs that they need.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::count;
use crate::report::Outcome;
use crate::run;

/// The oldest Node.js that the tests support: `engines` in their package.json says the same.
const OLDEST_NODE: (u32, u32) = (20, 19);

/// The package of npm to install if the distribution's Node.js is older than that, as in Debian 12 and Ubuntu 24.04.
const NODE_PACKAGE: &str = "node@22.23.3";

/// The programs of Chromium and Chrome, by their names on Linux and macOS.
const BROWSERS: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// The browser for the tests of the page: that of `$CHROMIUM`, or the first one that prints its version. Ubuntu's package
/// `chromium-browser` has no browser: its program only says how to install one.
pub(crate) fn chromium() -> Option<PathBuf> {
    let chosen = run::variable("CHROMIUM").map(PathBuf::from);
    chosen.or_else(|| {
        let mut found = BROWSERS.iter().flat_map(|browser| run::all(browser));
        found.find(|browser| run::answer(&browser.to_string_lossy(), &["--version"]).is_some())
    })
}

/// A Node.js that is new enough: an installed one, else that of [`install_node`].
pub(crate) fn node() -> Option<PathBuf> {
    let ours = run::tools().join("node_modules/.bin/node");
    let mut candidates = run::all("node").chain([ours]);
    candidates.find(|node| {
        let version = run::answer(&node.to_string_lossy(), &["--version"]);
        version.and_then(|version| major_and_minor(&version)) >= Some(OLDEST_NODE)
    })
}

/// 20 and 19 of `v20.19.2`.
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

/// The directory of these tests. It also has the Node.js packages that control the browser, for these and other tests.
fn directory() -> PathBuf {
    run::root().join("yelb-ui/tests/browser")
}

/// The programs that open a page in a browser.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) node: PathBuf,
    pub(crate) browser: PathBuf,
}

impl Driver {
    /// Finds the programs and installs the Node.js packages.
    pub(crate) fn provide() -> Result<Self> {
        let node = node().with_context(|| {
            let (major, minor) = OLDEST_NODE;
            format!("Node.js {major}.{minor} or later is missing; `cargo xtask test` installs it")
        })?;
        let browser = chromium()
            .context("Chromium is missing; install it, or set CHROMIUM to its program")?;
        install_packages()?;
        Ok(Self { node, browser })
    }
}

/// Runs the tests.
pub(crate) fn tests() -> Result<Outcome> {
    let Driver { node, browser } = Driver::provide()?;
    let report = run::tools().join("browser-tests.xml");
    // Two files at a time, whatever the machine: some of the tests wait, for the end of an outage for example.
    let mut command = run::command(&node.to_string_lossy(), &["--test", "--test-concurrency=2"]);
    command.args(["--test-reporter=spec", "--test-reporter-destination=stdout"]);
    command.arg("--test-reporter=junit");
    command.arg(format!("--test-reporter-destination={}", report.display()));
    count::by_junit(command.current_dir(directory()).env("CHROMIUM", browser), &report)
}

fn install_packages() -> Result<()> {
    let directory = directory();
    let lock = directory.join("package-lock.json");
    let wanted = fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    // After an installation, a copy of its lock file is kept. If the copy is equal, nothing has changed.
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
    fn a_version_is_parsed_and_compared() {
        assert_eq!(major_and_minor("v20.19.2"), Some((20, 19)));
        assert_eq!(major_and_minor("v23.0.0-nightly"), Some((23, 0)));
        assert_eq!(major_and_minor("unknown"), None);
        assert!(major_and_minor("v18.20.4") < Some(OLDEST_NODE));
    }
}
