//! A table as it should be: looked at, made, and completed.

use std::time::Duration;

use aws_sdk_dynamodb::client::Waiters;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TableDescription, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};

use super::table::{Table, number, text};
use crate::Migrate;
use crate::error::StoreError;

/// How long [`Schema::make`] waits for a table that is being made.
const MAKING_LIMIT: Duration = Duration::from_mins(1);

/// A table, and what it is to have.
pub(super) struct Schema {
    pub(super) table: Table,
    pub(super) items: Vec<&'static str>,
    pub(super) migrate: Migrate,
}

impl Schema {
    /// Asks DynamoDB for an item. [`StoreError::NotReady`] says that it answers, and that there is no such table.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        let Table { client, name, layout, .. } = &self.table;
        let item = self.items.first().copied().unwrap_or_default();
        match client.get_item().table_name(&**name).key(layout.key, text(item)).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error().and_then(ProvideErrorMetadata::code) {
                Some("ResourceNotFoundException") => Err(self.missing()),
                // There are no items with such a key.
                Some("ValidationException") => Err(self.wrong_key()),
                _ => Err(StoreError::doing("reach DynamoDB")(error)),
            },
        }
    }

    /// Makes the table and its items where they are missing, or says what is missing.
    pub(super) async fn prepare(&self) -> Result<(), StoreError> {
        let Some(table) = self.describe().await? else {
            return match self.migrate {
                Migrate::Never => Err(self.missing()),
                Migrate::Auto => {
                    self.create().await?;
                    // It takes a while until it can be used; it is looked at again.
                    Err(StoreError::NotReady(format!("table {} is being made", &*self.table.name)))
                }
            };
        };
        self.check(&table)?;
        self.add_missing().await?;
        if let Some(attribute) = self.table.layout.expires
            && let Err(error) = self.expire(attribute).await
        {
            // Votes are counted without it, and not every role may switch it on.
            tracing::warn!(
                table = &*self.table.name,
                reason = error.chain(),
                "old vote keys are not deleted: switch on the table's time to live, by the attribute `{attribute}`"
            );
        }
        Ok(())
    }

    /// As [`Self::prepare`], and waits until the table can be used.
    pub(super) async fn make(&self) -> Result<(), StoreError> {
        if self.describe().await?.is_none() {
            self.create().await?;
        }
        let made = self.table.client.wait_until_table_exists().table_name(&*self.table.name);
        made.wait(MAKING_LIMIT).await.map_err(StoreError::doing("wait for the table"))?;
        self.prepare().await
    }

    fn missing(&self) -> StoreError {
        let table = &*self.table.name;
        StoreError::NotReady(format!("table {table} is missing; run `yelb-appserver migrate`"))
    }

    fn wrong_key(&self) -> StoreError {
        let (table, key) = (&*self.table.name, self.table.layout.key);
        StoreError::NotReady(format!("the key of {table} is not `{key}` alone, a string"))
    }

    async fn describe(&self) -> Result<Option<TableDescription>, StoreError> {
        match self.table.client.describe_table().table_name(&*self.table.name).send().await {
            Ok(described) => Ok(described.table),
            Err(error) => match error.as_service_error() {
                Some(refused) if refused.is_resource_not_found_exception() => Ok(None),
                _ => Err(StoreError::doing("look at the table")(error)),
            },
        }
    }

    async fn create(&self) -> Result<(), StoreError> {
        const DOING: &str = "make the table";
        let key = self.table.layout.key;
        let attribute = AttributeDefinition::builder()
            .attribute_name(key)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .map_err(StoreError::doing(DOING))?;
        let schema = KeySchemaElement::builder()
            .attribute_name(key)
            .key_type(KeyType::Hash)
            .build()
            .map_err(StoreError::doing(DOING))?;
        let made = self
            .table
            .client
            .create_table()
            .table_name(&*self.table.name)
            .attribute_definitions(attribute)
            .key_schema(schema)
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await;
        match made {
            Ok(_) => Ok(()),
            // Another app server was first.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(CreateTableError::is_resource_in_use_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(StoreError::doing(DOING)(error)),
        }
    }

    /// Whether it is a table of counts that can be used now.
    fn check(&self, table: &TableDescription) -> Result<(), StoreError> {
        let name = &*self.table.name;
        let schema = table.key_schema();
        let by_name = schema.len() == 1
            && schema[0].attribute_name() == self.table.layout.key
            && table.attribute_definitions().iter().any(|attribute| {
                attribute.attribute_name() == self.table.layout.key
                    && *attribute.attribute_type() == ScalarAttributeType::S
            });
        if !by_name {
            return Err(self.wrong_key());
        }
        match table.table_status() {
            Some(TableStatus::Creating) => {
                Err(StoreError::NotReady(format!("table {name} is being made")))
            }
            _ => Ok(()),
        }
    }

    /// Gives everything that is to be there an item.
    async fn add_missing(&self) -> Result<(), StoreError> {
        let Table { client, name, layout, .. } = &self.table;
        let found = self.table.read(&self.items, "look for missing items").await?;
        let is_there = |item: &&&str| found.iter().any(|(name, _)| name == *item);
        for item in self.items.iter().filter(|item| !is_there(item)) {
            client
                .update_item()
                .table_name(&**name)
                .key(layout.key, text(item))
                // Another app server may have counted meanwhile.
                .update_expression("ADD #count :none")
                .expression_attribute_names("#count", layout.count)
                .expression_attribute_values(":none", number(0))
                .send()
                .await
                .map_err(StoreError::doing("add a missing item"))?;
        }
        Ok(())
    }

    /// Has items cleared away by themselves when `attribute` says so.
    async fn expire(&self, attribute: &str) -> Result<(), StoreError> {
        const DOING: &str = "switch its time to live on";
        let Table { client, name, .. } = &self.table;
        let described = client.describe_time_to_live().table_name(&**name).send().await;
        let described = described.map_err(StoreError::doing("look at its time to live"))?;
        let current = described.time_to_live_description();
        let is_on = current.is_some_and(|current| {
            let on = [TimeToLiveStatus::Enabled, TimeToLiveStatus::Enabling];
            current.attribute_name() == Some(attribute)
                && current.time_to_live_status().is_some_and(|status| on.contains(status))
        });
        if is_on {
            return Ok(());
        }
        if self.migrate == Migrate::Never {
            return Err(StoreError::NotReady("it is off; run `yelb-appserver migrate`".to_owned()));
        }
        let on = TimeToLiveSpecification::builder().attribute_name(attribute).enabled(true);
        let on = on.build().map_err(StoreError::doing(DOING))?;
        let update = client.update_time_to_live().table_name(&**name);
        update.time_to_live_specification(on).send().await.map_err(StoreError::doing(DOING))?;
        Ok(())
    }
}
