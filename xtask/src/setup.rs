//! Installs the programs that the tests need: by itself on Debian and Ubuntu, elsewhere by naming them.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::{python, run};

/// What the page's tests ask for in `engines`.
const OLDEST_NODE: (u32, u32) = (20, 19);

/// What npm installs where the distribution's Node.js is older than that, as that of Debian 12 and Ubuntu 24.04 is.
const NODE_PACKAGE: &str = "node@22.23.3";

/// What npm installs for the sake of the program in it: cfn-guard is otherwise to be had from GitHub or compiled.
const GUARD_PACKAGE: &str = "@cdklabs/cdk-validator-cfnguard@0.0.62";

/// What is to be tested, and so has to be there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The servers that the crates' tests run.
    pub(crate) servers: bool,
    /// A browser for the page.
    pub(crate) browser: bool,
    /// What checks the templates and emulates AWS.
    pub(crate) infra: bool,
}

/// Something the tests run.
struct Need {
    /// As its users call it.
    name: &'static str,
    /// Its Debian packages; where there are several, distributions differ, and the first that exists is it.
    packages: &'static [&'static str],
    /// Where to get it elsewhere.
    home: &'static str,
    is_there: fn() -> bool,
}

const SERVERS: [Need; 4] = [
    Need {
        name: "PostgreSQL's server",
        packages: &["postgresql"],
        home: "https://www.postgresql.org/download/ or `brew install postgresql`",
        is_there: has_postgres,
    },
    Need {
        name: "redis-server",
        packages: &["redis-server"],
        home: "https://redis.io/downloads/ or `brew install redis`",
        is_there: || run::find("redis-server").is_some(),
    },
    Need {
        name: "redis-cli",
        packages: &["redis-tools"],
        home: "https://redis.io/downloads/ or `brew install redis`",
        is_there: || run::find("redis-cli").is_some(),
    },
    Need {
        name: "setpriv",
        packages: &["util-linux"],
        home: "util-linux of your distribution",
        // Only Linux has the system call behind it; elsewhere the tests do without.
        is_there: || !cfg!(target_os = "linux") || run::find("setpriv").is_some(),
    },
];

/// For the crates' tests and for those of `infra/`.
const PYTHON: Need = Need {
    name: "Python 3.10 or newer with venv",
    packages: &["python3-venv"],
    home: "https://www.python.org/downloads/ or `brew install python`",
    is_there: python::is_there,
};

/// For the page's tests and those of `infra/`.
const NPM: Need = Need {
    name: "npm",
    packages: &["npm"],
    home: "https://nodejs.org/ or `brew install node`",
    is_there: || run::find("npm").is_some(),
};

const OPENSSL: Need = Need {
    name: "openssl",
    packages: &["openssl"],
    home: "https://openssl-library.org/source/ or `brew install openssl`",
    is_there: || run::find("openssl").is_some(),
};

const BROWSER: [Need; 2] = [
    Need {
        name: "Chromium",
        packages: &["chromium", "chromium-browser"],
        home: "https://www.chromium.org/getting-involved/download-chromium/ or `brew install --cask chromium`",
        is_there: || browser().is_some(),
    },
    Need {
        name: "Node.js 20.19 or newer",
        packages: &["nodejs"],
        home: "https://nodejs.org/ or `brew install node`",
        is_there: || node().is_some(),
    },
];

/// The names that browsers of its family go by.
const BROWSERS: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// `cargo xtask setup`
pub(crate) fn run() -> Result<ExitCode> {
    if provide(Wanted { servers: true, browser: true, infra: true })? {
        println!("everything that the tests need is there");
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::from(2))
    }
}

/// Sees to it that what is wanted is there. If it cannot be had, says so in one line and answers no.
pub(crate) fn provide(wanted: Wanted) -> Result<bool> {
    let mut missing: Vec<&Need> =
        needs(wanted).into_iter().filter(|need| !(need.is_there)()).collect();
    if !missing.is_empty()
        && let Some(apt) = Apt::find()
    {
        apt.install(&missing)?;
        missing.retain(|need| !(need.is_there)());
    }
    if wanted.browser && node().is_none() && run::find("npm").is_some() {
        install_node()?;
        missing.retain(|need| !(need.is_there)());
    }
    if missing.is_empty() {
        if wanted.servers {
            python::PROGRAMS.provide()?;
        }
        if wanted.infra {
            python::INFRA.provide()?;
            python::CHECKOV.provide()?;
            provide_guard()?;
        }
        return Ok(true);
    }
    let missing: Vec<String> =
        missing.iter().map(|need| format!("{} ({})", need.name, need.home)).collect();
    println!("missing, install first: {}", missing.join(", "));
    Ok(false)
}

