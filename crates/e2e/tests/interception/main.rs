//! Transparent interception, as App Mesh and ECS make it: packet filters send every connection of a task's app through the
//! Envoy beside it, and neither the apps nor their clients know.
//!
//! Each task is a network namespace with the rules of its task definition's proxy configuration, a real Envoy that is told
//! what App Mesh's management server would tell it, and a real app on its usual port. App Mesh itself is no more; the
//! rules, the proxy and the programs are what it left behind, and they need nothing of AWS.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod namespaces;
mod proxy_configuration;
mod redirection;
mod task;
mod virtual_node;
mod visited;
mod vote;
mod yelb;
