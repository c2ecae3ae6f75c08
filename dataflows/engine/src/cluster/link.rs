//! A connection between two processes as timely sees it: it never fails, it ends the process.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use timely::communication::allocator::zero_copy::stream::Stream;

use super::stop::lost;

/// Timely says that it ends with a message header of zeros.
const FAREWELL: usize = 48;

/// The stream to one peer.
pub(crate) struct Link {
    stream: TcpStream,
    index: usize,
    address: String,
    /// How many zeros were read last: an end of the stream after a farewell is no loss.
    zeros: usize,
}

impl Link {
    pub(super) fn new(stream: TcpStream, index: usize, address: String) -> Self {
        Self { stream, index, address, zeros: 0 }
    }

    fn lost(&self, error: &io::Error) -> ! {
        lost(self.index, &self.address, &error.to_string())
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(buffer) {
            Ok(0) if self.zeros < FAREWELL => {
                lost(self.index, &self.address, "it closed the connection")
            }
            Ok(count) => {
                let read = &buffer[..count];
                let zeros = read.iter().rev().take_while(|byte| **byte == 0).count();
                self.zeros = if zeros == count { self.zeros + zeros } else { zeros };
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(self.read(buffer)?),
            Err(error) => self.lost(&error),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Err(error) if error.kind() != ErrorKind::Interrupted => self.lost(&error),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Stream for Link {
    fn try_clone(&self) -> io::Result<Self> {
        let stream = self.stream.try_clone()?;
        Ok(Self { stream, index: self.index, address: self.address.clone(), zeros: 0 })
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.stream.set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.stream.shutdown(how)
    }
}
