use std::os::unix::ffi::OsStringExt;

use clap::{CommandFactory, Subcommand};

use super::*;

#[derive(Debug, Parser)]
#[command(name = "program", args_conflicts_with_subcommands = true)]
struct Cli {
    /// Port of the page
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,
    /// Where the votes are
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = url, conflicts_with = "host")]
    database: Option<String>,
    /// Host of the database, `localhost` say
    #[arg(long = "db-host", env = "DB_SERVER")]
    host: Option<String>,
    /// Password of the database
    #[arg(long, env = "DB_PASSWORD", hide = true, hide_env_values = true)]
    password: Option<String>,
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Ask
    Ask {
        /// Port to ask at
        #[arg(long, env = "PORT", default_value_t = 8080)]
        port: u16,
    },
    /// Know nothing of settings
    Load { url: String },
}

const ALIASES: &[Alias] = &[
    Alias::new("DB_HOST", "DB_SERVER"),
    Alias { prefix: "dynamodb://", ..Alias::new("TABLE", "DATABASE_URL") },
];

fn url(text: &str) -> Result<String, String> {
    let known = ["postgres", "dynamodb"].into_iter().any(|scheme| text.starts_with(scheme));
    if known { Ok(text.to_owned()) } else { Err("expected postgres://, got no URL".to_owned()) }
}

fn read(variables: &str, arguments: &str) -> Result<(Cli, Names), String> {
    let environment = variables.split_whitespace().map(|it| it.split_once('=').unwrap()).collect();
    let arguments = ["program"].into_iter().chain(arguments.split_whitespace());
    try_parse(&environment, ALIASES, arguments.map(OsString::from)).map_err(|refusal| match refusal
    {
        Refusal::Asked(help) => help.to_string(),
        Refusal::Mistake(line) => line,
    })
}

fn refused(variables: &str, arguments: &str) -> String {
    read(variables, arguments).map(|(cli, _)| format!("{cli:?}")).unwrap_err()
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn a_setting_is_a_variable_a_flag_or_its_default() {
    for (variables, arguments, port) in
        [("", "", 8080), ("PORT=1", "", 1), ("PORT=", "", 8080), ("PORT=1", "--port 2", 2)]
    {
        let (cli, _) = read(variables, arguments).unwrap();
        assert_eq!(cli.port, port, "{variables} {arguments}");
    }
    // What the flag wins over may be nonsense.
    assert_eq!(read("PORT=http", "--port 2").unwrap().0.port, 2);
}

#[test]
fn a_setting_is_known_by_the_name_that_it_was_given_under() {
    let (_, names) = read("DB_HOST=db", "--port 1").unwrap();
    assert_eq!((names.of("DB_SERVER"), names.of("PORT")), ("DB_HOST", "--port"));
    assert_eq!((names.given("DATABASE_URL"), names.of("DATABASE_URL")), (None, "DATABASE_URL"));
}

#[test]
fn an_alias_is_its_variable_in_other_words() {
    assert_eq!(read("DB_HOST=db", "").unwrap().0.host.as_deref(), Some("db"));
    assert_eq!(read("DB_HOST=db DB_SERVER=db", "").unwrap().0.host.as_deref(), Some("db"));
    assert_eq!(read("TABLE=t", "").unwrap().0.database.as_deref(), Some("dynamodb://t"));
    let line = refused("DB_HOST=a DB_SERVER=b", "");
    assert_eq!(line, "DB_HOST: conflicts with DB_SERVER; set only one of them");
}

#[test]
fn what_cannot_be_used_is_told_in_the_users_names() {
    let number = "invalid digit found in string";
    for (variables, arguments, line) in [
        ("PORT=http", "", &*format!("PORT: {number}, got \"http\"")),
        ("PORT=1", "--port=http", &format!("--port: {number}, got \"http\"")),
        ("PORT=http", "ask", &format!("PORT: {number}, got \"http\"")),
        ("DATABASE_URL=hunter2", "", "DATABASE_URL: expected postgres://, got no URL"),
        (
            "PORT=postgres://yelb:hunter2@db",
            "",
            &format!("PORT: {number}, got a value with @ in it, which is not shown"),
        ),
        ("", "postgres://yelb:hunter2@db", "unrecognized subcommand '…'"),
        ("TABLE=t", "--db-host db", "TABLE: conflicts with --db-host; set only one of them"),
        ("", "--port", "a value is required for '--port <PORT>' but none was supplied"),
        (
            "",
            "--prot 1",
            "unexpected argument '--prot' found; tip: a similar argument exists: '--port'",
        ),
    ] {
        assert_eq!(refused(variables, arguments), line, "{variables} {arguments}");
    }
    let environment = [("PORT", OsString::from_vec(vec![0xff]))].into_iter().collect();
    let refusal = try_parse::<Cli>(&environment, ALIASES, ["program".into()]).unwrap_err();
    assert!(matches!(refusal, Refusal::Mistake(line) if line == "PORT: expected UTF-8 text"));
}

#[test]
fn a_secret_has_no_flag_because_processes_are_listed() {
    let (cli, _) = read("DB_PASSWORD=hunter2", "").unwrap();
    assert_eq!(cli.password.as_deref(), Some("hunter2"));
    let line = refused("", "--password hunter2");
    assert_eq!(line, "--password: has no flag that may be used; set DB_PASSWORD");
}

#[test]
fn a_subcommand_gets_the_settings_that_it_has() {
    let (cli, _) = read("PORT=1 DATABASE_URL=nonsense", "ask").unwrap();
    assert!(matches!(cli.command, Some(Sub::Ask { port: 1 })));
    let (cli, _) = read("PORT=nonsense", "load http://yelb").unwrap();
    assert!(matches!(cli.command, Some(Sub::Load { url }) if url == "http://yelb"));
    assert!(refused("", "--port 1 ask").contains("cannot be used with '--port <PORT>'"));
}

#[test]
fn help_names_the_variables_and_tells_no_value() {
    let help = refused("DATABASE_URL=postgres://hunter2 PORT=4711", "--help");
    assert!(help.contains("[env: DB_SERVER, DB_HOST]"), "{help}");
    assert!(help.contains("[env: DATABASE_URL]"), "{help}");
    assert!(help.contains("Host of the database, localhost say [env"), "{help}");
    assert!(!help.contains("hunter2") && !help.contains("4711"), "{help}");
}

#[test]
fn what_kubernetes_injects_is_no_setting() {
    assert_eq!(read("PORT=1 DB_PORT=tcp://10.0.0.9:5432", "").unwrap().0.port, 1);
    let environment: Environment =
        [("REDIS_SERVER_PORT", "tcp://10.0.0.9:6379")].into_iter().collect();
    assert_eq!(environment.get("REDIS_SERVER_PORT"), None);
}