fn needs(wanted: Wanted) -> Vec<&'static Need> {
    let mut needs = Vec::new();
    if wanted.servers {
        needs.extend(&SERVERS);
    }
    if wanted.browser {
        needs.extend(&BROWSER);
    }
    if wanted.servers || wanted.infra {
        needs.push(&PYTHON);
    }
    if wanted.browser || wanted.infra {
        needs.push(&NPM);
    }
    if wanted.infra {
        needs.push(&OPENSSL);
    }
    needs
}

/// Debian's package manager, with the right to use it.
struct Apt {
    sudo: bool,
}

impl Apt {
    fn find() -> Option<Self> {
        run::find("apt-get")?;
        if run::answer("id", &["-u"])? == "0" {
            return Some(Self { sudo: false });
        }
        // Without a password: nobody may be there to type one.
        run::answer("sudo", &["-n", "true"]).map(|_| Self { sudo: true })
    }

    fn install(&self, needs: &[&Need]) -> Result<()> {
        let names: Vec<_> = needs.iter().map(|need| need.name).collect();
        println!("installing {}: this takes a minute", names.join(", "));
        // A list that cannot be refreshed may still do; whether it did is seen afterwards.
        self.get(&["update"])?;
        let packages = needs.iter().filter_map(|need| {
            need.packages
                .iter()
                .find(|package| run::answer("apt-cache", &["show", package]).is_some())
        });
        let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
        arguments.extend(packages);
        self.get(&arguments)
    }

    /// Runs `apt-get`, which is not to ask questions, and whose thousand lines are only of interest when it fails. That it
    /// did shows in what is still missing after it.
    fn get(&self, arguments: &[&str]) -> Result<()> {
        let mut words = if self.sudo { vec!["sudo", "-n"] } else { Vec::new() };
        words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]);
        words.extend(arguments);
        let output = run::command(words[0], &words[1..]).output()?;
        if !output.status.success() {
            println!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }
}

/// Debian keeps the server's programs off the path, a directory for each version.
fn has_postgres() -> bool {
    let mut versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    run::find("postgres").is_some()
        || versions.any(|version| version.path().join("bin/postgres").is_file())
}

/// The browser for the tests of the page: that of `$CHROMIUM`, or the first one that answers. Ubuntu has a program of that
/// name which only says where else to get it.
pub(crate) fn browser() -> Option<PathBuf> {
    let chosen = run::variable("CHROMIUM").map(PathBuf::from);
    chosen.or_else(|| {
        let mut found = BROWSERS.iter().filter_map(|browser| run::find(browser));
        found.find(|browser| run::answer(&browser.to_string_lossy(), &["--version"]).is_some())
    })
}

/// Node.js of an age that will do: the machine's or, failing that, the one of [`install_node`].
pub(crate) fn node() -> Option<String> {
    let ours = run::tools().join("node_modules/.bin/node").to_str()?.to_owned();
    ["node".to_owned(), ours].into_iter().find(|node| {
        let version = run::answer(node, &["--version"]);
        version
            .and_then(|version| node_version(&version))
            .is_some_and(|version| version >= OLDEST_NODE)
    })
}

/// Installs Node.js for this checkout alone.
fn install_node() -> Result<()> {
    println!("installing {NODE_PACKAGE} into {}", run::tools().display());
    let mut install = run::command("npm", &["install", "--no-audit", "--no-fund", "--prefix"]);
    run::stream(install.arg(run::tools()).arg(NODE_PACKAGE), |_| ())?;
    Ok(())
}

/// cfn-guard for this machine, be it installed or not. The package has it for four kinds of machines.
pub(crate) fn guard() -> PathBuf {
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
        run::stream(install.arg(run::tools()).arg(GUARD_PACKAGE), |_| ())?;
    }
    ensure!(guard.is_file(), "{GUARD_PACKAGE} has no cfn-guard for this machine");
    // The package's files are not executable.
    run::answer("chmod", &["+x", &guard.to_string_lossy()]);
    Ok(())
}

/// Major and minor of `v20.19.2`.
fn node_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix('v')?.split('.').map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_tells_its_version() {
        assert_eq!(node_version("v20.19.2"), Some((20, 19)));
        assert_eq!(node_version("v23.0.0-nightly"), Some((23, 0)));
        assert_eq!(node_version("unknown"), None);
        assert!(node_version("v18.20.4") < Some(OLDEST_NODE));
    }
}
