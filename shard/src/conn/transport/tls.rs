//! One TLS session: records in, plain bytes out, and back. Pure but for the keys, which come from the provider.
//!
//! Owns: the state of the session, an unfinished record. Not here: sockets, who may connect (`opening`), certificates
//! and suites (the server's configuration).
//! Records are opened in place in the caller's buffer.
//!
//! Invariant: `held` is empty or the beginning of what must be seen together with what comes next.

use std::io;

use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};

use crate::limits;

/// Bytes that one record adds to its content at most: header, explicit nonce, tag, type, and a change of keys before it.
const RECORD_OVERHEAD: usize = 128;
/// Content of one record, bytes.
const RECORD_CONTENT_SIZE_MAX: usize = 16 * 1024;
/// An alert of its own.
const ALERT_SIZE: usize = 64;

/// What the handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsState {
    /// JSON: `tls_version`.
    pub version: &'static str,
    /// JSON: `tls_cipher_suite`.
    pub cipher_suite: String,
    /// The client's chain as DER, its own certificate first; empty when it showed none.
    pub peer_certificates: Vec<Vec<u8>>,
    /// The handshake came before INFO. JSON: `tls_first`.
    pub is_first: bool,
}

/// A session of a server.
pub(crate) struct TlsSession {
    session: UnbufferedServerConnection,
    /// The beginning of a record that has not come as a whole.
    held: Vec<u8>,
    /// The client said that nothing more comes.
    is_ended: bool,
    /// Nothing can be sent any more: the session failed or said its last word.
    is_dumb: bool,
}

impl TlsSession {
    /// A session that waits for the client's hello.
    ///
    /// # Errors
    /// The configuration cannot serve.
    pub(crate) fn new(config: &std::sync::Arc<rustls::ServerConfig>) -> Result<Self, rustls::Error> {
        let session = UnbufferedServerConnection::new(std::sync::Arc::clone(config))?;
        Ok(Self {
            session,
            held: Vec::new(),
            is_ended: false,
            is_dumb: false,
        })
    }

    /// Bytes of the unfinished record.
    pub(crate) fn held_size(&self) -> usize {
        self.held.len()
    }

    /// Whether the handshake is done.
    pub(crate) fn is_established(&self) -> bool {
        !self.session.is_handshaking()
    }

