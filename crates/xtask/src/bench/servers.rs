//! The servers that are measured: release builds, each on a port of its own, gone with this process.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use testbed::{
    DelayProxy, Envoy, PATIENCE, PgBouncer, Postgres, Program, Redis, Running, eventually, http,
};

use crate::run;

const DATABASE: &str = "yelbdatabase";
/// How the URL of a database on this machine goes on after the login.
const LOCAL: &str = "@127.0.0.1:";
/// Ticks of the clock by which the kernel counts CPU time (`getconf CLK_TCK`), the same on all of Linux.
const TICKS_PER_SECOND: u64 = 100;
const STARTS: usize = 5;

/// A program of the release build, which writes no line for each request, with the memory allocator as in the images.
fn release(name: &str) -> Program {
    program(&format!("target/release/{name}"))
}

/// The same of another build, by its path from the root of the checkout.
fn program(path: &str) -> Program {
    Program::new(run::root().join(path))
        .env("RUST_LOG", "info,yelb_service::observe=warn")
        .envs("PORT=0, YELB_ADMIN_PORT=off, MALLOC_ARENA_MAX=1")
}

#[track_caller]
fn await_ready(address: SocketAddr) {
    eventually(PATIENCE, "the server is ready", || {
        http::get(address, "/readyz").status == 200 && http::get(address, "/api/ihop").status == 200
    });
}

/// Where votes and page views are.
pub(crate) struct Databases {
    postgres_url: String,
    redis_url: String,
    /// Unless they were given; the pooler before the database that it is for.
    own: Option<(PgBouncer, Postgres, Redis)>,
}

impl Databases {
    /// Made for this; Postgres writes to the disk before it answers.
    pub(crate) fn own() -> Self {
        let postgres = Postgres::start_with(&["fsync=on", "shared_buffers=128MB"]);
        postgres.create_original_schema();
        let redis = Redis::start();
        // One session for each of an app server's tasks, and one for its maintenance.
        let pooler = PgBouncer::before(&postgres, DATABASE, 3, "");
        Self {
            postgres_url: postgres.url(DATABASE),
            redis_url: redis.url(),
            own: Some((pooler, postgres, redis)),
        }
    }

    pub(crate) fn given(postgres_url: &str, redis_url: &str) -> Self {
        Self { postgres_url: postgres_url.to_owned(), redis_url: redis_url.to_owned(), own: None }
    }

    /// A program that uses them.
    fn with(&self, program: Program) -> Program {
        program.env("DATABASE_URL", &self.postgres_url).env("REDIS_URL", &self.redis_url)
    }
}

/// One of our servers.
pub(crate) struct Served {
    program: Running,
    /// What the program calls the server that is measured.
    name: &'static str,
}

impl Served {
    fn start(program: Program, name: &'static str) -> Self {
        let served = Self { program: program.spawn(), name };
        await_ready(served.address());
        served
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.program.address(self.name)
    }

    /// The most memory that it has had so far.
    pub(crate) fn most_memory_mib(&self) -> f64 {
        mib(self.program.most_memory_kib())
    }

    /// The memory that it has now.
    pub(crate) fn memory_mib(&self) -> f64 {
        mib(self.program.memory_kib())
    }

    /// How many file descriptors it has open, connections among them.
    pub(crate) fn descriptors(&self) -> usize {
        self.program.descriptors()
    }

    /// Asks it to end, as an orchestrator does, and says how long that takes.
    pub(crate) fn stop(&self) -> Duration {
        let asked = Instant::now();
        self.program.terminate();
        self.program.wait(PATIENCE);
        asked.elapsed()
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.program.pid()
    }
}

fn mib(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}

/// The CPU time that a process and its children, such as nginx's workers, have used so far.
pub(crate) fn cpu(pid: u32) -> Duration {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    children.chain([pid]).map(cpu_of_one).sum()
}

fn cpu_of_one(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may have spaces; user and system time are 12 and 13 fields after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

impl Databases {
    /// An app server on them.
    pub(crate) fn app_server(&self) -> Served {
        Served::start(self.with(release("yelb-appserver")), "api")
    }

    /// An app server that reaches the database through PgBouncer; nothing where the database was given.
    pub(crate) fn pooled(&self) -> Option<Served> {
        let (pooler, ..) = self.own.as_ref()?;
        let program = self.with(release("yelb-appserver")).env("DATABASE_URL", pooler.url());
        Some(Served::start(program, "api"))
    }

    /// The same listener and the same store without batches.
    pub(crate) fn single(&self) -> Served {
        Served::start(self.with(release("examples/one_statement_per_vote")), "api")
    }

    /// An app server with a way to the database that can be made longer; nothing if the database is on another machine.
    pub(crate) fn behind_delay_proxy(&self) -> Option<(Served, DelayProxy)> {
        let url = &self.postgres_url;
        let (_, after) = url.split_once(LOCAL)?;
        let port = after.split('/').next()?;
        let proxy = DelayProxy::to(port.parse().ok()?);
        let [straight, longer] =
            [port, &proxy.port().to_string()].map(|port| format!("{LOCAL}{port}"));
        let longer = url.replacen(&straight, &longer, 1);
        let program = self.with(release("yelb-appserver")).env("DATABASE_URL", longer);
        Some((Served::start(program, "api"), proxy))
    }
}

/// The page's server, with an app server behind it, or what leads to one.
pub(crate) fn page(api: SocketAddr) -> Served {
    page_by("", api)
}

/// The same as a shell's command has it, `NAME=VALUE… PROGRAM`, each part of which may be left out.
pub(crate) fn page_by(command: &str, api: SocketAddr) -> Served {
    let (settings, paths): (Vec<_>, Vec<_>) =
        command.split_whitespace().partition(|word| word.contains('='));
    let yelb_ui = paths.first().map_or_else(|| release("yelb-ui"), |path| program(path));
    let yelb_ui = yelb_ui.env("YELB_APPSERVER_ENDPOINT", format!("http://{api}"));
    let settings = settings.iter().filter_map(|setting| setting.split_once('='));
    let yelb_ui = settings.fold(yelb_ui, |yelb_ui, (name, value)| yelb_ui.env(name, value));
    Served::start(yelb_ui, "page")
}

/// Envoy in front of an app server.
pub(crate) fn envoy(yelb: &Served) -> Envoy {
    let envoy = Envoy::before(&[yelb.address().port()]);
    await_ready(envoy.address());
    envoy
}

/// How long `yelb`'s app server takes from its start to ready, on a new SQLite file, a few times.
pub(crate) fn starts_ms() -> Vec<f64> {
    let start = || {
        let program = release("yelb-appserver").env("DATABASE_URL", "sqlite:yelb.db");
        let started = Instant::now();
        let server = program.spawn();
        let address = server.address("api");
        eventually(PATIENCE, "it is ready", || http::get(address, "/readyz").status == 200);
        started.elapsed().as_secs_f64() * 1000.0
    };
    (0..STARTS).map(|_| start()).collect()
}

/// How long the disk takes for what a commit waits for: the median of some `fdatasync`s of a page of Postgres.
pub(crate) fn sync_us() -> anyhow::Result<f64> {
    let path = run::tools().join("sync");
    let mut file = fs::File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..101 {
        file.write_all(&[0; 8192])?;
        let asked = Instant::now();
        file.sync_data()?;
        times.push(asked.elapsed().as_secs_f64() * 1e6);
    }
    fs::remove_file(path)?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
