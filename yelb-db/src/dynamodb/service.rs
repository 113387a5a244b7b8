//! A table as its keeper sees it: whether DynamoDB answers, and whether the table is as it should be.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TableDescription, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};
use tokio::sync::OnceCell;
use tokio::time::sleep;
use yelb_service::keeper::Store;
use yelb_service::problem::Chain;

use super::client::DynamoDbOptions;
use super::table::{Layout, number, read, text};
use crate::{Migrate, StoreError};

/// The pauses of [`make`] while a table is being made, and how long it waits in all.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
const MAKING_LIMIT: Duration = Duration::from_mins(1);

/// A table, and what it is to have.
pub(super) struct Service {
    options: DynamoDbOptions,
    layout: &'static Layout,
    items: Vec<String>,
    migrate: Migrate,
    client: OnceCell<Client>,
}

impl Store for Service {
    type Connection = Client;
    type Error = StoreError;

    /// A service that answers is there, be it that it has no such table: [`Self::prepare`] sees to that, or says so.
    async fn connect(&self) -> Result<Client, StoreError> {
        let client = self.client.get_or_init(|| self.options.client()).await.clone();
        match self.probe(&client).await {
            Err(StoreError::NoTable(_) | StoreError::WrongTable(_)) | Ok(()) => Ok(client),
            Err(error) => Err(error),
        }
    }

    async fn probe(&self, client: &Client) -> Result<(), StoreError> {
        let item = self.items.first().map_or("", String::as_str);
        let asked = client.get_item().table_name(self.options.table());
        match asked.key(self.layout.key, text(item)).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error().and_then(ProvideErrorMetadata::code) {
                Some("ResourceNotFoundException") => Err(self.missing()),
                // There are no items with such a key.
                Some("ValidationException") => Err(self.wrong_key()),
                _ => Err(StoreError::doing("reach DynamoDB")(error)),
            },
        }
    }

    async fn prepare(&self, client: &Client) -> Result<(), StoreError> {
        let Some(table) = self.describe(client).await? else {
            return match self.migrate {
                Migrate::Never => Err(self.missing()),
                Migrate::Auto => {
                    self.create(client).await?;
                    // It takes a while until it can be used; the keeper comes again.
                    Err(StoreError::NoTable(format!(
                        "table {} is being made",
                        self.options.table()
                    )))
                }
            };
        };
        self.check(&table)?;
        self.add_missing(client).await?;
        if let Some(attribute) = self.layout.expires
            && let Err(error) = self.expire(client, attribute).await
        {
            // It is not needed to count, and the right to switch it on is not everybody's.
            tracing::warn!(
                table = self.options.table(),
                error = %Chain(&error),
                "keys of votes are not cleared away: switch the table's time to live on, by the attribute `{attribute}`"
            );
        }
        Ok(())
    }
}

impl Service {
    pub(super) fn new(
        options: DynamoDbOptions,
        layout: &'static Layout,
        items: Vec<String>,
        migrate: Migrate,
    ) -> Self {
        Self { options, layout, items, migrate, client: OnceCell::new() }
    }

    fn missing(&self) -> StoreError {
        let table = self.options.table();
        StoreError::NoTable(format!("table {table} is missing; run `yelb-appserver migrate`"))
    }

    fn wrong_key(&self) -> StoreError {
        let (table, key) = (self.options.table(), self.layout.key);
        StoreError::WrongTable(format!("the key of {table} is not `{key}` alone, a string"))
    }

    async fn describe(&self, client: &Client) -> Result<Option<TableDescription>, StoreError> {
        match client.describe_table().table_name(self.options.table()).send().await {
            Ok(described) => Ok(described.table),
            Err(error) => match error.as_service_error() {
                Some(refused) if refused.is_resource_not_found_exception() => Ok(None),
                _ => Err(StoreError::doing("look at the table")(error)),
            },
        }
    }

    async fn create(&self, client: &Client) -> Result<(), StoreError> {
        const DOING: &str = "make the table";
        let key = self.layout.key;
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
        let made = client
            .create_table()
            .table_name(self.options.table())
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
        let name = self.options.table();
        let schema = table.key_schema();
        let by_name = schema.len() == 1
            && schema[0].attribute_name() == self.layout.key
            && table.attribute_definitions().iter().any(|attribute| {
                attribute.attribute_name() == self.layout.key
                    && *attribute.attribute_type() == ScalarAttributeType::S
            });
        if !by_name {
            return Err(self.wrong_key());
        }
        match table.table_status() {
            Some(TableStatus::Creating) => {
                Err(StoreError::NoTable(format!("table {name} is being made")))
            }
            _ => Ok(()),
        }
    }

    /// Gives everything that is to be there an item.
    async fn add_missing(&self, client: &Client) -> Result<(), StoreError> {
        let (name, layout) = (self.options.table(), self.layout);
        let found = read(client, name, layout, &self.items).await;
        let found = found.map_err(StoreError::doing("look for missing items"))?;
        let is_there = |item: &String| found.iter().any(|(name, _)| name == item);
        for item in self.items.iter().filter(|item| !is_there(item)) {
            client
                .update_item()
                .table_name(name)
                .key(layout.key, text(item))
                // Somebody may have counted meanwhile.
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
    async fn expire(&self, client: &Client, attribute: &str) -> Result<(), StoreError> {
        const DOING: &str = "switch its time to live on";
        let table = self.options.table();
        let described = client.describe_time_to_live().table_name(table).send().await;
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
            return Err(StoreError::NoTable("it is off; run `yelb-appserver migrate`".to_owned()));
        }
        let on = TimeToLiveSpecification::builder().attribute_name(attribute).enabled(true);
        let on = on.build().map_err(StoreError::doing(DOING))?;
        let update = client.update_time_to_live().table_name(table);
        update.time_to_live_specification(on).send().await.map_err(StoreError::doing(DOING))?;
        Ok(())
    }
}

/// Makes a table and its items where they are missing, and waits until it can be used.
pub(super) async fn make(
    options: DynamoDbOptions,
    layout: &'static Layout,
    items: Vec<String>,
) -> Result<(), StoreError> {
    let client = options.client().await;
    let service = Service::new(options, layout, items, Migrate::Auto);
    let mut waited = Duration::ZERO;
    loop {
        match service.prepare(&client).await {
            Err(StoreError::NoTable(_)) if waited < MAKING_LIMIT => sleep(LOOK_AGAIN).await,
            outcome => return outcome,
        }
        waited += LOOK_AGAIN;
    }
}
