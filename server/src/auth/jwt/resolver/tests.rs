//! Resolvers on real files and sockets, and the requests of tools.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use pinion_shard::io::WallTime;
use serde_json::{json, Value};

use super::*;
use crate::auth::jwt::claims::ClaimsData;
use crate::auth::jwt::fixtures::{pair, public, token};
use crate::auth::jwt::{decode_operator, encode, Kind};

const NOW_S: u64 = 1_767_261_600;

fn at(seconds: u64) -> WallTime {
    WallTime(seconds * 1_000_000_000)
}

fn now() -> WallTime {
    at(NOW_S)
}

fn spec(root: &Path) -> DirectorySpec {
    DirectorySpec {
        root: root.to_owned(),
        deletes: Deletes::Renamed,
        limit: None,
        is_cache: false,
        ttl: None,
    }
}

/// An account's token that tools would make: issued at this second, with this end.
fn account_token(key: &str, signer: &str, issued_at: i64, expires: i64) -> String {
    let data = ClaimsData {
        subject: public(key).to_owned(),
        expires,
        ..ClaimsData::default()
    };
    let limits = json!({"limits": {"conn": -1, "subs": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true}});
    let Value::Object(nats) = limits else {
        unreachable!("an object");
    };
    encode(data, Kind::Account, nats, &pair(signer), issued_at).expect("a seed")
}

fn files(root: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(root)
        .expect("a directory")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect();
    names.sort();
    names
}

/// Tokens are files named for their account; a new start knows them, with the same digest.
#[test]
fn a_directory_keeps_tokens() {
    let root = tempfile::tempdir().expect("a directory");
    let root = root.path().join("made");
    let mut directory = Directory::open(spec(&root), now()).expect("made");
    let (a, b) = (public("A"), public("A other"));
    assert!(directory.save(a, &token("account A"), now()).expect("saved"));
    assert!(!directory.save(a, &token("account A"), now()).expect("the same"));
    let digest = directory.digest();
    assert!(directory
        .save(b, &token("account by another operator"), now())
        .expect("saved"));
    assert_ne!(directory.digest(), digest);
    let mut expected = vec![format!("{a}.jwt"), format!("{b}.jwt")];
    expected.sort();
    assert_eq!(files(&root), expected);
    assert_eq!(directory.load(a, now()).expect("there"), token("account A"));
    assert!(matches!(directory.load("../x", now()), Err(StoreError::BadKey)));
    assert!(matches!(
        directory.save("../x", "x", now()),
        Err(StoreError::BadKey)
    ));
    assert!(matches!(directory.delete("../x"), Err(StoreError::BadKey)));
    assert!(matches!(directory.save(a, "", now()), Err(StoreError::Empty)));

    let again = Directory::open(spec(&root), now()).expect("there");
    assert_eq!(again.len(), 2);
    assert_eq!(again.digest(), directory.digest());
    directory.delete(b).expect("deleted");
    directory.delete(b).expect("it is not there, which is no error");
    assert_eq!(directory.digest(), digest);
    assert_eq!(files(&root).len(), 2);
    assert!(files(&root).contains(&format!("{b}.jwt.deleted")));
    assert_eq!(Directory::open(spec(&root), now()).expect("there").len(), 1);

    let hard = DirectorySpec {
        deletes: Deletes::Removed,
        ..spec(&root)
    };
    Directory::open(hard, now())
        .expect("there")
        .delete(a)
        .expect("deleted");
    assert!(!files(&root).contains(&format!("{a}.jwt")));
    let off = DirectorySpec {
        deletes: Deletes::Off,
        ..spec(&root)
    };
    let mut off = Directory::open(off, now()).expect("there");
    assert!(matches!(off.delete(a), Err(StoreError::NoDeletes)));
}

/// Of two tokens the one issued later stays, whatever came first.
#[test]
fn a_newer_token_stays() {
    let root = tempfile::tempdir().expect("a directory");
    let mut directory = Directory::open(spec(root.path()), now()).expect("there");
    let a = public("A");
    let old = account_token("A", "O signing", 1000, 0);
    let new = account_token("A", "O signing", 2000, 0);
    let pack = format!("\n{a}|{new}\n");
    assert_eq!(directory.merge(&pack, now()).expect("merged"), [a]);
    assert_eq!(
        directory.merge(&format!("{a}|{old}"), now()).expect("merged"),
        [""; 0]
    );
    assert_eq!(directory.load(a, now()).expect("there"), new);
    for wrong in ["x", "x|y|z", "U|x"] {
        assert!(directory.merge(wrong, now()).is_err(), "{wrong}");
    }
    let another = account_token("A other", "O signing", 3000, 0);
    assert!(directory.merge(&format!("{a}|{another}"), now()).is_err());
}

