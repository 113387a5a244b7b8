//! What the tests of the whole stack need.

use std::path::{Path, PathBuf};

use super::Need;
use crate::e2e::compose;
use crate::run;

pub(super) const ENGINE: [Need; 7] = [
    Need {
        name: "Docker's engine",
        packages: &["docker.io"],
        home: "https://docs.docker.com/engine/install/",
        // Its server may be another machine's, or run already from who knows where.
        is_there: || is_installed("dockerd") || server_answers(),
    },
    Need {
        name: "Docker's client",
        packages: &["docker-cli", "docker.io"],
        home: "https://docs.docker.com/engine/install/",
        is_there: || is_installed("docker"),
    },
    Need {
        name: "docker-compose 1.29",
        packages: &["docker-compose"],
        home: "the package docker-compose of Debian 12 or Ubuntu 24.04",
        is_there: || compose::first().is_some(),
    },
    Need {
        name: "iptables",
        packages: &["iptables"],
        home: "iptables of your distribution",
        is_there: || is_installed("iptables"),
    },
    Need {
        name: "ip",
        packages: &["iproute2"],
        home: "iproute2 of your distribution",
        is_there: || is_installed("ip"),
    },
    Need {
        name: "nsenter",
        packages: &["util-linux"],
        home: "util-linux of your distribution",
        is_there: || is_installed("nsenter"),
    },
    Need {
        name: "openssl",
        packages: &["openssl"],
        home: "openssl of your distribution",
        is_there: || is_installed("openssl"),
    },
];

pub(super) const STAND_INS: [Need; 2] = [
    Need {
        name: "debootstrap",
        packages: &["debootstrap"],
        home: "debootstrap of your distribution",
        is_there: || is_installed("debootstrap"),
    },
    Need {
        name: "Debian's archive keys",
        packages: &["debian-archive-keyring"],
        home: "debian-archive-keyring of your distribution",
        is_there: || Path::new("/usr/share/keyrings/debian-archive-keyring.gpg").is_file(),
    },
];

fn server_answers() -> bool {
    run::answer("docker", &["version", "--format", "{{.Server.Version}}"]).is_some()
}

/// Also where only an administrator has it on the path.
fn is_installed(program: &str) -> bool {
    let off_the_path =
        ["/usr/sbin", "/sbin"].map(|directory| PathBuf::from(directory).join(program));
    run::find(program).is_some() || off_the_path.iter().any(|file| file.is_file())
}
