//! The PROXY prefix, versions 1 and 2: who really stands behind a load balancer's connection.
//!
//! Owns: reading the prefix as it arrives. Not here: the time it may take ([`READ_TIMEOUT_MS`] is for the
//! connection), and what is done with the address.
//!
//! Version 1: `PROXY TCP4 <source> <destination> <source port> <destination port>\r\n`, or `PROXY UNKNOWN ...\r\n`.
//! Version 2, big endian: signature 12 B | version and command 1 B | family and protocol 1 B | size 2 B |
//! addresses and extensions, `size` bytes, of which only the addresses are held.
//!
//! Bound: at most `HELD_SIZE_MAX` bytes are held, and at most 16 + 65,535 consumed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How long the prefix may take to arrive, in milliseconds; the connection closes after it.
pub const READ_TIMEOUT_MS: u64 = 5_000;

/// The longest line of version 1, its end included.
pub const V1_LINE_SIZE_MAX: usize = 107;

const V1_PREFIX: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\x00\r\nQUIT\n";
const V2_FIXED_SIZE: usize = 16;
const V2_IPV4_SIZE: usize = 12;
const V2_IPV6_SIZE: usize = 36;

/// Bytes from which the version is known.
const DETECT_SIZE: usize = 6;

const HELD_SIZE_MAX: usize = V1_LINE_SIZE_MAX;
const _: () = assert!(V2_FIXED_SIZE + V2_IPV6_SIZE <= HELD_SIZE_MAX);
const _: () = assert!(V1_PREFIX.len() == DETECT_SIZE);
const _: () = assert!(V2_SIGNATURE.len() >= DETECT_SIZE);

/// What the prefix said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The connection is made for someone else.
    Proxied {
        /// Who connected to the proxy.
        source: SocketAddr,
        /// Where to.
        destination: SocketAddr,
    },
    /// The proxy's own connection (a health check): the socket's address is the right one.
    Local,
}

/// What one call found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyStep {
    /// All of the input was taken; more is needed.
    More,
    /// The prefix is whole. The rest of the input belongs to the client.
    Done {
        /// Bytes of the input that belong to the prefix.
        consumed: usize,
        /// What it said.
        header: ProxyHeader,
    },
}

/// Why a prefix is refused. The connection closes without an answer, except on `NotProxied`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// This is no PROXY prefix: the client speaks at once. [`ProxyParser::held`] gives the bytes of earlier calls,
    /// which come before the input of this one, of which nothing was consumed.
    NotProxied,
    /// The prefix begins as one and is broken.
    Invalid(&'static str),
    /// The prefix asks for something that is not supported.
    Unsupported(&'static str),
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyError::NotProxied => f.write_str("unrecognized PROXY protocol format"),
            ProxyError::Invalid(what) => write!(f, "invalid PROXY protocol header: {what}"),
            ProxyError::Unsupported(what) => write!(f, "unsupported PROXY protocol feature: {what}"),
        }
    }
}

impl std::error::Error for ProxyError {}

/// Reads the prefix of one connection.
#[derive(Debug)]
pub struct ProxyParser {
    held: [u8; HELD_SIZE_MAX],
    held_size: usize,
    /// Once the fixed part of version 2 is known: what it says, and the bytes of the prefix still to come.
    addresses: Option<(Family, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
    /// The bytes are skipped.
    None,
}

impl Default for ProxyParser {
    fn default() -> Self {
        ProxyParser {
            held: [0; HELD_SIZE_MAX],
            held_size: 0,
            addresses: None,
        }
    }
}

impl ProxyParser {
    /// A parser at the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes taken so far, when [`ProxyError::NotProxied`] says that they are the client's.
    pub fn held(&self) -> &[u8] {
        &self.held[..self.held_size]
    }

