//! A private PgBouncer in front of a PostgreSQL.

use std::fs;
use std::sync::Arc;

use crate::directory::Directory;
use crate::path;
use crate::postgres::{self, Postgres};
use crate::program::Program;
use crate::server::{Kind, Server};

/// A PgBouncer for one test. All its clients share a few sessions of the database. A client has a session for the time of one
/// transaction (`pool_mode = transaction`).
pub type PgBouncer = Server<Configuration>;

/// How a PgBouncer is started.
#[derive(Debug)]
pub struct Configuration {
    database: String,
    /// The text of `pgbouncer.ini` after the lines with the address.
    settings: String,
    home: Arc<Directory>,
}

impl Server<Configuration> {
    /// Starts a PgBouncer for one database of `postgres`, with `sessions` sessions. `more` has further settings of
    /// `pgbouncer.ini`.
    #[track_caller]
    pub fn before(postgres: &Postgres, database: &str, sessions: usize, more: &str) -> Self {
        let home = Arc::new(Directory::make());
        postgres::own(home.path());
        let settings = format!(
            "unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = transaction\n\
             default_pool_size = {sessions}\n\
             {more}\n\
             [databases]\n\
             {database} = host=127.0.0.1 port={} user=postgres password={}\n",
            postgres.port(),
            postgres::PASSWORD,
        );
        Self::launch(Configuration { database: database.to_owned(), settings, home })
    }

    /// `postgres://client@127.0.0.1:PORT/DATABASE`
    pub fn url(&self) -> String {
        format!("postgres://client@127.0.0.1:{}/{}", self.port(), self.kind().database)
    }
}

impl Kind for Configuration {
    const NAME: &'static str = "PgBouncer";

    fn program(&self, port: u16) -> Program {
        let Self { settings, home, .. } = self;
        let text =
            format!("[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n{settings}");
        fs::write(home.path().join("pgbouncer.ini"), text)
            .expect("a temporary file can be written");
        // Like PostgreSQL, PgBouncer refuses to run as root.
        let program = Program::at_home(path::find("pgbouncer", "pgbouncer"), home);
        program.run_by(postgres::account()).arg("pgbouncer.ini")
    }
}
