//! A whole stack of a test's own.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use testbed::{eventually, free_port, http};

use crate::docker::{Compose, docker, ended, said};

/// The four applications. Each has a task and a sidecar besides, called `NAME-task` and `NAME-envoy`.
pub(crate) const NODES: [&str; 4] = ["yelb-ui", "yelb-appserver", "yelb-db", "redis-server"];

/// How long a stack may take to be healthy once its images are there.
pub(crate) const TO_BE_HEALTHY: Duration = Duration::from_mins(1);

/// How long it may take until it has noticed that a part is down, or up again.
pub(crate) const TO_NOTICE: Duration = Duration::from_secs(30);

/// All services of docker-compose.yml that run on their own, as a Compose project. Dropping it takes it down.
pub(crate) struct Stack {
    compose: Compose,
    project: String,
    page: SocketAddr,
}

impl Stack {
    /// Starts one and waits until all of it is healthy.
    #[track_caller]
    pub(crate) fn up() -> Self {
        Self::up_with(Compose::V2)
    }

    /// As [`Self::up`], by this generation of Compose.
    #[track_caller]
    pub(crate) fn up_with(compose: Compose) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let project = format!("yelb-e2e-{}-{}", process::id(), COUNT.fetch_add(1, Relaxed));
        // Docker cannot be told to choose one and keep it over a restart.
        let page = (Ipv4Addr::LOCALHOST, free_port()).into();
        let stack = Self { compose, project, page };
        stack.start_all();
        stack.wait_until_healthy();
        stack
    }

    /// Waits until all of it is healthy, and until the sidecars have found each other.
    #[track_caller]
    pub(crate) fn wait_until_healthy(&self) {
        eventually(TO_BE_HEALTHY, "every container is healthy", || self.is_healthy());
        eventually(TO_NOTICE, "the front door leads to the votes", || self.total().is_some());
    }

    /// `up`, as a user says it.
    #[track_caller]
    pub(crate) fn start_all(&self) {
        said(self.command().args(["up", "--detach", "--no-build"]));
    }

    /// `down --volumes`, as a user says it.
    pub(crate) fn down(&self) {
        ended(self.command().args(["down", "--volumes", "--timeout", "1"]));
    }

    /// Where the page is.
    pub(crate) fn page(&self) -> SocketAddr {
        self.page
    }

    /// The status and the body of an answer to a GET at the front door, 0 if there is no answer.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let Ok(mut connection) = http::Raw::try_connect(self.page) else {
            return (0, String::new());
        };
        connection
            .send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
        match connection.try_read_response_to("GET") {
            Ok(answer) => (answer.status, answer.text().to_owned()),
            Err(nothing) => (0, nothing),
        }
    }

    /// All counts together, as the API tells them.
    pub(crate) fn total(&self) -> Option<i64> {
        let (200, body) = self.get("/api/getvotes") else { return None };
        let rows: serde_json::Value = serde_json::from_str(&body).ok()?;
        rows.as_array()?.iter().map(|row| row["value"].as_i64()).sum()
    }

    /// Compose on this stack.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.compose.command(&self.project);
        command.env("YELB_UI_PORT", self.page.port().to_string());
        command
    }

    /// The name of a network or volume of this stack.
    pub(crate) fn named(&self, name: &str) -> String {
        format!("{}_{name}", self.project)
    }

    /// The container of a service.
    #[track_caller]
    pub(crate) fn container(&self, service: &str) -> String {
        let id = said(self.command().args(self.listing()).arg(service));
        assert_eq!(id.lines().count(), 1, "{service} has one container: {id}");
        id
    }

    /// The older generation lists what has ended without being asked to.
    fn listing(&self) -> &'static [&'static str] {
        match self.compose {
            Compose::V1 => &["ps", "--quiet"],
            Compose::V2 => &["ps", "--quiet", "--all"],
        }
    }

    /// Runs a program in the container of a service, and answers what it writes.
    #[track_caller]
    pub(crate) fn run_in(&self, service: &str, program: &[&str]) -> String {
        said(docker(&["exec", &self.container(service)]).args(program))
    }

    /// A process of the service's task, whose network it shares.
    #[track_caller]
    pub(crate) fn pid(&self, service: &str) -> u32 {
        self.inspect(service, "{{.State.Pid}}").parse().unwrap()
    }

    /// What Docker knows of the container of a service.
    #[track_caller]
    pub(crate) fn inspect(&self, service: &str, format: &str) -> String {
        said(&mut docker(&["inspect", "--format", format, &self.container(service)]))
    }

    /// The answer of the database to a query.
    #[track_caller]
    pub(crate) fn sql(&self, query: &str) -> String {
        let psql =
            ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--dbname", "yelbdatabase"];
        self.run_in("yelb-db", &[&psql[..], &["--command", query]].concat())
    }

    /// The value of a counter of a sidecar.
    #[track_caller]
    pub(crate) fn counter(&self, node: &str, name: &str) -> u64 {
        let ask = format!(
            r"exec 3<>/dev/tcp/127.0.0.1/9901; printf 'GET /stats?filter=^{name}$ HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n' >&3; cat <&3"
        );
        let answer = self.run_in(&format!("{node}-envoy"), &["bash", "-c", &ask]);
        let line = answer.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("{node} counts no {name}: {answer}")).trim().parse().unwrap()
    }

    /// Whether each container that runs on its own runs, and is healthy if it says anything about that.
    fn is_healthy(&self) -> bool {
        let state = "{{.State.Running}} {{if .State.Health}}{{.State.Health.Status}}{{end}}";
        NODES.iter().all(|node| {
            ["", "-envoy", "-task"].iter().all(|kind| {
                let state = self.inspect(&format!("{node}{kind}"), state);
                state == "true healthy" || (state == "true" && *kind == "-task")
            })
        })
    }

    /// The logs of all its containers, for a test that has failed.
    fn logs(&self) -> String {
        let output = ended(self.command().args(["logs", "--no-color", "--tail", "40"]));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut text = String::new();
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "what the containers of {} said last:\n{}",
                self.project,
                self.logs()
            );
            eprintln!("{text}");
        }
        self.down();
    }
}
