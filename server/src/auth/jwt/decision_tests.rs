//! Who comes in and with what, for the tokens of the fixtures.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use pinion_shard::ids::AccountId;
use pinion_shard::io::WallTime;
use pinion_shard::rules::{ConnectionType, Denial, DenialKind, Grant, Sampling};

use super::account::AccountClaims;
use super::account_spec::{compile, Compiled};
use super::admit::{admit, identify, Asking, KnownAccount, Proof};
use super::fixtures::{pair, public, token};
use super::trust::{Trust, TrustSpec};
use super::*;
use crate::log::Redacted;

/// 2026-01-01T10:00:00Z.
const NOW_S: i64 = 1_767_261_600;

fn spec(operators: &[&str]) -> TrustSpec {
    TrustSpec {
        operators: operators
            .iter()
            .map(|name| decode_operator(&token(name)).expect("good"))
            .collect(),
        server_version: crate::PEER_VERSION.to_owned(),
        ..TrustSpec::default()
    }
}

fn trust(operator: &str) -> Trust {
    Trust::new(spec(&[operator])).expect("good")
}

fn wall(now_s: i64) -> WallTime {
    WallTime(u64::try_from(now_s).expect("after 1970") * 1_000_000_000)
}

fn account_claims(name: &str) -> AccountClaims {
    decode_account(&token(name)).expect(name)
}

/// Compiles an account beside `account A`, the one that exports.
fn compiled(name: &str, now_s: i64) -> Compiled {
    let exporter = account_claims("account A");
    compile(&account_claims(name), &trust("operator"), now_s, |key| {
        (key == exporter.data.subject).then_some(&exporter)
    })
}

struct Case<'a> {
    user: &'a str,
    key: &'a str,
    account: &'a str,
    trust: &'a Trust,
    connection_type: ConnectionType,
    is_proxied: bool,
    now_s: i64,
}

impl<'a> Case<'a> {
    fn new(user: &'a str, account: &'a str, trust: &'a Trust) -> Self {
        Case {
            user,
            key: "U",
            account,
            trust,
            connection_type: ConnectionType::Standard,
            is_proxied: false,
            now_s: NOW_S,
        }
    }

    fn decide(&self) -> Result<Grant, Denial> {
        let jwt = if self.user.is_empty() {
            String::new()
        } else {
            token(self.user)
        };
        let nonce = b"abcdefghijklmno";
        let signature = BASE64URL_NOPAD.encode(&pair(self.key).sign(nonce).expect("a seed"));
        let asking = Asking {
            jwt: &jwt,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            connection_type: self.connection_type,
            is_proxied: self.is_proxied,
            wall: wall(self.now_s),
            proof: Proof::Signature {
                nonce,
                signature: &signature,
            },
        };
        let user = identify(&asking, self.trust)?;
        let compiled = compiled(self.account, self.now_s);
        let account = KnownAccount {
            id: AccountId(7),
            claims: Arc::new(account_claims(self.account)),
            default_permissions: compiled.spec.default_permissions,
            digest: [7; 32],
        };
        assert_eq!(user.account(), account.claims.data.subject, "{}", self.user);
        admit(&asking, &user, &account, self.trust)
    }

    #[track_caller]
    fn is_denied(&self, kind: DenialKind) {
        let denial = self.decide().expect_err(self.user);
        assert_eq!(denial.kind, kind, "{}: {denial}", self.user);
        let jwt = token(self.user);
        let (_, signature) = jwt.rsplit_once('.').expect("three parts");
        assert!(!denial.detail.contains(signature), "{denial}");
    }

    #[track_caller]
    fn is_granted(&self) -> Grant {
        self.decide()
            .unwrap_or_else(|denial| panic!("{}: {denial}", self.user))
    }
}

