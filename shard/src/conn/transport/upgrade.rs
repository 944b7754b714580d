//! The HTTP request that asks for a WebSocket (RFC 6455, section 4.2), and its answer. Pure.
//!
//! Owns: what a request must hold, whose pages may ask, the answer. Not here: reading the request, frames (`frames`).

use data_encoding::BASE64;
use sha1::{Digest as _, Sha1};

use super::frames::FrameRules;

/// Header fields of a request at most. More: 431.
const FIELDS_MAX: usize = 100;
/// What the protocol puts behind a key before it is hashed.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const DEFLATE: &str = "permessage-deflate";
const DEFLATE_ANSWER: &str =
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";

/// A page's place that may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: String,
    /// In lower case.
    pub host: String,
    /// As written, or the scheme's.
    pub port: String,
}

impl Origin {
    /// Reads `scheme://host[:port]`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("parse {text:?}: invalid URI for request"));
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = host_and_port(host, scheme == "https")?;
        Ok(Self {
            scheme: scheme.to_lowercase(),
            host,
            port,
        })
    }
}

/// Host in lower case, and port or that of the scheme.
fn host_and_port(text: &str, is_tls: bool) -> Result<(String, String), String> {
    let default = if is_tls { "443" } else { "80" };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            if host.contains(':') && !host.starts_with('[') {
                return Err(format!("address {text}: too many colons in address"));
            }
            (host.trim_start_matches('[').trim_end_matches(']'), port)
        }
        _ => (text, default),
    };
    Ok((host.to_lowercase(), port.to_owned()))
}

/// Which requests are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpgradeRules {
    /// Pages of the same host, port and scheme only.
    pub same_origin: bool,
    /// Pages of these places only; empty: of all.
    pub allowed_origins: Vec<Origin>,
    /// permessage-deflate is agreed to.
    pub compression: bool,
    /// Lines of the answer that the configuration adds.
    pub headers: Vec<(String, String)>,
}

/// A request that was taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upgrade {
    /// The answer.
    pub(crate) answer: Vec<u8>,
    /// How frames are made.
    pub(crate) frames: FrameRules,
    /// Who a proxy in front says the client is.
    pub(crate) client_ip: Option<std::net::IpAddr>,
}

/// A request that was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The answer.
    pub(crate) answer: Vec<u8>,
    /// For the log.
    pub(crate) reason: String,
}

/// How far the reading of a request is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It has not come as a whole.
    More,
    /// It was taken; so many bytes of the input are its own.
    Taken(Upgrade, usize),
    /// It was not.
    Refused(Refusal),
}

/// Reads a request. `is_tls`: it came over TLS.
pub(crate) fn read(input: &[u8], rules: &UpgradeRules, is_tls: bool) -> Step {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(input) {
        Ok(httparse::Status::Partial) => Step::More,
        Ok(httparse::Status::Complete(size)) => match check(&request, rules, is_tls) {
            Ok(upgrade) => Step::Taken(upgrade, size),
            Err((status, reason)) => Step::Refused(refusal(status, reason)),
        },
        Err(httparse::Error::TooManyHeaders) => Step::Refused(too_large()),
        Err(error) => Step::Refused(Refusal {
            answer: b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request".to_vec(),
            reason: format!("no HTTP request: {error}"),
        }),
    }
}

/// The request is longer than a request may be.
pub(crate) fn too_large() -> Refusal {
    Refusal {
        answer: b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n431 Request Header Fields Too Large".to_vec(),
        reason: "the request is too large".to_owned(),
    }
}

fn refusal(status: u16, reason: String) -> Refusal {
    let text = match status {
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        _ => "Bad Request",
    };
    let size = text.len() + 1;
    let answer = format!(
        "HTTP/1.1 {status} {text}\r\nContent-Type: text/plain; charset=utf-8\r\nSec-Websocket-Version: 13\r\n\
         X-Content-Type-Options: nosniff\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n{text}\n"
    );
    Refusal {
        answer: answer.into_bytes(),
        reason,
    }
}

type Field<'a> = httparse::Header<'a>;

/// The values of a field, each time it stands there.
fn values<'a>(fields: &'a [Field<'a>], name: &'a str) -> impl Iterator<Item = &'a str> {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name))
        .map(|field| std::str::from_utf8(field.value).unwrap_or_default())
}

fn value<'a>(fields: &'a [Field<'a>], name: &'a str) -> &'a str {
    values(fields, name).next().unwrap_or_default()
}

