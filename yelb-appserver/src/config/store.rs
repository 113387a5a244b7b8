//! The settings of one store, and the location that they give.

use clap::ValueEnum;
use url::Url;
use yelb_db::{Password, StoreLocation, StoreServer};
use yelb_resolver::Host;
use yelb_service::settings::{Alias, Environment, Names, SettingError};

use super::ALIASES;
#[cfg(feature = "dynamodb")]
use super::dynamodb;
use super::url::{OTHERS, StoreUrl};

/// The original's `RACK_ENV`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Profile {
    Production,
    Test,
    Development,
    Custom,
}

/// The settings of a store, and their variables.
pub(super) struct Store<'a, S> {
    pub(super) names: &'a Names,
    pub(super) keeps: &'static str,
    pub(super) url_variable: &'static str,
    pub(super) url: Option<&'a StoreUrl<S>>,
    pub(super) host_variable: &'static str,
    pub(super) host: Option<&'a Host>,
    /// Its host by the original's profile of production.
    pub(super) host_in_production: &'static str,
    /// What goes with a host.
    pub(super) parts: &'static [&'static str],
    /// The URL that they make, of another host.
    pub(super) by_parts: Url,
    pub(super) password_variables: [&'static str; 2],
    pub(super) password: Option<&'a Password>,
}

impl<S: StoreServer> Store<'_, S> {
    /// Where the store is, if any setting says so. Settings that would be ignored are refused.
    #[cfg_attr(not(feature = "dynamodb"), expect(unused_variables, reason = "AWS has no flags"))]
    pub(super) fn locate(
        &self,
        profile: Option<Profile>,
        environment: &Environment,
    ) -> Result<Option<StoreLocation<S>>, SettingError> {
        let location = match self.url {
            Some(StoreUrl::Server(server, has_password)) => {
                return self.with_password(server.clone(), *has_password).map(Some);
            }
            Some(StoreUrl::Sqlite(url)) => StoreLocation::Sqlite(url.clone()),
            #[cfg(feature = "dynamodb")]
            Some(StoreUrl::DynamoDb(table)) => {
                let name = self.names.of(self.url_variable);
                StoreLocation::DynamoDb(dynamodb::options(environment, name, table)?)
            }
            None => return self.by_host(profile),
        };
        self.refuse_useless(&self.password_variables, &format!("a {}:// URL", S::SCHEMES[0]))?;
        Ok(Some(location))
    }

    fn by_host(&self, profile: Option<Profile>) -> Result<Option<StoreLocation<S>>, SettingError> {
        if let Some(host) = self.host(profile)? {
            return self.at(&host).map(Some);
        }
        let needed = format!("{} or a host", self.url_variable);
        self.refuse_useless(self.parts, &needed)?;
        self.refuse_useless(&self.password_variables, &needed)?;
        Ok(None)
    }

    /// Whether any setting of this store is given.
    pub(super) fn is_given(&self) -> bool {
        let own = [self.url_variable, self.host_variable];
        self.first(&own)
            .or(self.first(self.parts))
            .or(self.first(&self.password_variables))
            .is_some()
    }

    /// What to do if no setting says where it is.
    pub(super) fn remedy(&self, profile_helps: bool) -> String {
        let helps = |alias: &&Alias| {
            let is_table = alias.variable == self.url_variable && cfg!(feature = "dynamodb");
            is_table || alias.variable == self.host_variable
        };
        let mut others = vec![self.host_variable];
        others.extend(ALIASES.iter().filter(helps).map(|alias| alias.name));
        others.extend(profile_helps.then_some("RACK_ENV"));
        let (keeps, form, others) = (self.keeps, S::FORM, others.join(", "));
        format!("the {keeps} have no store; set it to {form}{OTHERS}, or set one of {others}")
    }

    fn host(&self, profile: Option<Profile>) -> Result<Option<Host>, SettingError> {
        let host = match (self.host, profile) {
            (Some(host), _) => return Ok(Some(host.clone())),
            (None, None) => return Ok(None),
            (None, Some(Profile::Production | Profile::Test)) => self.host_in_production,
            (None, Some(Profile::Development)) => "localhost",
            (None, Some(Profile::Custom)) => {
                let problem =
                    format!("must be set, because {} is custom", self.names.of("RACK_ENV"));
                return Err(SettingError::new(self.host_variable, problem));
            }
        };
        Ok(Some(host.parse().expect("the profiles' hosts are names")))
    }

    fn at(&self, host: &Host) -> Result<StoreLocation<S>, SettingError> {
        let mut url = self.by_parts.clone();
        let server =
            url.set_host(Some(&host.to_string())).ok().and_then(|()| S::from_url(&url).ok());
        match server {
            Some(server) => self.with_password(server, false),
            None => {
                let name = self.names.of(self.host_variable);
                Err(SettingError::new(
                    name,
                    "expected a host name or an IP address that a URL can have",
                ))
            }
        }
    }

    fn with_password(
        &self,
        server: S,
        has_password: bool,
    ) -> Result<StoreLocation<S>, SettingError> {
        match self.password {
            None => Ok(StoreLocation::Server(server)),
            Some(password) if !has_password => {
                Ok(StoreLocation::Server(server.with_password(password.clone())))
            }
            Some(_) => {
                let name = self.first(&self.password_variables).unwrap_or_default();
                let url = self.names.of(self.url_variable);
                let problem = format!("conflicts with the password in {url}; set only one of them");
                Err(SettingError::new(name, problem))
            }
        }
    }

    /// The name under which the first of `variables` that is set was given.
    fn first(&self, variables: &[&str]) -> Option<&str> {
        variables.iter().find_map(|variable| self.names.given(variable))
    }

    fn refuse_useless(&self, variables: &[&str], needed: &str) -> Result<(), SettingError> {
        let Some(name) = self.first(variables) else { return Ok(()) };
        Err(SettingError::new(name, format!("has no effect without {needed}; set that, too")))
    }
}
