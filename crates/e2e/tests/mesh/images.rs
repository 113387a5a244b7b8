//! The images of our programs, by themselves.

use std::net::SocketAddr;
use std::process::{self, Command, Stdio};

use testbed::{PATIENCE, eventually, http};

use crate::docker::{docker, ended, said};

const SERVERS: [&str; 2] = ["yelb-ui", "yelb-appserver"];

/// With the one that is the whole application.
const PROGRAMS: [&str; 3] = ["yelb", "yelb-ui", "yelb-appserver"];

/// What takes all rights away that a container can do without.
const CONFINED: [&str; 5] =
    ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];

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

    /// Where a port of it is published.
    #[track_caller]
    fn address(&self, port: u16) -> SocketAddr {
        let published = said(&mut docker(&["port", &self.0, &port.to_string()]));
        published.lines().next().unwrap_or_default().parse().unwrap()
    }

    /// Ends it as Ctrl-C does, and waits until `--rm` has removed it.
    #[track_caller]
    fn stop(self) {
        said(&mut docker(&["kill", "--signal", "INT", &self.0]));
        eventually(PATIENCE, "the container is gone", || {
            !ended(&mut docker(&["inspect", &self.0])).status.success()
        });
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
fn the_images_are_small() {
    for server in PROGRAMS {
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
    // As on Fargate; Docker itself lets every user bind privileged ports.
    let as_on_fargate = "net.ipv4.ip_unprivileged_port_start=1024";
    let run = ["--read-only", "--user", "4242:4242", "--sysctl", as_on_fargate, "yelb-ui"];
    let container = Container::run(&run);
    container.is_healthy();
    assert_eq!(container.inspect("{{.Config.User}}"), "4242:4242");
}

#[test]
fn the_page_server_gives_memory_back_also_while_it_is_idle() {
    let container = Container::run(&["yelb-ui"]);
    container.is_healthy();
    let threads = said(&mut docker(&["top", &container.0, "-L", "-o", "pid,comm"]));
    assert!(threads.contains("jemalloc_bg_thd"), "{threads}");
}

#[test]
fn the_servers_run_as_any_user_without_capabilities_on_a_read_only_file_system() {
    for server in SERVERS {
        // Stores that are down: it lives all the same.
        let stores = ["--env", "RACK_ENV=production"];
        let run = [&CONFINED[..], &stores, &["--user", "4242:4242", server]].concat();
        Container::run(&run).is_healthy();
    }
}

#[test]
fn a_privileged_port_that_is_not_permitted_is_one_line_that_says_so() {
    let on_fargate = ["run", "--rm", "--sysctl", "net.ipv4.ip_unprivileged_port_start=1024"];
    // The app server's file has no capability, because glibc would then ignore MALLOC_ARENA_MAX.
    let not_permitted =
        [("yelb-ui", &["--cap-drop", "ALL"][..]), ("yelb-appserver", &["--env", "PORT=80"])];
    for (server, options) in not_permitted {
        let output = ended(&mut docker(&[&on_fargate, options, &[server]].concat()));
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let line = String::from_utf8_lossy(&output.stderr).into_owned();
        let says = format!("{server}: PORT: cannot listen on 0.0.0.0:80 (Permission denied");
        assert!(line.contains(&says), "{line}");
    }
}

#[test]
fn there_is_nothing_in_them_to_run_but_the_program() {
    for server in PROGRAMS {
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

/// The whole application in one container, which ends as `docker run --rm` lets it.
#[track_caller]
fn yelb(options: &[&str]) -> Container {
    let run = [&["--rm", "--publish", "127.0.0.1::8080", "--publish", "127.0.0.1::4567"], options];
    let container = Container::run(&[&run.concat()[..], &["yelb"]].concat());
    container.is_healthy();
    container
}

#[test]
fn the_whole_application_is_one_docker_run_and_a_volume_keeps_its_votes() {
    let volume = format!("yelb-e2e-{}", process::id());
    let kept = ["--volume", &format!("{volume}:/data")];
    for count in 1..3 {
        let container = yelb(&[&CONFINED[..], &kept].concat());
        assert_eq!(container.inspect("{{.Config.User}}"), "65532:65532");
        let page = container.address(8080);
        assert!(http::get(page, "/").text().contains("<title>"));
        assert_eq!(http::get(page, "/api/ihop").text(), (2 * count - 1).to_string());
        assert_eq!(http::get(container.address(4567), "/api/ihop").text(), (2 * count).to_string());
        container.stop();
    }
    said(&mut docker(&["volume", "rm", &volume]));
}

#[test]
fn without_a_volume_its_votes_go_with_the_container() {
    for _ in 0..2 {
        let container = yelb(&["--read-only"]);
        assert_eq!(http::get(container.address(8080), "/api/ihop").text(), "1");
        let volume = container.inspect("{{range .Mounts}}{{.Name}}{{end}}");
        container.stop();
        assert!(!ended(&mut docker(&["volume", "inspect", &volume])).status.success(), "{volume}");
    }
}

#[test]
fn a_folder_that_it_may_not_write_is_one_line_that_says_so() {
    let output = ended(&mut docker(&["run", "--rm", "--user", "4242:4242", "yelb"]));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(line.contains("/data") && line.trim().lines().count() == 1, "{line}");
}

/// The build of the whole workspace cannot show this: it gives `yelb` the features that the servers have.
#[test]
fn yelb_leaves_dynamodb_out_and_says_which_program_has_it() {
    let url = ["--env", "DATABASE_URL=dynamodb://yelb-votes", "--env", "AWS_REGION=eu-west-1"];
    let output = ended(docker(&["run", "--rm"]).args(url).arg("yelb"));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(line.starts_with("yelb: DATABASE_URL:"), "{line}");
    assert!(line.contains("cargo run --package yelb-appserver"), "{line}");
}

#[test]
fn the_labels_tell_the_version_of_the_program() {
    for program in PROGRAMS {
        let label = r#"{{index .Config.Labels "org.opencontainers.image.version"}}"#;
        let label = said(&mut docker(&["inspect", "--format", label, program]));
        let version = said(&mut docker(&["run", "--rm", program, "--version"]));
        assert_eq!(version, format!("{program} {label}"));
    }
}
