//! Client: one non-blocking connection of the generator.
//!
//! Owns: the socket, bytes that wait to be sent, the leftover of a read, what INFO said.
//! Not here: which connection is ready (`generator`), what is sent and counted (`workload`).
//!
//! Invariants
//!   `out_sent <= out.len()`
//!   `writable` is false from a short write to the next writable event
//!   while a block is partly sent (`within_block`) nothing else leaves: an answer to PING would land inside a publish

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::failure::Failure;
use crate::frame::{Frame, Message, Scanner};

/// A connection to the server under test.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    scanner: Scanner,
    leftover: Vec<u8>,
    out: Vec<u8>,
    out_sent: usize,
    writable: bool,
    within_block: bool,
    pong_count: u32,
    info: Option<ServerInfo>,
}

/// What the generator needs of INFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerInfo {
    /// JSON: "pinion_shard", the shard this connection sits on; the Go server has none.
    pub shard: Option<u16>,
}

impl Client {
    /// Connects and queues CONNECT and PING; the caller waits for the PONG.
    pub fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let stream =
            TcpStream::connect(address).map_err(|e| Failure::io(format!("connect to {address}"), e))?;
        stream
            .set_nodelay(true)
            .map_err(|e| Failure::io("set TCP_NODELAY", e))?;
        stream
            .set_nonblocking(true)
            .map_err(|e| Failure::io("set non-blocking", e))?;
        let mut client = Self {
            stream,
            scanner: Scanner::default(),
            leftover: Vec::new(),
            out: Vec::new(),
            out_sent: 0,
            writable: true,
            within_block: false,
            pong_count: 0,
            info: None,
        };
        client.queue(CONNECT);
        client.queue(PING);
        Ok(client)
    }

    /// The socket, for the poller.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// What INFO said, once it came.
    pub fn info(&self) -> Option<ServerInfo> {
        self.info
    }

    /// How many PONGs came so far.
    pub fn pong_count(&self) -> u32 {
        self.pong_count
    }

    /// Whether the socket took everything so far.
    pub fn writable(&self) -> bool {
        self.writable
    }

    /// The poller saw the socket become writable.
    pub fn on_writable(&mut self) {
        self.writable = true;
    }

    /// Bytes waiting for the socket.
    pub fn pending_size(&self) -> usize {
        self.out.len() - self.out_sent
    }

    /// The buffer that `flush` sends, for appending.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Appends to what `flush` sends.
    pub fn queue(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Queues a PING.
    pub fn queue_ping(&mut self) {
        self.queue(PING);
    }

    /// Sends what is queued, as far as the socket takes it; not while a block is partly sent.
    pub fn flush(&mut self) -> Result<(), Failure> {
        while self.writable && !self.within_block && self.pending_size() > 0 {
            let sent = write_some(&mut self.stream, &self.out[self.out_sent..])?;
            self.writable = sent > 0;
            self.out_sent += sent;
        }
        if self.pending_size() == 0 {
            self.out.clear();
            self.out_sent = 0;
        }
        Ok(())
    }

    /// Sends a part of a block without copying it; returns how much the socket took. `ends_block` says that `bytes`
    /// go up to the end of the block; queued bytes go between blocks.
    pub fn send_direct(&mut self, bytes: &[u8], ends_block: bool) -> Result<usize, Failure> {
        self.flush()?;
        if !self.writable {
            return Ok(0);
        }
        let sent = write_some(&mut self.stream, bytes)?;
        self.writable = sent == bytes.len();
        self.within_block = !(ends_block && self.writable) && (self.within_block || sent > 0);
        if !self.within_block {
            self.flush()?;
        }
        Ok(sent)
    }

    /// Reads until the socket is empty, calls `on_message` for each message, answers PING, then sends what the
    /// handler queued. `buffer` is scratch space shared by all clients.
    #[inline]
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        mut on_message: impl FnMut(Message<'_>, &mut Vec<u8>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        loop {
            let head = self.leftover.len();
            assert!(head < buffer.len(), "a frame is smaller than the read buffer");
            buffer[..head].copy_from_slice(&self.leftover);
            let size = match self.stream.read(&mut buffer[head..]) {
                Ok(0) => return Err(Failure::Closed),
                Ok(size) => size,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Failure::io("read from the server", e)),
            };
            let filled = head + size;
            let Self {
                scanner,
                out,
                pong_count,
                info,
                ..
            } = self;
            let taken = scanner.scan(&buffer[..filled], |frame| {
                match frame {
                    Frame::Message(message) => return on_message(message, out),
                    Frame::Pong => *pong_count += 1,
                    Frame::Ping => out.extend_from_slice(b"PONG\r\n"),
                    Frame::Info(json) => *info = Some(ServerInfo::parse(json)?),
                    Frame::Ok => {}
                    Frame::Err(text) => {
                        return Err(Failure::ServerError(String::from_utf8_lossy(text).into_owned()))
                    }
                }
                Ok(())
            })?;
            self.leftover.clear();
            self.leftover.extend_from_slice(&buffer[taken..filled]);
            // A short read from a stream socket means that it is empty; the edge comes with the next bytes.
            if filled < buffer.len() {
                break;
            }
        }
        self.flush()
    }
}