/// Full is full, a cache lets go of what was unused longest; times end by token or by ttl.
/// Covers: TestLimit, TestLru, TestTTL
#[test]
fn a_directory_has_limits() {
    let root = tempfile::tempdir().expect("a directory");
    let one = DirectorySpec {
        limit: Some(1),
        ..spec(root.path())
    };
    let mut full = Directory::open(one, now()).expect("there");
    full.save(public("A"), &token("account A"), now()).expect("one");
    let refused = full.save(public("A other"), "x", now());
    assert!(matches!(refused, Err(StoreError::Full)));

    let root = tempfile::tempdir().expect("a directory");
    let cache = DirectorySpec {
        limit: Some(2),
        is_cache: true,
        ttl: Some(Duration::from_secs(10)),
        ..spec(root.path())
    };
    let mut cache = Directory::open(cache, now()).expect("there");
    for name in ["A", "A other"] {
        cache.save(public(name), name, now()).expect("room");
    }
    cache.load(public("A"), at(NOW_S + 5)).expect("there");
    cache
        .save(public("A self"), "third", at(NOW_S + 6))
        .expect("the second goes");
    assert!(cache.load(public("A other"), now()).is_err());
    assert_eq!(cache.next_expiry(), Some(at(NOW_S + 15)));
    assert!(cache.expire(at(NOW_S + 14)).is_empty());
    let gone = cache.expire(at(NOW_S + 15));
    assert_eq!(gone.len(), 1);
    assert_eq!(&*gone[0], public("A"));
    assert_eq!(files(root.path()), [format!("{}.jwt", public("A self"))]);

    let root = tempfile::tempdir().expect("a directory");
    let mut directory = Directory::open(spec(root.path()), now()).expect("there");
    let ends = i64::try_from(NOW_S).expect("small") + 60;
    let short = account_token("A", "O signing", 0, ends);
    directory.save(public("A"), &short, now()).expect("saved");
    assert_eq!(directory.tokens(now()).count(), 1);
    assert_eq!(directory.tokens(at(NOW_S + 61)).count(), 0);
    assert_eq!(directory.expire(at(NOW_S + 60)).len(), 1);
    assert!(files(root.path()).is_empty());
}

/// Files that others changed are seen at a reload.
/// Covers: TestReload
#[test]
fn a_reload_names_what_changed() {
    let root = tempfile::tempdir().expect("a directory");
    let mut directory = Directory::open(spec(root.path()), now()).expect("there");
    for name in ["A", "A other"] {
        directory.save(public(name), name, now()).expect("saved");
    }
    std::fs::write(file(root.path(), "A"), "changed").expect("written");
    std::fs::write(file(root.path(), "A self"), "new").expect("written");
    std::fs::write(root.path().join("notes.jwt"), "no account").expect("written");
    std::fs::remove_file(file(root.path(), "A other")).expect("removed");
    let mut changed: Vec<String> = directory
        .reload(now())
        .expect("read")
        .iter()
        .map(|account| account.to_string())
        .collect();
    changed.sort();
    let mut expected = vec![public("A"), public("A self")];
    expected.sort_unstable();
    assert_eq!(changed, expected);
    assert_eq!(directory.len(), 2);
    assert_eq!(
        directory.digest(),
        Directory::open(spec(root.path()), now()).expect("there").digest()
    );
}

fn file(root: &Path, name: &str) -> PathBuf {
    root.join(format!("{}.jwt", public(name)))
}

fn ask(directory: &mut Directory, operator: &str, subject: &str, payload: &str) -> Outcome {
    let operator = decode_operator(&token(operator)).expect("good");
    let service = ClaimsService::new(&operator, Some(public("A system")));
    let request = AccountSubject::request(subject).expect("a request");
    let is_used = |account: &str| account == public("A");
    service.answer(request, payload.as_bytes(), directory, is_used, now())
}

fn update(directory: &mut Directory, operator: &str, subject: &str, payload: &str) -> (u16, String, usize) {
    let outcome = ask(directory, operator, subject, payload);
    let changed = outcome.changed.len();
    match outcome.answer {
        Answer::Done(done) => (done.code, done.message, changed),
        Answer::Failed(failed) => (failed.code, failed.description, changed),
        other => panic!("{other:?}"),
    }
}

