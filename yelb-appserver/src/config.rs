//! The app server's settings.

mod dynamodb;

use secrecy::SecretString;
use url::{Host, Url};
use yelb_db::{Location, Migrate, PostgresOptions, RedisOptions, ViewLocation, VoteLocation};
use yelb_resolver::Resolver;
use yelb_service::listening;
use yelb_service::settings::{Environment, Given, SettingError};

/// The port of the API, as in the original.
pub const PORT: u16 = 4567;

/// For `--help`: the names that are accepted besides the primary ones.
pub const ALIASES: &str = "\
Also accepted, from the original and its forks:
  votes       YELB_DB_SERVER_ENDPOINT or DB_HOST, YELB_DB_SERVER_PORT, YELB_DB_NAME,
              YELB_DB_USERNAME, YELB_DB_PASSWORD or YELB_DB_PASSWORD_FILE; YELB_DDB_RESTAURANTS
  page views  REDIS_SERVER_ENDPOINT, YELB_REDIS_SERVER_ENDPOINT or CACHE_HOST, REDIS_SERVER_PORT,
              REDIS_PASSWORD or REDIS_PASSWORD_FILE, REDIS_TLS; YELB_DDB_CACHE
  both        RACK_ENV: production or test (yelb-db, redis-server), development (localhost), custom
For DynamoDB (yelb-appserver only): AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB or AWS_ENDPOINT_URL,
and what AWS's SDKs read for credentials.
The log is set by RUST_LOG (a level, or a list such as info,yelb_db=debug).";

const DB_HOST: [&str; 2] = ["YELB_DB_SERVER_ENDPOINT", "DB_HOST"];
const DB_PARTS: [&str; 3] = ["YELB_DB_SERVER_PORT", "YELB_DB_NAME", "YELB_DB_USERNAME"];
const DB_TABLE: &str = "YELB_DDB_RESTAURANTS";
const DB_PASSWORD: [&str; 2] = ["YELB_DB_PASSWORD", "YELB_DB_PASSWORD_FILE"];
const REDIS_HOST: [&str; 3] = ["REDIS_SERVER_ENDPOINT", "YELB_REDIS_SERVER_ENDPOINT", "CACHE_HOST"];
const REDIS_PARTS: [&str; 2] = ["REDIS_SERVER_PORT", "REDIS_TLS"];
const REDIS_TABLE: &str = "YELB_DDB_CACHE";
const REDIS_PASSWORD: [&str; 2] = ["REDIS_PASSWORD", "REDIS_PASSWORD_FILE"];

/// The login that is fixed in the original's image and app server. It is public, and used only where a host is given
/// in the original's way without a login, so that an existing deployment works unchanged.
const ORIGINAL_LOGIN: (&str, &str, &str) = ("yelbdatabase", "postgres", "postgres_password");

/// The flags that say where the stores are.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct StoreFlags {
    /// Where the votes are: postgres://, sqlite:, or for yelb-appserver dynamodb:// [env: `DATABASE_URL`]
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// Where the page views are: redis://, rediss://, sqlite:, or for yelb-appserver dynamodb:// [env: `REDIS_URL`] [default: the file of the votes, if they are in one]
    #[arg(long, global = true, value_name = "URL")]
    redis_url: Option<String>,
    /// Who applies pending migrations: `auto` is this process, `never` leaves them to `yelb-appserver migrate`
    /// [env: `YELB_MIGRATE`] [default: auto]
    #[arg(long, global = true, value_name = "auto|never")]
    migrate: Option<String>,
}

impl StoreFlags {
    /// Lays the flags over the variables of the same meaning.
    pub fn lay_over(self, environment: &mut Environment) {
        environment.set("DATABASE_URL", self.database_url);
        environment.set("REDIS_URL", self.redis_url);
        environment.set("YELB_MIGRATE", self.migrate);
    }
}

/// The app server's settings, all of them usable.
#[derive(Debug, Clone)]
pub struct Config {
    /// The port of the API.
    pub port: u16,
    /// Where the stores are.
    pub stores: Location,
    /// How host names are looked up.
    pub resolver: Resolver,
}

