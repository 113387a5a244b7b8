//! A private PostgreSQL server.

use std::fs::{self, DirBuilder, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Signal, getuid};

use crate::directory::Directory;
use crate::lines::Stream;
use crate::process::{self, Owned, Place, User};
use crate::{Namespace, PATIENCE, happens, port};

/// The superuser's password in the original's database image, which its app server has built in.
const PASSWORD: &str = "postgres_password";

/// Where a server listens that has a network for itself.
const PORT: u16 = 5432;

/// Ports to try before giving up: one that was free may be taken by the time the server asks for it.
const TRIES: usize = 5;

/// For tests: small, quick to start, and reached through its port alone. Without `fsync` a commit survives a killed server
/// but not a crashed machine, and nobody crashes the machine here; when a commit is acknowledged is left as it is.
const SETTINGS: [&str; 7] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "shared_buffers=16MB",
    "max_connections=100",
    "max_wal_size=1GB",
    "log_min_messages=log",
];

/// A PostgreSQL server of the test's own: superuser `postgres`, password `postgres_password`, and no database of ours until
/// the test makes one.
#[derive(Debug)]
pub struct Postgres {
    settings: Vec<String>,
    /// Where it runs, unless that is where everybody does.
    namespace: Option<Namespace>,
    /// Where it listens.
    address: Ipv4Addr,
    port: u16,
    server: Mutex<Option<Owned>>,
    /// After the server, which uses it: fields are dropped in their order.
    directory: Directory,
}

impl Postgres {
    /// Starts a server.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with settings of `postgresql.conf`, such as `&["max_connections=10", "log_statement=all"]`.
    #[track_caller]
    pub fn start_with(settings: &[&str]) -> Self {
        let mut postgres = Self::prepared(settings, None);
        let mut last = String::new();
        for _ in 0..TRIES {
            postgres.port = port::reserve();
            match postgres.launch() {
                Ok(()) => return postgres,
                Err(error) => last = error,
            }
        }
        panic!("PostgreSQL does not start: {last}")
    }

    /// Starts a server inside a network of the test's own, as in a container: on port 5432, which is free there, of every
    /// address. Only those who come from 127.0.0.1 may log in.
    #[track_caller]
    pub fn start_inside(namespace: &Namespace) -> Self {
        let mut postgres = Self::prepared(&["listen_addresses=*"], Some(namespace.clone()));
        postgres.port = PORT;
        postgres.launch_or_panic();
        postgres
    }

    /// As [`Self::start_inside`], on port 5432 of this loopback address alone, so that there may be several.
    #[track_caller]
    pub fn start_inside_at(namespace: &Namespace, address: Ipv4Addr) -> Self {
        let postgres = Self::prepared_at(namespace, address);
        copy(&TEMPLATE, &postgres.data());
        postgres.launch_or_panic();
        postgres
    }

    /// A streaming standby of this server, on port 5432 of another loopback address of its network.
    #[track_caller]
    #[must_use]
    pub fn standby_at(&self, address: Ipv4Addr) -> Self {
        let namespace = self.namespace.as_ref().expect("a standby is for a server in a network");
        let standby = Self::prepared_at(namespace, address);
        let place = Place { namespace: Some(namespace.clone()), user: account() };
        let mut backup = process::command_at(&place, &binaries().join("pg_basebackup"));
        standby.prepare(&mut backup);
        backup.args(["--write-recovery-conf", "--checkpoint=fast", "--pgdata"]).arg(standby.data());
        backup.arg("--dbname").arg(self.url("postgres"));
        let backup = process::run(backup, PATIENCE);
        assert!(backup.as_ref().is_ok_and(|(status, ..)| status.success()), "{backup:?}");
        standby.launch_or_panic();
        standby
    }

