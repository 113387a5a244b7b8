//! Tests that clients cannot reach closed ports, and that sidecars refuse clients without the right certificate.

use crate::docker::{docker, ended, said};
use crate::stack::{NODES, Stack};

/// The nodes with an ingress listener. Each has its name, one of the accounts in whose network it is, and the only node that
/// may call it.
const INGRESS: [(&str, &str, &str); 3] = [
    ("yelb-appserver", "account-frontend", "yelb-ui"),
    ("yelb-db", "account-backend", "yelb-appserver"),
    ("redis-server", "account-backend", "yelb-appserver"),
];

/// Runs a script in a new container in the network of an account, with a shell and openssl. Returns the output of the script,
/// even if the script fails.
#[track_caller]
fn stranger(stack: &Stack, account: &str, more: &[&str], script: &str) -> String {
    let network = stack.named(account);
    let mut run = docker(&["run", "--rm", "--network", &network, "--entrypoint", "bash"]);
    let output = ended(run.args(more).args(["yelb-envoy", "-c", script]));
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// The address of a node's task in the network of an account.
#[track_caller]
fn address(stack: &Stack, node: &str, account: &str) -> String {
    let format =
        format!("{{{{(index .NetworkSettings.Networks {:?}).IPAddress}}}}", stack.named(account));
    stack.inspect(&format!("{node}-task"), &format)
}

/// Whether a new container in the network can connect. If packets are dropped, the attempt ends after 3 s.
#[track_caller]
fn reaches(stack: &Stack, account: &str, address: &str, port: u16) -> bool {
    let script = format!("timeout 3 bash -c '</dev/tcp/{address}/{port}' && echo connected");
    stranger(stack, account, &[], &script).contains("connected")
}

#[test]
fn the_frontend_reaches_the_stores_only_through_the_sidecars() {
    let stack = Stack::up();
    // First test the check itself: it must find a port that can be reached.
    let frontend = address(&stack, "yelb-appserver", "account-frontend");
    assert!(reaches(&stack, "account-frontend", &frontend, 15000));

    for (store, port) in [("yelb-db", 5432), ("redis-server", 6379)] {
        let backend = address(&stack, store, "account-backend");
        for port in [port, 15000] {
            assert!(!reaches(&stack, "account-frontend", &backend, port), "{store}:{port}");
        }
        for name in [store, &format!("{store}.backend.yelb.local")] {
            let script = format!("getent hosts {name} || echo unknown");
            assert_eq!(stranger(&stack, "account-frontend", &[], &script).trim(), "unknown");
        }
        // The app server's sidecar has listeners for the stores. Only the app server can reach them.
        assert!(
            !reaches(&stack, "account-frontend", &frontend, port),
            "{store} by the app server's sidecar"
        );
        // In the store's own account, too, clients cannot connect to the store itself.
        assert!(
            !reaches(&stack, "account-backend", &backend, port),
            "{store}:{port} in its account"
        );
    }
    for port in [4567, 9464, 9901] {
        assert!(!reaches(&stack, "account-frontend", &frontend, port), "the app server's {port}");
    }
}

#[test]
fn no_ingress_lets_in_a_client_without_the_right_certificate() {
    let stack = Stack::up();
    // The test mounts the certificates of all nodes. A sidecar has only its own certificate.
    let volumes: Vec<String> = NODES
        .iter()
        .flat_map(|node| {
            [
                "-v".to_owned(),
                format!("{}:/credentials/{node}:ro", stack.named(&format!("{node}-tls"))),
            ]
        })
        .collect();
    let volumes: Vec<&str> = volumes.iter().map(String::as_str).collect();

    for (node, account, friend) in INGRESS {
        let address = address(&stack, node, account);
        let call = |certificate: &str| {
            // The sidecar closes a refused connection at once. An accepted connection is still open when `timeout` ends
            // openssl.
            let script = format!(
                "certificates.sh /tmp/foreign {friend} > /dev/null
                 timeout 2 openssl s_client -connect {address}:15000 -alpn h2 -ign_eof {certificate} < /dev/null 2>&1
                 [ $? = 124 ] && echo stays open"
            );
            stranger(&stack, account, &volumes, &script)
        };
        let with = |directory: &str| format!("-cert {directory}/tls.crt -key {directory}/tls.key");

        let welcome = call(&with(&format!("/credentials/{friend}")));
        assert!(welcome.contains("stays open"), "{friend} at {node}: {welcome}");
        let strangers = NODES.iter().filter(|other| **other != friend);
        let wrong = strangers.map(|other| with(&format!("/credentials/{other}")));
        let none = [String::new(), with(&format!("/tmp/foreign/{friend}"))];
        for certificate in none.into_iter().chain(wrong) {
            let refused = call(&certificate);
            assert!(refused.contains("alert"), "{certificate:?} at {node}: {refused}");
            assert!(!refused.contains("stays open"), "{certificate:?} at {node}: {refused}");
        }
    }
}

#[test]
fn every_hop_goes_through_both_its_sidecars() {
    let stack = Stack::up();
    let through = || {
        [
            ("yelb-ui", "http.front_door.downstream_rq_2xx"),
            ("yelb-ui", "http.egress_yelb_appserver.downstream_rq_2xx"),
            ("yelb-appserver", "http.ingress.downstream_rq_2xx"),
        ]
        .map(|(node, counter)| stack.counter(node, counter))
    };
    let before = through();
    assert_eq!(stack.get("/api/ihop"), (200, "1".to_owned()));
    assert_eq!(stack.get("/api/getstats").0, 200);
    assert_eq!(through(), before.map(|count| count + 2));
    for (node, egress) in [("yelb-db", "egress_yelb_db"), ("redis-server", "egress_redis_server")] {
        let sent = stack.counter("yelb-appserver", &format!("tcp.{egress}.downstream_cx_total"));
        let came = stack.counter(node, "tcp.ingress.downstream_cx_total");
        assert!(sent > 0 && came > 0, "{node}: {sent} sent, {came} came");
    }
    // All connections to the database come from the database's own sidecar.
    let clients = "select distinct client_addr from pg_stat_activity where datname = 'yelbdatabase' and client_addr is not null";
    assert_eq!(stack.sql(clients), "127.0.0.1");
}

#[test]
fn every_configuration_is_valid_and_up_to_date() {
    let stack = Stack::up();
    for node in NODES {
        let file = format!("/etc/envoy/{node}.yaml");
        let mut validate = docker(&["exec", &stack.container(&format!("{node}-envoy"))]);
        let output = ended(validate.args(["envoy", "--mode", "validate", "--config-path", &file]));
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(said.contains(&format!("configuration '{file}' OK")), "{said}");
        assert!(!said.contains("eprecated"), "{said}");
    }
}

#[test]
fn no_container_runs_as_root_or_has_a_writable_root_file_system() {
    let stack = Stack::up();
    for node in NODES {
        for container in [node.to_owned(), format!("{node}-envoy"), format!("{node}-task")] {
            let pid = stack.pid(&container);
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap().split_whitespace().next().unwrap().to_owned()
            };
            assert_ne!(field("Uid:"), "0", "{container}");
            assert_eq!(field("CapEff:"), "0000000000000000", "{container}");
            assert_eq!(field("NoNewPrivs:"), "1", "{container}");
            assert_eq!(
                stack.inspect(&container, "{{.HostConfig.ReadonlyRootfs}}"),
                "true",
                "{container}"
            );
        }
    }
    // Only Envoy's user can read the sidecar's private key, and the authority's key is not there.
    let keys = said(docker(&["exec", &stack.container("yelb-ui-envoy")]).args([
        "ls",
        "-lR",
        "/etc/envoy/tls",
    ]));
    assert!(keys.contains("-rw------- 1 1337") && !keys.contains("ca.key"), "{keys}");
    assert!(!stack.inspect("yelb-appserver", "{{json .Config.Env}}").contains("PASSWORD="));
}