impl Config {
    /// Reads the settings; the first that cannot be used is the error. `default_file` is the `sqlite:` URL of the votes where
    /// no setting says where they are; without one, they have to be said: two replicas on a file each would count apart.
    pub fn from_environment(
        environment: &Environment,
        default_file: Option<String>,
    ) -> Result<Self, SettingError> {
        let profile = Profile::from_environment(environment)?;
        let votes = votes(environment, profile, default_file)?;
        let views = page_views(environment, profile, &votes)?;
        let migrate = migrate(environment)?;
        Ok(Self {
            port: listening::port(environment, &["PORT"], PORT)?,
            stores: Location { votes, views, migrate },
            resolver: environment.resolver()?,
        })
    }
}

/// The original's `RACK_ENV`: which hosts it speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Profile {
    Hosts { votes: &'static str, page_views: &'static str },
    Custom,
}

impl Profile {
    fn from_environment(environment: &Environment) -> Result<Option<Self>, SettingError> {
        let Some(given) = environment.get("RACK_ENV")? else { return Ok(None) };
        match given.value {
            "production" | "test" => {
                Ok(Some(Self::Hosts { votes: "yelb-db", page_views: "redis-server" }))
            }
            "development" => Ok(Some(Self::Hosts { votes: "localhost", page_views: "localhost" })),
            "custom" => Ok(Some(Self::Custom)),
            _ => Err(SettingError::new(
                given.name,
                "must be production, test, development or custom",
            )),
        }
    }
}

fn migrate(environment: &Environment) -> Result<Migrate, SettingError> {
    match environment.get("YELB_MIGRATE")? {
        None | Some(Given { value: "auto", .. }) => Ok(Migrate::Auto),
        Some(Given { value: "never", .. }) => Ok(Migrate::Never),
        Some(given) => Err(SettingError::new(given.name, "must be auto or never")),
    }
}

// ---- votes

fn votes(
    environment: &Environment,
    profile: Option<Profile>,
    default_file: Option<String>,
) -> Result<VoteLocation, SettingError> {
    if let Some(url) = environment.get("DATABASE_URL")? {
        environment.exclusive(url.name, &[DB_TABLE])?;
        return votes_by_url(environment, url);
    }
    if let Some(table) = environment.get(DB_TABLE)? {
        environment
            .exclusive(table.name, &[DB_HOST.as_slice(), &DB_PARTS, &DB_PASSWORD].concat())?;
        return dynamodb::by_name(environment, table).map(VoteLocation::DynamoDb);
    }
    match store_host(environment, &DB_HOST, profile, |votes, _| votes)? {
        Some(host) => Ok(VoteLocation::Postgres(postgres_by_parts(environment, &host)?)),
        None => {
            useless_without(
                environment,
                &[DB_PARTS.as_slice(), &DB_PASSWORD].concat(),
                "DATABASE_URL",
            )?;
            default_file.map(VoteLocation::Sqlite).ok_or_else(|| missing_votes(environment))
        }
    }
}

fn votes_by_url(environment: &Environment, given: Given<'_>) -> Result<VoteLocation, SettingError> {
    environment.exclusive(given.name, &[DB_HOST.as_slice(), &DB_PARTS].concat())?;
    let password = environment.secret(&DB_PASSWORD[..1], DB_PASSWORD[1])?;
    let expected =
        "must be a URL: postgres://user@host:5432/database, dynamodb://table or sqlite:file";
    match scheme(given.value) {
        "postgres" | "postgresql" => {
            let url = server_url(given, expected)?;
            let options = PostgresOptions::from_url(given.value)
                .map_err(|_| SettingError::new(given.name, expected))?;
            match password {
                None => Ok(VoteLocation::Postgres(options)),
                Some((name, _)) if url.password().is_some() => {
                    Err(password_twice(name, given.name))
                }
                Some((_, password)) => Ok(VoteLocation::Postgres(options.password(&password))),
            }
        }
        scheme @ ("sqlite" | "dynamodb") => {
            useless_without(environment, &DB_PASSWORD, "a postgres:// URL")?;
            match scheme {
                "sqlite" => sqlite_file(given, expected).map(VoteLocation::Sqlite),
                _ => dynamodb::by_url(environment, given).map(VoteLocation::DynamoDb),
            }
        }
        _ => Err(SettingError::new(given.name, expected)),
    }
}

