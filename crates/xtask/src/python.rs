//! Programs from the Python package index, each set in a virtual environment below `target/tools`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::run;

/// The set of programs that the crates' tests run.
pub(crate) const PROGRAMS: Environment =
    Environment { name: "python", requirements: "crates/testbed/requirements.txt" };

/// What checks `infra/`, but for checkov.
pub(crate) const INFRA: Environment =
    Environment { name: "infra", requirements: "infra/tests/requirements.txt" };

/// Checkov, whose versions of packages exclude those of the others.
pub(crate) const CHECKOV: Environment =
    Environment { name: "checkov", requirements: "infra/tests/requirements-checkov.txt" };

/// A virtual environment of its own, because sets of packages disagree about versions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Environment {
    /// Of its directory below `target/tools`.
    name: &'static str,
    /// The file that pins its packages, from the root of the checkout.
    requirements: &'static str,
}

impl Environment {
    /// Where one of its programs is, be it installed or not.
    pub(crate) fn program(self, name: &str) -> PathBuf {
        self.directory().join("bin").join(name)
    }

    /// Installs what its file asks for, unless just that is installed.
    pub(crate) fn provide(self) -> Result<()> {
        let requirements = run::root().join(self.requirements);
        let wanted = fs::read(&requirements)
            .with_context(|| format!("cannot read {}", requirements.display()))?;
        // What is installed is known by a copy of the file it was installed from, written last.
        let stamp = self.directory().join("installed-requirements.txt");
        if fs::read(&stamp).ok().as_ref() == Some(&wanted) {
            return Ok(());
        }

        println!("installing {} into {}", self.requirements, self.directory().display());
        let venv = ["-m", "venv", "--clear"];
        run::succeed(run::command("python3", &venv).arg(self.directory()))?;
        let quiet = ["install", "--quiet", "--disable-pip-version-check", "--requirement"];
        let pip = self.program("pip");
        run::succeed(run::command(&pip.to_string_lossy(), &quiet).arg(&requirements))?;
        fs::write(&stamp, wanted)?;
        Ok(())
    }

    fn directory(self) -> PathBuf {
        run::tools().join(self.name)
    }
}

/// Whether there is a Python that can make virtual environments. Debian has that part in a package of its own.
pub(crate) fn is_there() -> bool {
    let parts = "import ensurepip, sys, venv; assert sys.version_info >= (3, 10)";
    run::answer("python3", &["-c", parts]).is_some()
}
