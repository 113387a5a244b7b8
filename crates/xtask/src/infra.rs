//! The tests of the deployment, which are Python's: of the templates, and of the commands in two emulated accounts.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::count;
use crate::report::Outcome;
use crate::{python, run};

/// What npm installs for the sake of the program in it: cfn-guard is otherwise to be had from GitHub or compiled.
const GUARD_PACKAGE: &str = "@cdklabs/cdk-validator-cfnguard@0.0.62";

/// Installs what checks templates, emulates AWS, and is Envoy.
pub(crate) fn provide() -> Result<()> {
    python::PROGRAMS.provide()?;
    python::INFRA.provide()?;
    python::CHECKOV.provide()?;
    provide_guard()
}

/// Runs the tests, which start the servers with the settings of the templates.
pub(crate) fn tests() -> Result<Outcome> {
    if !run::succeeds(&mut run::build())? {
        return Ok(Outcome::not_built());
    }
    // Cargo puts them where it has put this program.
    let this = std::env::current_exe()?;
    let pytest = python::INFRA.program("pytest");
    // Three at a time, whatever the machine: some of the tests wait, for the end of a certificate for example.
    let mut command = run::command(&pytest.to_string_lossy(), &["--numprocesses", "3"]);
    command
        .env("CFN_GUARD", guard())
        .env("CHECKOV", python::CHECKOV.program("checkov"))
        .env("ENVOY", python::PROGRAMS.program("envoy"))
        .env("YELB_APPSERVER", this.with_file_name("yelb-appserver"))
        .env("YELB_UI", this.with_file_name("yelb-ui"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(run::root().join("infra/tests"));
    let report = run::tools().join("infra-tests.xml");
    count::by_junit(command.arg("--junit-xml").arg(&report), &report)
}

/// cfn-guard for this machine, be it installed or not. The package has it for four kinds of machines.
fn guard() -> PathBuf {
    let system = if cfg!(target_os = "macos") { "macos" } else { "ubuntu" };
    let package = run::tools().join("node_modules/@cdklabs/cdk-validator-cfnguard");
    package.join("bin").join(system).join(std::env::consts::ARCH).join("cfn-guard")
}

fn provide_guard() -> Result<()> {
    let guard = guard();
    if !guard.is_file() {
        println!("installing {GUARD_PACKAGE} into {}", run::tools().display());
        let options = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"];
        let mut install = run::command("npm", &options);
        run::succeed(install.arg(run::tools()).arg(GUARD_PACKAGE))?;
    }
    ensure!(guard.is_file(), "{GUARD_PACKAGE} has no cfn-guard for this machine");
    // The package's files are not executable.
    run::answer("chmod", &["+x", &guard.to_string_lossy()]);
    Ok(())
}