/// Every reason for which a user stays out.
/// Covers: TestJWTUserExpired, TestJWTAccountExpired, TestJWTUserRevoked
#[test]
fn users_stay_out_for_a_reason() {
    let trust = trust("operator");
    use DenialKind as Why;
    for (user, account, why) in [
        ("user expired", "account A", Why::UserExpired),
        ("user not yet valid", "account A", Why::Malformed),
        ("user from elsewhere", "account A", Why::Source),
        ("user from nowhere", "account A", Why::Malformed),
        ("user by a bad time", "account A", Why::Malformed),
        ("user in a bad time zone", "account A", Why::Malformed),
        ("user websocket connections", "account A", Why::ConnectionType),
        ("user unknown connections", "account A", Why::ConnectionType),
        ("user behind a proxy", "account A", Why::ProxyRequired),
        (
            "user by a key that is not the account's",
            "account A",
            Why::UntrustedIssuer,
        ),
        (
            "user of an account by another operator",
            "account by another operator",
            Why::UntrustedIssuer,
        ),
        (
            "user of an account by itself",
            "account by itself",
            Why::UntrustedIssuer,
        ),
        (
            "user of an expired account",
            "account expired",
            Why::AccountExpired,
        ),
        (
            "user bearer where none may be",
            "account with limits",
            Why::Bearer,
        ),
        ("user scoped with permissions", "account A", Why::Malformed),
        ("user scoped with limits", "account A", Why::Malformed),
        ("user scoped deny without tag", "account A", Why::Malformed),
        ("user scoped by an unknown function", "account A", Why::Malformed),
        (
            "user of an account with all revoked",
            "account with all revoked",
            Why::Revoked,
        ),
        ("damaged: changed claims", "account A", Why::WrongSignature),
        ("damaged: cut within the claims", "account A", Why::Malformed),
        ("damaged: a user by a user", "account A", Why::UntrustedIssuer),
        ("account A", "account A", Why::Malformed),
    ] {
        Case::new(user, account, &trust).is_denied(why);
    }
    let revoked = Case {
        key: "U revoked",
        ..Case::new("user revoked", "account with revocations", &trust)
    };
    revoked.is_denied(Why::Revoked);
    let stolen = Case {
        key: "U stranger",
        ..Case::new("user plain", "account A", &trust)
    };
    stolen.is_denied(Why::WrongSignature);
    let nobody = Case::new("", "account A", &trust).decide().expect_err("no token");
    assert_eq!(nobody.kind, Why::NoCredentials);
}

/// Every kind of user that comes in.
#[test]
fn users_come_in() {
    let trust = trust("operator");
    for (user, account) in [
        ("user plain", "account A"),
        ("user by a signing key", "account A"),
        ("user bearer", "account A"),
        ("user from localhost", "account A"),
        ("user by day", "account A"),
        ("user standard connections", "account A"),
        ("user small letters and unknown connections", "account A"),
        ("user good until 2100", "account A"),
        ("user not revoked", "account with revocations"),
        (
            "user of an account by the operator's own key",
            "account by the operator's own key",
        ),
        ("user version 1 by a signing key", "account version 1"),
        ("user version 1", "account version 1"),
        ("odd: networks as one text", "account A"),
    ] {
        let grant = Case::new(user, account, &trust).is_granted();
        assert_eq!(grant.account, AccountId(7));
        assert_eq!(&*grant.identity.user, public("U"));
    }
    for (user, key, account) in [
        (
            "user revoked before it was issued",
            "U revoked before",
            "account with revocations",
        ),
        ("user bearer", "U stranger", "account A"),
        ("user scoped bearer", "U stranger", "account A"),
    ] {
        let case = Case {
            key,
            ..Case::new(user, account, &trust)
        };
        case.is_granted();
    }
    let proxied = Case {
        is_proxied: true,
        ..Case::new("user behind a proxy", "account A", &trust)
    };
    proxied.is_granted();
    let websocket = Case {
        connection_type: ConnectionType::WebSocket,
        ..Case::new("user websocket connections", "account A", &trust)
    };
    let grant = websocket.is_granted();
    assert!(!grant.connection_types.allows(ConnectionType::Standard));
}

/// The grant ends with the token, or with the time window, whichever is first.
#[test]
fn a_grant_ends() {
    let trust = trust("operator");
    let ends = |user| Case::new(user, "account A", &trust).is_granted().expires;
    assert_eq!(ends("user plain"), None);
    assert_eq!(ends("user good until 2100"), Some(wall(4_102_444_800)));
    // Eleven in Berlin: the window of the morning ends at twelve there.
    assert_eq!(ends("user by day"), Some(wall(NOW_S + 3600)));
    let at_noon = Case {
        now_s: NOW_S + 3600 + 1800,
        ..Case::new("user by day", "account A", &trust)
    };
    at_noon.is_denied(DenialKind::TimeWindow);
}

