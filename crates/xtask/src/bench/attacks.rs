//! Clients that hold on to what they have: what they cost a server, and how long other clients wait meanwhile.

use std::fmt::Write;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use testbed::eventually;
use testbed::http::Raw;

use super::servers::{self, Databases, Served};

/// What other clients ask for meanwhile.
const HEALTH: &str = "/livez";
const API: &str = "/api/getvotes";
/// Of each, at least; as many more as there is time for while the clients connect.
const PROBES: usize = 100;
const BETWEEN_PROBES: Duration = Duration::from_millis(50);
/// A server may have so many more file descriptors than before, for its connections to other servers.
const OTHER_DESCRIPTORS: usize = 64;
/// No limit that our servers have for a client is longer than 75 s.
const CLOSED_WITHIN: Duration = Duration::from_secs(90);
/// How long after they have closed it is told what memory a server still has.
const AFTER: Duration = Duration::from_secs(20);

/// What `cargo xtask bench attacks` can be told.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// How many connections there are, a third of it for clients that read no answer; a server holds no more than half of the
    /// file descriptors that it may have (`ulimit -Hn`)
    #[arg(long, default_value_t = 9000, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
}

/// What many clients do at once.
struct Attack {
    name: &'static str,
    clients: usize,
    /// What each of them sends.
    sends: String,
    reads_answer: bool,
}

/// What was measured of a server.
struct Figures {
    connections: usize,
    most_mib: f64,
    after_mib: f64,
    health_ms: Vec<f64>,
    api_ms: Vec<f64>,
    stop: Duration,
}

/// `cargo xtask bench attacks`, once the programs are built.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let connections = usize::from(options.connections);
    check_descriptors(connections)?;
    let databases = Databases::own();
    let mut table = format!(
        "| clients | of the | connections | most memory | {} s after they closed | `{HEALTH}` takes others, median / worst | `{API}` | from SIGTERM to the end |\n|---|---|---|---|---|---|---|---|\n",
        AFTER.as_secs()
    );
    for (name, path) in [("app server", API), ("yelb-ui", "/static/any/yelb.css")] {
        for attack in attacks(connections, path) {
            let api = databases.app_server();
            let page = (name == "yelb-ui").then(|| servers::page(api.address()));
            let figures = attack.measure(page.as_ref().unwrap_or(&api));
            let row = figures.with_context(|| format!("{name}, {}", attack.name))?.row();
            let row = format!("| {} | {name} | {row}", attack.name);
            println!("{row}");
            writeln!(table, "{row}").expect("a string takes everything");
        }
    }
    println!("\n{table}");
    Ok(ExitCode::SUCCESS)
}

fn attacks(connections: usize, path: &str) -> [Attack; 6] {
    let head = format!("GET {path} HTTP/1.1\r\nHost: yelb\r\n");
    let whole = format!("{head}\r\n");
    let body = "POST /api/ihop HTTP/1.1\r\nHost: yelb\r\nContent-Length: 5\r\n\r\nhe".to_owned();
    let silent = |name, clients, sends| Attack { name, clients, sends, reads_answer: false };
    let ahead = whole.repeat(400);
    [
        silent("none", 0, String::new()),
        silent("send nothing", connections, String::new()),
        silent("send half a head, of 60 KB", connections, head + "A: " + &"a".repeat(60_000)),
        silent("send half a body", connections, body),
        Attack { reads_answer: true, ..silent("are answered, and idle", connections, whole) },
        silent("send 400 requests, and read no answer", connections.div_ceil(3), ahead),
    ]
}

