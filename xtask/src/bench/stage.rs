//! Who is measured: all of them at once, so that each pass can go through them in turn.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result};
use testbed::Envoy;

use super::figures::Slow;
use super::servers::{self, AppServer, Nginx, Page, Single};
use super::{Options, Row, wrk};

/// The static reply that everything is compared with.
pub(crate) const STATIC: &str = "static reply, `/api/hostname`";
pub(crate) const VOTE: &str = "vote, committed";
pub(crate) const GETVOTES: &str = "`getvotes`";
pub(crate) const GETSTATS: &str = "`getstats`, which counts a page view";
/// What the page sends: through yelb-ui, and through nginx in its place.
pub(crate) const KEYED_BY_UI: &str = "vote with a key through yelb-ui";
pub(crate) const KEYED_BY_NGINX: &str = "vote with a key through nginx, `proxy_pass`";
const KEYED_BY_MESH: &str = "vote with a key through Envoy, yelb-ui and Envoy";
pub(crate) const SINGLE: &str = "one statement for each vote";

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
    fn keyed(name: &str, server: SocketAddr, pid: Option<u32>) -> Self {
        Self { keys: true, pid, ..Self::new(name, server, "/api/ihop") }
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
fn calls(server: SocketAddr, pid: u32) -> Vec<Subject> {
    vec![
        Subject::new(STATIC, server, "/api/hostname"),
        Subject::new(VOTE, server, "/api/ihop"),
        Subject::keyed("vote with a key", server, Some(pid)),
        Subject::new(GETVOTES, server, "/api/getvotes"),
        Subject::new(GETSTATS, server, "/api/getstats"),
    ]
}

/// Somebody's own Yelb, told as `NAME=URL`.
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
    yelb: AppServer,
    page: Page,
    envoy: Envoy,
    /// The page's server between two sidecars.
    mesh: (Envoy, Page),
    single: Single,
    nginx: Option<Nginx>,
    beside: Option<Beside>,
}

impl Stage {
    pub(crate) fn start(options: &Options) -> Self {
        let given = options.database_url.as_deref().zip(options.redis_url.as_deref());
        let yelb = AppServer::start(given);
        let envoy = yelb.behind_envoy();
        let behind = Page::start_before(envoy.address());
        Self {
            page: Page::start(&yelb),
            mesh: (Envoy::before(&[behind.address().port()]), behind),
            envoy,
            single: Single::start(&yelb),
            nginx: Nginx::start(yelb.address()),
            beside: options.beside.clone(),
            yelb,
        }
    }

    pub(crate) fn subjects(&self) -> Vec<Subject> {
        let (yelb, page) = (self.yelb.address(), self.page.address());
        let mut subjects = calls(yelb, self.yelb.pid());
        subjects.extend([
            Subject::new(SINGLE, self.single.address(), "/api/ihop"),
            Subject::new("static reply behind Envoy", self.envoy.address(), "/api/hostname"),
            Subject::new("vote behind Envoy", self.envoy.address(), "/api/ihop"),
            Subject::new("the page, from yelb-ui", page, "/"),
            Subject::new("vote through yelb-ui", page, "/api/ihop"),
            Subject::keyed(KEYED_BY_UI, page, Some(self.page.pid())),
            Subject::keyed(KEYED_BY_MESH, self.mesh.0.address(), Some(self.mesh.1.pid())),
        ]);
        if let Some(nginx) = &self.nginx {
            subjects.push(Subject::keyed(KEYED_BY_NGINX, nginx.address(), Some(nginx.pid())));
            subjects.push(Subject::new("nginx, static", nginx.address(), "/"));
        }
        if let Some(beside) = &self.beside {
            subjects.extend(beside.subjects());
        }
        subjects
    }

    /// What cannot be measured here, and why.
    pub(crate) fn missing(&self) -> Option<(&'static str, &'static str)> {
        self.nginx.is_none().then_some(("nginx, static", "nginx is not installed"))
    }

    /// The CPU time that the app server has used so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.yelb.cpu()
    }

    /// The most memory that servers which had served nobody have, once each kind of load was on them.
    pub(crate) fn memory_mib(&self, time: Duration) -> Result<Vec<(&'static str, f64)>> {
        const CROWD: u32 = 256;
        let yelb = self.yelb.another();
        for subject in calls(yelb.address(), yelb.pid()) {
            subject.measure(CROWD, time)?;
        }
        let mut most = vec![("app server", yelb.most_memory_mib())];
        let page = Page::start(&yelb);
        for subject in [
            Subject::new("yelb-ui, the page", page.address(), "/"),
            Subject::keyed("yelb-ui, votes with keys as well", page.address(), None),
        ] {
            subject.measure(CROWD, time)?;
            let name =
                if subject.keys { "yelb-ui, votes with keys as well" } else { "yelb-ui, the page" };
            most.push((name, page.most_memory_mib()));
        }
        Ok(most)
    }

    /// What a vote takes when each round trip to the database takes longer; nothing where the database is somebody's own.
    pub(crate) fn slow(&self, time: Duration) -> Result<Option<Slow>> {
        const DELAY_MS: u64 = 20;
        let Some((server, detour)) = self.yelb.another_by_detour() else { return Ok(None) };
        detour.takes(Duration::from_millis(DELAY_MS));
        let vote = Subject::new("vote, slow database", server.address("api"), "/api/ihop");
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
