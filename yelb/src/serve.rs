//! `yelb`: the page and its app server in one process.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use tracing::Level;
use yelb_appserver::config::{Config, StoreFlags};
use yelb_db::Location;
use yelb_service::listening::{self, Listening, ProcessFlags};
use yelb_service::metrics::Metrics;
use yelb_service::server::{self, OnDisconnect, Server};
use yelb_service::settings::{Environment, SettingError};
use yelb_service::stop::StopOptions;
use yelb_service::{admin, telemetry};

/// The flags of the servers.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeFlags {
    /// Port of the page, 0 for any free one [env: `PORT`] [default: 8080]
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
    /// Port of the API, 0 for any free one [env: `YELB_API_PORT`] [default: 4567]
    #[arg(long, value_name = "PORT")]
    api_port: Option<String>,
    #[command(flatten)]
    stores: StoreFlags,
    #[command(flatten)]
    process: ProcessFlags,
}

impl ServeFlags {
    /// The environment of the process, with these flags laid over it.
    fn over_environment(self) -> Environment {
        let mut environment = Environment::of_process();
        environment.set("PORT", self.port);
        environment.set("YELB_API_PORT", self.api_port);
        self.stores.lay_over(&mut environment);
        self.process.lay_over(&mut environment);
        environment
    }
}

/// Serves until told to stop.
pub(crate) async fn run(flags: ServeFlags) -> anyhow::Result<()> {
    let environment = flags.over_environment();
    // Quieter than the servers by themselves: here the log shares a terminal with the person who votes.
    let telemetry = telemetry::init(&environment, "yelb", Level::WARN)?;
    let outcome = serve(&environment).await;
    telemetry.shutdown().await;
    outcome
}

async fn serve(environment: &Environment) -> anyhow::Result<()> {
    let metrics = Metrics::install()?;
    let listening = Listening::from_environment(environment, yelb_appserver::ADMIN_PORT)?;
    let stop = StopOptions::watch(listening.stop_wait)?;
    let config = Config::from_environment(environment, Some(default_file(environment)?))?;
    let page_port = listening::port(environment, &["PORT"], yelb_ui::config::PORT)?;
    let api_port = listening::port(environment, &["YELB_API_PORT"], yelb_appserver::config::PORT)?;
    let page = listening.bind("PORT", page_port)?;
    let api = listening.bind("YELB_API_PORT", api_port)?;
    let admin = listening.bind_admin()?;

    let (state, health, stores) = yelb_appserver::start(&config).await?;
    let api_app = yelb_appserver::router::app(state, &health);
    let page_app = yelb_ui::router::app(api_app.clone(), &health);
    // A vote that was sent whole is counted, whether or not its client waits for the answer.
    let page = Server::new("page", page, page_app, OnDisconnect::Complete)?;
    let api = Server::new("api", api, api_app, OnDisconnect::Complete)?;
    greet(page.address(), api.address(), &config.stores)?;
    let mut servers = vec![page, api];
    if let Some(listener) = admin {
        servers.push(admin::server(listener, &health, &metrics)?);
    }
    server::run(servers, listening.limits, health, stop).await;
    stores.close().await;
    Ok(())
}

fn greet(page: SocketAddr, api: SocketAddr, stores: &Location) -> std::io::Result<()> {
    let (page, api) = (listening::reachable(page), listening::reachable(api));
    let mut text = format!("Yelb is at  http://{page}\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "its API at  http://{api}/api/getvotes");
    let _ = writeln!(text, "votes in    {}", stores.votes);
    let _ = writeln!(text, "views in    {}", stores.views);
    let _ = writeln!(text, "Ctrl-C stops it; the votes stay.");
    std::io::stdout().write_all(text.as_bytes())
}

/// The embedded store's file: in the user's data folder (XDG Base Directory Specification), so that the data is the same
/// from wherever the program is started.
fn default_file(environment: &Environment) -> Result<String, SettingError> {
    let data = match (environment.get("XDG_DATA_HOME")?, environment.get("HOME")?) {
        (Some(data), _) => PathBuf::from(data.value),
        (None, Some(home)) => PathBuf::from(home.value).join(".local/share"),
        (None, None) => PathBuf::from("."),
    };
    Ok(format!("sqlite:{}", data.join("yelb/yelb.db").display()))
}
