//! Where a table of DynamoDB is.

use secrecy::SecretString;

/// Which table, and where.
#[derive(Debug, Clone)]
#[cfg_attr(
    not(feature = "dynamodb"),
    expect(dead_code, reason = "only read where there is a client")
)]
pub struct DynamoDbOptions {
    pub(crate) table: String,
    pub(crate) region: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) login: Option<Login>,
}

#[derive(Debug, Clone)]
#[cfg_attr(
    not(feature = "dynamodb"),
    expect(dead_code, reason = "only read where there is a client")
)]
pub(crate) struct Login {
    pub(crate) id: String,
    pub(crate) secret: SecretString,
    pub(crate) session: Option<SecretString>,
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