impl Attack {
    fn measure(&self, server: &Served) -> Result<Figures> {
        let (address, before) = (server.address(), server.descriptors());
        let (mut health_ms, mut api_ms, mut most) = (Vec::new(), Vec::new(), before);
        let clients = thread::scope(|scope| {
            let opening = scope.spawn(|| self.open(address));
            while !opening.is_finished() || api_ms.len() < PROBES {
                health_ms.push(wait_ms(address, HEALTH));
                api_ms.push(wait_ms(address, API));
                most = most.max(server.descriptors());
                thread::sleep(BETWEEN_PROBES);
            }
            opening.join().expect("it does not panic")
        });
        drop(clients?);
        eventually(CLOSED_WITHIN, "the server has closed the connections", || {
            server.descriptors() <= before + OTHER_DESCRIPTORS
        });
        thread::sleep(AFTER);
        let after_mib = server.memory_mib();
        let _clients = self.open(address)?;
        let most_mib = server.most_memory_mib();
        let (connections, stop) = (most - before, server.stop());
        Ok(Figures { connections, most_mib, after_mib, health_ms, api_ms, stop })
    }

    /// The clients, until they are dropped. The server may close any of them when it likes.
    fn open(&self, server: SocketAddr) -> io::Result<Vec<Raw>> {
        let open = |_| {
            let mut client = Raw::try_connect(server)?;
            if client.try_send(&self.sends).is_ok() && self.reads_answer {
                drop(client.try_read_response_to("GET"));
            }
            Ok(client)
        };
        (0..self.clients).map(open).collect()
    }
}

/// How long a client that connects now waits for its answer; without end, if that is not a 200.
fn wait_ms(server: SocketAddr, path: &str) -> f64 {
    let asked = Instant::now();
    let request = format!("GET {path} HTTP/1.1\r\nHost: yelb\r\nConnection: close\r\n\r\n");
    let answer = Raw::try_connect(server).ok().and_then(|mut client| {
        client.try_send(request).ok()?;
        client.try_read_response_to("GET").ok()
    });
    match answer {
        Some(answer) if answer.status == 200 => asked.elapsed().as_secs_f64() * 1000.0,
        _ => f64::INFINITY,
    }
}

impl Figures {
    fn row(&self) -> String {
        let megabytes = |mib: f64| mib * 1024.0 * 1024.0 / 1e6;
        format!(
            "{} | {:.0} MB | {:.0} MB | {} | {} | {:.1} s |",
            self.connections,
            megabytes(self.most_mib),
            megabytes(self.after_mib),
            spread(&self.health_ms),
            spread(&self.api_ms),
            self.stop.as_secs_f64()
        )
    }
}

fn spread(times_ms: &[f64]) -> String {
    let mut sorted: Vec<_> = times_ms.iter().copied().filter(|ms| ms.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let failed = times_ms.len() - sorted.len();
    let times = match sorted.last() {
        Some(worst) => format!("{:.1} / {worst:.1} ms", sorted[sorted.len() / 2]),
        None => "none".to_owned(),
    };
    if failed == 0 { times } else { format!("{times}; {failed} of {} failed", times_ms.len()) }
}

/// This process has all clients.
fn check_descriptors(clients: usize) -> Result<()> {
    let limits = fs::read_to_string("/proc/self/limits").context("this takes Linux")?;
    let needed = clients + OTHER_DESCRIPTORS;
    if let Some(soft) = soft_limit(&limits) {
        ensure!(
            soft >= needed,
            "--connections {clients} takes {needed} file descriptors, but this process may open {soft}: raise the limit with `ulimit -n {needed}`, or ask for fewer connections"
        );
    }
    Ok(())
}

/// How many file descriptors a process may have, by its `/proc/PID/limits`; nothing if there is no limit.
fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_the_first() {
        let limits = |soft| {
            format!(
                "Max processes 9 9 processes\nMax open files            {soft}                 20000                files\n"
            )
        };
        assert_eq!(soft_limit(&limits("1024")), Some(1024));
        assert_eq!(soft_limit(&limits("unlimited")), None);
    }

    #[test]
    fn requests_that_fail_are_told_and_take_no_time() {
        assert_eq!(spread(&[3.0, 1.0, 2.04]), "2.0 / 3.0 ms");
        assert_eq!(spread(&[1.0, f64::INFINITY, 1.0]), "1.0 / 1.0 ms; 1 of 3 failed");
        assert_eq!(spread(&[f64::INFINITY]), "none; 1 of 1 failed");
    }
}
