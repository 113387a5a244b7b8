//! `yelb`: the page and its app server in one process.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use tracing::Level;
use yelb_appserver::config::StoreConfig;
use yelb_db::Location;
use yelb_service::config::ProcessConfig;
use yelb_service::listening;
use yelb_service::metrics::Metrics;
use yelb_service::server::{self, OnDisconnect, Server};
use yelb_service::settings::{Environment, Names, SettingError};
use yelb_service::stop::StopOptions;
use yelb_service::{admin, telemetry};
use yelb_ui::answers::Answers;
use yelb_ui::base_path::BasePath;
use yelb_ui::config::PageConfig;

const NO_FOLDER: &str = "not set, and the default is a file in the user's data folder, which is not known: neither XDG_DATA_HOME \
     nor HOME is an absolute path; set DATABASE_URL to a file, such as sqlite:yelb.db, or one of the two others";

/// The settings of both servers.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Port of the page, 0 for any free one
    #[arg(long, env = "PORT", default_value_t = yelb_ui::config::PORT, value_parser = listening::port)]
    port: u16,
    /// Port of the API, 0 for any free one
    #[arg(long, env = "YELB_API_PORT", value_name = "PORT", default_value_t = yelb_appserver::config::PORT)]
    #[arg(value_parser = listening::port)]
    api_port: u16,
    #[command(flatten)]
    page: PageConfig,
    #[command(flatten)]
    stores: StoreConfig,
    #[command(flatten)]
    process: ProcessConfig,
}

/// Serves until a signal stops the program.
pub(crate) async fn run(
    config: &Config,
    environment: &Environment,
    names: &Names,
) -> anyhow::Result<()> {
    let stores = config.stores.location(names, environment, Some(default_file(environment)))?;
    // The servers' programs log one line for each request. This program is started in a terminal, where that is too much.
    let telemetry = telemetry::init(&config.process, environment, "yelb", Level::WARN);
    let outcome = serve(config, &stores, names).await;
    telemetry.shutdown().await;
    outcome
}

async fn serve(config: &Config, location: &Location, names: &Names) -> anyhow::Result<()> {
    let metrics = Metrics::install("yelb", &yelb_appserver::stores::METRICS)?;
    let listening = &config.process.listening;
    let stop = StopOptions::watch(listening.stop_wait)?;
    let page = listening.bind("PORT", config.port, names)?;
    let api = listening.bind("YELB_API_PORT", config.api_port, names)?;
    let admin = listening.bind_admin(names)?;

    let resolver = config.process.resolver();
    let (state, health, stores) = yelb_appserver::start(location, &resolver, names).await?;
    let api_app = yelb_appserver::router::app(state, &health);
    let answers = Answers::start(&health);
    let page_app = yelb_ui::router::app(api_app.clone(), &answers, &health, &config.page);
    // A complete vote is counted, even if its client disconnects before the answer.
    let page = Server::new("page", page, page_app, OnDisconnect::Complete)?;
    let api = Server::new("api", api, api_app, OnDisconnect::Complete)?;
    greet(page.address(), &config.page.base_path, api.address(), location)?;
    let mut servers = vec![page, api];
    if let Some(listener) = admin {
        servers.push(admin::server(listener, &health, &metrics)?);
    }
    server::run(servers, listening.limits, health, stop).await;
    stores.close().await;
    Ok(())
}

fn greet(
    page: SocketAddr,
    base_path: &BasePath,
    api: SocketAddr,
    stores: &Location,
) -> std::io::Result<()> {
    let (page, api) = (listening::reachable(page), listening::reachable(api));
    let mut text = format!("Yelb is at  http://{page}{}\n", base_path.as_str());
    // Writing to a string cannot fail.
    let _ = writeln!(text, "its API at  http://{api}/api/getvotes");
    let _ = writeln!(text, "votes in    {}", stores.votes);
    let _ = writeln!(text, "views in    {}", stores.views);
    let _ = writeln!(text, "Ctrl-C stops it; the votes stay.");
    std::io::stdout().write_all(text.as_bytes())
}

/// The default file of the votes: in the user's data folder, so that it does not depend on the folder that the program is
/// started in. A relative path is ignored (XDG Base Directory Specification).
fn default_file(environment: &Environment) -> Result<String, SettingError> {
    let folder = |name| -> Result<_, SettingError> {
        Ok(environment.text(name)?.map(Path::new).filter(|folder| folder.is_absolute()))
    };
    let data = match (folder("XDG_DATA_HOME")?, folder("HOME")?) {
        (Some(data), _) => data.to_owned(),
        (None, Some(home)) => home.join(".local/share"),
        (None, None) => return Err(SettingError::new("DATABASE_URL", NO_FOLDER)),
    };
    Ok(format!("sqlite:{}", data.join("yelb/yelb.db").display()))
}
