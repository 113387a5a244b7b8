//! Tables of DynamoDB, by URL or by the original's variables; region and endpoint as AWS's SDKs read them.

use url::Url;
use yelb_db::DynamoDbOptions;
use yelb_service::settings::{Environment, Given, SettingError};

/// The first that is set counts, as in AWS's SDKs.
const REGION: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
const ENDPOINT: [&str; 2] = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"];

/// The table at `dynamodb://table`.
pub(super) fn by_url(
    environment: &Environment,
    given: Given<'_>,
) -> Result<DynamoDbOptions, SettingError> {
    let table = given.value.strip_prefix("dynamodb://").unwrap_or_default();
    at(environment, given.name, table, "must be a URL: dynamodb://table")
}

/// The table of this name.
pub(super) fn by_name(
    environment: &Environment,
    given: Given<'_>,
) -> Result<DynamoDbOptions, SettingError> {
    at(environment, given.name, given.value, "must be the name of a table of DynamoDB")
}

fn at(
    environment: &Environment,
    setting: &str,
    table: &str,
    expected: &str,
) -> Result<DynamoDbOptions, SettingError> {
    if !yelb_db::HAS_DYNAMODB {
        let problem = "is a table of DynamoDB, which this program leaves out; `yelb-appserver` has it: \
             cargo run --package yelb-appserver";
        return Err(SettingError::new(setting, problem));
    }
    let region = region(environment, setting)?;
    let endpoint = endpoint(environment)?;
    let options = DynamoDbOptions::new(table, region, endpoint).ok_or_else(|| {
        let rule = "3 to 255 letters, digits, `_`, `-` or `.`";
        SettingError::new(setting, format!("{expected}, {rule}"))
    })?;
    log_in(environment, options)
}

/// The access key of the environment. Others are looked for later, by AWS's own chain.
fn log_in(
    environment: &Environment,
    options: DynamoDbOptions,
) -> Result<DynamoDbOptions, SettingError> {
    let session = environment.get("AWS_SESSION_TOKEN")?.map(|session| session.value.into());
    match (environment.get("AWS_ACCESS_KEY_ID")?, environment.get("AWS_SECRET_ACCESS_KEY")?) {
        (Some(id), Some(secret)) => Ok(options.login(id.value, secret.value.into(), session)),
        (None, None) => Ok(options),
        (Some(given), None) | (None, Some(given)) => {
            let problem = "needs both of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
            Err(SettingError::new(given.name, problem))
        }
    }
}

fn region<'a>(environment: &'a Environment, setting: &str) -> Result<&'a str, SettingError> {
    let Some(region) = first(environment, REGION)? else {
        let problem = format!("must be set, because {setting} is a table of DynamoDB");
        return Err(SettingError::new(REGION[0], problem));
    };
    let usable = region.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if usable {
        Ok(region.value)
    } else {
        Err(SettingError::new(region.name, "must be a region such as `eu-west-1`"))
    }
}

fn endpoint(environment: &Environment) -> Result<Option<&str>, SettingError> {
    let Some(endpoint) = first(environment, ENDPOINT)? else { return Ok(None) };
    let url = Url::parse(endpoint.value).ok();
    match url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
        Some(_) => Ok(Some(endpoint.value)),
        None => Err(SettingError::new(endpoint.name, "must be a URL: http://host:8000")),
    }
}

fn first<'a>(
    environment: &'a Environment,
    [first, second]: [&'static str; 2],
) -> Result<Option<Given<'a>>, SettingError> {
    Ok(environment.get(first)?.or(environment.get(second)?))
}
