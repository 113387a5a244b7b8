//! How many connections there may be.

use crate::settings::{Environment, SettingError};

/// Connections of a process, unless told otherwise.
const DEFAULT_CONNECTIONS: usize = 10_240;
/// Connections of the admin port: a few scrapers and health checks.
const ADMIN_CONNECTIONS: usize = 64;
/// Descriptors that are not for connections: stores, listeners, exporters, files.
const OTHER_DESCRIPTORS: u64 = 64;

/// How many connections there may be, together and of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All that are open at once (`YELB_MAX_CONNECTIONS`).
    pub connections: usize,
    /// Those of one address (`YELB_MAX_CONNECTIONS_PER_CLIENT`), if that is limited. Loopback never is.
    pub per_client: Option<usize>,
}

impl Limits {
    pub(crate) const ADMIN: Self = Self { connections: ADMIN_CONNECTIONS, per_client: None };

    /// Reads the settings.
    pub fn from_environment(environment: &Environment) -> Result<Self, SettingError> {
        let number = |name| environment.parsed(&[name], "a whole number from 1 to 1000000");
        let in_range = |name, number: Option<usize>| match number {
            Some(number) if !(1..=1_000_000).contains(&number) => {
                Err(SettingError::new(name, "must be a whole number from 1 to 1000000"))
            }
            number => Ok(number),
        };
        let [all, of_client] = ["YELB_MAX_CONNECTIONS", "YELB_MAX_CONNECTIONS_PER_CLIENT"];
        Ok(Self {
            connections: in_range(all, number(all)?)?.unwrap_or(DEFAULT_CONNECTIONS),
            per_client: in_range(of_client, number(of_client)?)?,
        })
    }

    /// As many as there are descriptors for: half of them, since a request may take one more, to another server.
    pub(crate) fn within(self, descriptors: Option<u64>) -> Self {
        let room = descriptors.map(|descriptors| descriptors.saturating_sub(OTHER_DESCRIPTORS) / 2);
        let room = room.and_then(|room| usize::try_from(room).ok()).unwrap_or(usize::MAX).max(1);
        if room < self.connections {
            tracing::info!(
                connections = room,
                "only {room} connections can be open at once, for want of file descriptors; raise the hard limit (ulimit -Hn)"
            );
        }
        Self { connections: self.connections.min(room), ..self }
    }
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

    fn limits(variables: &[(&str, &str)]) -> Result<Limits, String> {
        let environment = variables.iter().copied().collect();
        Limits::from_environment(&environment).map_err(|error| error.to_string())
    }

    #[test]
    fn the_limit_for_one_client_is_off_unless_it_is_set() {
        let limits = limits(&[]).unwrap();
        assert_eq!(limits, Limits { connections: DEFAULT_CONNECTIONS, per_client: None });
    }

    #[test]
    fn nonsense_names_the_setting() {
        for name in ["YELB_MAX_CONNECTIONS", "YELB_MAX_CONNECTIONS_PER_CLIENT"] {
            for nonsense in ["0", "many", "-1", "1000001"] {
                let error = limits(&[(name, nonsense)]).unwrap_err();
                assert!(error.starts_with(name), "{error}");
                assert!(error.contains("a whole number from 1 to 1000000"), "{error}");
            }
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