/// Whether a list of words holds one, in any case.
fn holds(fields: &[Field<'_>], name: &str, word: &str) -> bool {
    values(fields, name)
        .flat_map(|value| value.split(','))
        .any(|part| part.trim_matches([' ', '\t']).eq_ignore_ascii_case(word))
}

fn check(
    request: &httparse::Request<'_, '_>,
    rules: &UpgradeRules,
    is_tls: bool,
) -> Result<Upgrade, (u16, String)> {
    let fields = &*request.headers;
    let bad = |reason: &str| (400, reason.to_owned());
    let path = request.path.unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    if path.ends_with("/mqtt") {
        return Err((404, "mqtt websocket endpoint not enabled".to_owned()));
    }
    if path.ends_with("/leafnode") {
        return Err((404, "leaf nodes are not taken here".to_owned()));
    }
    if request.method != Some("GET") {
        return Err((405, "request method must be GET".to_owned()));
    }
    let host = value(fields, "Host");
    if host.is_empty() {
        return Err(bad("'Host' missing in request"));
    }
    if !holds(fields, "Upgrade", "websocket") {
        return Err(bad("invalid value for header 'Upgrade'"));
    }
    if !holds(fields, "Connection", "Upgrade") {
        return Err(bad("invalid value for header 'Connection'"));
    }
    let key = value(fields, "Sec-WebSocket-Key");
    if key.is_empty() {
        return Err(bad("key missing"));
    }
    if BASE64.decode(key.as_bytes()).map(|key| key.len()) != Ok(16) {
        return Err(bad("invalid websocket key"));
    }
    if !holds(fields, "Sec-WebSocket-Version", "13") {
        return Err(bad("invalid version"));
    }
    check_origin(fields, rules, host, is_tls)
        .map_err(|reason| (403, format!("origin not allowed: {reason}")))?;
    let compresses = rules.compression && offers_deflate(fields);
    let agent = value(fields, "User-Agent");
    let is_browser = agent.starts_with("Mozilla/");
    let frames = FrameRules {
        compresses,
        is_browser,
        // Chrome says Safari too, but not Version.
        keeps_compressed_whole: is_browser && agent.contains("Version/") && agent.contains("Safari/"),
    };
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
        BASE64.encode(&Sha1::digest(format!("{key}{KEY_SUFFIX}")))
    );
    if compresses {
        answer.push_str(DEFLATE_ANSWER);
    }
    for (name, value) in &rules.headers {
        answer.push_str(&format!("{name}: {value}\r\n"));
    }
    answer.push_str("\r\n");
    Ok(Upgrade {
        answer: answer.into_bytes(),
        frames,
        client_ip: value(fields, "X-Forwarded-For").parse().ok(),
    })
}

