//! Who is measured: all of them at once, so that each pass can go through them in turn.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result};
use testbed::{Envoy, Nginx};

use super::figures::{
    GETSTATS, GETVOTES, KEYED, KEYED_BY_MESH, KEYED_BY_NGINX, KEYED_BY_UI, KEYED_POOLED, Row,
    SINGLE, STATIC, Slow, VOTE, VOTE_POOLED,
};
use super::servers::{self, Databases, Served};
use super::wrk;

/// A thing to ask for, again and again.
pub(crate) struct Subject {
    pub(crate) name: String,
    at: String,
    /// Each request has a key of its own.
    keys: bool,
    /// The process whose CPU time for each request is told.
    pid: Option<u32>,
}

impl Subject {
    fn new(name: &str, server: SocketAddr, path: &str) -> Self {
        Self { name: name.to_owned(), at: format!("http://{server}{path}"), keys: false, pid: None }
    }

    /// A vote with a key, on its way through the process `pid`.
    fn keyed(name: &str, server: SocketAddr, pid: u32) -> Self {
        Self { keys: true, pid: Some(pid), ..Self::new(name, server, "/api/ihop") }
    }

    pub(crate) fn measure(&self, connections: u32, time: Duration) -> Result<Row> {
        let load = if self.keys { wrk::run_with_keys } else { wrk::run };
        let used = || self.pid.map(servers::cpu).unwrap_or_default();
        let before = used();
        let row = load(&self.at, connections, time).with_context(|| self.name.clone())?;
        Ok(row.with_cpu(used().saturating_sub(before)))
    }
}

/// Everything that an app server can be asked for.
fn calls(yelb: &Served) -> Vec<Subject> {
    let server = yelb.address();
    vec![
        Subject::new(STATIC, server, "/api/hostname"),
        Subject { pid: Some(yelb.pid()), ..Subject::new(VOTE, server, "/api/ihop") },
        Subject::keyed(KEYED, server, yelb.pid()),
        Subject::new(GETVOTES, server, "/api/getvotes"),
        Subject::new(GETSTATS, server, "/api/getstats"),
    ]
}

/// Another Yelb, given as `NAME=URL`.
#[derive(Debug, Clone)]
pub(crate) struct Beside {
    name: String,
    url: String,
}

impl FromStr for Beside {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let parts = text
            .split_once('=')
            .filter(|(name, url)| !name.is_empty() && url.starts_with("http://"));
        let (name, url) =
            parts.ok_or("must be NAME=URL, such as original=http://127.0.0.1:4567")?;
        Ok(Self { name: name.to_owned(), url: url.trim_end_matches('/').to_owned() })
    }
}

impl Beside {
    /// What its figures are called.
    pub(crate) fn names(&self) -> [String; 2] {
        ["vote", "`getvotes`"].map(|what| format!("{}: {what}", self.name))
    }

    fn subjects(&self) -> impl Iterator<Item = Subject> {
        let paths = ["/api/ihop", "/api/getvotes"].map(|path| format!("{}{path}", self.url));
        self.names().into_iter().zip(paths).map(|(name, at)| Subject {
            name,
            at,
            keys: false,
            pid: None,
        })
    }
}

/// All servers, until it is dropped.
pub(crate) struct Stage {
    yelb: Served,
    page: Served,
    envoy: Envoy,
    /// The page's server between two sidecars.
    mesh: (Envoy, Served),
    single: Served,
    nginx: Nginx,
    /// An app server behind PgBouncer, unless the database was given.
    pooled: Option<Served>,
    /// The page's servers that these commands start.
    other_pages: Vec<(String, Served)>,
    /// After the servers, which use them: fields are dropped in their order.
    databases: Databases,
    beside: Option<Beside>,
}