    /// Takes the next bytes of the connection. After an error or the whole prefix the parser is done.
    pub fn push(&mut self, input: &[u8]) -> Result<ProxyStep, ProxyError> {
        let held_before = self.held_size;
        for (at, byte) in input.iter().enumerate() {
            if let Some((family, missing_size)) = self.addresses {
                if missing_size == 0 {
                    return Ok(ProxyStep::Done {
                        consumed: at,
                        header: self.header_v2(family),
                    });
                }
                if let Some(slot) = self.held.get_mut(self.held_size) {
                    *slot = *byte;
                    self.held_size += 1;
                }
                self.addresses = Some((family, missing_size - 1));
                continue;
            }
            self.held[self.held_size] = *byte;
            self.held_size += 1;
            let held = &self.held[..self.held_size];
            if held.starts_with(V1_PREFIX) {
                if let Some(line) = held.strip_suffix(b"\r\n") {
                    let header = parse_v1(&line[V1_PREFIX.len()..])?;
                    return Ok(ProxyStep::Done {
                        consumed: at + 1,
                        header,
                    });
                }
                if held.len() == V1_LINE_SIZE_MAX {
                    return Err(ProxyError::Invalid("v1 line too long"));
                }
            } else if held.len() < V2_FIXED_SIZE {
                let prefix = held.len().min(V2_SIGNATURE.len());
                if held[..prefix] == V2_SIGNATURE[..prefix] || V1_PREFIX.starts_with(held) {
                    continue;
                }
                if held.len() <= DETECT_SIZE {
                    self.held_size = held_before;
                    return Err(ProxyError::NotProxied);
                }
                return Err(ProxyError::Invalid("invalid signature"));
            } else {
                self.addresses = Some(parse_v2_fixed(held)?);
            }
        }
        match self.addresses {
            Some((family, 0)) => Ok(ProxyStep::Done {
                consumed: input.len(),
                header: self.header_v2(family),
            }),
            _ => Ok(ProxyStep::More),
        }
    }