/// A token is kept when it is one of an account, says whose it is, and its claims make sense.
/// Covers: TestJWTClaimsUpdateWithHeaders
#[test]
fn tokens_are_kept_on_request() {
    let root = tempfile::tempdir().expect("a directory");
    let mut full = Directory::open(spec(root.path()), now()).expect("there");
    let of = |key: &str| format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.UPDATE", public(key));
    let all = "$SYS.REQ.CLAIMS.UPDATE";
    let a = token("account A");
    for (subject, payload, code, text, changed) in [
        (of("A"), a.clone(), 200, "jwt updated", 1),
        (all.to_owned(), a.clone(), 200, "jwt updated", 0),
        (
            format!("$SYS.ACCOUNT.{}.CLAIMS.UPDATE", public("A")),
            a.clone(),
            200,
            "jwt updated",
            0,
        ),
        (
            of("A other"),
            a.clone(),
            500,
            "jwt update resulted in error - subject does not match jwt content",
            0,
        ),
        (
            all.to_owned(),
            token("user plain"),
            500,
            "jwt update resulted in error - ",
            0,
        ),
        (
            all.to_owned(),
            String::new(),
            500,
            "jwt update resulted in error - ",
            0,
        ),
        (
            all.to_owned(),
            token("account with too many exports"),
            500,
            "jwt validation failed - validation errors: [",
            0,
        ),
        (all.to_owned(), token("account expired"), 200, "jwt updated", 1),
    ] {
        let said = update(&mut full, "operator", &subject, &payload);
        assert_eq!((said.0, said.2), (code, changed), "{subject}: {said:?}");
        assert!(said.1.starts_with(text), "{subject}: {said:?}");
    }
    let own = token("account by the operator's own key");
    let said = update(&mut full, "operator strict", all, &own);
    assert!(
        said.1.ends_with("operator requires issuer to be a signing key"),
        "{said:?}"
    );
    assert_eq!(update(&mut full, "operator", all, &own).0, 200);
}

/// A cache keeps the tokens of accounts that are in use.
#[test]
fn a_cache_keeps_what_is_used() {
    let root = tempfile::tempdir().expect("a directory");
    let cache = DirectorySpec {
        is_cache: true,
        ..spec(root.path())
    };
    let mut cache = Directory::open(cache, now()).expect("there");
    let all = "$SYS.REQ.CLAIMS.UPDATE";
    let said = update(&mut cache, "operator", all, &token("account A"));
    assert_eq!(said, (200, "jwt updated cache".to_owned(), 1));
    let said = update(&mut cache, "operator", all, &token("account with limits"));
    assert_eq!(said, (200, "jwt update cache skipped".to_owned(), 0));
    assert_eq!(cache.len(), 1);
}

/// Lists, packs and lookups.
#[test]
fn tokens_are_told_on_request() {
    let root = tempfile::tempdir().expect("a directory");
    let mut directory = Directory::open(spec(root.path()), now()).expect("there");
    let (a, text) = (public("A"), token("account A"));
    directory.save(a, &text, now()).expect("saved");
    let list = ask(&mut directory, "operator", "$SYS.REQ.CLAIMS.LIST", "").answer;
    assert_eq!(list, Answer::Accounts(vec![a.to_owned()]));
    let pack = ask(&mut directory, "operator", "$SYS.REQ.CLAIMS.PACK", "").answer;
    assert_eq!(
        pack,
        Answer::Plain(vec![format!("{a}|{text}").into_bytes(), Vec::new()])
    );
    let operator = decode_operator(&token("operator")).expect("good");
    let service = ClaimsService::new(&operator, None);
    let digest = directory.digest();
    let same = service.answer(ClaimsRequest::Pack, &digest, &mut directory, |_| true, now());
    assert_eq!(same.answer, Answer::Plain(vec![Vec::new()]));
    let mut lookup = |account: &str| {
        let subject = format!("$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP");
        ask(&mut directory, "operator", &subject, "").answer
    };
    assert_eq!(lookup(a), Answer::Plain(vec![text.clone().into_bytes()]));
    assert_eq!(lookup(public("A other")), Answer::Plain(vec![Vec::new()]));
    assert_eq!(lookup("nobody"), Answer::None);
    assert_eq!(AccountSubject::request("$SYS.REQ.CLAIMS.OTHER"), None);
}

