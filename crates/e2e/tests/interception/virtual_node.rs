//! The mesh `yelb` as App Mesh knows it, and what its management server tells each node's Envoy.

use std::fmt::{self, Display};
use std::net::Ipv4Addr;

use askama::Template;

/// The Cloud Map domains of the two accounts' tasks.
const BACKEND: &str = "am-ecs-multi-account.local";
const FRONTEND: &str = "green.am-ecs-multi-account.local";

/// A virtual node, the virtual service of the same name that it provides, and the one task that is its only instance.
#[derive(Debug, Template)]
#[template(path = "virtual_node.yaml", escape = "none")]
pub(crate) struct VirtualNode {
    /// Of the virtual service, and so what clients call it.
    pub(crate) service: &'static str,
    /// Where Cloud Map has it.
    domain: &'static str,
    /// Where its task is.
    pub(crate) address: Ipv4Addr,
    protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) backends: &'static [&'static VirtualNode],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    Http,
    Tcp,
}

pub(crate) static UI: VirtualNode = VirtualNode {
    service: "yelb-ui",
    domain: FRONTEND,
    address: Ipv4Addr::new(10, 0, 64, 11),
    protocol: Protocol::Http,
    port: 80,
    backends: &[&APPSERVER],
};

pub(crate) static APPSERVER: VirtualNode = VirtualNode {
    service: "yelb-appserver",
    domain: FRONTEND,
    address: Ipv4Addr::new(10, 0, 64, 12),
    protocol: Protocol::Http,
    port: 4567,
    backends: &[&DATABASE, &REDIS],
};

pub(crate) static DATABASE: VirtualNode = VirtualNode {
    service: "yelb-db",
    domain: BACKEND,
    address: Ipv4Addr::new(10, 0, 64, 13),
    protocol: Protocol::Tcp,
    port: 5432,
    backends: &[],
};

pub(crate) static REDIS: VirtualNode = VirtualNode {
    service: "redis-server",
    domain: BACKEND,
    address: Ipv4Addr::new(10, 0, 64, 14),
    protocol: Protocol::Tcp,
    port: 6379,
    backends: &[],
};

/// What Cloud Map knows: the name of each node, and where it is.
pub(crate) fn hosts() -> String {
    let nodes = [&UI, &APPSERVER, &DATABASE, &REDIS];
    let lines = nodes.map(|node| format!("{} {}\n", node.address, node.hostname()));
    lines.concat()
}

impl VirtualNode {
    /// Its name in the mesh.
    pub(crate) fn name(&self) -> String {
        format!("{}-vn", self.service)
    }

    /// Its name in Cloud Map.
    pub(crate) fn hostname(&self) -> String {
        format!("{}.{}", self.service, self.domain)
    }

    /// Where its app finds the short names of its backends.
    pub(crate) fn search_domain(&self) -> &'static str {
        self.backends.first().map_or(self.domain, |backend| backend.domain)
    }

    /// What App Mesh calls a cluster of Envoy's that leads to this node (`egress`), or from its Envoy to it (`ingress`).
    pub(crate) fn cluster(&self, direction: &str) -> String {
        format!("cds_{direction}_yelb_{}_{}_{}", self.name(), self.protocol, self.port)
    }

    /// What Envoy calls the number of connections that it has opened to that cluster.
    pub(crate) fn connections(&self, direction: &str) -> String {
        format!("cluster.{}.upstream_cx_total", self.cluster(direction))
    }

    /// What its Envoy is told, in Envoy's own format.
    pub(crate) fn envoy(&self) -> String {
        self.render().expect("a template of words and numbers renders")
    }
}

impl Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
        })
    }
}
