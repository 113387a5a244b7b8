//! A stand-in for the original's app server: a small Sinatra application, written from its recorded behaviour.

use std::sync::Arc;

use crate::directory::Directory;
use crate::path;
use crate::postgres::Postgres;
use crate::program::Program;
use crate::redis::Redis;
use crate::server::{Kind, Server};

/// The path of the script below the root of the workspace.
const SCRIPT: &str = "crates/testbed/src/stand_in.rb";
/// The Debian packages that the script needs.
const PACKAGES: &str = "ruby-sinatra, ruby-pg, ruby-redis and puma";

/// A stand-in for the original's app server, for one test. It runs with the original's profile `custom`.
pub type StandIn = Server<Configuration>;

/// How the stand-in is started.
#[derive(Debug)]
pub struct Configuration {
    postgres: u16,
    redis: u16,
    home: Arc<Directory>,
}

impl Server<Configuration> {
    /// Starts a stand-in on these stores. It opens new connections for each request.
    #[track_caller]
    pub fn start(postgres: &Postgres, redis: &Redis) -> Self {
        let home = Arc::new(Directory::make());
        Self::launch(Configuration { postgres: postgres.port(), redis: redis.port(), home })
    }
}

impl Kind for Configuration {
    const NAME: &'static str = "the stand-in for the original's app server";

    fn program(&self, port: u16) -> Program {
        Program::at_home(path::find("ruby", PACKAGES), &self.home)
            .arg(path::workspace().join(SCRIPT))
            .args(["-o", "127.0.0.1", "-p", &port.to_string()])
            // As in the original's image.
            .env("LANG", "C.UTF-8")
            .env("RACK_ENV", "custom")
            .env("YELB_DB_SERVER_ENDPOINT", "127.0.0.1")
            .env("YELB_DB_SERVER_PORT", self.postgres.to_string())
            .env("REDIS_SERVER_ENDPOINT", "127.0.0.1")
            .env("REDIS_SERVER_PORT", self.redis.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    #[test]
    fn it_counts_in_stores_that_may_go_and_come_back() {
        let (postgres, redis) = (Postgres::start(), Redis::start());
        postgres.create_original_schema();
        let stand_in = StandIn::start(&postgres, &redis);
        let status = |path| http::get(stand_in.address(), path).status;
        assert_eq!(http::get(stand_in.address(), "/api/ihop").text(), "1");
        postgres.stop();
        assert_eq!((status("/api/ihop"), status("/api/pageviews")), (500, 200));
        postgres.start_again();
        assert_eq!(http::get(stand_in.address(), "/api/ihop").text(), "2");
        stand_in.kill();
        stand_in.start_again();
        assert_eq!(http::get(stand_in.address(), "/api/pageviews").text(), "2");
    }
}