fn postgres_by_parts(
    environment: &Environment,
    host: &str,
) -> Result<PostgresOptions, SettingError> {
    let (database, user, password) = ORIGINAL_LOGIN;
    let port = listening::port(environment, &["YELB_DB_SERVER_PORT"], 5432)?;
    let database = environment.get("YELB_DB_NAME")?.map_or(database, |given| given.value);
    let user = environment.get("YELB_DB_USERNAME")?.map_or(user, |given| given.value);
    let given = environment.secret(&DB_PASSWORD[..1], DB_PASSWORD[1])?;
    let password = given.map_or_else(|| SecretString::from(password), |(_, password)| password);
    Ok(PostgresOptions::from_parts(host, port, database, user, &password))
}

const VOTES_NEEDED: &str = "must say where the votes are (postgres://, dynamodb:// or sqlite:), or one of \
     YELB_DB_SERVER_ENDPOINT, DB_HOST, YELB_DDB_RESTAURANTS and RACK_ENV";
const VIEWS_NEEDED: &str = "must say where the page views are (redis://, rediss://, dynamodb:// or sqlite:), or one of \
     REDIS_SERVER_ENDPOINT, YELB_REDIS_SERVER_ENDPOINT, CACHE_HOST, YELB_DDB_CACHE and RACK_ENV";

/// All that is missing in one line, rather than one after the other.
fn missing_votes(environment: &Environment) -> SettingError {
    let views = [&["REDIS_URL", REDIS_TABLE][..], &REDIS_HOST].concat();
    let views_are_given =
        views.into_iter().any(|name| matches!(environment.get(name), Ok(Some(_))));
    let problem = if views_are_given {
        VOTES_NEEDED.to_owned()
    } else {
        format!("{VOTES_NEEDED}; REDIS_URL {VIEWS_NEEDED}")
    };
    SettingError::new("DATABASE_URL", problem)
}

// ---- page views

fn page_views(
    environment: &Environment,
    profile: Option<Profile>,
    votes: &VoteLocation,
) -> Result<ViewLocation, SettingError> {
    if let Some(url) = environment.get("REDIS_URL")? {
        environment.exclusive(url.name, &[REDIS_TABLE])?;
        return page_views_by_url(environment, url);
    }
    if let Some(table) = environment.get(REDIS_TABLE)? {
        let others = [REDIS_HOST.as_slice(), &REDIS_PARTS, &REDIS_PASSWORD].concat();
        environment.exclusive(table.name, &others)?;
        return dynamodb::by_name(environment, table).map(ViewLocation::DynamoDb);
    }
    let profile = profile.filter(|_| profile_has_redis(environment, votes));
    match store_host(environment, &REDIS_HOST, profile, |_, page_views| page_views)? {
        Some(host) => redis_by_parts(environment, &host),
        None => {
            useless_without(
                environment,
                &[REDIS_PARTS.as_slice(), &REDIS_PASSWORD].concat(),
                "REDIS_URL",
            )?;
            match votes {
                VoteLocation::Sqlite(file) => Ok(ViewLocation::Sqlite(file.clone())),
                VoteLocation::Postgres(_) => Err(SettingError::new("REDIS_URL", VIEWS_NEEDED)),
                VoteLocation::DynamoDb(_) => Err(SettingError::new(
                    REDIS_TABLE,
                    "must be set, or REDIS_URL: the votes are in a table of DynamoDB, the page views nowhere",
                )),
            }
        }
    }
}

/// The profile's Redis stands beside the profile's Postgres. Where the votes are elsewhere, it is meant only if a setting
/// speaks of it.
fn profile_has_redis(environment: &Environment, votes: &VoteLocation) -> bool {
    let settings = [REDIS_HOST.as_slice(), &REDIS_PARTS, &REDIS_PASSWORD].concat();
    matches!(votes, VoteLocation::Postgres(_))
        || settings.into_iter().any(|name| matches!(environment.get(name), Ok(Some(_)) | Err(_)))
}

