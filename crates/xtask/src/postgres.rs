//! The oldest and the newest PostgreSQL that Yelb is made for, from the Node.js package index: Debian has one version.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::report::Outcome;
use crate::{count, run};

/// A release, and the version of its package.
pub(crate) const VERSIONS: [(&str, &str); 2] = [("10", "10.23.0-beta.6"), ("18", "18.4.0-beta.17")];

/// The tests of what is asked of the database: of the votes' store, and of votes through the app server.
const TESTS: [&str; 7] = [
    "on_postgres::",
    "postgres::",
    "settling::",
    "keys::",
    "databases::",
    "drop_in::",
    "stand_in::",
];

/// Installs both for this checkout alone.
pub(crate) fn provide() -> Result<()> {
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    for (release, version) in VERSIONS {
        if programs(release).join("postgres").is_file() {
            continue;
        }
        println!("installing PostgreSQL {release} into {}", run::tools().display());
        let package = format!("{}@npm:@embedded-postgres/linux-{machine}@{version}", name(release));
        let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"];
        run::succeed(run::command("npm", &install).arg(run::tools()).arg(package))?;
        make_links(&directory(release))?;
    }
    Ok(())
}

/// Makes the links of the package's libraries, which are in a list because its archive can have none.
fn make_links(package: &Path) -> Result<()> {
    let list = package.join("native/pg-symlinks.json");
    let links: Vec<Value> = serde_json::from_str(&fs::read_to_string(list)?)?;
    for link in links {
        let path = |name: &str| link[name].as_str().map(|path| package.join(path));
        let (source, target) = path("source").zip(path("target")).context("a link has two ends")?;
        drop(fs::remove_file(&target));
        symlink(source, target)?;
    }
    Ok(())
}

/// Runs the tests on one of them. Its programs are the first ones on the path; the client is the machine's.
pub(crate) fn tests(release: &str) -> Result<Outcome> {
    // The same features as in the other tests, so that nothing is built anew.
    let mut tests = run::cargo(&["test", "--workspace", "--test", "stores", "--test", "it", "--"]);
    count::by_libtest(
        tests.args(TESTS).env("PATH", run::path_that_begins_with(&programs(release))?),
    )
}

fn programs(release: &str) -> PathBuf {
    directory(release).join("native/bin")
}

fn directory(release: &str) -> PathBuf {
    run::tools().join("node_modules").join(name(release))
}

fn name(release: &str) -> String {
    format!("postgres-{release}")
}