impl ServerInfo {
    /// Reads the JSON of an INFO line.
    pub fn parse(json: &[u8]) -> Result<Self, Failure> {
        let value: serde_json::Value =
            serde_json::from_slice(json).map_err(|e| Failure::Protocol(format!("INFO is not JSON: {e}")))?;
        let shard = match value.get("pinion_shard") {
            None => None,
            Some(shard) => Some(
                shard
                    .as_u64()
                    .and_then(|shard| u16::try_from(shard).ok())
                    .ok_or_else(|| Failure::Protocol(format!("INFO pinion_shard is not a u16: {shard}")))?,
            ),
        };
        Ok(Self { shard })
    }
}

/// One write; 0 when the socket is full.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> Result<usize, Failure> {
    loop {
        match stream.write(bytes) {
            Ok(sent) => return Ok(sent),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Failure::io("write to the server", e)),
        }
    }
}

const CONNECT: &[u8] =
    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"pinion-perf\",\"version\":\"1\",\"protocol\":1,\"echo\":true}\r\n";
const PING: &[u8] = b"PING\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    /// A PONG that is due while a block is partly sent waits for the end of the block.
    #[test]
    fn queued_bytes_wait_for_the_end_of_a_block() {
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = Client::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.flush().unwrap();
        assert_eq!(client.send_direct(b"PUB a 5\r\nhe", false).unwrap(), 11);
        client.queue(b"PONG\r\n");
        client.flush().unwrap();
        assert_eq!(client.pending_size(), 6);
        assert_eq!(client.send_direct(b"llo\r\n", true).unwrap(), 5);
        assert_eq!(client.pending_size(), 0);
        drop(client);
        let mut received = String::new();
        server.read_to_string(&mut received).unwrap();
        assert!(
            received.ends_with("\"echo\":true}\r\nPING\r\nPUB a 5\r\nhello\r\nPONG\r\n"),
            "{received}"
        );
    }

    /// The shard is read when there is one; a foreign value is refused.
    #[test]
    fn info_shard_is_optional_and_checked() {
        assert_eq!(
            ServerInfo::parse(b"{\"server_id\":\"x\"}").unwrap(),
            ServerInfo { shard: None }
        );
        assert_eq!(
            ServerInfo::parse(b"{\"pinion_shard\":3}").unwrap(),
            ServerInfo { shard: Some(3) }
        );
        assert!(ServerInfo::parse(b"{\"pinion_shard\":70000}").is_err());
        assert!(ServerInfo::parse(b"{\"pinion_shard\":\"3\"}").is_err());
        assert!(ServerInfo::parse(b"{").is_err());
    }
}
