//! Messages on a plain connection: a length in 4 bytes, then a wire form.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::wire::{Input, Wire};

/// Longest message that is no section; what is longer comes from somebody else.
pub(super) const MOST: usize = 1 << 20;

/// One turn of waiting.
pub(super) const TURN: Duration = Duration::from_secs(1);

/// Sends a message.
pub(super) fn send(mut stream: &TcpStream, message: &impl Wire) -> io::Result<()> {
    let mut bytes = vec![0; 4];
    message.put(&mut bytes);
    let length = (bytes.len() - 4) as u32;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    stream.write_all(&bytes)
}

/// Sends bytes as a message.
pub(super) fn send_bytes(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len())
        .map_err(|_| io::Error::new(ErrorKind::InvalidInput, "a message of more than 4 GiB"))?;
    stream.write_all(&length.to_le_bytes())?;
    stream.write_all(bytes)
}

/// Receives a message, waiting for so many turns of [`TURN`] without a byte.
pub(super) fn receive<T: Wire>(stream: &TcpStream, turns: u32) -> io::Result<T> {
    let bytes = receive_bytes(stream, turns, MOST)?;
    let invalid = |error| io::Error::new(ErrorKind::InvalidData, error);
    T::take(&mut Input(&bytes)).map_err(invalid)
}

/// Receives the bytes of a message, of at most so many.
pub(super) fn receive_bytes(stream: &TcpStream, turns: u32, most: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    fill(stream, &mut length, turns)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > most {
        return Err(io::Error::new(ErrorKind::InvalidData, "not a message of eddyline"));
    }
    let mut bytes = vec![0; length];
    fill(stream, &mut bytes, turns)?;
    Ok(bytes)
}

fn fill(mut stream: &TcpStream, bytes: &mut [u8], turns: u32) -> io::Result<()> {
    stream.set_read_timeout(Some(TURN))?;
    let (mut filled, mut waited) = (0, 0);
    while filled < bytes.len() {
        match stream.read(&mut bytes[filled..]) {
            Ok(0) => {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "it closed the connection"));
            }
            Ok(count) => (filled, waited) = (filled + count, 0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_timeout(&error) => {
                waited += 1;
                if waited >= turns {
                    let silence = format!("no sign of life for {turns} s");
                    return Err(io::Error::new(ErrorKind::TimedOut, silence));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