impl Stage {
    /// Starts them, on the Postgres and the Redis of these URLs or on their own.
    pub(crate) fn start(
        given: Option<(&str, &str)>,
        beside: Option<Beside>,
        other_pages: &[String],
    ) -> Self {
        let databases = given
            .map_or_else(Databases::own, |(postgres, redis)| Databases::given(postgres, redis));
        let yelb = databases.app_server();
        let envoy = servers::envoy(&yelb);
        let behind = servers::page(envoy.address());
        let page_by = |command: &String| servers::page_by(command, yelb.address());
        Self {
            page: servers::page(yelb.address()),
            mesh: (Envoy::before(&[behind.address().port()]), behind),
            envoy,
            single: databases.single(),
            nginx: Nginx::in_place_of_ui(yelb.address().port()),
            pooled: databases.pooled(),
            other_pages: other_pages.iter().map(|by| (by.clone(), page_by(by))).collect(),
            beside,
            yelb,
            databases,
        }
    }

    pub(crate) fn subjects(&self) -> Vec<Subject> {
        let (page, nginx) = (self.page.address(), self.nginx.address());
        let mut subjects = calls(&self.yelb);
        subjects.extend([
            Subject::new(SINGLE, self.single.address(), "/api/ihop"),
            Subject::new("static reply behind Envoy", self.envoy.address(), "/api/hostname"),
            Subject::new("vote behind Envoy", self.envoy.address(), "/api/ihop"),
            Subject::new("the page, from yelb-ui", page, "/"),
            Subject::new("vote through yelb-ui", page, "/api/ihop"),
            Subject::keyed(KEYED_BY_UI, page, self.page.pid()),
            Subject::keyed(KEYED_BY_MESH, self.mesh.0.address(), self.mesh.1.pid()),
            Subject::keyed(KEYED_BY_NGINX, nginx, self.nginx.pid()),
            Subject::new("nginx, static", nginx, "/"),
        ]);
        if let Some(pooled) = &self.pooled {
            subjects.push(Subject::new(VOTE_POOLED, pooled.address(), "/api/ihop"));
            subjects.push(Subject::keyed(KEYED_POOLED, pooled.address(), pooled.pid()));
        }
        subjects.extend(self.other_pages.iter().map(|(command, page)| {
            Subject::keyed(&format!("{KEYED_BY_UI}, `{command}`"), page.address(), page.pid())
        }));
        if let Some(beside) = &self.beside {
            subjects.extend(beside.subjects());
        }
        subjects
    }

    /// The most memory that new servers have, once each kind of load was on them.
    pub(crate) fn memory_mib(&self, time: Duration) -> Result<Vec<(&'static str, f64)>> {
        const CROWD: u32 = 256;
        let yelb = self.databases.app_server();
        for subject in calls(&yelb) {
            subject.measure(CROWD, time)?;
        }
        let mut most = vec![("app server", yelb.most_memory_mib())];
        let page = servers::page(yelb.address());
        let keyed = Subject::keyed("", page.address(), page.pid());
        for (name, load) in [
            ("yelb-ui, the page", Subject::new("", page.address(), "/")),
            ("yelb-ui, votes with keys as well", keyed),
        ] {
            load.measure(CROWD, time)?;
            most.push((name, page.most_memory_mib()));
        }
        Ok(most)
    }

    /// What a vote takes when each round trip to the database takes longer; nothing where the database was given.
    pub(crate) fn slow(&self, time: Duration) -> Result<Option<Slow>> {
        const DELAY_MS: u64 = 20;
        let Some((server, proxy)) = self.databases.behind_delay_proxy() else { return Ok(None) };
        proxy.takes(Duration::from_millis(DELAY_MS));
        let vote = Subject::new("vote, slow database", server.address(), "/api/ihop");
        let alone = vote.measure(1, time)?;
        let crowd = vote.measure(256, time)?;
        Ok(Some(Slow { delay_ms: DELAY_MS, alone, crowd }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_yelb_has_a_name_and_an_address() {
        let beside: Beside = "original=http://127.0.0.1:4567/".parse().unwrap();
        let subjects: Vec<_> =
            beside.subjects().map(|subject| format!("{} {}", subject.name, subject.at)).collect();
        assert_eq!(
            subjects,
            [
                "original: vote http://127.0.0.1:4567/api/ihop",
                "original: `getvotes` http://127.0.0.1:4567/api/getvotes"
            ]
        );
        for mistake in ["http://127.0.0.1:4567", "=http://127.0.0.1:4567", "original=127.0.0.1", ""]
        {
            assert!(mistake.parse::<Beside>().is_err(), "{mistake}");
        }
    }
}