    /// Whether the client said that nothing more comes.
    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// What was agreed; `None` before the end of the handshake.
    pub(crate) fn state(&self) -> Option<TlsState> {
        if !self.is_established() {
            return None;
        }
        let version = match self.session.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_2 => "1.2",
            rustls::ProtocolVersion::TLSv1_3 => "1.3",
            _ => "",
        };
        // The suites of TLS 1.3 have a prefix of their own in the library only.
        let suite = format!("{:?}", self.session.negotiated_cipher_suite()?.suite());
        let chain = self.session.peer_certificates().unwrap_or_default();
        Some(TlsState {
            version,
            cipher_suite: suite.replace("TLS13_", "TLS_"),
            peer_certificates: chain
                .iter()
                .map(|certificate| certificate.as_ref().to_vec())
                .collect(),
            is_first: false,
        })
    }

    /// The client's own certificate.
    pub(crate) fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.session.peer_certificates()?.first()
    }

    /// Takes what the socket brought, which stands in `buffer` from `held_size` on; the room before it is for the
    /// unfinished record. Plain bytes are appended to `plain`, what the session answers to `answer`.
    ///
    /// # Errors
    /// The client broke the protocol; an alert that says so is in `answer`.
    pub(crate) fn receive(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        answer: &mut Vec<u8>,
    ) -> Result<(), rustls::Error> {
        incoming[..self.held.len()].copy_from_slice(&self.held);
        match self.drive(incoming, plain, answer) {
            Ok(consumed) => {
                self.hold(&incoming[consumed..]);
                if self.held.len() > limits::UNFINISHED_RECORD_SIZE_MAX {
                    self.is_dumb = true;
                    self.held = Vec::new();
                    return Err(rustls::Error::General(
                        "a handshake message is too long".to_owned(),
                    ));
                }
                Ok(())
            }
            Err(error) => {
                self.held = Vec::new();
                self.is_dumb = true;
                Err(error)
            }
        }
    }

    fn hold(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.held = Vec::new();
        } else {
            self.held.clear();
            self.held.extend_from_slice(rest);
        }
    }

    /// Steps the session until it wants more than `incoming`; how much of it was consumed.
    fn drive(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        answer: &mut Vec<u8>,
    ) -> Result<usize, rustls::Error> {
        let mut consumed = 0;
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.session.process_tls_records(&mut incoming[consumed..]);
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    self.encode_last_words(&mut incoming[consumed + discard..], answer);
                    return Err(error);
                }
            };
            let goes_on = match state {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                    true
                }
                ConnectionState::EncodeTlsData(encode) => {
                    append_encoded(encode, answer)?;
                    true
                }
                ConnectionState::TransmitTlsData(transmit) => {
                    transmit.done();
                    true
                }
                ConnectionState::PeerClosed => {
                    self.is_ended = true;
                    true
                }
                // A state that is not known here, such as early data, which is not offered.
                ConnectionState::Closed
                | ConnectionState::BlockedHandshake
                | ConnectionState::WriteTraffic(_) => false,
                _ => false,
            };
            consumed += discard;
            if !goes_on && (discard == 0 || consumed == incoming.len()) {
                return Ok(consumed);
            }
        }
    }

    /// What a failed session still has to say: an alert. `rest` is what it was given and did not consume.
    fn encode_last_words(&mut self, rest: &mut [u8], answer: &mut Vec<u8>) {
        // It looks at `rest` again only when there is nothing to say any more.
        while self.session.wants_write() {
            let UnbufferedStatus { state, .. } = self.session.process_tls_records(rest);
            let Ok(ConnectionState::EncodeTlsData(encode)) = state else {
                return;
            };
            if let Err(error) = append_encoded(encode, answer) {
                tracing::trace!(%error, "an alert of a TLS session");
                return;
            }
        }
    }

    /// Appends `plain` to `out` as records.
    ///
    /// # Errors
    /// The session cannot send: it is over, or its keys are used up.
    pub(crate) fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let records = plain.len().div_ceil(RECORD_CONTENT_SIZE_MAX);
        let size = plain.len() + records * RECORD_OVERHEAD;
        self.write(size, out, |traffic, room| traffic.encrypt(plain, room))
    }

    /// Appends the word that nothing more comes.
    ///
    /// # Errors
    /// As [`TlsSession::seal`].
    pub(crate) fn close(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if self.is_dumb || !self.is_established() {
            return Ok(());
        }
        let closed = self.write(ALERT_SIZE, out, |traffic, room| traffic.queue_close_notify(room));
        self.is_dumb = true;
        closed
    }

    /// Steps the session to where it can write, then writes into `size` bytes of room.
    fn write(
        &mut self,
        size: usize,
        out: &mut Vec<u8>,
        write: impl Fn(
            &mut WriteTraffic<'_, rustls::server::ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        if self.is_dumb {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        loop {
            let UnbufferedStatus { discard, state } = self.session.process_tls_records(&mut self.held);
            let is_done = match state.map_err(io::Error::other)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    append_written(&mut traffic, size, out, &write)?;
                    true
                }
                ConnectionState::EncodeTlsData(encode) => {
                    append_encoded(encode, out).map_err(io::Error::other)?;
                    false
                }
                ConnectionState::TransmitTlsData(transmit) => {
                    transmit.done();
                    false
                }
                ConnectionState::PeerClosed => {
                    self.is_ended = true;
                    false
                }
                _ => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            self.held.drain(..discard);
            if is_done {
                return Ok(());
            }
        }
    }
}

/// Appends what `write` makes in room of `size` bytes, or of as many as it asks for.
fn append_written<Data>(
    traffic: &mut WriteTraffic<'_, Data>,
    mut size: usize,
    out: &mut Vec<u8>,
    write: impl Fn(&mut WriteTraffic<'_, Data>, &mut [u8]) -> Result<usize, EncryptError>,
) -> io::Result<()> {
    let start = out.len();
    loop {
        out.resize(start + size, 0);
        match write(traffic, &mut out[start..]) {
            Ok(written) => {
                out.truncate(start + written);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(more)) => size = more.required_size,
            Err(error) => {
                out.truncate(start);
                return Err(io::Error::other(error));
            }
        }
    }
}

fn append_encoded<Data>(mut encode: EncodeTlsData<'_, Data>, out: &mut Vec<u8>) -> Result<(), rustls::Error> {
    let start = out.len();
    let mut size = 0;
    loop {
        out.resize(start + size, 0);
        match encode.encode(&mut out[start..]) {
            Ok(written) => {
                out.truncate(start + written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(more)) => size = more.required_size,
            Err(error) => return Err(rustls::Error::General(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests;
