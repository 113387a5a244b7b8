//! Installs the programs that the tests need: by itself on Debian and Ubuntu, elsewhere by naming them.

mod containers;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::{infra, python, run};

/// What the page's tests ask for in `engines`.
const OLDEST_NODE: (u32, u32) = (20, 19);

/// What npm installs where the distribution's Node.js is older than that, as that of Debian 12 and Ubuntu 24.04 is.
const NODE_PACKAGE: &str = "node@22.23.3";

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

/// What one kind of tests needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// The stores, and the proxy of the original's UI.
    Servers,
    /// What runs programs from the Python package index, and these programs.
    Python,
    /// A browser and what drives it.
    Browser,
    /// A container engine and what looks into its networks.
    Containers,
    /// What makes images where there is no registry to get them from.
    StandIns,
    /// What checks templates and emulates AWS.
    Infra,
    /// What puts the load on that is measured.
    Bench,
}

impl Set {
    /// What the tests need, but for what only machines without a registry do, and get when they turn out to be one.
    const USUAL: [Self; 5] =
        [Self::Servers, Self::Python, Self::Browser, Self::Infra, Self::Containers];

    fn needs(self) -> &'static [Need] {
        match self {
            Self::Servers => &SERVERS,
            Self::Python => &PYTHON,
            Self::Browser => &BROWSER,
            Self::Containers => &containers::ENGINE,
            Self::StandIns => &containers::STAND_INS,
            Self::Infra => &INFRA,
            Self::Bench => &BENCH,
        }
    }

    /// Why this machine cannot have it whatever is installed.
    fn out_of_reach(self) -> Option<&'static str> {
        let on_linux_only = matches!(self, Self::Containers | Self::StandIns);
        (on_linux_only && !cfg!(target_os = "linux")).then_some(
            "the tests of the whole stack look into the networks of containers, which takes Linux",
        )
    }
}

const SERVERS: [Need; 6] = [
    Need {
        name: "PostgreSQL's server",
        packages: &["postgresql"],
        home: "https://www.postgresql.org/download/ or `brew install postgresql`",
        is_there: has_postgres,
    },
    Need {
        name: "pgbouncer",
        packages: &["pgbouncer"],
        home: "https://www.pgbouncer.org/install.html or `brew install pgbouncer`",
        is_there: || run::find("pgbouncer").is_some(),
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
        name: "nginx",
        packages: &["nginx"],
        home: "https://nginx.org/en/download.html or `brew install nginx`",
        is_there: || testbed::Nginx::find().is_some(),
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
const VENV: Need = Need {
    name: "Python 3.10 or newer with venv",
    packages: &["python3-venv"],
    home: "https://www.python.org/downloads/ or `brew install python`",
    is_there: python::is_there,
};

/// For the page's tests and for those of `infra/`.
const NPM: Need = Need {
    name: "npm",
    packages: &["npm"],
    home: "https://nodejs.org/ or `brew install node`",
    is_there: || run::find("npm").is_some(),
};

const PYTHON: [Need; 1] = [VENV];

const BROWSER: [Need; 3] = [
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
    NPM,
];

const INFRA: [Need; 3] = [
    VENV,
    NPM,
    Need {
        name: "openssl",
        packages: &["openssl"],
        home: "https://openssl-library.org/source/ or `brew install openssl`",
        is_there: || run::find("openssl").is_some(),
    },
];

const BENCH: [Need; 1] = [Need {
    name: "wrk",
    packages: &["wrk"],
    home: "https://github.com/wg/wrk or `brew install wrk`",
    is_there: || run::find("wrk").is_some(),
}];

/// The names that browsers of its family go by.
const BROWSERS: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// The ending of a run that cannot begin, as opposed to one that found something.
pub(crate) const NOT_BEGUN: u8 = 2;

/// `cargo xtask setup`
pub(crate) fn run() -> Result<ExitCode> {
    let (possible, impossible): (Vec<Set>, Vec<Set>) =
        Set::USUAL.into_iter().partition(|set| set.out_of_reach().is_none());
    if !provide(&possible)? {
        return Ok(ExitCode::from(NOT_BEGUN));
    }
    match impossible.first().and_then(|set| set.out_of_reach()) {
        Some(why) => println!("everything that the other tests need is there, but {why}"),
        None => println!("everything that the tests need is there"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Sees to it that these are there. If they cannot be had, says so in one line and answers no.
pub(crate) fn provide(sets: &[Set]) -> Result<bool> {
    if let Some(why) = sets.iter().find_map(|set| set.out_of_reach()) {
        println!("{why}; see `cargo xtask test --help` for how to run the others");
        return Ok(false);
    }
    let needs = sets.iter().flat_map(|set| set.needs());
    let mut missing: Vec<&Need> = Vec::new();
    for need in needs.filter(|need| !(need.is_there)()) {
        // Two kinds of tests may need the same, and ask for it both.
        if !missing.iter().any(|other| other.name == need.name) {
            missing.push(need);
        }
    }
    if !missing.is_empty()
        && let Some(apt) = Apt::find()
    {
        apt.install(&missing)?;
        missing.retain(|need| !(need.is_there)());
    }
    if sets.contains(&Set::Browser) && node().is_none() && run::find("npm").is_some() {
        install_node()?;
        missing.retain(|need| !(need.is_there)());
    }
    if missing.is_empty() {
        if sets.contains(&Set::Python) {
            python::PROGRAMS.provide()?;
        }
        if sets.contains(&Set::Infra) {
            infra::provide()?;
        }
        return Ok(true);
    }
    let missing: Vec<String> =
        missing.iter().map(|need| format!("{} ({})", need.name, need.home)).collect();
    println!("missing, install first: {}", missing.join(", "));
    Ok(false)
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

/// Major and minor of `v20.19.2`.
fn node_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix('v')?.split('.').map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_containers_take_linux() {
        for set in [Set::Servers, Set::Python, Set::Browser] {
            assert_eq!(set.out_of_reach(), None);
        }
        for set in [Set::Containers, Set::StandIns] {
            assert_eq!(set.out_of_reach().is_none(), cfg!(target_os = "linux"));
        }
    }

    #[test]
    fn node_tells_its_version() {
        assert_eq!(node_version("v20.19.2"), Some((20, 19)));
        assert_eq!(node_version("v23.0.0-nightly"), Some((23, 0)));
        assert_eq!(node_version("unknown"), None);
        assert!(node_version("v18.20.4") < Some(OLDEST_NODE));
    }
}
