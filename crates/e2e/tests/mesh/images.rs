//! The servers' images, by themselves.

use std::process::{Command, Stdio};

use testbed::{PATIENCE, eventually};

use crate::docker::{docker, ended, said};

const SERVERS: [&str; 2] = ["yelb-ui", "yelb-appserver"];

/// 30 MB, compressed as a registry keeps it.
const LARGEST: u64 = 30_000_000;

/// A container that is removed with this.
struct Container(String);

impl Container {
    #[track_caller]
    fn run(arguments: &[&str]) -> Self {
        Self(said(docker(&["run", "--detach"]).args(arguments)))
    }

    #[track_caller]
    fn inspect(&self, format: &str) -> String {
        said(&mut docker(&["inspect", "--format", format, &self.0]))
    }

    #[track_caller]
    fn is_healthy(&self) {
        eventually(PATIENCE, "the image's own health check says so", || {
            self.inspect("{{.State.Health.Status}}") == "healthy"
        });
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        ended(&mut docker(&["rm", "--force", "--volumes", &self.0]));
    }
}

#[test]
fn the_servers_images_are_small() {
    for server in SERVERS {
        let mut save = docker(&["save", server]).stdout(Stdio::piped()).spawn().unwrap();
        let mut gzip = Command::new("gzip");
        let compressed = gzip.arg("--stdout").stdin(save.stdout.take().unwrap()).output().unwrap();
        assert!(save.wait().unwrap().success());
        let size = u64::try_from(compressed.stdout.len()).unwrap();
        println!("{server}: {size} bytes compressed");
        assert!(size > 1_000_000 && size <= LARGEST, "{server}: {size} bytes");
    }
}

#[test]
fn the_page_has_port_80_without_being_root_where_low_ports_are_roots() {
    // As on Fargate; Docker itself gives low ports to everybody.
    let as_on_fargate = "net.ipv4.ip_unprivileged_port_start=1024";
    let run = ["--read-only", "--user", "4242:4242", "--sysctl", as_on_fargate, "yelb-ui"];
    let container = Container::run(&run);
    container.is_healthy();
    assert_eq!(container.inspect("{{.Config.User}}"), "4242:4242");
}

#[test]
fn the_servers_run_without_any_capability_as_anybody_on_a_read_only_file_system() {
    for server in SERVERS {
        let confined = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
        // Stores that are away: it lives all the same.
        let stores = ["--env", "RACK_ENV=production"];
        let run = [&confined[..], &stores, &["--user", "4242:4242", server]].concat();
        Container::run(&run).is_healthy();
    }
}

#[test]
fn a_port_that_nobody_grants_is_one_line_that_says_so() {
    let run = [
        "run",
        "--rm",
        "--cap-drop",
        "ALL",
        "--sysctl",
        "net.ipv4.ip_unprivileged_port_start=1024",
        "yelb-ui",
    ];
    let output = ended(&mut docker(&run));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        line.contains("yelb-ui: PORT: cannot listen on 0.0.0.0:80 (Permission denied"),
        "{line}"
    );
}

#[test]
fn there_is_nothing_in_them_to_run_but_the_server() {
    for server in SERVERS {
        assert_eq!(
            said(&mut docker(&["inspect", "--format", "{{.Config.User}}", server])),
            "65532:65532"
        );
        for shell in ["/bin/sh", "/bin/bash", "/busybox/sh"] {
            let output = ended(&mut docker(&["run", "--rm", "--entrypoint", shell, server]));
            assert_eq!(output.status.code(), Some(127), "{server}: {output:?}");
        }
    }
}
