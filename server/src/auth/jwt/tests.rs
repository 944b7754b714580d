//! Tokens made by the reference tools: each is taken or refused as their own library does, and says the same.

use std::collections::BTreeMap;

use super::exports::ExportType;
use super::fixtures::{pair, public, rows, token};
use super::permissions::{ResponsePermission, SourceNetwork, TimeRange};
use super::*;

/// 2026-01-01, within the times of all tokens that are good.
const NOW_S: i64 = 1_767_225_600;

/// Every token of the fixtures: read, refused, or read and blocked, as the reference library says.
#[test]
fn every_token_is_judged_as_by_the_reference_library() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows() {
        let found = match decode(&row.token) {
            Err(error) => {
                let text = error.to_string();
                assert!(!text.is_empty() && !text.contains(&row.token), "{text}");
                "refused"
            }
            Ok(claims) => match claims.check(NOW_S).blocking(false) {
                Some(issue) => {
                    assert!(!issue.path.is_empty() && !issue.text.is_empty(), "{issue:?}");
                    "blocked"
                }
                None => "good",
            },
        };
        assert_eq!(
            found,
            row.verdict,
            "{}: {:?}",
            row.name,
            decode(&row.token).map(|c| c.check(NOW_S))
        );
        *seen.entry(found).or_default() += 1;
    }
    assert!(seen.values().all(|&count| count > 10), "{seen:?}");
    assert_eq!(seen.len(), 3);
}

/// What is wrong is named by its path in the claims.
#[test]
fn errors_name_the_place() {
    for (name, expected) in [
        ("damaged: a text for a time", "claims: exp: "),
        ("damaged: a text for a list", "claims: nats.pub.allow: "),
        ("damaged: a null export", "claims: nats.exports[0]: "),
        ("damaged: an unknown scope", "claims: nats.signing_keys[0].kind: "),
        ("damaged: cut within the claims", "a token has three parts"),
        ("damaged: another algorithm", "header: alg: \"none\""),
        ("damaged: a newer version", "claims: nats.version: 3"),
    ] {
        let error = decode(&token(name)).expect_err(name).to_string();
        assert!(error.starts_with(expected), "{name}: {error}");
    }
    for (name, expected) in [
        (
            "account with a bad token position",
            "nats.exports[0].account_token_position: ",
        ),
        (
            "account with a bad local subject",
            "nats.imports[0].local_subject: ",
        ),
        ("account importer with a cut token", "nats.imports[0].token: "),
        (
            "account with mappings over 100 percent",
            "nats.mappings[orders]: ",
        ),
        ("user from nowhere", "nats.src[0]: "),
        ("user by a bad time", "nats.times[0].start: "),
        ("user with an empty token in a subject", "nats.sub.deny[0]: "),
        (
            "operator with an account as signing key",
            "nats.signing_keys[0]: ",
        ),
    ] {
        let issues = decode(&token(name)).expect(name).check(NOW_S);
        let issue = issues.blocking(false).expect(name).to_string();
        assert!(issue.starts_with(expected), "{name}: {issue}");
    }
}

/// The clock: good to the second of `exp`, from the second of `nbf`.
#[test]
fn times_count_to_the_second() {
    let until = |now| decode(&token("user expired")).expect("good").check(now);
    assert_eq!(until(1_577_836_800).blocking(true), None);
    assert_eq!(
        until(1_577_836_801)
            .blocking(true)
            .map(|issue| issue.path.as_str()),
        Some("exp")
    );
    assert_eq!(until(1_577_836_801).blocking(false), None);
    let from = |now| decode(&token("account not yet valid")).expect("good").check(now);
    assert_eq!(from(4_102_444_800).blocking(true), None);
    assert_eq!(
        from(4_102_444_799)
            .blocking(true)
            .map(|issue| issue.path.as_str()),
        Some("nbf")
    );
}

/// A token of one kind is none of another.
#[test]
fn a_kind_is_not_another() {
    let error = decode_user(&token("account A")).expect_err("an account");
    assert_eq!(
        error,
        DecodeError::WrongKind {
            wanted: Kind::User,
            found: Kind::Account
        }
    );
}

#[test]
fn operator_claims_are_whole() {
    let claims = decode_operator(&token("operator strict")).expect("good");
    assert_eq!(claims.data.subject, public("O"));
    assert_eq!(claims.signing_keys, [public("O signing")]);
    assert_eq!(claims.system_account, public("A system"));
    assert!(claims.strict_signing_key_usage);
    let claims = decode_operator(&token("operator")).expect("good");
    assert_eq!(claims.tags, ["one", "two"]);
    assert_eq!(claims.operator_service_urls.len(), 2);
}

