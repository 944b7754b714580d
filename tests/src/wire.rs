//! A raw client: bytes out, protocol frames in, every read with a deadline.
//!
//! Owns: one TCP connection and the bytes read but not yet understood. It knows as much of the protocol as it
//! needs to cut the server's bytes into frames: `MSG` and `HMSG` are followed by a payload, all else is a line.
//! Not here: what the frames should say (`transcript`, the tests).

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::escape::escape;

/// How long a test waits for something that must come. Never waited out on a passing run.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One unit of what the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The line without its CRLF.
    pub line: String,
    /// What follows a `MSG` or `HMSG` line, header block included, without its CRLF.
    pub payload: Option<Vec<u8>>,
}

impl Frame {
    /// The frame as one line of a transcript: `MSG foo 1 2 | hi`.
    pub fn to_text(&self) -> String {
        match &self.payload {
            Some(payload) => format!("{} | {}", self.line, escape(payload)),
            None => self.line.clone(),
        }
    }
}

/// What a read brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server said this.
    Frame(Frame),
    /// The server ended the connection (end of stream or reset).
    Closed,
    /// Nothing whole came before the deadline.
    Silence,
}

/// A raw client connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
    closed: bool,
}

impl Wire {
    /// Connects; the server's INFO is the first frame to read.
    pub fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            unread: Vec::new(),
            closed: false,
        })
    }

    /// Connects, reads INFO, sends `connect_json` and waits until the server has taken it.
    pub fn open(address: SocketAddr, connect_json: &str) -> Self {
        let mut wire = Self::connect(address).expect("server accepts connections");
        let info = wire.expect_frame();
        assert!(
            info.line.starts_with("INFO "),
            "INFO comes first, got {}",
            info.line
        );
        wire.send(format!("CONNECT {connect_json}\r\n").as_bytes())
            .expect("server reads CONNECT");
        wire.barrier();
        wire
    }

    /// The stream itself, for socket options.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends one line and its CRLF; fails the test when the server is gone.
    pub fn line(&mut self, line: &str) {
        self.send(format!("{line}\r\n").as_bytes())
            .expect("server reads a line");
    }

    /// The next frame, the end of the connection, or silence when nothing whole came within `patience`.
    pub fn next(&mut self, patience: Duration) -> Event {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(frame) = self.take_frame() {
                return Event::Frame(frame);
            }
            if self.closed {
                return Event::Closed;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Event::Silence;
            }
            self.read_some(left);
        }
    }

    /// As `next`, without the server's PINGs: they come when their time has come, not where a test wants them.
    pub fn next_said(&mut self, patience: Duration) -> Event {
        loop {
            match self.next(patience) {
                Event::Frame(frame) if frame.line == "PING" => {}
                other => return other,
            }
        }
    }

    /// The next frame that is no PING; fails the test when the server closes or says nothing.
    pub fn expect_frame(&mut self) -> Frame {
        match self.next_said(PATIENCE) {
            Event::Frame(frame) => frame,
            other => panic!(
                "expected a frame, got {other:?}; unread {:?}",
                escape(&self.unread)
            ),
        }
    }

    /// Expects exactly this frame, written as in a transcript.
    pub fn expect(&mut self, text: &str) {
        assert_eq!(self.expect_frame().to_text(), text);
    }

    /// Expects the server to end the connection, with nothing said before.
    pub fn expect_closed(&mut self) {
        match self.next_said(PATIENCE) {
            Event::Closed => {}
            other => panic!("expected the server to close, got {other:?}"),
        }
    }

    /// Sends PING and expects PONG next: the server has taken all that was sent, and has said nothing else.
    pub fn barrier(&mut self) {
        self.line("PING");
        self.expect("PONG");
    }

    /// Whether a whole frame or the end of the connection can be had without waiting.
    pub fn is_ready(&mut self) -> bool {
        if self.closed || self.frame_size().is_some() {
            return true;
        }
        self.read_some(Duration::from_millis(1));
        self.closed || self.frame_size().is_some()
    }

    fn read_some(&mut self, patience: Duration) {
        let mut chunk = [0; 64 * 1024];
        let patience = patience.max(Duration::from_millis(1));
        self.stream
            .set_read_timeout(Some(patience))
            .expect("a positive timeout is valid");
        match self.stream.read(&mut chunk) {
            Ok(0) => self.closed = true,
            Ok(count) => self.unread.extend_from_slice(&chunk[..count]),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                _ => self.closed = true,
            },
        }
    }

    /// Line length and whole length of the frame at the front of the unread bytes.
    fn frame_size(&self) -> Option<(usize, Option<usize>)> {
        let line_size = self.unread.windows(2).position(|pair| pair == b"\r\n")?;
        let line = String::from_utf8_lossy(&self.unread[..line_size]);
        let verb = line.split_whitespace().next().unwrap_or_default();
        if verb != "MSG" && verb != "HMSG" {
            return Some((line_size, None));
        }
        let size = line
            .split_whitespace()
            .next_back()
            .and_then(|size| size.parse::<usize>().ok());
        let size = size.unwrap_or_else(|| panic!("a message line ends with its size: {line:?}"));
        (self.unread.len() >= line_size + 2 + size + 2).then_some((line_size, Some(size)))
    }

    fn take_frame(&mut self) -> Option<Frame> {
        let (line_size, payload_size) = self.frame_size()?;
        let line = escape(&self.unread[..line_size]);
        let mut whole_size = line_size + 2;
        let payload = payload_size.map(|size| {
            let payload = self.unread[whole_size..whole_size + size].to_vec();
            whole_size += size;
            let end = &self.unread[whole_size..whole_size + 2];
            assert_eq!(end, b"\r\n", "the payload of {line:?} is not followed by CRLF");
            whole_size += 2;
            payload
        });
        self.unread.drain(..whole_size);
        Some(Frame { line, payload })
    }
}
