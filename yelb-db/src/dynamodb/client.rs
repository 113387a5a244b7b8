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
use secrecy::ExposeSecret;

use super::options::{DynamoDbOptions, Login};

/// As long as a statement may take in Postgres.
const REQUEST_LIMIT: Duration = Duration::from_millis(1800);
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long to look for credentials. A try to connect takes 2 s at most, and can then say what it was.
const CREDENTIALS_LIMIT: Duration = Duration::from_millis(1500);

/// A client, which connects when it is first used.
///
/// It repeats nothing: whether a request that was not answered has counted is not known, and to send it again could count
/// it twice.
pub(super) async fn client(options: &DynamoDbOptions) -> Client {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let region = Region::new(options.region.clone());
    let credentials = match &options.login {
        Some(login) => SharedCredentialsProvider::new(credentials(login)),
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
    config.set_endpoint_url(options.endpoint.clone());
    Client::from_conf(config.build())
}

fn credentials(login: &Login) -> Credentials {
    let session = login.session.as_ref().map(|session| session.expose_secret().to_owned());
    Credentials::new(&login.id, login.secret.expose_secret(), session, None, "settings")
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