    /// A server in a network, without data.
    fn prepared_at(namespace: &Namespace, address: Ipv4Addr) -> Self {
        let listen = format!("listen_addresses={address}");
        let settings = SETTINGS.iter().copied().chain([&*listen]).map(str::to_owned).collect();
        let postgres = Self {
            settings,
            namespace: Some(namespace.clone()),
            address,
            directory: Directory::make(),
            port: PORT,
            server: Mutex::new(None),
        };
        own(postgres.directory.path());
        postgres
    }

    #[track_caller]
    fn launch_or_panic(&self) {
        if let Err(error) = self.launch() {
            panic!("PostgreSQL does not start: {error}")
        }
    }

    /// A server with its files, which has not been launched.
    fn prepared(settings: &[&str], namespace: Option<Namespace>) -> Self {
        let postgres = Self {
            settings: SETTINGS.iter().chain(settings).map(|&setting| setting.to_owned()).collect(),
            namespace,
            address: Ipv4Addr::LOCALHOST,
            directory: Directory::make(),
            port: 0,
            server: Mutex::new(None),
        };
        own(postgres.directory.path());
        copy(&TEMPLATE, &postgres.data());
        postgres
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `postgres://postgres:postgres_password@ADDRESS:PORT/DATABASE`
    pub fn url(&self, database: &str) -> String {
        let Self { address, port, .. } = self;
        format!("postgres://postgres:{PASSWORD}@{address}:{port}/{database}")
    }

    /// What `psql` prints for a statement: a line for each row, `|` between the columns. An error fails the test.
    ///
    /// Several statements in one string are one transaction.
    #[track_caller]
    pub fn sql(&self, database: &str, statement: &str) -> String {
        match self.try_sql(database, statement, PATIENCE) {
            Ok(answer) => answer,
            Err(error) => panic!("psql failed on `{statement}`: {error}"),
        }
    }

    /// As [`Self::sql`], but an error, or no answer within `limit`, is for the test to judge.
    pub fn try_sql(
        &self,
        database: &str,
        statement: &str,
        limit: Duration,
    ) -> Result<String, String> {
        let psql = binaries().join("psql");
        let place = Place { namespace: self.namespace.clone(), user: None };
        let mut command = process::command_at(&place, &psql);
        self.prepare(&mut command);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        command.args(["-d", &self.url(database), "-c", statement]);
        let (status, stdout, stderr) = process::run(command, limit)?;
        if status.success() { Ok(stdout.trim_end().to_owned()) } else { Err(stderr) }
    }

    /// Makes the database `yelbdatabase` as the original's image does, with nobody's votes in it.
    #[track_caller]
    pub fn create_original_schema(&self) {
        self.sql("postgres", "CREATE DATABASE yelbdatabase");
        self.sql(
            "yelbdatabase",
            "CREATE TABLE restaurants (name char(30), count integer, PRIMARY KEY (name));
             INSERT INTO restaurants (name, count)
             VALUES ('outback', 0), ('bucadibeppo', 0), ('chipotle', 0), ('ihop', 0)",
        );
    }

    /// The server's own log since it was started, last, for tests that count statements (`log_statement=all`).
    pub fn log(&self) -> String {
        self.server().as_ref().map(|server| server.lines().text(Stream::Stderr)).unwrap_or_default()
    }

    /// Shuts it down in order, ending connections but losing nothing. Its port refuses connections from then on.
    #[track_caller]
    pub fn stop(&self) {
        self.thaw();
        let Some(server) = self.server().take() else { return };
        server.signal(Signal::INT);
        let ended = server.wait(PATIENCE).is_some();
        assert!(ended, "PostgreSQL does not stop; {}", process::quote(server.lines()));
    }

    /// Ends all of its processes without warning. What was committed is there after [`Self::start_again`].
    #[track_caller]
    pub fn kill(&self) {
        if let Some(server) = self.server().take() {
            kill(&server);
            self.directory.note_frozen(&[]);
        }
    }

    /// Starts it again on the same port and the same data, after [`Self::stop`] or [`Self::kill`].
    #[track_caller]
    pub fn start_again(&self) {
        assert!(self.server().is_none(), "PostgreSQL is still running: stop or kill it first");
        let mut last = String::new();
        // Somebody's outgoing connection may hold the port for a moment.
        let started = happens(PATIENCE, || match self.launch() {
            Ok(()) => true,
            Err(error) => {
                last = error;
                false
            }
        });
        assert!(started, "PostgreSQL does not start again: {last}");
    }

    /// Makes all of it stand still: it accepts connections, as the kernel does that, and answers nothing, not even on
    /// connections that were open.
    #[track_caller]
    pub fn freeze(&self) {
        if let Some(server) = &*self.server() {
            process::freeze(server.pid());
            let children = process::children(server.pid());
            self.directory.note_frozen(&children);
            for child in children {
                process::freeze(child);
            }
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        if let Some(server) = &*self.server() {
            for child in process::children(server.pid()) {
                process::send(child, Signal::CONT);
            }
            server.signal(Signal::CONT);
            self.directory.note_frozen(&[]);
        }
    }

    /// One attempt to start, on the port chosen; the error is the server's own words.
    fn launch(&self) -> Result<(), String> {
        // Left behind by a killed server. Its process id may be anybody's by now, and none of its processes is left.
        drop(fs::remove_file(self.pid_file()));

        let place = Place { namespace: self.namespace.clone(), user: account() };
        let mut command = process::command_at(&place, &binaries().join("postgres"));
        self.prepare(&mut command);
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let server = Owned::spawn(command);
        let ready = happens(PATIENCE, || server.poll().is_some() || self.says_ready());
        if !ready || server.poll().is_some() {
            server.lines().wait_for_end(Duration::from_secs(1));
            return Err(process::quote(server.lines()));
        }
        *self.server() = Some(server);
        Ok(())
    }

    /// The last line of its pid file is the server's state, and `pg_ctl` waits for the same word.
    fn says_ready(&self) -> bool {
        let file = fs::read_to_string(self.pid_file()).unwrap_or_default();
        // A standby that can be read says `standby`.
        file.lines().nth(7).is_some_and(|state| matches!(state.trim_end(), "ready" | "standby"))
    }

    fn prepare(&self, command: &mut Command) {
        prepare(command, self.directory.path());
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn pid_file(&self) -> PathBuf {
        self.data().join("postmaster.pid")
    }

    fn server(&self) -> MutexGuard<'_, Option<Owned>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(server) = self.server().take() {
            kill(&server);
        }
    }
}

/// Every backend is in a process group of its own, so the group's leader is not enough. It stands still while its children
/// are listed, so that none is born meanwhile.
fn kill(server: &Owned) {
    let children = if server.poll().is_none() {
        process::freeze(server.pid());
        process::children(server.pid())
    } else {
        Vec::new()
    };
    for &child in &children {
        process::send(child, Signal::KILL);
    }
    server.kill();
    process::wait_until_gone(&children);
}

/// The directory of the server's programs. Debian keeps them off the path, a version each.
fn binaries() -> &'static Path {
    static BINARIES: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        if let Some(postgres) = process::look_for("postgres") {
            return fs::canonicalize(postgres).ok()?.parent().map(Path::to_owned);
        }
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
        let versions =
            versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let installed = versions
            .map(|version| (version, PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"))));
        let (_, newest) = installed.filter(|(_, bin)| bin.join("postgres").is_file()).max()?;
        Some(newest)
    });
    BINARIES.as_deref().unwrap_or_else(|| process::missing("postgres", "PostgreSQL's server"))
}

