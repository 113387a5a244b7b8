//! All of Yelb, a task for each part, each behind its Envoy.

use serde_json::Value;
use testbed::http::{self, Response};
use testbed::{PATIENCE, Postgres, Redis, Running};

use crate::task::{Task, Vpc};
use crate::virtual_node::{APPSERVER, DATABASE, REDIS, UI};

/// The tasks, their apps, and a database as the original's image makes it.
pub(crate) struct Yelb {
    pub(crate) postgres: Postgres,
    _redis: Redis,
    _apps: [Running; 2],
    pub(crate) ui: Task,
    pub(crate) appserver: Task,
    pub(crate) database: Task,
    pub(crate) cache: Task,
    vpc: Vpc,
}

impl Yelb {
    /// Starts all of it, and waits until the app server has reached its stores.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let vpc = Vpc::start();
        let [ui, appserver, database, cache] =
            [&UI, &APPSERVER, &DATABASE, &REDIS].map(|node| Task::start(&vpc, node));

        let redis = Redis::start_inside(&cache.namespace);
        let postgres = Postgres::start_inside(&database.namespace);
        postgres.create_original_schema();
        let server = appserver.app().env("RACK_ENV", "production").spawn();
        let page = ui.app().spawn();
        page.address("page");

        for store in ["votes", "page-views"] {
            let is_up = |line: &str| line.contains(" is up\"") && line.contains(store);
            server.wait_for_line(is_up, PATIENCE);
        }
        let apps = [page, server];
        Self { postgres, _redis: redis, _apps: apps, ui, appserver, database, cache, vpc }
    }

    /// A request of the load balancer's, to the page's server.
    #[track_caller]
    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let page = self.ui.address();
        self.vpc.namespace.within(|| http::request(page, "GET", path, headers, b""))
    }

    /// The segments and subsegments of a trace that all tasks have sent so far.
    pub(crate) fn trace(&self, root: &str) -> Vec<Value> {
        let tasks = [&self.ui, &self.appserver, &self.database, &self.cache];
        tasks.into_iter().flat_map(|task| task.xray.trace(root)).collect()
    }
}
