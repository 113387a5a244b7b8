//! Region, endpoint and access key of tables in DynamoDB, by the variables that AWS's SDKs read. They have no flags, and are
//! read only if a URL names a table.

use url::Url;
use yelb_db::{DynamoDbOptions, TableName};
use yelb_service::settings::{Environment, SettingError};

/// A table that the setting `name` names.
pub(super) fn options(
    environment: &Environment,
    name: &str,
    table: &TableName,
) -> Result<DynamoDbOptions, SettingError> {
    let region = region(environment, name)?;
    let endpoint = endpoint(environment)?;
    log_in(environment, DynamoDbOptions::new(table.clone(), region, endpoint))
}

/// The access key of the environment. Others are looked for later, by AWS's own chain.
fn log_in(
    environment: &Environment,
    options: DynamoDbOptions,
) -> Result<DynamoDbOptions, SettingError> {
    let session = environment.text("AWS_SESSION_TOKEN")?.map(Into::into);
    let (id, secret) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    let (given, missing) = match (environment.text(id)?, environment.text(secret)?) {
        (Some(id), Some(secret)) => return Ok(options.login(id, secret.into(), session)),
        (None, None) => return Ok(options),
        (Some(_), None) => (id, secret),
        (None, Some(_)) => (secret, id),
    };
    Err(SettingError::new(given, format!("has no effect without {missing}; set that, too")))
}

fn region<'a>(environment: &'a Environment, setting: &str) -> Result<&'a str, SettingError> {
    let Some((name, region)) = first(environment, ["AWS_REGION", "AWS_DEFAULT_REGION"])? else {
        let problem = format!("must be set, because {setting} is a table of DynamoDB");
        return Err(SettingError::new("AWS_REGION", problem));
    };
    let usable = region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let problem = || format!("expected a region such as eu-west-1, got {region:?}");
    usable.then_some(region).ok_or_else(|| SettingError::new(name, problem()))
}

fn endpoint(environment: &Environment) -> Result<Option<&str>, SettingError> {
    let names = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"];
    let Some((name, endpoint)) = first(environment, names)? else { return Ok(None) };
    let url = Url::parse(endpoint).ok();
    match url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
        Some(_) => Ok(Some(endpoint)),
        None => Err(SettingError::new(name, "expected a URL such as http://host:8000")),
    }
}

/// The first of two variables that is set.
fn first<'a>(
    environment: &'a Environment,
    names: [&'static str; 2],
) -> Result<Option<(&'static str, &'a str)>, SettingError> {
    for name in names {
        if let Some(value) = environment.text(name)? {
            return Ok(Some((name, value)));
        }
    }
    Ok(None)
}
