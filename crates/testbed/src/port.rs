//! Ports for servers that cannot be given a bound socket.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::wait::{PATIENCE, eventually};

/// A port of 127.0.0.1 that no other process is given for the next minute.
///
/// A port which was bound and simply released could be handed to the next process that asks the kernel for one. So a
/// connection is made through it and closed from the server's side first: that leaves the port in `TIME_WAIT`, where the
/// kernel does not pick it again, while a server which names it (with `SO_REUSEADDR`, as servers do) still gets it.
pub fn reserve() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the kernel has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");

    let mut client = TcpStream::connect(address).expect("a listening port of this process accepts");
    let (server, _) = listener.accept().expect("the connection just made is waiting");
    drop(server);
    // The end of the stream: the server's side has closed, and it was first.
    client.read_to_end(&mut Vec::new()).expect("the closed connection ends cleanly");

    // A process that another thread has just started has all open files, the listener too, until it executes its program.
    drop(listener);
    eventually(PATIENCE, "nothing listens on the port", || TcpStream::connect(address).is_err());
    address.port()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_can_be_listened_on_at_once() {
        let port = reserve();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    }
}
