//! The servers that are measured: release builds, each on a port of its own, gone with this process.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use testbed::{Detour, Envoy, PATIENCE, Postgres, Program, Redis, Running, eventually, http};

use crate::run;

const DATABASE: &str = "yelbdatabase";
/// How the URL of a database on this machine goes on after the login.
const LOCAL: &str = "@127.0.0.1:";
/// Ticks of the clock by which the kernel counts CPU time (`getconf CLK_TCK`), the same on all of Linux.
const TICKS_PER_SECOND: u64 = 100;
const STARTS: usize = 5;

/// A program of the release build, which writes no line for each request, with the memory allocator as in the images.
fn release(name: &str) -> Program {
    Program::new(run::root().join("target/release").join(name))
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
struct Databases {
    postgres_url: String,
    redis_url: String,
    /// Unless they are somebody else's.
    _own: Option<(Postgres, Redis)>,
}

impl Databases {
    /// Made for this; Postgres writes to the disk before it answers.
    fn own() -> Self {
        let postgres = Postgres::start_with(&["fsync=on", "shared_buffers=128MB"]);
        postgres.create_original_schema();
        let redis = Redis::start();
        Self {
            postgres_url: postgres.url(DATABASE),
            redis_url: redis.url(),
            _own: Some((postgres, redis)),
        }
    }

    fn given(postgres_url: &str, redis_url: &str) -> Self {
        Self { postgres_url: postgres_url.to_owned(), redis_url: redis_url.to_owned(), _own: None }
    }

    /// A program that uses them.
    fn with(&self, program: Program) -> Program {
        program.env("DATABASE_URL", &self.postgres_url).env("REDIS_URL", &self.redis_url)
    }
}

/// The app server, on its databases.
pub(crate) struct AppServer {
    server: Running,
    databases: Databases,
}

impl AppServer {
    /// Starts it, on the Postgres and the Redis of these URLs or on its own.
    pub(crate) fn start(given: Option<(&str, &str)>) -> Self {
        let databases = given
            .map_or_else(Databases::own, |(postgres, redis)| Databases::given(postgres, redis));
        let server = databases.with(release("yelb-appserver")).spawn();
        await_ready(server.address("api"));
        Self { server, databases }
    }

    /// Another one on the same databases, which has served nobody yet.
    pub(crate) fn another(&self) -> Self {
        let Databases { postgres_url, redis_url, .. } = &self.databases;
        Self::start(Some((postgres_url, redis_url)))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address("api")
    }

    pub(crate) fn behind_envoy(&self) -> Envoy {
        let envoy = Envoy::before(&[self.address().port()]);
        await_ready(envoy.address());
        envoy
    }

    /// Another one on the same stores, with a way to the database that can be made longer; nothing if the database is on
    /// another machine.
    pub(crate) fn another_by_detour(&self) -> Option<(Running, Detour)> {
        let url = &self.databases.postgres_url;
        let (_, after) = url.split_once(LOCAL)?;
        let port = after.split('/').next()?;
        let detour = Detour::to(port.parse().ok()?);
        let [straight, longer] =
            [port, &detour.port().to_string()].map(|port| format!("{LOCAL}{port}"));
        let longer = url.replacen(&straight, &longer, 1);
        let program = self.databases.with(release("yelb-appserver"));
        let server = program.env("DATABASE_URL", longer).spawn();
        await_ready(server.address("api"));
        Some((server, detour))
    }

    /// The CPU time that it has used so far.
    pub(crate) fn cpu(&self) -> Duration {
        cpu(self.server.pid())
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// The most memory that it has had so far.
    pub(crate) fn most_memory_mib(&self) -> f64 {
        most_memory_mib(&self.server)
    }
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

fn most_memory_mib(program: &Running) -> f64 {
    let kib = u32::try_from(program.most_memory_kib()).unwrap_or(u32::MAX);
    f64::from(kib) / 1024.0
}

/// The page's server, with the app server behind it.
pub(crate) struct Page(Running);

impl Page {
    pub(crate) fn start(yelb: &AppServer) -> Self {
        Self::start_before(yelb.address())
    }

    /// With whatever leads to the app server behind it.
    pub(crate) fn start_before(api: SocketAddr) -> Self {
        let api = format!("http://{api}");
        let server = release("yelb-ui").env("YELB_APPSERVER_ENDPOINT", api).spawn();
        await_ready(server.address("page"));
        Self(server)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.0.pid()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address("page")
    }

    pub(crate) fn most_memory_mib(&self) -> f64 {
        most_memory_mib(&self.0)
    }
}

/// The same listener and the same store without batches.
pub(crate) struct Single(Running);

impl Single {
    pub(crate) fn start(yelb: &AppServer) -> Self {
        let server = yelb.databases.with(release("examples/one_statement_per_vote")).spawn();
        await_ready(server.address("api"));
        Self(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address("api")
    }
}

/// nginx, which answers `/` with a short text and passes `/api` on to the app server, as the original's UI does.
pub(crate) struct Nginx {
    server: Running,
    address: SocketAddr,
}

impl Nginx {
    /// Nothing where there is none.
    pub(crate) fn start(api: SocketAddr) -> Option<Self> {
        let program = Program::new(testbed::Nginx::find()?);
        let home = program.home().to_owned();
        let port = testbed::free_port();
        let configuration = home.join("nginx.conf");
        let text = format!(
            "daemon off; worker_processes auto; pid {home}/pid; error_log stderr;\n\
             events {{ worker_connections 2048; }}\n\
             http {{ access_log off; client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;\n\
             uwsgi_temp_path {home}/u; scgi_temp_path {home}/s; keepalive_requests 100000000;\n\
             upstream api {{ server {api}; keepalive 512; keepalive_requests 100000000; }}\n\
             server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ default_type text/plain; return 200 vm; }}\n\
             location /api/ {{ proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}\n",
            home = home.display()
        );
        fs::write(&configuration, text).expect("a program's home can be written");
        let server = program.arg("-c").arg(&configuration).spawn();
        let address = (Ipv4Addr::LOCALHOST, port).into();
        eventually(PATIENCE, "nginx listens", || std::net::TcpStream::connect(address).is_ok());
        Some(Self { server, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its first process, whose children serve.
    pub(crate) fn pid(&self) -> u32 {
        self.server.pid()
    }
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
