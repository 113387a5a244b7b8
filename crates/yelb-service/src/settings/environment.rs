//! The environment, read once.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::{Alias, SettingError};

/// The environment variables of the process, or of a test.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
}

impl Environment {
    /// The variables that this process was started with.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_process() -> Self {
        let named = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        Self { variables: std::env::vars_os().filter_map(named).collect() }
    }

    /// The variable `name`. An empty one counts as not set, as an empty line in a template means.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        let value = self.variables.get(name)?;
        (!value.is_empty() && !is_injected(name, value)).then_some(value)
    }

    /// The variable `name`, which has to be text.
    pub fn text(&self, name: &str) -> Result<Option<&str>, SettingError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.to_str().map(Some).ok_or_else(|| SettingError::new(name, "expected UTF-8 text"))
    }

    /// The value that `variable` or an alias of it has, and which of them. Two of them that disagree are an error.
    pub(super) fn value<'a>(
        &self,
        variable: &'a str,
        aliases: &[Alias],
    ) -> Result<Option<(&'a str, String)>, SettingError> {
        let mut found: Option<(&str, String)> = None;
        let aliases = aliases.iter().filter(|alias| alias.variable == variable);
        let names = aliases.map(|alias| (alias.name, alias.prefix));
        for (name, prefix) in [(variable, "")].into_iter().chain(names) {
            let Some(value) = self.text(name)? else { continue };
            let value = format!("{prefix}{value}");
            match &found {
                Some((first, other)) if *other != value => {
                    let problem = format!("conflicts with {first}; set only one of them");
                    return Err(SettingError::new(name, problem));
                }
                Some(_) => {}
                None => found = Some((name, value)),
            }
        }
        Ok(found)
    }
}

impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let owned = |(name, value): (N, V)| (name.into(), value.into());
        Self { variables: variables.into_iter().map(owned).collect() }
    }
}

/// Whether a variable is one that Kubernetes and Docker's links make for each service: `REDIS_SERVER_PORT=tcp://10.0.0.9:6379`
/// for a Service `redis-server`. Their other names (`…_SERVICE_HOST`, `…_PORT_6379_TCP`) are no settings.
fn is_injected(name: &str, value: &OsStr) -> bool {
    let protocols = ["tcp://", "udp://", "sctp://"];
    let value = value.as_encoded_bytes();
    name.ends_with("_PORT") && protocols.iter().any(|it| value.starts_with(it.as_bytes()))
}
