//! Ports below 1024 for a process that is not root.
//!
//! Docker lets every user bind them (`net.ipv4.ip_unprivileged_port_start` is 0 there); Fargate does not. So the program file in
//! yelb-ui's image has the capability `CAP_NET_BIND_SERVICE`, *permitted* and not *effective*: if the container drops all
//! capabilities, the kernel does not start a program whose file has an effective one. The program itself makes the capability
//! effective, while it calls `bind`.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// As many connections as the kernel lets wait for us to accept them, which is 4096 unless told otherwise.
const BACKLOG: u32 = 4096;
/// The size of the kernel's send buffer of a connection: several times the page's largest file. Without a limit, it grows to 4
/// MB for a client that does not read, and filling the buffers of thousands of such clients takes seconds of CPU time.
const SEND_BUFFER: u32 = 128 * 1024;

/// Listens on `address`, with the capability to have a low port if there is need for it and if it is permitted.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A port of which connections still linger from the last run.
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    match socket.bind(address) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            as_permitted(|| socket.bind(address)).unwrap_or(Err(error))?;
        }
        outcome => outcome?,
    }
    socket.listen(BACKLOG)
}

/// Runs `bind` with the capability in effect, if this thread may have it.
#[cfg(target_os = "linux")]
fn as_permitted<T>(bind: impl FnOnce() -> T) -> Option<T> {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    let sets = capabilities(None).ok()?;
    let mut raised = sets;
    raised.effective |= CapabilitySet::NET_BIND_SERVICE & sets.permitted;
    set_capabilities(None, raised).ok()?;
    let outcome = bind();
    // To take less than what is permitted cannot be refused.
    let _ = set_capabilities(None, sets);
    Some(outcome)
}

#[cfg(not(target_os = "linux"))]
fn as_permitted<T>(_: impl FnOnce() -> T) -> Option<T> {
    None
}
