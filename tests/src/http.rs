//! Just enough HTTP to ask the monitoring port: one GET per connection, the answer read to its end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::server::Server;
use crate::wire::PATIENCE;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads a whole answer: everything a connection brought.
    pub fn parse(bytes: &[u8]) -> Self {
        let shown = || String::from_utf8_lossy(bytes);
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no whole head: {:?}", shown()));
        let head = std::str::from_utf8(&bytes[..end]).expect("heads are text");
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or_else(|| panic!("no status: {status_line:?}"));
        let headers = lines
            .map(|line| {
                let (name, value) = line
                    .split_once(": ")
                    .unwrap_or_else(|| panic!("no header: {line:?}"));
                (name.to_lowercase(), value.to_owned())
            })
            .collect();
        Self {
            status,
            headers,
            body: bytes[end + 4..].to_vec(),
        }
    }

    /// A header's value; empty when it is absent.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("bodies are text")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in status {}: {:?}", self.status, self.text()))
    }
}

/// Where the monitoring port of a server is that takes clients by now: both servers open it before that, and `/healthz`
/// says so.
pub fn monitor_address(server: &mut Server) -> SocketAddr {
    const STARTING: &str = "Starting http monitor on ";
    let line = server.wait_for_log(STARTING);
    server.wait_for_log("Server is ready");
    let (_, address) = line.split_once(STARTING).expect("the line was found by it");
    address
        .trim()
        .parse()
        .unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

/// Connects to the monitoring port.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream =
        TcpStream::connect_timeout(&address, PATIENCE).expect("the monitoring port takes connections");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a positive timeout is valid");
    stream
        .set_write_timeout(Some(PATIENCE))
        .expect("a positive timeout is valid");
    stream
}

/// Sends bytes and reads until the server ends the connection.
pub fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    // A server may refuse before it has read everything.
    stream.write_all(request).unwrap_or_default();
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert!(!bytes.is_empty(), "no answer: {error}");
    }
    bytes
}

/// Gets one page.
pub fn get(address: SocketAddr, path: &str) -> Reply {
    // HTTP/1.0: the answer comes whole and its end is the connection's.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    Reply::parse(&exchange(address, request.as_bytes()))
}
