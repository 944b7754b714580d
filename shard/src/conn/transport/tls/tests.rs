//! A session beside the library's own client: any cut of the bytes gives the same, and foreign bytes give an error.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use proptest::prelude::*;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use super::*;

struct Ends {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// A server with a certificate of its own and a client that trusts it, of one version of TLS.
fn ends(version: &'static rustls::SupportedProtocolVersion) -> Ends {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ends {
        server: Arc::new(server),
        client: Arc::new(client),
    }
}

/// Hands `bytes` to the session in pieces of the given sizes, over and over.
fn feed(
    session: &mut TlsSession,
    bytes: &[u8],
    sizes: &[usize],
    plain: &mut Vec<u8>,
    answer: &mut Vec<u8>,
) -> Result<(), rustls::Error> {
    let mut rest = bytes;
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, later) = rest.split_at(size.min(rest.len()));
        let mut buffer = vec![0; session.held_size()];
        buffer.extend_from_slice(piece);
        session.receive(&mut buffer, plain, answer)?;
        rest = later;
    }
    Ok(())
}

/// What the client has to send.
fn take(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

fn give(client: &mut ClientConnection, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes;
    let mut plain = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets().unwrap();
        let mut part = vec![0; 64 * 1024];
        while let Ok(size) = client.reader().read(&mut part) {
            if size == 0 {
                break;
            }
            plain.extend_from_slice(&part[..size]);
        }
    }
    plain
}

/// A session and a client that have shaken hands, the client's bytes cut as `sizes` say.
fn established(ends: &Ends, sizes: &[usize]) -> (TlsSession, ClientConnection) {
    let mut session = TlsSession::new(&ends.server).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::clone(&ends.client), name).unwrap();
    while !session.is_established() || client.is_handshaking() {
        let (mut plain, mut answer) = (Vec::new(), Vec::new());
        feed(&mut session, &take(&mut client), sizes, &mut plain, &mut answer).unwrap();
        assert!(plain.is_empty());
        give(&mut client, &answer);
    }
    (session, client)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However the network cuts the records, the same bytes come out, in both versions of TLS; and the way back too.
    #[test]
    fn any_split_equals_whole(
        sizes in prop::collection::vec(1_usize..3000, 1..6),
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40_000), 1..4),
        is_old in any::<bool>(),
    ) {
        let ends = ends(if is_old { &rustls::version::TLS12 } else { &rustls::version::TLS13 });
        let (mut session, mut client) = established(&ends, &sizes);
        let expected = messages.concat();
        let mut cipher = Vec::new();
        for message in &messages {
            client.writer().write_all(message).unwrap();
            cipher.extend(take(&mut client));
        }
        client.send_close_notify();
        cipher.extend(take(&mut client));
        let (mut plain, mut answer) = (Vec::new(), Vec::new());
        feed(&mut session, &cipher, &sizes, &mut plain, &mut answer).unwrap();
        prop_assert!(plain == expected);
        prop_assert_eq!(session.held_size(), 0);
        prop_assert!(session.is_ended());

        let mut out = Vec::new();
        for message in &messages {
            session.seal(message, &mut out).unwrap();
        }
        session.close(&mut out).unwrap();
        prop_assert!(give(&mut client, &out) == expected);
        prop_assert!(session.seal(b"x", &mut out).is_err(), "nothing is said after the last word");
    }

    /// Bytes that are no TLS, and TLS that was changed on the way, are errors and never a panic, whenever they come.
    #[test]
    fn foreign_bytes_are_errors(
        garbage in prop::collection::vec(any::<u8>(), 1..2000),
        sizes in prop::collection::vec(1_usize..500, 1..4),
        kind in prop::sample::select(vec![0x14_u8, 0x15, 0x16, 0x17]),
        after_handshake in any::<bool>(),
        flipped in any::<prop::sample::Index>(),
    ) {
        let ends = ends(&rustls::version::TLS13);
        let mut session = if after_handshake {
            established(&ends, &[1 << 14]).0
        } else {
            TlsSession::new(&ends.server).unwrap()
        };
        let size = u16::try_from(garbage.len()).unwrap().to_be_bytes();
        let mut record = vec![kind, 3, 3, size[0], size[1]];
        record.extend_from_slice(&garbage);
        let (mut plain, mut answer) = (Vec::new(), Vec::new());
        let fed = feed(&mut session, &record, &sizes, &mut plain, &mut answer);
        prop_assert!(plain.is_empty(), "nothing comes out of what nobody sealed");
        if fed.is_err() {
            prop_assert!(session.seal(b"x", &mut answer).is_err());
        }

        let (mut session, mut client) = established(&ends, &sizes);
        client.writer().write_all(&garbage).unwrap();
        let mut cipher = take(&mut client);
        let place = 5 + flipped.index(cipher.len() - 5);
        cipher[place] ^= 1;
        let mut answer = Vec::new();
        prop_assert!(feed(&mut session, &cipher, &sizes, &mut plain, &mut answer).is_err());
        prop_assert!(plain.is_empty());
        prop_assert!(!answer.is_empty(), "the client is told");
    }
}

/// A handshake that never ends is bounded in what is held of it.
#[test]
fn endless_handshake_messages_end() {
    let ends = ends(&rustls::version::TLS13);
    let mut session = TlsSession::new(&ends.server).unwrap();
    // A ClientHello that announces 60,000 bytes, in records of one byte each.
    let mut hello = vec![1, 0, 0xea, 0x60];
    hello.resize(60_000, 0);
    let mut failed = false;
    let mut held_max = 0;
    for byte in hello {
        let mut buffer = vec![0; session.held_size()];
        buffer.extend_from_slice(&[0x16, 3, 1, 0, 1, byte]);
        let received = session.receive(&mut buffer, &mut Vec::new(), &mut Vec::new());
        held_max = held_max.max(session.held_size());
        if received.is_err() {
            failed = true;
            break;
        }
    }
    assert!(failed);
    assert!(held_max <= limits::UNFINISHED_RECORD_SIZE_MAX, "{held_max}");
}