    fn header_v2(&self, family: Family) -> ProxyHeader {
        let addresses = &self.held[V2_FIXED_SIZE..];
        let port = |at: usize| u16::from_be_bytes([addresses[at], addresses[at + 1]]);
        let (source, destination) = match family {
            Family::V4 => {
                let ip = |at: usize| {
                    let bytes: [u8; 4] = std::array::from_fn(|index| addresses[at + index]);
                    IpAddr::from(Ipv4Addr::from(bytes))
                };
                ((ip(0), port(8)), (ip(4), port(10)))
            }
            Family::V6 => {
                let ip = |at: usize| {
                    let bytes: [u8; 16] = std::array::from_fn(|index| addresses[at + index]);
                    IpAddr::from(Ipv6Addr::from(bytes))
                };
                ((ip(0), port(32)), (ip(16), port(34)))
            }
            Family::None => return ProxyHeader::Local,
        };
        ProxyHeader::Proxied {
            source: source.into(),
            destination: destination.into(),
        }
    }
}

/// The fixed part of version 2: the family of the addresses and the bytes that follow.
fn parse_v2_fixed(fixed: &[u8]) -> Result<(Family, usize), ProxyError> {
    let [.., version_command, family_protocol, size_high, size_low] = *fixed else {
        return Err(ProxyError::Invalid("invalid signature"));
    };
    let size = usize::from(u16::from_be_bytes([size_high, size_low]));
    if version_command >> 4 != 2 {
        return Err(ProxyError::Invalid("invalid version"));
    }
    match version_command & 15 {
        0 => return Ok((Family::None, size)),
        1 => {}
        _ => return Err(ProxyError::Invalid("unknown command")),
    }
    if family_protocol & 15 != 1 {
        return Err(ProxyError::Unsupported("only STREAM protocol supported"));
    }
    match family_protocol >> 4 {
        0 => Ok((Family::None, size)),
        1 if size < V2_IPV4_SIZE => Err(ProxyError::Invalid("IPv4 address data too short")),
        1 => Ok((Family::V4, size)),
        2 if size < V2_IPV6_SIZE => Err(ProxyError::Invalid("IPv6 address data too short")),
        2 => Ok((Family::V6, size)),
        _ => Err(ProxyError::Unsupported("unsupported address family")),
    }
}

/// A line of version 1 after `PROXY `, without its end.
fn parse_v1(line: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let protocol = words.next().ok_or(ProxyError::Invalid("invalid v1 format"))?;
    if protocol == b"UNKNOWN" {
        return Ok(ProxyHeader::Local);
    }
    let mut word = || words.next().ok_or(ProxyError::Invalid("invalid v1 format"));
    let (source, destination, source_port, destination_port) = (word()?, word()?, word()?, word()?);
    if words.next().is_some() {
        return Err(ProxyError::Invalid("invalid v1 format"));
    }
    let (source, destination) = (parse_ip(source)?, parse_ip(destination)?);
    let (source_port, destination_port) = (parse_port(source_port)?, parse_port(destination_port)?);
    match protocol {
        b"TCP4" if source.is_ipv6() || destination.is_ipv6() => {
            Err(ProxyError::Invalid("TCP4 with IPv6 address"))
        }
        b"TCP6" if source.is_ipv4() || destination.is_ipv4() => {
            Err(ProxyError::Invalid("TCP6 with IPv4 address"))
        }
        b"TCP4" | b"TCP6" => Ok(ProxyHeader::Proxied {
            source: SocketAddr::new(source, source_port),
            destination: SocketAddr::new(destination, destination_port),
        }),
        _ => Err(ProxyError::Invalid("invalid protocol")),
    }
}

fn parse_ip(word: &[u8]) -> Result<IpAddr, ProxyError> {
    let text = std::str::from_utf8(word).map_err(|_| ProxyError::Invalid("invalid address"))?;
    text.parse().map_err(|_| ProxyError::Invalid("invalid address"))
}

fn parse_port(word: &[u8]) -> Result<u16, ProxyError> {
    let mut port: u16 = 0;
    for byte in word {
        let digit = byte.wrapping_sub(b'0');
        let next = port
            .checked_mul(10)
            .and_then(|port| port.checked_add(u16::from(digit)));
        port = next
            .filter(|_| digit <= 9)
            .ok_or(ProxyError::Invalid("invalid port"))?;
    }
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a prefix gives, the same for every split; with the count of bytes it took.
    fn read(input: &[u8]) -> Result<Option<(usize, ProxyHeader)>, ProxyError> {
        let whole = read_pieces(&[input]);
        for at in 0..=input.len() {
            let (left, right) = input.split_at(at);
            assert_eq!(read_pieces(&[left, right]), whole, "split at {at}");
        }
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(read_pieces(&bytes), whole, "byte by byte");
        whole
    }

    fn read_pieces(pieces: &[&[u8]]) -> Result<Option<(usize, ProxyHeader)>, ProxyError> {
        let mut parser = ProxyParser::new();
        let mut taken = 0;
        for piece in pieces {
            match parser.push(piece) {
                Ok(ProxyStep::More) => taken += piece.len(),
                Ok(ProxyStep::Done { consumed, header }) => return Ok(Some((taken + consumed, header))),
                Err(ProxyError::NotProxied) => {
                    assert_eq!(parser.held(), pieces.concat()[..taken].to_vec());
                    return Err(ProxyError::NotProxied);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn proxied(source: &str, destination: &str) -> ProxyHeader {
        ProxyHeader::Proxied {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        }
    }

    fn v2(version_command: u8, family_protocol: u8, addresses: &[u8]) -> Vec<u8> {
        let mut out = V2_SIGNATURE.to_vec();
        out.extend_from_slice(&[version_command, family_protocol]);
        out.extend_from_slice(&u16::try_from(addresses.len()).unwrap().to_be_bytes());
        out.extend_from_slice(addresses);
        out
    }

    /// Covers: TestClientProxyProtoV1ParseTCP4
    /// Covers: TestClientProxyProtoV1ParseTCP6
    /// Covers: TestClientProxyProtoV1PreservesCoalescedClientBytes
    #[test]
    fn version_1_addresses() {
        assert_eq!(
            read(b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nPING\r\n"),
            Ok(Some((45, proxied("192.0.2.1:56324", "198.51.100.2:443"))))
        );
        assert_eq!(
            read(b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 1 65535\r\n"),
            Ok(Some((49, proxied("[2001:db8::1]:1", "[::ffff:192.0.2.1]:65535"))))
        );
        assert_eq!(
            read(b"PROXY UNKNOWN whatever\r\n"),
            Ok(Some((24, ProxyHeader::Local)))
        );
    }

    /// Covers: TestClientProxyProtoV1LineTooLong
    /// Covers: TestClientProxyProtoV1InvalidIP
    /// Covers: TestClientProxyProtoV1MismatchedProtocol
    #[test]
    fn version_1_refusals() {
        let invalid = |line: &str, what| {
            let line = format!("PROXY {line}\r\n");
            assert_eq!(read(line.as_bytes()), Err(ProxyError::Invalid(what)), "{line}");
        };
        invalid("", "invalid v1 format");
        invalid("TCP4 1.2.3.4 5.6.7.8 1", "invalid v1 format");
        invalid("TCP4 1.2.3.4 5.6.7.8 1 2 3", "invalid v1 format");
        invalid("TCP4 1.2.3 5.6.7.8 1 2", "invalid address");
        invalid("TCP4 1.2.3.4 5.6.7.8 1 65536", "invalid port");
        invalid("TCP4 1.2.3.4 5.6.7.8 -1 2", "invalid port");
        invalid("TCP4 ::1 5.6.7.8 1 2", "TCP4 with IPv6 address");
        invalid("TCP6 ::1 5.6.7.8 1 2", "TCP6 with IPv4 address");
        invalid("UDP4 1.2.3.4 5.6.7.8 1 2", "invalid protocol");
        invalid(&"x".repeat(200), "v1 line too long");
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107 - 16));
        assert_eq!(read(longest.as_bytes()), Ok(Some((107, ProxyHeader::Local))));
    }

    /// Covers: TestClientProxyProtoV2ParseIPv4
    /// Covers: TestClientProxyProtoV2ParseIPv6
    /// Covers: TestClientProxyProtoV2ParseLocalCommand
    #[test]
    fn version_2_addresses() {
        let v4 = [10, 0, 0, 1, 10, 0, 0, 2, 0x1f, 0x90, 0x10, 0x7e];
        let mut input = v2(0x21, 0x11, &v4);
        assert_eq!(
            read(&input),
            Ok(Some((28, proxied("10.0.0.1:8080", "10.0.0.2:4222"))))
        );
        input.extend_from_slice(b"PING\r\n");
        assert_eq!(read(&input).unwrap().unwrap().0, 28);
        let mut extended = v4.to_vec();
        extended.extend_from_slice(&[7; 300]);
        assert_eq!(
            read(&v2(0x21, 0x11, &extended)),
            Ok(Some((328, proxied("10.0.0.1:8080", "10.0.0.2:4222"))))
        );
        let mut v6 = [0; 36];
        v6[15] = 1;
        v6[31] = 2;
        v6[33] = 80;
        v6[35] = 81;
        assert_eq!(
            read(&v2(0x21, 0x21, &v6)),
            Ok(Some((52, proxied("[::1]:80", "[::2]:81"))))
        );
        assert_eq!(read(&v2(0x20, 0, &[])), Ok(Some((16, ProxyHeader::Local))));
        assert_eq!(read(&v2(0x20, 0, &[9; 200])), Ok(Some((216, ProxyHeader::Local))));
        assert_eq!(read(&v2(0x21, 0x01, &[9; 5])), Ok(Some((21, ProxyHeader::Local))));
    }

    /// Covers: TestClientProxyProtoV2InvalidVersion
    /// Covers: TestClientProxyProtoV2ShortAddressData
    /// Covers: TestClientProxyProtoV2UnsupportedFamily
    #[test]
    fn version_2_refusals() {
        let check = |input: &[u8], error| assert_eq!(read(input), Err(error));
        check(&v2(0x11, 0x11, &[0; 12]), ProxyError::Invalid("invalid version"));
        check(&v2(0x2f, 0x11, &[0; 12]), ProxyError::Invalid("unknown command"));
        check(
            &v2(0x21, 0x11, &[0; 11]),
            ProxyError::Invalid("IPv4 address data too short"),
        );
        check(
            &v2(0x21, 0x21, &[0; 35]),
            ProxyError::Invalid("IPv6 address data too short"),
        );
        check(
            &v2(0x21, 0x31, &[0; 216]),
            ProxyError::Unsupported("unsupported address family"),
        );
        check(
            &v2(0x21, 0x12, &[0; 12]),
            ProxyError::Unsupported("only STREAM protocol supported"),
        );
        check(b"\r\n\r\n\x00\r\nQUIX", ProxyError::Invalid("invalid signature"));
        assert_eq!(read(&v2(0x21, 0x11, &[0; 12])[..20]), Ok(None));
    }

    /// Covers: TestClientProxyProtoUnrecognizedVersion
    #[test]
    fn clients_that_speak_at_once_keep_their_bytes() {
        for input in [
            &b"CONNECT {}\r\n"[..],
            b"PUB foo 1\r\n",
            b"\x16\x03\x01",
            b"\r\nPING",
            b"PROXY\r\n",
        ] {
            assert_eq!(read(input), Err(ProxyError::NotProxied));
        }
    }
}
