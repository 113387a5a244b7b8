//! How many connections there may be.

/// Connections of the admin port: a few scrapers and health checks.
const ADMIN_CONNECTIONS: usize = 64;
/// Descriptors that are not for connections: stores, listeners, exporters, files.
const OTHER_DESCRIPTORS: u64 = 64;

/// How many connections there may be, together and of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct Limits {
    /// Connections that may be open at once, at most half of the file descriptors; when there are more, those that are idle
    /// longest are closed
    #[arg(long = "max-connections", env = "YELB_MAX_CONNECTIONS", value_name = "NUMBER")]
    #[arg(default_value = "10240", value_parser = number)]
    pub connections: usize,
    /// Connections that one client address may have open at once; loopback has no limit; no limit unless set
    #[arg(long = "max-connections-per-client", env = "YELB_MAX_CONNECTIONS_PER_CLIENT")]
    #[arg(value_name = "NUMBER", value_parser = number)]
    pub per_client: Option<usize>,
}

impl Limits {
    pub(crate) const ADMIN: Self = Self { connections: ADMIN_CONNECTIONS, per_client: None };

    /// As many as there are descriptors for: half of them, since a request may take one more, to another server.
    pub(crate) fn within(self, descriptors: Option<u64>) -> Self {
        let room = descriptors.map(|descriptors| descriptors.saturating_sub(OTHER_DESCRIPTORS) / 2);
        let room = room.and_then(|room| usize::try_from(room).ok()).unwrap_or(usize::MAX).max(1);
        if room < self.connections {
            tracing::info!(
                connections = room,
                "only {room} connections can be open at once: the process may have no more file descriptors; raise the hard limit (ulimit -Hn)"
            );
        }
        Self { connections: self.connections.min(room), ..self }
    }
}

fn number(text: &str) -> Result<usize, &'static str> {
    let number = text.parse().ok().filter(|number| (1..=1_000_000).contains(number));
    number.ok_or("expected a whole number from 1 to 1000000")
}

/// Raises the soft limit of file descriptors to the hard one, and says how many that is. The soft one, often 1024, is for
/// programs that use `select`.
#[cfg(target_os = "linux")]
pub(crate) fn raise_descriptors() -> Option<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.maximum,
        Err(_) => before,
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn raise_descriptors() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_of_connections() {
        for (text, expected) in [("1", 1), ("10240", 10_240), ("1000000", 1_000_000)] {
            assert_eq!(number(text), Ok(expected));
        }
        for nonsense in ["0", "many", "-1", "1000001"] {
            assert!(number(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn there_are_no_more_than_there_are_descriptors_for() {
        let limits = Limits { connections: 1000, per_client: None };
        assert_eq!(limits.within(Some(264)).connections, 100);
        assert_eq!(limits.within(Some(1 << 20)), limits);
        assert_eq!(limits.within(None), limits);
        assert_eq!(limits.within(Some(3)).connections, 1);
    }
}
