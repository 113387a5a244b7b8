/// What is known of a kind of store: its names in traces, in `/readyz` and in messages.
#[derive(Debug)]
pub struct StoreKind {
    /// What it keeps: `votes` or `page-views`, as `/readyz` and the metrics have it.
    pub keeps: &'static str,
    /// The kind of the dependency in `/readyz`, in the metrics and in the log.
    pub name: &'static str,
    /// The database system, as OpenTelemetry's semantic conventions name it (`db.system.name`).
    pub system: &'static str,
    /// The node on a service map; `None` for a store that is part of this process.
    pub node: Option<&'static str>,
    /// What counting is in traces: the operation and its object.
    pub write: &'static str,
    /// What reading is in traces.
    pub read: &'static str,
}

/// A store as traces show it.
#[derive(Debug, Clone)]
pub struct Description {
    /// What is the same for all stores of the kind.
    pub kind: &'static StoreKind,
    /// Which part of the system is used (`db.namespace`): a database, or a table.
    pub namespace: Option<String>,
    /// Host and port.
    pub address: Option<(String, u16)>,
}