#[test]
fn account_claims_are_whole() {
    let claims = decode_account(&token("account A")).expect("good");
    assert_eq!(claims.tags, ["region:eu", "region:us"]);
    assert_eq!(claims.limits.account.conn, NO_LIMIT);
    assert!(claims.limits.account.wildcards);
    assert_eq!(claims.signing_keys[public("A signing")], None);
    let scope = claims.signing_keys[public("A scope")].as_ref().expect("a scope");
    assert_eq!(scope.role, "worker");
    assert_eq!(scope.template.limits.subs, 10);
    assert_eq!(scope.template.limits.data, NO_LIMIT);
    assert_eq!(
        scope.template.permissions.response,
        Some(ResponsePermission {
            max: 3,
            ttl: 60_000_000_000
        })
    );
    let export = |subject: &str| {
        let found = claims.exports.iter().find(|export| export.subject == subject);
        found.expect(subject)
    };
    let private = export("stream.private.>");
    assert!(private.token_req);
    assert_eq!(private.revocations[public("A revoked importer")], 4_102_444_800);
    let service = export("service.public");
    assert_eq!(service.kind, Some(ExportType::Service));
    assert_eq!(service.response_threshold, 1_000_000_000);
    assert_eq!(service.latency.as_ref().map(|latency| latency.sampling), Some(50));
    let headers = export("service.private.*").latency.as_ref().expect("a latency");
    assert_eq!(
        (headers.sampling, headers.results.as_str()),
        (0, "latency.private")
    );
    assert_eq!(export("service.of.*.all").account_token_position, 3);

    let claims = decode_account(&token("account importer")).expect("good");
    assert_eq!(claims.imports.len(), 4);
    let renamed = claims
        .imports
        .iter()
        .find(|import| import.local_subject == "from.a.$1");
    assert_eq!(
        renamed.map(|import| import.subject.as_str()),
        Some("stream.public.*")
    );

    let claims = decode_account(&token("account with tiers")).expect("good");
    assert!(claims.limits.has_jetstream());
    assert_eq!(claims.limits.tiers["R1"].disk_max_stream_bytes, 6);
    assert_eq!(claims.limits.tiers["R3"].disk_storage, -1);

    let claims = decode_account(&token("account with mappings")).expect("good");
    assert_eq!(claims.mappings["orders.*"].len(), 3);
    assert_eq!(claims.mappings["all"][0].percent(), 100);
    assert!(!claims.limits.has_jetstream());

    let claims = decode_account(&token("account with external authorization")).expect("good");
    assert_eq!(claims.authorization.auth_users, [public("U service")]);
    assert_eq!(claims.authorization.allowed_accounts, [ALL]);
    assert_eq!(claims.authorization.xkey, public("X"));
}

#[test]
fn user_claims_are_whole() {
    let claims = decode_user(&token("user with permissions")).expect("good");
    assert_eq!(claims.account(), public("A"));
    assert_eq!(claims.granted.permissions.publish.deny, ["out.secret"]);
    assert_eq!(
        claims.granted.permissions.subscribe.allow.as_ref().map(Vec::len),
        Some(3)
    );
    assert_eq!(claims.granted.limits.payload, 100);
    assert_eq!(claims.tags, ["level:high"]);
    let claims = decode_user(&token("user by a signing key")).expect("good");
    assert_eq!(claims.data.issuer, public("A signing"));
    assert_eq!(claims.account(), public("A"));
    assert!(!claims.granted.is_empty(), "limits of -1 are said");
    let claims = decode_user(&token("user scoped")).expect("good");
    assert!(claims.granted.is_empty());
    let claims = decode_user(&token("user by night")).expect("good");
    assert_eq!(claims.granted.limits.times_location, "America/New_York");
    assert_eq!(
        claims.granted.limits.times,
        [TimeRange {
            start: "22:00:00".to_owned(),
            end: "06:00:00".to_owned()
        }]
    );
    let claims = decode_user(&token("odd: names in any case, nulls and unknown names")).expect("good");
    assert_eq!(
        claims.granted.permissions.publish.allow,
        Some(vec!["x".to_owned()])
    );
    assert_eq!(claims.granted.limits.subs, 0);
    let claims = decode_user(&token("odd: networks as one text")).expect("good");
    assert_eq!(claims.granted.limits.src, ["192.0.2.0/24", "127.0.0.0/8"]);
}

