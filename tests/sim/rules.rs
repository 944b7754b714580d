//! Who the clients of a run are, and what the rules say of them: the same said twice, for the server and for the checkers.
//!
//! Two accounts. `A` exports the stream `a.>` and the service `b`; `B` knows them as `imp.a.>` and `svc.b`. One user of `A`
//! is restricted. New versions come in the middle of a run: they deny that user another subject, and every other version
//! does without the stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use pinion_shard::rules::{
    Access, AccountSpec, Accounts, AllowDeny, Attempt, Authenticator, Decision, Denial, DenialKind, Grant,
    PermissionSpec, Permissions, Rules, RulesSpec, ServiceExport, ServiceImport, StreamExport, StreamImport,
};

/// What the service is called in `B`.
pub(crate) const SERVICE: &str = "svc.b";

/// Who a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// Of `A`, may do everything.
    Free,
    /// Of `A`, may not publish to one subject.
    Restricted,
    /// Of `B`.
    Importer,
}

impl User {
    pub(crate) const ALL: [User; 3] = [User::Free, User::Restricted, User::Importer];

    /// The name in CONNECT.
    pub(crate) fn name(self) -> &'static str {
        match self {
            User::Free => "free",
            User::Restricted => "restricted",
            User::Importer => "importer",
        }
    }

    /// Its account.
    pub(crate) fn account(self) -> &'static str {
        match self {
            User::Free | User::Restricted => "A",
            User::Importer => "B",
        }
    }
}

/// What the restricted user may not publish to in a version.
pub(crate) fn denied_in(version: u64) -> &'static str {
    if version % 2 == 1 {
        "c"
    } else {
        "b"
    }
}

/// Whether `B` imports the stream in a version.
pub(crate) fn imports_stream_in(version: u64) -> bool {
    version % 2 == 1
}

/// Under which subject a message comes to the account of `to`; `None`: not at all. `reply` is where answers to the request
/// go that the message answers.
pub(crate) fn subject_in(
    version: u64,
    from: User,
    subject: &str,
    reply: Option<&str>,
    to: User,
) -> Option<String> {
    if from == User::Restricted && subject == denied_in(version) {
        return None;
    }
    match (from.account(), to.account()) {
        (one, other) if one == other => Some(subject.to_owned()),
        ("A", _) if subject.starts_with("_R_.") => reply.map(str::to_owned),
        ("A", _) => {
            let is_imported = subject.starts_with("a.") && imports_stream_in(version);
            is_imported.then(|| format!("imp.{subject}"))
        }
        _ => (subject == SERVICE).then(|| "b".to_owned()),
    }
}

/// The next version of the rules.
pub(crate) fn rules_after(previous: Option<&Rules>) -> Rules {
    let version = previous.map_or(1, |rules| rules.version() + 1);
    let mut exporter = AccountSpec {
        name: "A".to_owned(),
        ..AccountSpec::default()
    };
    exporter.exports.services = vec![ServiceExport::public("b")];
    exporter.exports.streams = vec![StreamExport {
        subject: "a.>".to_owned(),
        access: Access::Public,
    }];
    let mut importer = AccountSpec {
        name: "B".to_owned(),
        ..AccountSpec::default()
    };
    importer.imports.services = vec![ServiceImport {
        account: "A".to_owned(),
        subject: "b".to_owned(),
        local: SERVICE.to_owned(),
        share: false,
        is_activated: false,
    }];
    if imports_stream_in(version) {
        importer.imports.streams = vec![StreamImport {
            account: "A".to_owned(),
            subject: "a.>".to_owned(),
            local: "imp.a.>".to_owned(),
            is_activated: false,
            allow_trace: false,
        }];
    }
    let spec = RulesSpec {
        accounts: vec![exporter, importer],
        ..RulesSpec::default()
    };
    let users =
        |accounts: &Accounts<'_>| Arc::new(Users::in_accounts(accounts, version)) as Arc<dyn Authenticator>;
    Rules::build(previous, spec, users).expect("the rules of a run hold")
}

struct Users(BTreeMap<&'static str, Arc<Grant>>);

impl Users {
    fn in_accounts(accounts: &Accounts<'_>, version: u64) -> Users {
        let restricted = PermissionSpec {
            publish: Some(AllowDeny {
                allow: None,
                deny: vec![denied_in(version).to_owned()],
            }),
            ..PermissionSpec::default()
        };
        let restricted = Arc::new(Permissions::compile(&restricted).expect("subjects of a run are valid"));
        let grants = User::ALL.map(|user| {
            let account = accounts.id(user.account()).expect("users live in known accounts");
            let grant = Grant {
                permissions: (user == User::Restricted).then(|| Arc::clone(&restricted)),
                ..Grant::open(account)
            };
            (user.name(), Arc::new(grant))
        });
        Users(grants.into())
    }

    fn find(&self, attempt: &Attempt<'_>) -> Decision {
        let grant = self.0.get(attempt.connect.user.as_str()).cloned();
        Decision::Now(grant.ok_or_else(|| Denial::new(DenialKind::UnknownUser, "no such user")))
    }
}

impl Authenticator for Users {
    fn requires_credentials(&self) -> bool {
        true
    }

    fn wants_nonce(&self) -> bool {
        false
    }

    fn without_connect(&self, _: &Attempt<'_>) -> Option<Arc<Grant>> {
        None
    }

    fn decide(&self, attempt: &Attempt<'_>) -> Decision {
        self.find(attempt)
    }

    fn renew(&self, _: &Arc<Grant>, attempt: &Attempt<'_>) -> Decision {
        self.find(attempt)
    }
}
