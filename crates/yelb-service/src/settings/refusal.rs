//! What ends a process before it has begun: a mistake, in one line, or a question about the program.

use std::error::Error;
use std::io::Write;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Names, SettingError, settings};

/// Why there are no settings to begin with.
#[derive(Debug)]
pub enum Refusal {
    /// The help or the version was asked for.
    Asked(Box<clap::Error>),
    /// A setting cannot be used, or the command line cannot be read: what to say of it.
    Mistake(String),
}

impl From<SettingError> for Refusal {
    fn from(error: SettingError) -> Self {
        Self::Mistake(error.to_string())
    }
}

impl Refusal {
    /// Makes one line of an error of clap's, with settings named as the user gave them. `table` has their variables.
    pub(super) fn new(error: clap::Error, table: &Command, names: &Names) -> Self {
        if !error.use_stderr() {
            return Self::Asked(Box::new(error));
        }
        let setting = |kind| Setting::new(&error, kind, table, names);
        let line = match (error.kind(), setting(ContextKind::InvalidArg)) {
            (ErrorKind::ValueValidation | ErrorKind::InvalidValue, Some(setting)) => {
                setting.unusable(&error)
            }
            (ErrorKind::ArgumentConflict, Some(Setting { name, .. })) => {
                let other = setting(ContextKind::PriorArg).filter(|other| other.name != name);
                other.map(|other| {
                    format!("{name}: conflicts with {}; set only one of them", other.name)
                })
            }
            _ => None,
        };
        Self::Mistake(line.unwrap_or_else(|| plain(&error)))
    }

    /// Ends the process: with what was asked for and 0, or with the line and 2.
    pub fn exit(self, program: &str) -> ! {
        match self {
            Self::Asked(answer) => answer.exit(),
            Self::Mistake(line) => {
                // Standard error may be closed; the code still tells.
                let _ = writeln!(std::io::stderr(), "{program}: {line}");
                std::process::exit(2)
            }
        }
    }
}

/// The setting that an error is about.
struct Setting {
    /// As the user gave it.
    name: String,
    is_secret: bool,
}

impl Setting {
    fn new(error: &clap::Error, kind: ContextKind, table: &Command, names: &Names) -> Option<Self> {
        let shown = match error.get(kind)? {
            ContextValue::String(shown) => shown,
            ContextValue::Strings(several) => several.first()?,
            _ => return None,
        };
        // As in usage: `--port <PORT>`.
        let shown = shown.split(' ').next()?;
        let known = settings(table).find(|(_, flag, _)| shown.strip_prefix("--") == Some(flag));
        Some(match known {
            Some((arg, _, variable)) => Self {
                name: names.given(variable).unwrap_or(shown).to_owned(),
                is_secret: arg.is_hide_env_values_set(),
            },
            None => Self { name: shown.to_owned(), is_secret: false },
        })
    }

    /// What was expected, and what was found unless that is a secret.
    fn unusable(&self, error: &clap::Error) -> Option<String> {
        let expected = match (error.source(), error.get(ContextKind::ValidValue)) {
            (Some(reason), _) => reason.to_string(),
            (None, Some(ContextValue::Strings(values))) if !values.is_empty() => {
                format!("expected one of {}", values.join(", "))
            }
            _ => return None,
        };
        let found = match error.get(ContextKind::InvalidValue) {
            Some(ContextValue::String(value)) if !self.is_secret => got(value),
            _ => String::new(),
        };
        Some(format!("{}: {expected}{found}", self.name))
    }
}

/// What was found, unless it may have a login in it: a URL with one is easily given to the wrong setting.
fn got(value: &str) -> String {
    if has_login(value) {
        ", got a value with @ in it, which is not shown".to_owned()
    } else {
        format!(", got {value:?}")
    }
}

fn has_login(value: &str) -> bool {
    value.contains('@')
}

/// clap's own words, without its usage, in one line.
fn plain(error: &clap::Error) -> String {
    let mut text = error.to_string();
    for (_, value) in error.context() {
        if let ContextValue::String(given) = value
            && has_login(given)
        {
            text = text.replace(given, "…");
        }
    }
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    lines.collect::<Vec<_>>().join("; ").trim_start_matches("error: ").to_owned()
}