/// Permissions, limits, and those of the account for a user that has none.
#[test]
fn users_may_do_what_their_claims_say() {
    let trust = trust("operator");
    let may = |user, account, key| {
        let case = Case {
            key,
            ..Case::new(user, account, &trust)
        };
        case.is_granted()
    };
    let grant = may("user with permissions", "account A", "U");
    let permissions = grant.permissions.expect("some");
    assert!(permissions.may_publish(b"out.x"));
    assert!(!permissions.may_publish(b"out.secret"));
    assert!(!permissions.may_publish(b"in.x"));
    assert!(permissions.may_subscribe(b"in.x", None));
    assert!(permissions.may_subscribe(b"work.1", Some(b"group.2")));
    assert!(!permissions.may_subscribe(b"work.1", Some(b"other")));
    assert_eq!(grant.limits.subscriptions, Some(3));
    assert_eq!(grant.limits.payload_size, Some(100));
    let responses = permissions.responses().expect("some");
    assert_eq!(responses.messages_max, Some(5));

    assert_eq!(may("user plain", "account A", "U").permissions, None);
    let default = may(
        "user with default permissions",
        "account with default permissions",
        "U defaults",
    );
    let default = default.permissions.expect("the account's");
    assert!(default.may_publish(b"out.x"));
    assert!(!default.may_publish(b"mine.x"));
    assert!(!default.may_subscribe(b"in.secret", None));
    let own = may(
        "user with own and default permissions",
        "account with default permissions",
        "U defaults",
    );
    let own = own.permissions.expect("its own");
    assert!(own.may_publish(b"mine.x"));
    assert!(!own.may_publish(b"out.x"));
}

/// A scope's template, filled with the user's name, key and tags.
#[test]
fn a_scope_says_what_its_users_may_do() {
    let trust = trust("operator");
    let grant = Case::new("user scoped", "account A", &trust).is_granted();
    let permissions = grant.permissions.expect("the template's");
    let subjects = [
        "in.scoped.x".to_owned(),
        format!("id.{}", public("U")),
        format!("of.A.{}", public("A")),
        "dept.sales.high".to_owned(),
        "dept.ops.high".to_owned(),
        "region.eu".to_owned(),
        "region.us".to_owned(),
    ];
    for subject in subjects {
        assert!(permissions.may_subscribe(subject.as_bytes(), None), "{subject}");
    }
    assert!(!permissions.may_subscribe(b"in.scoped.secret", None));
    assert!(!permissions.may_subscribe(b"in.other.x", None));
    assert!(permissions.may_publish(b"out.scoped.x"));
    assert!(!permissions.may_publish(b"out.other.x"));
    assert_eq!(grant.limits.subscriptions, Some(10));
    assert_eq!(grant.limits.payload_size, Some(1000));

    let grant = Case::new("user scoped deny with tag", "account A", &trust).is_granted();
    assert!(!grant.permissions.expect("some").may_publish(b"not.here"));
    let grant = Case::new("user scoped with nothing left", "account A", &trust).is_granted();
    assert!(!grant.permissions.expect("some").may_publish(b"only.x"));
}

/// With strict signing keys the account's own key signs no users, nor the operator's own key accounts.
/// Covers: TestJWTStrictSigningKeys
#[test]
fn strict_operators_want_signing_keys() {
    let strict = trust("operator strict");
    Case::new("user by a signing key", "account A", &strict).is_granted();
    Case::new("user plain", "account A", &strict).is_denied(DenialKind::UntrustedIssuer);
    assert!(!strict.is_trusted(public("O")));
    assert!(strict.is_trusted(public("O signing")));
}

/// Clients without a token get the sentinel's, which needs no key.
#[test]
fn a_sentinel_stands_for_a_missing_token() {
    let with = |sentinel: &str| {
        Trust::new(TrustSpec {
            default_sentinel: Some(Redacted::new(token(sentinel))),
            ..spec(&["operator"])
        })
    };
    let trust = with("user bearer").expect("a bearer token");
    let case = Case {
        key: "U stranger",
        ..Case::new("", "account A", &trust)
    };
    assert_eq!(&*case.is_granted().identity.user, public("U"));
    assert!(with("user scoped bearer").is_ok());
    assert!(with("user plain").is_err());
    assert!(with("account A").is_err());
}

