//! Standard input and output as one connection to a port on loopback: QEMU starts one of these for each connection of a
//! guest to the metadata service's address. `dayfly-test-relay PORT`

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};

/// Passes on what comes as it comes: a client waits for each answer.
fn pass(mut from: impl Read, mut to: impl Write) -> std::io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read])?;
        to.flush()?;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("PORT is missing")?.parse()?;
    let service = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let other = service.try_clone()?;
    std::thread::spawn(move || {
        let _ = pass(std::io::stdin().lock(), &other);
        // The guest says no more; the answer may still be on its way.
        let _ = other.shutdown(Shutdown::Write);
    });
    pass(service, std::io::stdout().lock())?;
    Ok(())
}
