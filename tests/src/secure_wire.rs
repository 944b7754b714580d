//! A raw client over TLS, with nothing of NATS but the lines it is told to send.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::certificates::Pair;
use crate::wire::PATIENCE;

/// How a client comes.
#[derive(Clone)]
pub struct SecureClient {
    /// Whom it trusts.
    pub authority: CertificateDer<'static>,
    /// The name it asks for and checks.
    pub name: &'static str,
    /// Versions it speaks.
    pub versions: &'static [&'static rustls::SupportedProtocolVersion],
    /// What it shows of itself.
    pub identity: Option<Arc<Pair>>,
    /// It begins with the handshake and expects no INFO before.
    pub is_first: bool,
}

impl SecureClient {
    /// One that trusts `authority` and shows nothing.
    pub fn trusting(authority: CertificateDer<'static>) -> Self {
        Self {
            authority,
            name: "localhost",
            versions: rustls::ALL_VERSIONS,
            identity: None,
            is_first: false,
        }
    }

    /// Its configuration for a library that takes one.
    pub fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.authority.clone())
            .expect("the authority's certificate is valid");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .expect("the versions have suites")
            .with_root_certificates(roots);
        match &self.identity {
            None => builder.with_no_client_auth(),
            Some(pair) => builder
                .with_client_auth_cert(vec![pair.certificate.clone()], pair.private_key())
                .expect("the key fits"),
        }
    }

    /// Connects and shakes hands.
    ///
    /// # Errors
    /// What either side says against it.
    pub fn connect(&self, address: SocketAddr) -> std::io::Result<SecureWire> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut info = String::new();
        if !self.is_first {
            info = read_line(&mut stream)?;
        }
        let name = ServerName::try_from(self.name).expect("a name of a test is valid");
        let session = ClientConnection::new(Arc::new(self.config()), name).map_err(std::io::Error::other)?;
        let mut stream = StreamOwned::new(session, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        let mut wire = SecureWire { stream, info };
        if self.is_first {
            wire.info = wire.line()?;
        }
        Ok(wire)
    }
}

/// A connection over TLS.
pub struct SecureWire {
    /// The stream, for what is not here.
    pub stream: StreamOwned<ClientConnection, TcpStream>,
    /// INFO as it came.
    pub info: String,
}

impl SecureWire {
    /// Sends bytes.
    ///
    /// # Errors
    /// The connection is over.
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// The next line, without its end.
    ///
    /// # Errors
    /// The connection is over, or nothing comes.
    pub fn line(&mut self) -> std::io::Result<String> {
        read_line(&mut self.stream)
    }

    /// `bytes` bytes.
    ///
    /// # Errors
    /// As [`SecureWire::line`].
    pub fn exactly(&mut self, bytes: usize) -> std::io::Result<Vec<u8>> {
        let mut read = vec![0; bytes];
        self.stream.read_exact(&mut read)?;
        Ok(read)
    }

    /// Sends `line` and waits until the server did everything before.
    ///
    /// # Errors
    /// As [`SecureWire::line`]; what came in place of PONG is the text.
    pub fn barrier(&mut self, line: &str) -> std::io::Result<()> {
        self.send(format!("{line}PING\r\n").as_bytes())?;
        match self.line()? {
            pong if pong == "PONG" => Ok(()),
            other => Err(std::io::Error::other(other)),
        }
    }
}

/// A line, without its end, read byte by byte: what follows it may be another protocol's.
pub fn read_line(stream: &mut impl Read) -> std::io::Result<String> {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match byte[0] {
            b'\n' => return String::from_utf8(line).map_err(std::io::Error::other),
            b'\r' => {}
            other => line.push(other),
        }
    }
}
