//! Where a table of DynamoDB is.

use std::str::FromStr;

use secrecy::SecretString;

/// The name of a table, by the naming rules of Amazon DynamoDB's developer guide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName(String);

/// What no table can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a table's name has 3 to 255 letters, digits, `_`, `-` or `.`")]
pub struct InvalidTableName;

impl FromStr for TableName {
    type Err = InvalidTableName;

    fn from_str(name: &str) -> Result<Self, InvalidTableName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let is_name = (3..=255).contains(&name.len()) && name.bytes().all(allowed);
        is_name.then(|| Self(name.to_owned())).ok_or(InvalidTableName)
    }
}

/// Which table, and where.
#[derive(Debug, Clone)]
pub struct DynamoDbOptions {
    pub(crate) table: String,
    pub(crate) region: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) login: Option<Login>,
}

#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) id: String,
    pub(crate) secret: SecretString,
    pub(crate) session: Option<SecretString>,
}

impl DynamoDbOptions {
    /// A table of `region`, at another endpoint than the region's if one is given.
    pub fn new(table: TableName, region: &str, endpoint: Option<&str>) -> Self {
        let endpoint = endpoint.map(str::to_owned);
        Self { table: table.0, region: region.to_owned(), endpoint, login: None }
    }

    /// With this access key. Without one, it is looked for where AWS's SDKs do, a container's role among others.
    #[must_use]
    pub fn login(self, id: &str, secret: SecretString, session: Option<SecretString>) -> Self {
        Self { login: Some(Login { id: id.to_owned(), secret, session }), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_name_that_dynamodb_allows() {
        for name in ["ab", "", "a b c", "yelb/votes", "yelb?region=x", &"a".repeat(256)] {
            assert_eq!(name.parse::<TableName>(), Err(InvalidTableName), "{name}");
        }
        assert!("Yelb_votes-1.0".parse::<TableName>().is_ok());
    }
}
