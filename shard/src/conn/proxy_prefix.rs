//! Reads the PROXY prefix of a connection before anything else is said.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use futures_lite::future::or;

use crate::io::Stream;
use crate::proto::proxy::{ProxyError, ProxyHeader, ProxyParser, ProxyStep, READ_TIMEOUT_MS};
use crate::runtime::Shard;

/// What the prefix told, and what came behind it in the same read.
pub(super) struct Prefix {
    /// Who stands behind the proxy; `None`: the proxy itself.
    pub(super) source: Option<SocketAddr>,
    /// Bytes of the client.
    pub(super) rest: Vec<u8>,
}

/// Why there is none.
pub(super) enum PrefixError {
    /// It is wrong.
    Bad(ProxyError),
    /// It took too long.
    Late,
    /// The connection ended.
    Ended,
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrefixError::Bad(error) => error.fmt(f),
            PrefixError::Late => write!(f, "no whole prefix within {READ_TIMEOUT_MS} ms"),
            PrefixError::Ended => f.write_str("the connection ended within the prefix"),
        }
    }
}

/// Bytes of one read of the prefix; what comes behind it stays small.
const READ_SIZE: usize = 512;

/// `early`: what was read already.
pub(super) async fn read(shard: &Shard, stream: &Stream, early: Vec<u8>) -> Result<Prefix, PrefixError> {
    let late = async {
        shard.io().sleep(Duration::from_millis(READ_TIMEOUT_MS)).await;
        Err(PrefixError::Late)
    };
    or(pin!(read_whole(stream, early)), pin!(late)).await
}

async fn read_whole(stream: &Stream, early: Vec<u8>) -> Result<Prefix, PrefixError> {
    let mut parser = Box::new(ProxyParser::new());
    let mut size = early.len();
    let mut buffer = early;
    buffer.resize(size.max(READ_SIZE), 0);
    loop {
        if size == 0 {
            size = poll_fn(|cx| stream.poll_read(cx, &mut buffer))
                .await
                .map_err(|_| PrefixError::Ended)?;
        }
        if size == 0 {
            return Err(PrefixError::Ended);
        }
        match parser.push(&buffer[..size]) {
            // Clients that come without a proxy are served as well.
            Err(ProxyError::NotProxied) => {
                let rest = [parser.held(), &buffer[..size]].concat();
                return Ok(Prefix { source: None, rest });
            }
            Err(error) => return Err(PrefixError::Bad(error)),
            Ok(ProxyStep::More) => size = 0,
            Ok(ProxyStep::Done { consumed, header }) => {
                let source = match header {
                    ProxyHeader::Proxied { source, .. } => Some(source),
                    ProxyHeader::Local => None,
                };
                return Ok(Prefix {
                    source,
                    rest: buffer[consumed..size].to_vec(),
                });
            }
        }
    }
}
