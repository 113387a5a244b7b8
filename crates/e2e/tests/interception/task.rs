//! A task as ECS runs it: a network namespace with the iptables rules of its proxy configuration, and an Envoy in it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};

use testbed::xray::Daemon;
use testbed::{Namespace, PATIENCE, Program, Running, eventually, http};

use crate::proxy_configuration::ProxyConfiguration;
use crate::virtual_node::{self, VirtualNode};

/// The user id of Envoy and of the X-Ray daemon in App Mesh's images.
pub(crate) const ENVOY: u32 = 1337;

/// The address of Envoy's admin interface.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);

/// The network of all tasks. Its namespace also stands for all hosts outside the mesh, such as the load balancer.
pub(crate) struct Vpc {
    pub(crate) namespace: Namespace,
}

impl Vpc {
    /// The address of the subnet's router and of all clients outside the mesh.
    pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 64, 1);
    /// The address at which a task gets the credentials of its role from ECS.
    pub(crate) const CREDENTIALS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);

    #[track_caller]
    pub(crate) fn start() -> Self {
        let vpc = Self { namespace: Namespace::start() };
        ip(&vpc.namespace, "link add vpc type bridge");
        ip(&vpc.namespace, &format!("address add {}/19 dev vpc", Self::ADDRESS));
        ip(&vpc.namespace, &format!("address add {}/32 dev vpc", Self::CREDENTIALS));
        ip(&vpc.namespace, "link set vpc up");
        vpc
    }

    /// Gives a task its network interface. The task can reach the subnet and link-local addresses only.
    #[track_caller]
    fn attach(&self, task: &Namespace, node: &VirtualNode) {
        let VirtualNode { service, address, .. } = node;
        let link = format!("link add {service} type veth peer name eth0 netns {}", task.pid());
        ip(&self.namespace, &link);
        ip(&self.namespace, &format!("link set {service} master vpc up"));
        ip(task, &format!("address add {address}/19 dev eth0"));
        ip(task, "link set eth0 up");
        ip(task, &format!("route add 169.254.0.0/16 via {}", Self::ADDRESS));
    }
}

/// A task with its Envoy and its X-Ray daemon. [`Task::app`] makes its application.
pub(crate) struct Task {
    pub(crate) namespace: Namespace,
    pub(crate) xray: Daemon,
    node: &'static VirtualNode,
    _envoy: Running,
}

impl Task {
    /// Starts the task of a virtual node, with the proxy configuration of its task definition.
    #[track_caller]
    pub(crate) fn start(vpc: &Vpc, node: &'static VirtualNode) -> Self {
        Self::start_with(vpc, node, &ProxyConfiguration::of(node.service))
    }

    /// Starts a task with another proxy configuration, and waits until its Envoy is healthy.
    #[track_caller]
    pub(crate) fn start_with(
        vpc: &Vpc,
        node: &'static VirtualNode,
        proxy: &ProxyConfiguration,
    ) -> Self {
        let namespace = Namespace::start();
        namespace.set_hosts(&format!("127.0.0.1 localhost\n{}", virtual_node::hosts()));
        vpc.attach(&namespace, node);

        let filter = Program::installed("iptables-restore", "iptables");
        let rules = filter.home().join("rules");
        std::fs::write(&rules, proxy.rules()).expect("a temporary file can be written");
        succeed(filter.arg(rules).inside(&namespace));

        let socket = namespace.within(|| UdpSocket::bind("127.0.0.1:2000"));
        let xray = Daemon::listen(socket.expect("all ports are free in a new namespace"));

        let envoy = Program::of_python("envoy")
            .args(["--config-yaml", &node.envoy()])
            .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"])
            .as_user(ENVOY)
            .inside(&namespace)
            .spawn();
        eventually(PATIENCE, "Envoy is live", || {
            assert!(envoy.is_running(), "{envoy:?}");
            namespace.within(is_live)
        });
        Self { namespace, xray, node, _envoy: envoy }
    }

    /// The task's application: a program of this workspace, with the settings of its image and its task definition.
    #[track_caller]
    pub(crate) fn app(&self) -> Program {
        /// The user id that the project's images run as.
        const UNPRIVILEGED: u32 = 65532;

        Program::of_workspace(self.node.service)
            .env("PORT", self.node.port.to_string())
            .env("YELB_BIND", "0.0.0.0")
            .env("SEARCH_DOMAIN", self.node.search_domain())
            .env("AWS_XRAY_DAEMON_ADDRESS", self.xray.address())
            .as_user(UNPRIVILEGED)
            .inside(&self.namespace)
    }

    /// The address of the application for other tasks.
    pub(crate) fn address(&self) -> SocketAddr {
        (self.node.address, self.node.port).into()
    }

    /// The value of a counter of the task's Envoy.
    #[track_caller]
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let path = format!("/stats?format=json&filter=^{name}$");
        let stats = self.namespace.within(|| http::get(ADMIN, &path)).json();
        let value = &stats["stats"][0]["value"];
        value.as_u64().unwrap_or_else(|| panic!("Envoy counts no `{name}`: {stats}"))
    }

    /// The number of connections from other tasks that were redirected to the task's Envoy.
    pub(crate) fn came_in(&self) -> u64 {
        self.counter("listener.0.0.0.0_15000.downstream_cx_total")
    }

    /// The number of connections of the application that were redirected to the task's Envoy.
    pub(crate) fn went_out(&self) -> u64 {
        self.counter("listener.0.0.0.0_15001.downstream_cx_total")
    }
}

/// Whether Envoy is live. This is the same check as its container's health check.
fn is_live() -> bool {
    TcpStream::connect(ADMIN).is_ok() && http::get(ADMIN, "/ready").status == 200
}

#[track_caller]
fn ip(namespace: &Namespace, command: &str) {
    let ip = Program::installed("ip", "iproute2");
    succeed(ip.args(command.split(' ')).inside(namespace));
}

#[track_caller]
fn succeed(program: Program) {
    let described = format!("{program:?}");
    let output = program.run_to_end(PATIENCE);
    assert!(output.status.success(), "{described} failed: {}", output.stderr);
}
