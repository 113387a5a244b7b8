//! Settings: the environment, read once, and flags of the same meaning laid over it.
//!
//! Every setting has a primary name and may have aliases, which are the names that the original Yelb and its forks use.
//! A value that cannot be used ends the process with one line that names the setting; see [`SettingError`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::path::Path;

use secrecy::SecretString;
use yelb_resolver::Resolver;

/// A setting that cannot be used: its name, and what it should be.
///
/// The offending value is left out: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct SettingError {
    name: String,
    problem: String,
}

impl SettingError {
    /// Says that the setting `name` cannot be used, and what it should be.
    pub fn new(name: impl Into<String>, problem: impl Display) -> Self {
        Self { name: name.into(), problem: problem.to_string() }
    }
}

/// What a setting was given, and under which of its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given<'a> {
    /// The name it was given under.
    pub name: &'static str,
    /// The value, never empty.
    pub value: &'a str,
}

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

    /// Lays a command line flag over the variable of the same meaning.
    pub fn set(&mut self, name: &str, flag: Option<String>) {
        if let Some(value) = flag {
            self.variables.insert(name.to_owned(), value.into());
        }
    }

    /// The variable `name`. An empty one counts as not set, as an empty line in a template means.
    pub fn get(&self, name: &'static str) -> Result<Option<Given<'_>>, SettingError> {
        match self.variables.get(name) {
            None => Ok(None),
            Some(value) => match value.to_str() {
                None => Err(SettingError::new(name, "must be UTF-8")),
                Some("") => Ok(None),
                Some(value) => Ok(Some(Given { name, value })),
            },
        }
    }

    /// The one of `names` that is set. Two of them that disagree are an error.
    pub fn one_of(&self, names: &[&'static str]) -> Result<Option<Given<'_>>, SettingError> {
        let mut found: Option<Given<'_>> = None;
        for &name in names {
            let Some(given) = self.get(name)? else { continue };
            match &found {
                Some(first) if first.value != given.value => {
                    let problem =
                        format!("says something else than {}; set one of the two", first.name);
                    return Err(SettingError::new(name, problem));
                }
                Some(_) => {}
                None => found = Some(given),
            }
        }
        Ok(found)
    }

    /// The one of `names` that is set, read as a `T`; `expected` completes "must be …".
    pub fn parsed<T: std::str::FromStr>(
        &self,
        names: &[&'static str],
        expected: &str,
    ) -> Result<Option<T>, SettingError> {
        let Some(given) = self.one_of(names)? else { return Ok(None) };
        match given.value.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(SettingError::new(given.name, format!("must be {expected}"))),
        }
    }

    /// How host names are looked up (`SEARCH_DOMAIN`).
    pub fn resolver(&self) -> Result<Resolver, SettingError> {
        match self.get("SEARCH_DOMAIN")? {
            None => Ok(Resolver::default()),
            Some(given) => {
                given.value.parse().map_err(|error| SettingError::new(given.name, error))
            }
        }
    }

    /// A secret: the one of `names` that is set, or the content of the file that `NAME_FILE` points to.
    pub fn secret(
        &self,
        names: &[&'static str],
        file: &'static str,
    ) -> Result<Option<(&'static str, SecretString)>, SettingError> {
        match (self.one_of(names)?, self.get(file)?) {
            (Some(given), Some(_)) => {
                Err(SettingError::new(file, format!("excludes {}; set one of the two", given.name)))
            }
            (Some(given), None) => Ok(Some((given.name, given.value.into()))),
            (None, Some(path)) => {
                read_secret(file, Path::new(path.value)).map(|text| Some((file, text)))
            }
            (None, None) => Ok(None),
        }
    }

    /// Fails if any of `others` is set besides `name`.
    pub fn exclusive(&self, name: &str, others: &[&'static str]) -> Result<(), SettingError> {
        for &other in others {
            if self.get(other)?.is_some() {
                return Err(SettingError::new(
                    other,
                    format!("excludes {name}; set one of the two"),
                ));
            }
        }
        Ok(())
    }
}

impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let owned = |(name, value): (N, V)| (name.into(), value.into());
        Self { variables: variables.into_iter().map(owned).collect() }
    }
}

/// Reads a secret from a file, without the line end that editors and `echo` leave behind.
fn read_secret(name: &str, path: &Path) -> Result<SecretString, SettingError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).into()),
        Err(error) => {
            Err(SettingError::new(name, format!("must name a readable text file ({error})")))
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().copied().collect()
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        assert_eq!(environment(&[("PORT", "")]).get("PORT"), Ok(None));
    }

    #[test]
    fn aliases_may_agree_but_not_differ() {
        let agree = environment(&[("A", "x"), ("B", "x")]);
        assert_eq!(agree.one_of(&["A", "B"]).unwrap().unwrap().name, "A");

        let differ = environment(&[("A", "x"), ("B", "y")]).one_of(&["A", "B"]).unwrap_err();
        assert_eq!(differ.to_string(), "B: says something else than A; set one of the two");
    }

    #[test]
    fn a_value_that_does_not_parse_names_the_setting_and_not_the_value() {
        let error = environment(&[("PORT", "x9")]).parsed::<u16>(&["PORT"], "a port").unwrap_err();
        assert_eq!(error.to_string(), "PORT: must be a port");
    }

    #[test]
    fn a_secret_comes_from_a_file_without_its_line_end() {
        let file = std::env::temp_dir().join(format!("yelb-secret-{}", std::process::id()));
        std::fs::write(&file, "s3cret\n").unwrap();
        let settings = environment(&[("PASSWORD_FILE", file.to_str().unwrap())]);

        let (name, secret) = settings.secret(&["PASSWORD"], "PASSWORD_FILE").unwrap().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!((name, secret.expose_secret()), ("PASSWORD_FILE", "s3cret"));
    }

    #[test]
    fn a_secret_given_twice_is_refused() {
        let twice = environment(&[("PASSWORD", "a"), ("PASSWORD_FILE", "/b")]);
        let error = twice.secret(&["PASSWORD"], "PASSWORD_FILE").unwrap_err();
        assert_eq!(error.to_string(), "PASSWORD_FILE: excludes PASSWORD; set one of the two");
    }

    #[test]
    fn a_flag_wins_over_the_variable() {
        let mut settings = environment(&[("PORT", "1")]);
        settings.set("PORT", Some("2".into()));
        settings.set("PORT", None);
        assert_eq!(settings.parsed::<u16>(&["PORT"], "a port"), Ok(Some(2)));
    }
}