/// PostgreSQL refuses to run as root. Then it runs as the user its package made.
fn account() -> Option<User> {
    static ACCOUNT: LazyLock<Option<User>> = LazyLock::new(|| {
        if !getuid().is_root() {
            return None;
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = users.lines().find_map(|line| line.strip_prefix("postgres:"));
        let mut fields = user?.split(':').skip(1);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(User { uid, gid, reads_everything: false })
    });
    assert!(
        ACCOUNT.is_some() || !getuid().is_root(),
        "there is no user `postgres`, and PostgreSQL does not run as root: run the tests as an ordinary user, or run \
         `cargo xtask test`, which installs PostgreSQL with that user"
    );
    *ACCOUNT
}

/// Gives a file to the user the server runs as.
fn own(path: &Path) {
    if let Some(User { uid, gid, .. }) = account() {
        chown(path, Some(uid), Some(gid)).expect("root can give a file away");
    }
}

/// A data directory to copy: `initdb` takes seconds, a copy takes none. One for each version and recipe, made by whoever
/// comes first and kept between runs.
static TEMPLATE: LazyLock<PathBuf> = LazyLock::new(|| {
    /// Raised when [`make_template`] changes.
    const RECIPE: u32 = 1;

    let mut command = process::command(&binaries().join("postgres"));
    command.arg("--version");
    let (_, version, _) = process::run(command, PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    // postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
    let version = version.split_whitespace().nth(2).unwrap_or("unknown");

    let shelf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/testbed");
    fs::create_dir_all(&shelf).expect("the target directory can be written");
    let template = shelf.join(format!("postgres-{version}-{RECIPE}"));
    let lock = File::create(shelf.join("lock")).expect("the target directory can be written");
    // Released with `lock`, or by the kernel with the process.
    lock.lock().expect("the file system has locks");
    if !template.exists() {
        make_template(&template);
    }
    template
});

/// Runs `initdb` in a temporary directory, which the server's user can reach wherever the checkout is, and puts the result
/// where it belongs in one step.
fn make_template(template: &Path) {
    let workshop = Directory::make();
    own(workshop.path());
    let password = workshop.path().join("password");
    fs::write(&password, PASSWORD).expect("a temporary file can be written");
    own(&password);

    let data = workshop.path().join("data");
    let place = Place { namespace: None, user: account() };
    let mut command = process::command_at(&place, &binaries().join("initdb"));
    prepare(&mut command, workshop.path());
    command.arg("--pgdata").arg(&data).arg("--pwfile").arg(&password);
    // Small segments of the log, because every copy begins with one.
    command.args(["--username=postgres", "--auth=scram-sha-256", "--wal-segsize=1"]);
    command.args(["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]);
    let (status, stdout, stderr) =
        process::run(command, 4 * PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    assert!(status.success(), "initdb failed: {stdout}{stderr}");

    let unfinished = template.with_extension("unfinished");
    drop(fs::remove_dir_all(&unfinished));
    copy(&data, &unfinished);
    fs::rename(&unfinished, template).expect("a directory can be renamed");
}

fn prepare(command: &mut Command, home: &Path) {
    process::clean_environment(command, home.as_os_str());
    // macOS: without a locale the server's start is multi-threaded, which it refuses.
    command.env("LC_ALL", "C").current_dir(home);
}

/// Copies a data directory, for the user that the server runs as.
fn copy(from: &Path, to: &Path) {
    try_copy(from, to).unwrap_or_else(|error| {
        panic!("cannot copy {} to {}: {error}", from.display(), to.display())
    });
}

fn try_copy(from: &Path, to: &Path) -> std::io::Result<()> {
    // A server insists that nobody else can read its data.
    DirBuilder::new().mode(0o700).create(to)?;
    own(to);
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            try_copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            own(&target);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Instant;

    use super::*;

    const BRIEFLY: Duration = Duration::from_millis(500);

    fn answers(postgres: &Postgres) -> bool {
        postgres.try_sql("postgres", "SELECT 1", BRIEFLY).is_ok()
    }

    #[test]
    fn the_original_schema_is_there_with_its_four_rows() {
        let postgres = Postgres::start();
        postgres.create_original_schema();
        let rows =
            postgres.sql("yelbdatabase", "SELECT trim(name), count FROM restaurants ORDER BY name");
        assert_eq!(rows, "bucadibeppo|0\nchipotle|0\nihop|0\noutback|0");
        let length = "SELECT character_maximum_length FROM information_schema.columns
                      WHERE table_name = 'restaurants' AND column_name = 'name'";
        assert_eq!(postgres.sql("yelbdatabase", length), "30");
    }

    #[test]
    fn data_survives_a_stop_and_a_kill() {
        let postgres = Postgres::start();
        let port = postgres.port();
        postgres.create_original_schema();
        let vote = "UPDATE restaurants SET count = count + 1 WHERE name = 'ihop' RETURNING count";
        assert_eq!(postgres.sql("yelbdatabase", vote), "1");
        postgres.stop();
        assert!(!answers(&postgres));
        postgres.start_again();
        assert_eq!(postgres.sql("yelbdatabase", vote), "2");
        postgres.kill();
        assert!(!answers(&postgres));
        postgres.start_again();
        assert_eq!((postgres.port(), &*postgres.sql("yelbdatabase", vote)), (port, "3"));
    }

    #[test]
    fn a_frozen_server_accepts_and_does_not_answer() {
        let postgres = Postgres::start();
        // A connection that is open when the frost comes must be caught by it, too.
        let busy = {
            let url = postgres.url("postgres");
            let mut command = process::command(&binaries().join("psql"));
            postgres.prepare(&mut command);
            command.args([
                "-X",
                "-A",
                "-t",
                "-d",
                &url,
                "-c",
                "SELECT 'began'",
                "-c",
                "SELECT pg_sleep(0.5)",
            ]);
            Owned::spawn(command)
        };
        busy.lines().find(PATIENCE, |_, line| (line == "began").then_some(())).unwrap();
        postgres.freeze();

        assert!(TcpStream::connect(("127.0.0.1", postgres.port())).is_ok());
        assert!(!answers(&postgres));
        assert_eq!(busy.wait(2 * BRIEFLY), None);

        postgres.thaw();
        assert_eq!(postgres.sql("postgres", "SELECT 1"), "1");
        assert!(busy.wait(PATIENCE).unwrap().success());
    }

    #[test]
    fn a_frozen_server_can_be_killed_or_stopped() {
        let postgres = Postgres::start();
        postgres.freeze();
        postgres.stop();
        postgres.start_again();
        postgres.freeze();
        postgres.kill();
        postgres.start_again();
        assert!(answers(&postgres));
    }

    #[test]
    fn dropping_kills_all_of_it() {
        let postgres = Postgres::start();
        let (port, leader) = (postgres.port(), postgres.server().as_ref().unwrap().pid());
        let children = process::children(leader);
        assert!(children.len() > 2, "{children:?}");
        let data = postgres.data();
        drop(postgres);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        process::wait_until_gone(&children);
        assert!(!data.exists());
    }

    #[test]
    fn a_wrong_password_is_refused() {
        let postgres = Postgres::start();
        let url = postgres.url("postgres").replace(PASSWORD, "guess");
        let mut command = process::command(&binaries().join("psql"));
        postgres.prepare(&mut command);
        command.args(["-X", "-d", &url, "-c", "SELECT 1"]);
        let (status, _, stderr) = process::run(command, PATIENCE).unwrap();
        assert!(!status.success() && stderr.contains("authentication failed"), "{stderr}");
    }

    #[test]
    fn settings_are_the_tests_own_and_the_log_is_readable() {
        let postgres = Postgres::start_with(&["max_connections=7", "log_statement=all"]);
        assert_eq!(postgres.sql("postgres", "SHOW max_connections"), "7");
        crate::eventually(PATIENCE, "the statement is in the log", || {
            postgres.log().contains("statement: SHOW max_connections")
        });
    }

    #[test]
    #[should_panic(expected = "relation \"nowhere\" does not exist")]
    fn an_error_fails_the_test_with_the_servers_words() {
        Postgres::start().sql("postgres", "SELECT * FROM nowhere");
    }

    #[test]
    fn starting_takes_no_initdb() {
        drop(Postgres::start());
        let before = Instant::now();
        drop(Postgres::start());
        assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
    }
}
