//! A private PostgreSQL server.

mod installation;
mod template;

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use crate::directory::Directory;
use crate::namespace::Namespace;
use crate::program::{Output, Program};
use crate::server::{Kind, Server};
use crate::wait::PATIENCE;
pub(crate) use installation::{account, own};
pub(crate) use template::PASSWORD;

/// Where a server listens that has a network for itself.
const PORT: u16 = 5432;

/// For tests: small, quick to start, and reached through its port alone. Without `fsync` a commit survives a killed server
/// but not a crashed machine, and no test crashes the machine; when a commit is acknowledged is left as it is.
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
pub type Postgres = Server<Configuration>;

/// How a PostgreSQL server is started.
#[derive(Debug)]
pub struct Configuration {
    settings: Vec<String>,
    namespace: Option<Namespace>,
    /// What clients connect to.
    address: Ipv4Addr,
    home: Arc<Directory>,
}

impl Server<Configuration> {
    /// Starts a server.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with settings of `postgresql.conf`, such as `&["max_connections=10", "log_statement=all"]`.
    #[track_caller]
    pub fn start_with(settings: &[&str]) -> Self {
        Self::launch(Configuration::new(settings, None, Ipv4Addr::LOCALHOST).with_data())
    }

    /// Starts a server inside a network of the test's own, as in a container: on port 5432, which is free there, of every
    /// address. Only clients that come from 127.0.0.1 may log in.
    #[track_caller]
    pub fn start_inside(namespace: &Namespace) -> Self {
        let namespace = Some(namespace.clone());
        let configuration =
            Configuration::new(&["listen_addresses=*"], namespace, Ipv4Addr::LOCALHOST);
        Self::launch_at(PORT, configuration.with_data())
    }

    /// As [`Self::start_inside`], on port 5432 of this loopback address alone, so that there may be several.
    #[track_caller]
    pub fn start_inside_at(namespace: &Namespace, address: Ipv4Addr) -> Self {
        Self::launch_at(PORT, Configuration::alone_at(namespace, address).with_data())
    }

    /// A streaming standby of this server, on port 5432 of another loopback address of its network.
    #[track_caller]
    #[must_use]
    pub fn standby_at(&self, address: Ipv4Addr) -> Self {
        let namespace = self.kind().namespace.as_ref();
        let namespace = namespace.expect("a standby is for a server in a network");
        let standby = Configuration::alone_at(namespace, address);
        let backup = standby.program_named("pg_basebackup").run_by(installation::account());
        let backup = backup.args(["--write-recovery-conf", "--checkpoint=fast", "--pgdata"]);
        let backup = backup.arg(standby.data()).arg("--dbname").arg(self.url("postgres"));
        let output = backup.run_to_end(PATIENCE);
        assert!(output.status.success(), "{output:?}");
        Self::launch_at(PORT, standby)
    }

    /// `postgres://postgres:postgres_password@ADDRESS:PORT/DATABASE`
    pub fn url(&self, database: &str) -> String {
        let (address, port) = (self.kind().address, self.port());
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
        let psql = self.psql(&self.url(database)).args(["-c", statement]);
        let Output { status, stdout, stderr } = psql.try_run(limit)?;
        if status.success() { Ok(stdout.trim_end().to_owned()) } else { Err(stderr) }
    }

    fn psql(&self, url: &str) -> Program {
        let psql = self.kind().program_named("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url])
    }

    /// Makes the database `yelbdatabase` as the original's image does, with no votes in it.
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
}

impl Configuration {
    /// One without data, which the server's user owns the home of.
    fn new(settings: &[&str], namespace: Option<Namespace>, address: Ipv4Addr) -> Self {
        let settings = SETTINGS.iter().chain(settings).map(|&setting| setting.to_owned()).collect();
        let home = Arc::new(Directory::make());
        installation::own(home.path());
        Self { settings, namespace, address, home }
    }

    /// One in a network, at an address that others do not listen on.
    fn alone_at(namespace: &Namespace, address: Ipv4Addr) -> Self {
        let listen = format!("listen_addresses={address}");
        Self::new(&[&listen], Some(namespace.clone()), address)
    }

    /// The same with an empty database.
    fn with_data(self) -> Self {
        template::copy_to(&self.data());
        self
    }

    /// One of PostgreSQL's programs, where the server is.
    fn program_named(&self, name: &str) -> Program {
        installation::program(name, &self.home).at(self.namespace.as_ref())
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn pid_file(&self) -> PathBuf {
        self.data().join("postmaster.pid")
    }
}

impl Kind for Configuration {
    const NAME: &'static str = "PostgreSQL";
    /// A fast shutdown: sessions are ended.
    const STOP: Signal = Signal::INT;

    fn program(&self, port: u16) -> Program {
        // Left behind by a killed server. Its process id may be another's by now, and none of its processes is left.
        drop(fs::remove_file(self.pid_file()));
        let program = self.program_named("postgres").run_by(installation::account());
        let program = program.arg("-D").arg(self.data()).args(["-p", &port.to_string()]);
        self.settings.iter().fold(program, |program, setting| program.args(["-c", setting]))
    }

    /// The last line of its pid file is the server's state, and `pg_ctl` waits for the same word.
    fn is_ready(&self, _: u16) -> bool {
        let file = fs::read_to_string(self.pid_file()).unwrap_or_default();
        // A standby that can be read says `standby`.
        file.lines().nth(7).is_some_and(|state| matches!(state.trim_end(), "ready" | "standby"))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Instant;

    use rustix::process::Pid;

    use super::*;
    use crate::process_table;

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
            let psql = postgres.psql(&postgres.url("postgres"));
            psql.args(["-c", "SELECT 'began'", "-c", "SELECT pg_sleep(3)"]).spawn()
        };
        busy.wait_for_line(|line| line == "began", PATIENCE);
        postgres.freeze();

        assert!(TcpStream::connect(("127.0.0.1", postgres.port())).is_ok());
        assert!(!answers(&postgres));
        assert!(busy.try_wait(8 * BRIEFLY).is_err());

        postgres.thaw();
        assert_eq!(postgres.sql("postgres", "SELECT 1"), "1");
        assert!(busy.wait(PATIENCE).success());
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
        let (port, leader) = (postgres.port(), postgres.running().as_ref().unwrap().pid());
        let leader = Pid::from_raw(leader.try_into().unwrap()).unwrap();
        let children = process_table::children(leader);
        assert!(children.len() > 2, "{children:?}");
        let data = postgres.kind().data();
        drop(postgres);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        process_table::wait_until_gone(&children);
        assert!(!data.exists());
    }

    #[test]
    fn a_wrong_password_is_refused() {
        let postgres = Postgres::start();
        let url = postgres.url("postgres").replace(PASSWORD, "guess");
        let output = postgres.psql(&url).args(["-c", "SELECT 1"]).run_to_end(PATIENCE);
        let Output { status, stderr, .. } = output;
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