/// Accounts go when an operator says so by its own token, and the system account never.
#[test]
fn accounts_are_deleted_on_request() {
    let root = tempfile::tempdir().expect("a directory");
    let mut directory = Directory::open(spec(root.path()), now()).expect("there");
    let (a, b) = (public("A"), public("A other"));
    for account in [a, b] {
        directory.save(account, account, now()).expect("saved");
    }
    let wish = |signer: &str, about: &str, accounts: Value| {
        let data = ClaimsData {
            subject: public(about).to_owned(),
            ..ClaimsData::default()
        };
        let Value::Object(nats) = json!({ "accounts": accounts }) else {
            unreachable!("an object");
        };
        encode(data, Kind::Generic, nats, &pair(signer), 0).expect("a seed")
    };
    let subject = "$SYS.REQ.CLAIMS.DELETE";
    for (payload, reason) in [
        (wish("O other", "O other", json!([a])), "not trusted"),
        (wish("O", "A", json!([a])), "not self signed"),
        (wish("O", "O", json!(a)), "malformed request"),
        (wish("O", "O", json!(["x"])), "malformed request"),
        (
            wish("O", "O", json!([a, public("A system")])),
            "not allowed to delete system account",
        ),
    ] {
        let said = update(&mut directory, "operator", subject, &payload);
        assert_eq!(said.0, 500);
        assert!(said.1.starts_with("delete accounts request by "), "{said:?}");
        assert!(said.1.ends_with(reason), "{said:?}");
    }
    let strict = update(
        &mut directory,
        "operator strict",
        subject,
        &wish("O", "O", json!([a])),
    );
    assert!(strict.1.ends_with("not trusted"), "{strict:?}");
    assert_eq!(directory.len(), 2);
    let outcome = ask(
        &mut directory,
        "operator strict",
        subject,
        &wish("O signing", "O signing", json!([a])),
    );
    assert_eq!(outcome.deleted, [a]);
    let said = update(
        &mut directory,
        "operator",
        subject,
        &wish("O", "O", json!([b, b])),
    );
    assert_eq!(said.1, "deleted 2 accounts");
    assert!(directory.is_empty());
}

/// A server that answers one request with this text.
fn serve(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!(
        "http://user:secret@{}/jwt/v1/accounts",
        listener.local_addr().expect("bound")
    );
    #[expect(clippy::disallowed_methods, reason = "a server of the test")]
    let served = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a client");
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            let count = socket.read(&mut buffer).expect("a request");
            request.extend_from_slice(&buffer[..count]);
        }
        socket.write_all(answer.as_bytes()).expect("an answer");
        String::from_utf8(request).expect("text")
    });
    (address, served)
}

/// A token comes from an HTTP server; what is no token, and no server, is an error without the login of the address.
/// Covers: TestJWTAccountURLResolver
#[test]
fn tokens_come_by_http() {
    let (address, served) =
        serve("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let source = Source::Url(UrlSource::new(&address).expect("good"));
    assert_eq!(source.fetch(public("A")), Ok("abc".to_owned()));
    let request = served.join().expect("served");
    let line = format!("GET /jwt/v1/accounts/{} HTTP/1.1\r\n", public("A"));
    assert!(request.starts_with(&line), "{request}");
    assert_eq!(source.fetch("nobody"), Err(FetchError::NotAnAccount));
    assert!(!format!("{source:?}").contains("secret"));

    for (answer, expected) in [
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "the resolver has no token of it",
        ),
        ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", "status 500"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "status 204"),
    ] {
        let (address, served) = serve(answer);
        let source = Source::Url(UrlSource::new(&address).expect("good"));
        let error = source.fetch(public("A")).expect_err(answer).to_string();
        assert!(error.ends_with(expected), "{error}");
        assert!(!error.contains("secret"), "{error}");
        served.join().expect("served");
    }
    for wrong in ["", "here", "ftp://x/", "http://", "http:///x", "https://x/"] {
        assert!(UrlSource::new(wrong).is_err(), "{wrong}");
    }
}

/// Memory and files are sources as well.
#[test]
fn tokens_come_from_memory_and_files() {
    let root = tempfile::tempdir().expect("a directory");
    let mut directory = Directory::open(spec(root.path()), now()).expect("there");
    directory.save(public("A"), "token", now()).expect("saved");
    let tokens = [(public("A").to_owned(), "token".to_owned())].into();
    for source in [Source::Memory(tokens), Source::Directory(root.path().to_owned())] {
        assert_eq!(source.fetch(public("A")), Ok("token".to_owned()));
        assert_eq!(source.fetch(public("A other")), Err(FetchError::Missing));
        assert_eq!(source.fetch("../A"), Err(FetchError::NotAnAccount));
    }
}
