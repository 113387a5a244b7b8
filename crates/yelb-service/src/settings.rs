//! Settings: variables of the environment, and flags of the same meaning, which win over them.
//!
//! The settings of a program are one struct for clap, and `#[arg(env = "NAME")]` names the variable of each. [`parse`] hands
//! the variables to clap as flags, so that types, defaults and conflicts are clap's, and a test can hand in any
//! [`Environment`]. A setting that cannot be used ends the process with one line that names it as the user gave it.

mod environment;
mod refusal;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;

use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, Parser};

pub use environment::Environment;
pub use refusal::Refusal;

/// How many columns help fills at most: on a wider terminal its lines would be hard to follow.
const WIDEST_HELP: usize = 160;

/// A setting that cannot be used: its name as the user gave it, and what is wrong with it. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct SettingError {
    name: String,
    problem: String,
}

impl SettingError {
    /// Says that the setting `name` cannot be used, and why.
    pub fn new(name: impl Into<String>, problem: impl Display) -> Self {
        Self { name: name.into(), problem: problem.to_string() }
    }
}

/// Another name of a variable, from the original or its forks.
#[derive(Debug, Clone, Copy)]
pub struct Alias {
    /// The name.
    pub name: &'static str,
    /// The variable that it stands for.
    pub variable: &'static str,
    /// What its value lacks to be a value of that variable: it comes before it.
    pub prefix: &'static str,
}

impl Alias {
    /// `name` for `variable`, with the same values.
    pub const fn new(name: &'static str, variable: &'static str) -> Self {
        Self { name, variable, prefix: "" }
    }
}

/// The settings that were given, by the names of their variables, and the name under which each was given: a variable, an alias
/// or a flag.
#[derive(Debug, Clone, Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// The name under which `variable` was given, if it was.
    pub fn given(&self, variable: &str) -> Option<&str> {
        self.0.get(variable).map(String::as_str)
    }

    /// The name under which `variable` was given, or else its own.
    pub fn of<'a>(&'a self, variable: &'a str) -> &'a str {
        self.given(variable).unwrap_or(variable)
    }
}

/// Reads the settings of this process. Ends it with the help that was asked for, or with one line about what cannot be used.
pub fn parse<T: Parser>(environment: &Environment, aliases: &[Alias]) -> (T, Names) {
    try_parse(environment, aliases, std::env::args_os())
        .unwrap_or_else(|refusal| refusal.exit(T::command().get_name()))
}

/// Reads settings from the arguments, the first of which is the program, and from the environment where there is no flag.
pub fn try_parse<T: Parser>(
    environment: &Environment,
    aliases: &[Alias],
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(T, Names), Refusal> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    // The struct's own command knows the variables. clap would read them by itself, so the one that parses does not.
    let table = T::command();
    let command = without_environment(table.clone(), aliases);
    let parse = |arguments: &[OsString], table: &Command, names: &Names| {
        let matches = command.clone().try_get_matches_from(arguments);
        matches.map_err(|error| Refusal::new(error, table, names))
    };

    // A flag's variable is not looked at. So the flags are parsed first, and by themselves.
    let alone = parse(&arguments, &table, &Names::default())?;
    let (table, flags, place) = match alone.subcommand() {
        Some((name, flags)) => (table.find_subcommand(name).unwrap_or(&table), flags, 2),
        None => (&table, &alone, 1),
    };
    let mut names = Names::default();
    let mut variables = Vec::new();
    for (arg, flag, variable) in settings(table) {
        if is_flag(arg, flags) {
            if arg.is_hide_set() {
                let problem = format!("has no flag that may be used; set {variable}");
                return Err(SettingError::new(format!("--{flag}"), problem).into());
            }
            names.0.insert(variable.to_owned(), format!("--{flag}"));
        } else if let Some((name, value)) = environment.value(variable, aliases)? {
            names.0.insert(variable.to_owned(), name.to_owned());
            variables.push(format!("--{flag}={value}").into());
        }
    }
    arguments.splice(place..place, variables);
    let matches = parse(&arguments, table, &names)?;
    let parsed = T::from_arg_matches(&matches);
    Ok((parsed.map_err(|error| Refusal::new(error, table, &names))?, names))
}

/// The settings of a command, each with its flag and its variable.
pub fn settings(command: &Command) -> impl Iterator<Item = (&Arg, &str, &str)> {
    command.get_arguments().filter_map(|arg| Some((arg, arg.get_long()?, arg.get_env()?.to_str()?)))
}

fn is_flag(arg: &Arg, matches: &ArgMatches) -> bool {
    matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
}

/// The same command, which reads no variables. Its help still names them, and the aliases.
fn without_environment(command: Command, aliases: &[Alias]) -> Command {
    let name_in_help = |arg: Arg| {
        let Some(variable) = arg.get_env().and_then(|name| name.to_str()).map(str::to_owned) else {
            return arg;
        };
        // One with other values would have to be explained.
        let same = |alias: &&Alias| alias.variable == variable && alias.prefix.is_empty();
        let aliases = aliases.iter().filter(same);
        let names: Vec<_> = [&*variable].into_iter().chain(aliases.map(|it| it.name)).collect();
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        // Help is no Markdown, which a doc comment is.
        let help = help.replace('`', "");
        arg.env(Resettable::Reset).help(format!("{help} [env: {}]", names.join(", ")))
    };
    let command = command.max_term_width(WIDEST_HELP);
    command.mut_args(name_in_help).mut_subcommands(|command| command.mut_args(name_in_help))
}

#[cfg(test)]
mod tests;
