//! What Kubernetes puts into the environment of each container, by "Environment variables" of its page on Services. One of them,
//! `REDIS_SERVER_PORT`, has the name of a setting of the original.

use testbed::{Program, http};

/// The original's four Services, and others whose variables would have the names of settings.
const SERVICES: [(&str, u16); 7] = [
    ("redis-server", 6379),
    ("yelb-db", 5432),
    ("yelb-appserver", 4567),
    ("yelb-ui", 80),
    ("yelb-db-server", 5432),
    ("yelb-api", 4567),
    ("yelb-admin", 9464),
];

/// Every variable that a namespace with these Services gives its containers.
fn variables() -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for (number, (service, port)) in SERVICES.into_iter().enumerate() {
        let name = service.to_uppercase().replace('-', "_");
        let address = format!("10.0.0.{}", number + 9);
        let url = format!("tcp://{address}:{port}");
        let mut add = |suffix: &str, value: &str| {
            variables.push((format!("{name}_{suffix}"), value.to_owned()));
        };
        add("SERVICE_HOST", &address);
        add("SERVICE_PORT", &port.to_string());
        add("SERVICE_PORT_MAIN", &port.to_string());
        add("PORT", &url);
        add(&format!("PORT_{port}_TCP"), &url);
        add(&format!("PORT_{port}_TCP_PROTO"), "tcp");
        add(&format!("PORT_{port}_TCP_PORT"), &port.to_string());
        add(&format!("PORT_{port}_TCP_ADDR"), &address);
    }
    variables
}

#[test]
fn every_program_starts_in_a_namespace_with_the_originals_services() {
    let names: Vec<_> = variables().into_iter().map(|(name, _)| name).collect();
    let ours = ["REDIS_SERVER_PORT", "YELB_DB_SERVER_PORT", "YELB_API_PORT", "YELB_ADMIN_PORT"];
    assert!(ours.iter().all(|ours| names.iter().any(|name| name == ours)), "{names:?}");

    // Hosts alone, as a manifest of the original gives them: their ports are the defaults.
    let hosts = "DB_HOST=127.0.0.1, CACHE_HOST=127.0.0.1";
    let flags = ["--port", "0", "--admin-port", "off"];
    for (program, listener, variables_of_its_own, flags_of_its_own) in [
        ("yelb", "page", "RUST_LOG=info", &["--api-port", "0"][..]),
        ("yelb-appserver", "api", hosts, &[]),
        ("yelb-ui", "page", "UI_ENV=prod", &[]),
    ] {
        let mut program = Program::of_workspace(program).envs(variables_of_its_own);
        program = program.args(flags).args(flags_of_its_own);
        for (name, value) in variables() {
            program = program.env(name, value);
        }
        let running = program.spawn();
        let address = running.address(listener);
        assert_eq!(http::get(address, "/livez").status, 200, "{running:?}");
    }
}
