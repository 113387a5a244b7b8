//! `yelb`: the page and its app server in one process.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use tracing::Level;
use yelb_appserver::config::{Config, StoreFlags};
use yelb_db::Location;
use yelb_resolver::Resolver;
use yelb_service::metrics::Metrics;
use yelb_service::process::{self, Listening, Process, ProcessFlags};
use yelb_service::serve::HungUp;
use yelb_service::settings::{Environment, SettingError};
use yelb_service::telemetry;
use yelb_ui::config::Endpoint;
use yelb_ui::contact::AppServerContact;
use yelb_ui::proxy::Upstream;

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
    let config = Config::from_environment(environment, Some(default_file(environment)?))?;
    let page_port = process::port(environment, &["PORT"], yelb_ui::config::PORT)?;
    let api_port = process::port(environment, &["YELB_API_PORT"], yelb_appserver::config::PORT)?;
    let page_listener = listening.bind("PORT", page_port)?;
    let api_listener = listening.bind("YELB_API_PORT", api_port)?;
    let admin_listener = listening.bind_admin()?;

    let (state, health, stores) = yelb_appserver::start(&config).await?;
    let upstream = Upstream::new(
        Endpoint::of(process::reachable(api_listener.local_addr()?)),
        Resolver::default(),
        AppServerContact::default(),
    );

    // The page first: it stops first, while the API still answers it.
    let mut process = Process::new(health.clone(), listening.stop_wait);
    let page = yelb_ui::router::app(upstream, &health);
    let api = yelb_appserver::router::app(state, &health);
    let page = process.serve("page", page_listener, page, HungUp::Dropped)?;
    let api = process.serve("api", api_listener, api, HungUp::Finished)?;
    process.serve_admin(admin_listener, &metrics)?;
    greet(page, api, &config.stores)?;
    process.run_until_told().await?;
    stores.close().await;
    Ok(())
}

fn greet(page: SocketAddr, api: SocketAddr, stores: &Location) -> std::io::Result<()> {
    let (page, api) = (process::reachable(page), process::reachable(api));
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