/// Claims of version 1 lie elsewhere and know less.
#[test]
fn version_1_is_brought_to_version_2() {
    let claims = decode_account(&token("account version 1")).expect("good");
    assert_eq!(claims.limits.account.conn, 7);
    assert_eq!(claims.tags, ["old:yes"]);
    assert!(claims.signing_keys.contains_key(public("A signing")));
    let claims = decode_user(&token("user version 1")).expect("good");
    assert_eq!(claims.granted.limits.src, ["192.0.2.0/24", "127.0.0.0/8"]);
    assert!(claims.granted.access.bearer_token);
    assert_eq!(claims.granted.limits.payload, NO_LIMIT);
    let claims = decode_user(&token("user version 1 by a signing key")).expect("good");
    assert_eq!(claims.account(), public("A old"));
    let claims = decode_activation(&token("activation version 1")).expect("good");
    assert_eq!(claims.import_type, Some(ExportType::Stream));
    assert_eq!(claims.import_subject, "old.x");
}

/// The request of a server reads the same when we write it; it keeps its secrets to itself.
#[test]
fn an_authorization_request_is_written_and_read() {
    let claims = decode_authorization_request(&token("authorization request")).expect("good");
    assert_eq!(claims.connect.password, "planted-secret");
    assert!(!format!("{claims:?}").contains("planted-secret"));
    let written = claims.encode(&pair("N"), NOW_S).expect("a seed");
    let mut again = decode_authorization_request(&written).expect("our own");
    assert_eq!(again.data.issued_at, NOW_S);
    assert_eq!(again.data.id.len(), 52);
    again.data = claims.data.clone();
    assert_eq!(again, claims);
}

/// One bit more or less anywhere in a token, and it is refused: nothing is taken that was not signed.
#[test]
fn any_changed_letter_of_a_token_is_noticed() {
    let good = token("user with permissions");
    for at in (0..good.len()).step_by(7) {
        let mut changed = good.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("letters");
        // The last letter of the signature has bits that are not part of it.
        if at + 1 < good.len() {
            assert!(decode(&changed).is_err(), "letter {at}");
        }
    }
    for end in (0..good.len()).step_by(11) {
        assert!(decode(&good[..end]).is_err(), "cut at {end}");
    }
}

/// Credentials files as tools write them; damaged ones are refused without their seed in the text.
#[test]
fn creds_hold_a_token_and_a_seed() {
    let file = include_str!("../../../../tests/fixtures/jwt/creds/plain.creds");
    let read = creds::parse(file).expect("good");
    assert_eq!(read.jwt, token("user plain"));
    assert_eq!(read.key.public_key(), public("U"));
    assert!(!format!("{read:?}").contains("SUA"));
    let windows = file.replace('\n', "\r\n");
    assert_eq!(creds::parse(&windows).expect("good").jwt, read.jwt);
    assert_eq!(creds::token(file), read.jwt);
    assert_eq!(creds::token(&read.jwt), read.jwt);
    let seed = pair("U").seed().expect("a seed");
    let account = pair("A").seed().expect("a seed");
    for (damaged, expected) in [
        (String::new(), creds::CredsError::NoToken),
        (read.jwt.clone(), creds::CredsError::NoToken),
        (file.replace(&seed, ""), creds::CredsError::NoSeed),
        (file.replace(&seed, &seed[..40]), creds::CredsError::BadSeed),
        (file.replace(&seed, &account), creds::CredsError::NotAUserSeed),
    ] {
        let error = creds::parse(&damaged).expect_err("damaged");
        assert_eq!(error, expected);
        assert!(!error.to_string().contains("SUA"));
    }
}

#[test]
fn networks_hold_their_addresses() {
    for (network, address, expected) in [
        ("192.0.2.0/24", "192.0.2.77", true),
        ("192.0.2.0/24", "192.0.3.1", false),
        ("192.0.2.1/0", "8.8.8.8", true),
        ("192.0.2.1/32", "192.0.2.1", true),
        ("192.0.2.129/25", "192.0.2.128", true),
        ("192.0.2.129/25", "192.0.2.127", false),
        ("127.0.0.0/8", "::ffff:127.0.0.1", true),
        ("2001:db8::/33", "2001:db8:7fff::1", true),
        ("2001:db8::/33", "2001:db8:8000::1", false),
        ("::/0", "127.0.0.1", false),
    ] {
        let parsed = SourceNetwork::parse(network).expect(network);
        assert_eq!(
            parsed.contains(address.parse().expect("an address")),
            expected,
            "{network} {address}"
        );
    }
    for wrong in [
        "",
        "192.0.2.0",
        "192.0.2.0/",
        "192.0.2.0/33",
        "192.0.2/24",
        "::/129",
        "1.2.3.4/+8",
        "01.2.3.4/8",
    ] {
        assert_eq!(SourceNetwork::parse(wrong), None, "{wrong}");
    }
}
