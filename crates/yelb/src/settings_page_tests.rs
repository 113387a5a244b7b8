//! `docs/settings.md` has every setting of the three programs, made from what their command lines are made from.

use std::fmt::Write;
use std::fs;

use clap::{Args, Command};
use yelb_service::settings::{Alias, settings};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
/// What is around the tables in the page.
const BEGIN: &str = "<!-- begin: made by the tests of `yelb` -->\n";
const END: &str = "<!-- end -->";

#[test]
fn the_page_of_settings_is_what_the_programs_take() {
    let page = fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = format!("{before}{BEGIN}{}{END}{after}", tables());
    if page != expected {
        fs::write(PAGE, expected).unwrap();
        panic!(
            "docs/settings.md was not what the programs take. It is now: look at it and commit it"
        );
    }
}

#[test]
fn the_page_of_settings_has_each_variable_of_others() {
    let page = fs::read_to_string(PAGE).unwrap();
    for help in [yelb_service::telemetry::VARIABLES, &yelb_appserver::config::variables()] {
        let words = help.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_');
        for variable in words.filter(|word| word.contains('_')) {
            assert!(page.contains(variable), "{variable} is missing");
        }
    }
}

fn tables() -> String {
    let server = yelb_appserver::config::Config::augment_args(Command::new("yelb-appserver"));
    let ui = yelb_ui::config::Config::augment_args(Command::new("yelb-ui"));
    let yelb = crate::serve::Config::augment_args(Command::new("yelb"));
    let stores = yelb_appserver::config::ALIASES;
    let programs = [(server, stores), (ui, yelb_ui::config::ALIASES), (yelb, stores)];
    programs.iter().map(|(command, aliases)| table(command, aliases)).collect()
}

/// A table of the settings of one program.
fn table(command: &Command, aliases: &[Alias]) -> String {
    let mut text = format!("\n## {}\n", command.get_name());
    let mut heading = None;
    for (arg, flag, variable) in settings(command) {
        if heading != Some(arg.get_help_heading()) {
            heading = Some(arg.get_help_heading());
            let title = arg.get_help_heading().unwrap_or("Its own");
            writeln!(text, "\n| {title} | flag | unless set | also | |\n|---|---|---|---|---|")
                .unwrap();
        }
        let flag = if arg.is_hide_set() { String::new() } else { format!("`--{flag}`") };
        let default = arg.get_default_values().first();
        let default = default.map_or(String::new(), |it| format!("`{}`", it.to_string_lossy()));
        let aliases = aliases.iter().filter(|alias| alias.variable == variable);
        let aliases: Vec<_> = aliases.map(|alias| format!("`{}`", alias.name)).collect();
        let meaning = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let aliases = aliases.join(", ");
        writeln!(text, "| `{variable}` | {flag} | {default} | {aliases} | {meaning} |").unwrap();
    }
    text
}
