//! What the testbed says of its namespaces. It is here because it takes root, as all the rest does.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use testbed::{Namespace, PATIENCE, Program, eventually};

fn shell(script: &str) -> Program {
    Program::new("/bin/sh").args(["-c", script])
}

#[test]
fn a_namespace_has_its_own_ports_and_low_ones_are_anybodys() {
    let (one, other) = (Namespace::start(), Namespace::start());
    let listen = || TcpListener::bind("127.0.0.1:80").unwrap();
    let _listener = one.within(listen);
    let _same_port = other.within_as(65532, listen);
    assert!(one.within(|| TcpStream::connect("127.0.0.1:80")).is_ok());
    assert!(Namespace::start().within(|| TcpStream::connect("127.0.0.1:80")).is_err());
}

#[test]
fn a_program_inside_has_its_names_its_home_and_the_user_it_was_given() {
    let namespace = Namespace::start();
    namespace.set_hosts("10.0.64.12 yelb-appserver\n");
    let script = r#"cat /etc/hosts; [ "$PWD" = "$HOME" ] && id -u; cat secret"#;
    let program = shell(script).as_user(1337).inside(&namespace);
    fs::write(program.home().join("secret"), "told\n").unwrap();
    let output = program.run_to_end(PATIENCE);
    assert_eq!(output.stdout, "10.0.64.12 yelb-appserver\n1337\ntold\n", "{output:?}");
    // The names of other programs are as before.
    assert!(!fs::read_to_string("/etc/hosts").unwrap().contains("10.0.64.12 yelb-appserver"));
}

#[test]
fn a_namespace_is_gone_with_its_last_handle_and_its_last_program() {
    let namespace = Namespace::start();
    let sleeper = shell("sleep 60").inside(&namespace).spawn();
    let link = format!("/proc/{}/ns/net", namespace.pid());
    let itself = fs::read_link(&link).unwrap();
    drop(namespace);
    assert!(sleeper.is_running());
    assert!(is_used(&itself));
    drop(sleeper);
    eventually(PATIENCE, "the namespace is empty", || !is_used(&itself));
}

/// Whether any process is in this namespace. That is what keeps one that has no name.
fn is_used(namespace: &Path) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let networks =
        processes.filter_map(|process| fs::read_link(process.path().join("ns/net")).ok());
    networks.into_iter().any(|network| network == namespace)
}
