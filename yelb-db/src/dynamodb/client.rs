//! The client of AWS's SDK, set up for votes.

use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::imds;
use aws_config::provider_config::ProviderConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Config, Credentials, IdentityCache, Region, SharedCredentialsProvider,
    SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use secrecy::{ExposeSecret, SecretString};
use yelb_service::telemetry::span::Peer;

/// As long as a statement may take in Postgres.
const REQUEST_LIMIT: Duration = Duration::from_millis(1800);
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long to look for credentials. The keeper waits for 2 s, and can then say what it was.
const CREDENTIALS_LIMIT: Duration = Duration::from_millis(1500);

/// Which table, and where.
#[derive(Debug, Clone)]
pub struct DynamoDbOptions {
    table: String,
    region: String,
    endpoint: Option<String>,
    login: Option<Login>,
}

#[derive(Debug, Clone)]
struct Login {
    id: String,
    secret: SecretString,
    session: Option<SecretString>,
}

impl DynamoDbOptions {
    /// A table of `region`, at another endpoint than the region's if one is given. `None` if no table can have this name.
    pub fn new(table: &str, region: &str, endpoint: Option<&str>) -> Option<Self> {
        is_table_name(table).then(|| Self {
            table: table.to_owned(),
            region: region.to_owned(),
            endpoint: endpoint.map(str::to_owned),
            login: None,
        })
    }

    /// With this access key. Without one, it is looked for where AWS's SDKs do, a container's role among others.
    #[must_use]
    pub fn login(self, id: &str, secret: SecretString, session: Option<SecretString>) -> Self {
        Self { login: Some(Login { id: id.to_owned(), secret, session }), ..self }
    }

    pub(super) fn table(&self) -> &str {
        &self.table
    }

    /// The table as traces show it: AWS's services stand on the map by their own names.
    pub(super) fn peer(&self) -> Peer {
        Peer::server("DynamoDB", "aws.dynamodb", Some(self.table.clone()), None)
    }

    /// A client, which connects when it is first used.
    ///
    /// It repeats nothing: whether a request that was not answered has counted is not known, and to send it again could count
    /// it twice.
    pub(super) async fn client(&self) -> Client {
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let region = Region::new(self.region.clone());
        let credentials = match &self.login {
            Some(login) => SharedCredentialsProvider::new(login.credentials()),
            None => SharedCredentialsProvider::new(chain(&region, &http).await),
        };
        let limits = TimeoutConfig::builder()
            .connect_timeout(CONNECT_LIMIT)
            .operation_timeout(REQUEST_LIMIT)
            .build();
        let identities = IdentityCache::lazy().load_timeout(CREDENTIALS_LIMIT).build();
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region)
            .credentials_provider(credentials)
            .identity_cache(identities)
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(limits)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url(self.endpoint.clone());
        Client::from_conf(config.build())
    }
}

impl Login {
    fn credentials(&self) -> Credentials {
        let session = self.session.as_ref().map(|session| session.expose_secret().to_owned());
        Credentials::new(&self.id, self.secret.expose_secret(), session, None, "settings")
    }
}

/// Credentials from where AWS's SDKs look for them: profile, web identity, container, instance.
async fn chain(region: &Region, http: &SharedHttpClient) -> DefaultCredentialsChain {
    let configuration =
        ProviderConfig::default().with_region(Some(region.clone())).with_http_client(http.clone());
    // Asked last, and absent from most places: one try.
    let instance = imds::Client::builder()
        .configure(&configuration)
        .max_attempts(1)
        .connect_timeout(CREDENTIALS_LIMIT)
        .read_timeout(CREDENTIALS_LIMIT)
        .build();
    let chain = DefaultCredentialsChain::builder().configure(configuration);
    chain.imds_client(instance).build().await
}

/// By the naming rules of Amazon DynamoDB's developer guide.
fn is_table_name(name: &str) -> bool {
    (3..=255).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_name_that_dynamodb_allows() {
        for name in ["ab", "", "a b c", "yelb/votes", "yelb?region=x", &"a".repeat(256)] {
            assert!(DynamoDbOptions::new(name, "eu-west-1", None).is_none(), "{name}");
        }
        assert!(DynamoDbOptions::new("Yelb_votes-1.0", "eu-west-1", None).is_some());
    }
}