/// What operators and configuration may not say together.
#[test]
fn trust_is_made_out_or_refused() {
    let of = |change: &dyn Fn(&mut TrustSpec)| {
        let mut spec = spec(&["operator"]);
        change(&mut spec);
        Trust::new(spec)
    };
    let system = public("A system").to_owned();
    assert_eq!(of(&|_| {}).expect("good").system_account, Some(system.clone()));
    assert!(of(&|spec| spec.system_account = Some(system.clone())).is_ok());
    assert!(of(&|spec| spec.system_account = Some(public("A").to_owned())).is_err());
    assert!(of(&|spec| spec.trusted_keys = vec![public("O other").to_owned()]).is_err());
    assert!(of(&|spec| spec.pinned_accounts = vec!["A".to_owned()]).is_err());
    let pinned = of(&|spec| spec.pinned_accounts = vec![public("A limits").to_owned()]).expect("good");
    assert!(pinned.is_usable(&system));
    assert!(!pinned.is_usable(public("A")));
    Case::new("user plain", "account A", &pinned).is_denied(DenialKind::UnknownAccount);
    for (operator, good) in [
        ("operator wants an older server", true),
        ("operator wants a newer server", false),
        ("operator with a bad version", false),
    ] {
        assert_eq!(Trust::new(spec(&[operator])).is_ok(), good, "{operator}");
    }
    let plain = |needs_system_account| {
        Trust::new(TrustSpec {
            needs_system_account,
            ..spec(&["operator plain"])
        })
    };
    assert_eq!(plain(false).expect("good").system_account, None);
    assert!(plain(true).is_err());
    let keys = Trust::new(TrustSpec {
        trusted_keys: vec![public("O").to_owned()],
        ..spec(&[])
    });
    assert!(keys.expect("good").is_trusted(public("O")));
    let wrong = TrustSpec {
        trusted_keys: vec![public("A").to_owned()],
        ..spec(&[])
    };
    assert!(Trust::new(wrong).is_err());
}

/// Exports, imports with activation tokens, limits and mappings, as the router takes them.
#[test]
fn claims_become_rules() {
    let exporter = compiled("account A", NOW_S);
    assert_eq!(exporter.left_out, Vec::<String>::new());
    assert_eq!(exporter.spec.name, public("A"));
    assert_eq!(exporter.spec.label, "A");
    assert_eq!(exporter.spec.exports.streams.len(), 2);
    let service = exporter
        .spec
        .exports
        .service("service.private.x")
        .expect("covered");
    let latency = service.latency.as_ref().expect("measured");
    assert_eq!(latency.sampling, Sampling::Headers);

    let importer = compiled("account importer", NOW_S);
    assert_eq!(importer.left_out, Vec::<String>::new());
    assert_eq!(importer.good_until_s, Some(4_102_444_800));
    let streams: BTreeMap<&str, (&str, bool)> = importer
        .spec
        .imports
        .streams
        .iter()
        .map(|import| {
            (
                import.subject.as_str(),
                (import.local.as_str(), import.is_activated),
            )
        })
        .collect();
    assert_eq!(streams["stream.public.*"], ("from.a.$1", false));
    assert_eq!(streams["stream.private.x"], ("private.stream.private.x", true));
    let services: BTreeMap<&str, (&str, bool)> = importer
        .spec
        .imports
        .services
        .iter()
        .map(|import| (import.subject.as_str(), (import.local.as_str(), import.share)))
        .collect();
    assert_eq!(services["service.public"], ("ask", true));
    assert_eq!(services["service.private.x"], ("", false));

    let limited = compiled("account with limits", NOW_S).spec.limits;
    assert_eq!(limited.connections, Some(1));
    assert_eq!(limited.leaf_nodes, Some(0));
    assert_eq!(limited.subscriptions, Some(2));
    assert_eq!(limited.payload_size, Some(10));
    assert_eq!(exporter.spec.limits.connections, None);
    let mapped = compiled("account with mappings", NOW_S);
    assert_eq!(mapped.left_out, Vec::<String>::new());
    assert!(!mapped.spec.mappings.is_empty());
}

/// An import is left out, and said to be, when the exporter does not let it in or its token is not good.
/// Covers: TestJWTAccountImportActivationExpires
#[test]
fn imports_need_what_the_export_asks_for() {
    for (name, expected) in [
        (
            "account importer without a token",
            "an activation token is needed",
        ),
        ("account importer with an expired token", "token: exp: expired"),
        ("account revoked importer", "token: revoked"),
        (
            "account importer with a token by another account",
            "token: signed for account",
        ),
        ("account importer with another's token", "token: is for account"),
        ("account with too many imports", "account A exports no \"a\""),
    ] {
        let compiled = compiled(name, NOW_S);
        assert_eq!(compiled.left_out.len(), 1, "{name}");
        let expected = expected.replace("account A ", &format!("account {} ", public("A")));
        assert!(
            compiled.left_out[0].contains(&expected),
            "{name}: {:?}",
            compiled.left_out
        );
        assert!(compiled.spec.imports.streams.is_empty());
    }
    let later = compiled("account importer", 4_102_444_800);
    assert_eq!(later.left_out.len(), 1, "the token of the service expires");
    let alone = compile(
        &account_claims("account importer"),
        &trust("operator"),
        NOW_S,
        |_| None,
    );
    assert_eq!(alone.left_out.len(), 4);
    assert!(alone.left_out[0].contains("cannot be had"));
}