fn offers_deflate(fields: &[Field<'_>]) -> bool {
    values(fields, "Sec-WebSocket-Extensions")
        .flat_map(|value| value.split([',', ';']))
        .any(|part| part.trim_matches([' ', '\t']).eq_ignore_ascii_case(DEFLATE))
}

/// Programs that are no browsers send no origin: they are let in, as at the peer.
fn check_origin(fields: &[Field<'_>], rules: &UpgradeRules, host: &str, is_tls: bool) -> Result<(), String> {
    if !rules.same_origin && rules.allowed_origins.is_empty() {
        return Ok(());
    }
    let origin = match value(fields, "Origin") {
        "" => value(fields, "Sec-WebSocket-Origin"),
        origin => origin,
    };
    if origin.is_empty() {
        return Ok(());
    }
    let origin = Origin::parse(origin)?;
    if rules.same_origin {
        let (host, port) = host_and_port(host, is_tls)?;
        let scheme = if is_tls { "https" } else { "http" };
        if (origin.host != host) || (origin.port != port) || origin.scheme != scheme {
            return Err("not same origin".to_owned());
        }
    }
    if !rules.allowed_origins.is_empty() && !rules.allowed_origins.contains(&origin) {
        return Err("not in the allowed list".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str =
        "GET / HTTP/1.1\r\nHost: h:80\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

    fn refused(request: &str, rules: &UpgradeRules) -> String {
        match read(request.as_bytes(), rules, false) {
            Step::Refused(refusal) => {
                let answer = String::from_utf8(refusal.answer).unwrap();
                let status = answer.split(' ').nth(1).unwrap().to_owned();
                format!("{status} {}", refusal.reason)
            }
            other => panic!("{request}: {other:?}"),
        }
    }

    /// The key of the standard's example gives the answer of its example, whatever is read at a time.
    #[test]
    fn the_example_of_the_standard() {
        let rules = UpgradeRules {
            headers: vec![("X-Own".to_owned(), "1".to_owned())],
            ..UpgradeRules::default()
        };
        for end in 0..REQUEST.len() {
            assert_eq!(read(&REQUEST.as_bytes()[..end], &rules, false), Step::More);
        }
        let Step::Taken(upgrade, size) = read(format!("{REQUEST}more").as_bytes(), &rules, false) else {
            panic!("not taken")
        };
        assert_eq!(size, REQUEST.len());
        assert_eq!(
            String::from_utf8(upgrade.answer).unwrap(),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Own: 1\r\n\r\n"
        );
        assert_eq!(upgrade.frames, FrameRules::default());
    }

    /// Each thing a request must hold is missed with its own word.
    #[test]
    fn what_a_request_lacks_is_said() {
        let rules = UpgradeRules::default();
        for (from, to, expected) in [
            ("GET", "PUT", "405 request method must be GET"),
            ("Host: h:80\r\n", "", "400 'Host' missing in request"),
            ("WebSocket", "h2c", "400 invalid value for header 'Upgrade'"),
            (
                "upgrade\r\n",
                "close\r\n",
                "400 invalid value for header 'Connection'",
            ),
            ("dGhlIHNhbXBsZSBub25jZQ==", "", "400 key missing"),
            ("dGhl", "dGhlXX", "400 invalid websocket key"),
            (": 13", ": 12", "400 invalid version"),
            ("GET / ", "GET /mqtt ", "404 mqtt websocket endpoint not enabled"),
            ("GET / ", "GET /x/leafnode ", "404 leaf nodes are not taken here"),
            (
                "GET / HTTP",
                "CONNECT {} HTTX",
                "400 no HTTP request: invalid HTTP version",
            ),
        ] {
            assert!(REQUEST.contains(from), "{from}");
            assert_eq!(refused(&REQUEST.replacen(from, to, 1), &rules), expected);
        }
        let many = "X: y\r\n".repeat(FIELDS_MAX);
        let long = REQUEST.replace("Host", &format!("{many}Host"));
        assert_eq!(refused(&long, &rules), "431 the request is too large");
    }

    /// Pages of other places may not ask where only some may.
    #[test]
    fn origins() {
        let same = UpgradeRules {
            same_origin: true,
            ..UpgradeRules::default()
        };
        let some = UpgradeRules {
            allowed_origins: vec![Origin::parse("https://Example.com").unwrap()],
            ..UpgradeRules::default()
        };
        let from = |origin: &str| REQUEST.replace("Host", &format!("Origin: {origin}\r\nHost"));
        let taken = |request: &str, rules: &UpgradeRules| {
            assert!(
                matches!(read(request.as_bytes(), rules, false), Step::Taken(..)),
                "{request}"
            );
        };
        taken(REQUEST, &same);
        taken(REQUEST, &some);
        taken(&from("http://h"), &same);
        taken(&from("http://H:80"), &same);
        taken(&from("https://example.com:443"), &some);
        for (origin, rules, reason) in [
            ("https://h", &same, "not same origin"),
            ("http://h:81", &same, "not same origin"),
            ("http://example.com", &some, "not in the allowed list"),
            ("https://example.com:444", &some, "not in the allowed list"),
            ("null", &some, "parse \"null\": invalid URI for request"),
        ] {
            assert_eq!(
                refused(&from(origin), rules),
                format!("403 origin not allowed: {reason}")
            );
        }
    }

    /// Compression is agreed to when both sides want it; browsers are known by their name.
    #[test]
    fn what_is_agreed() {
        let rules = UpgradeRules {
            compression: true,
            ..UpgradeRules::default()
        };
        let with = |more: &str| REQUEST.replace("Host", &format!("{more}\r\nHost"));
        let agreed = |request: &str, rules: &UpgradeRules| match read(request.as_bytes(), rules, false) {
            Step::Taken(upgrade, _) => (
                upgrade.frames,
                String::from_utf8(upgrade.answer).unwrap().contains(DEFLATE),
                upgrade.client_ip,
            ),
            other => panic!("{other:?}"),
        };
        let offer = with("Sec-WebSocket-Extensions: x, Permessage-Deflate; client_max_window_bits");
        assert!(agreed(&offer, &rules).0.compresses);
        assert!(agreed(&offer, &rules).1);
        assert!(!agreed(&offer, &UpgradeRules::default()).0.compresses);
        assert!(!agreed(REQUEST, &rules).1);
        let chrome = with("User-Agent: Mozilla/5.0 Chrome/1 Safari/1\r\nX-Forwarded-For: 10.1.2.3");
        let seen = agreed(&chrome, &rules);
        assert_eq!((seen.0.is_browser, seen.0.keeps_compressed_whole), (true, false));
        assert_eq!(seen.2, Some("10.1.2.3".parse().unwrap()));
        let safari =
            with("User-Agent: Mozilla/5.0 Version/1 Safari/1\r\nX-Forwarded-For: 10.1.2.3, 10.1.2.4");
        let seen = agreed(&safari, &rules);
        assert!(seen.0.keeps_compressed_whole);
        assert_eq!(seen.2, None);
    }
}