fn page_views_by_url(
    environment: &Environment,
    given: Given<'_>,
) -> Result<ViewLocation, SettingError> {
    environment.exclusive(given.name, &[REDIS_HOST.as_slice(), &REDIS_PARTS].concat())?;
    let password = environment.secret(&REDIS_PASSWORD[..1], REDIS_PASSWORD[1])?;
    let expected = "must be a URL: redis://host:6379, rediss://host:6379 (TLS), dynamodb://table or sqlite:file";
    match scheme(given.value) {
        "redis" | "rediss" => {
            let url = server_url(given, expected)?;
            if let (Some((name, _)), Some(_)) = (&password, url.password()) {
                return Err(password_twice(name, given.name));
            }
            redis_at(&url, password.as_ref().map(|(_, password)| password))
                .ok_or(SettingError::new(given.name, expected))
        }
        scheme @ ("sqlite" | "dynamodb") => {
            useless_without(environment, &REDIS_PASSWORD, "a redis:// URL")?;
            match scheme {
                "sqlite" => sqlite_file(given, expected).map(ViewLocation::Sqlite),
                _ => dynamodb::by_url(environment, given).map(ViewLocation::DynamoDb),
            }
        }
        _ => Err(SettingError::new(given.name, expected)),
    }
}

fn redis_by_parts(environment: &Environment, host: &str) -> Result<ViewLocation, SettingError> {
    let port = listening::port(environment, &["REDIS_SERVER_PORT"], 6379)?;
    let tls = match environment.get("REDIS_TLS")? {
        None | Some(Given { value: "false" | "0", .. }) => false,
        Some(Given { value: "true" | "1", .. }) => true,
        Some(given) => return Err(SettingError::new(given.name, "must be true or false")),
    };
    let scheme = if tls { "rediss" } else { "redis" };
    let password = environment.secret(&REDIS_PASSWORD[..1], REDIS_PASSWORD[1])?;
    let url = Url::parse(&format!("{scheme}://{host}:{port}")).ok();
    url.and_then(|url| redis_at(&url, password.as_ref().map(|(_, password)| password)))
        .ok_or_else(|| SettingError::new(REDIS_HOST[0], "must be a host name or an IP address"))
}

fn redis_at(url: &Url, password: Option<&SecretString>) -> Option<ViewLocation> {
    RedisOptions::new(url, password).map(ViewLocation::Redis)
}

// ---- what both have

fn scheme(url: &str) -> &str {
    url.split_once(':').map_or("", |(scheme, _)| scheme)
}

/// The `sqlite:` URL of a file. Without a name SQLite would take a temporary file, and the votes would end with the process.
fn sqlite_file(given: Given<'_>, expected: &str) -> Result<String, SettingError> {
    let name = given.value.trim_start_matches("sqlite:").trim_start_matches("//");
    if name.is_empty() || name.starts_with('?') {
        return Err(SettingError::new(given.name, expected));
    }
    Ok(given.value.to_owned())
}

fn server_url(given: Given<'_>, expected: &str) -> Result<Url, SettingError> {
    Url::parse(given.value)
        .ok()
        .filter(|url| url.host().is_some() || url.query_pairs().any(|(name, _)| name == "host"))
        .ok_or_else(|| SettingError::new(given.name, expected))
}

/// The host of a store: from its own variable, else from the original's profile.
fn store_host(
    environment: &Environment,
    names: &[&'static str],
    profile: Option<Profile>,
    of_profile: fn(&'static str, &'static str) -> &'static str,
) -> Result<Option<String>, SettingError> {
    if let Some(given) = environment.one_of(names)? {
        let expected = "must be a host name or an IP address";
        let host = Host::parse(given.value).map_err(|_| SettingError::new(given.name, expected))?;
        return Ok(Some(host.to_string()));
    }
    match profile {
        None => Ok(None),
        Some(Profile::Hosts { votes, page_views }) => {
            Ok(Some(of_profile(votes, page_views).to_owned()))
        }
        Some(Profile::Custom) => {
            Err(SettingError::new(names[0], "must be set, because RACK_ENV is custom"))
        }
    }
}

fn password_twice(name: &str, url: &str) -> SettingError {
    SettingError::new(name, format!("excludes a password in {url}; give one of the two"))
}

/// Refuses settings that would be ignored.
fn useless_without(
    environment: &Environment,
    names: &[&'static str],
    host: &str,
) -> Result<(), SettingError> {
    for &name in names {
        if environment.get(name)?.is_some() {
            return Err(SettingError::new(
                name,
                format!("has no effect without {host} or a host; set that, too"),
            ));
        }
    }
    Ok(())
}
