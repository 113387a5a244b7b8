//! What the settings of a store are read with.

use std::convert::Infallible;

use yelb_db::Password;
#[cfg(feature = "dynamodb")]
use yelb_db::{DynamoDbOptions, TableName};
use yelb_resolver::Host;
use yelb_service::settings::{Alias, Environment, Names, SettingError};

use super::ALIASES;
#[cfg(feature = "dynamodb")]
use super::dynamodb;
use super::url::{OTHERS, Server, ServerUrl};

/// The original's `RACK_ENV`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Profile {
    Production,
    Test,
    Development,
    Custom,
}

impl Profile {
    /// The host that a store has by this profile, if that of production is `production`.
    fn host(self, production: &'static str) -> Option<&'static str> {
        match self {
            Self::Production | Self::Test => Some(production),
            Self::Development => Some("localhost"),
            Self::Custom => None,
        }
    }
}

/// Reads the password of a store.
pub(super) fn in_text(text: &str) -> Result<Password, Infallible> {
    Ok(Password::Text(text.into()))
}

/// Reads the name of the file that has the password of a store.
pub(super) fn in_file(path: &str) -> Result<Password, String> {
    Password::in_file(path).map_err(|reason| format!("expected a readable text file ({reason})"))
}

/// What to do if nothing says where the votes or the page views are.
pub(super) fn no_store<S: Server>(
    what: &str,
    variable: &str,
    host: &str,
    profile_helps: bool,
) -> String {
    let helps = |alias: &&Alias| {
        alias.variable == host || alias.variable == variable && cfg!(feature = "dynamodb")
    };
    let mut others = vec![host];
    others.extend(ALIASES.iter().filter(helps).map(|alias| alias.name));
    if profile_helps {
        others.push("RACK_ENV");
    }
    let others = others.join(", ");
    format!("the {what} have no store; set it to {}{OTHERS}, or set one of {others}", S::FORM)
}

/// All that was given besides the settings of one store.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) names: &'a Names,
    #[cfg_attr(not(feature = "dynamodb"), expect(dead_code, reason = "for what AWS has no flags"))]
    pub(super) environment: &'a Environment,
    pub(super) profile: Option<Profile>,
}

impl Given<'_> {
    /// The host of a store: from its own setting, `variable`, or else from the original's profile.
    pub(super) fn host(
        &self,
        own: Option<&Host>,
        variable: &str,
        production: &'static str,
    ) -> Result<Option<Host>, SettingError> {
        match (own, self.profile) {
            (Some(host), _) => Ok(Some(host.clone())),
            (None, None) => Ok(None),
            (None, Some(profile)) => match profile.host(production) {
                Some(host) => Ok(host.parse().ok()),
                None => {
                    let problem = format!("must be set, because {} is custom", self.of("RACK_ENV"));
                    Err(SettingError::new(variable, problem))
                }
            },
        }
    }

    /// The server that the URL of `variable` names, with the password that settings of its own give: `passwords` are their
    /// variables.
    pub(super) fn log_in<S: Server>(
        &self,
        (variable, url): (&str, &ServerUrl<S>),
        (passwords, password): ([&str; 2], Option<&Password>),
    ) -> Result<S, SettingError> {
        let server = url.server.clone();
        let Some(password) = password else { return Ok(server) };
        if url.has_password {
            let name = self.first(&passwords).unwrap_or(passwords[0]);
            let url = self.of(variable);
            let problem = format!("conflicts with the password in {url}; set only one of them");
            return Err(SettingError::new(name, problem));
        }
        Ok(server.with_password(password.clone()))
    }

    /// A table that the URL of `variable` names.
    #[cfg(feature = "dynamodb")]
    pub(super) fn table(
        &self,
        variable: &str,
        table: &TableName,
    ) -> Result<DynamoDbOptions, SettingError> {
        dynamodb::options(self.environment, self.of(variable), table)
    }

    /// The name of the first of `variables` that was given.
    pub(super) fn first(&self, variables: &[&str]) -> Option<&str> {
        variables.iter().find_map(|variable| self.names.given(variable))
    }

    /// The name under which the user gave `variable`.
    pub(super) fn of<'a>(&'a self, variable: &'a str) -> &'a str {
        self.names.of(variable)
    }

    /// Refuses settings that would be ignored.
    pub(super) fn refuse_useless(
        &self,
        variables: &[&str],
        without: &str,
    ) -> Result<(), SettingError> {
        let Some(name) = self.first(variables) else { return Ok(()) };
        Err(SettingError::new(name, format!("has no effect without {without}; set that, too")))
    }
}
