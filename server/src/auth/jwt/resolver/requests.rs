//! The requests by which tools look at and change the tokens of a directory.
//!
//! Owns: what each request does and answers. Not here: the subscriptions, sending the answers, what a changed token means
//! for the accounts in use: the caller is told which changed.
//!
//! | subject | does |
//! |---|---|
//! | `$SYS.REQ.CLAIMS.LIST` | names all accounts |
//! | `$SYS.REQ.CLAIMS.PACK` | sends all tokens, one a message, then an empty one; only the empty one when the digest in the request is ours |
//! | `$SYS.REQ.CLAIMS.UPDATE`, `$SYS.REQ.ACCOUNT.<id>.CLAIMS.UPDATE`, `$SYS.ACCOUNT.<id>.CLAIMS.UPDATE` | keeps a token |
//! | `$SYS.REQ.CLAIMS.DELETE` | deletes the accounts that an operator's own token names |
//! | `$SYS.REQ.ACCOUNT.<id>.CLAIMS.LOOKUP` | the token, or nothing |
//!
//! Texts and shapes are the peer's; the reason within a text is ours where it comes from reading a token.

use std::collections::BTreeSet;

use pinion_shard::io::WallTime;
use serde::Serialize;
use serde_json::Value;

use super::directory::{Deletes, Directory, StoreError};
use crate::auth::jwt::admit::seconds;
use crate::auth::jwt::operator::OperatorClaims;
use crate::auth::jwt::{decode_account, decode_generic, nkey};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimsRequest<'a> {
    /// Names of all accounts.
    List,
    /// All tokens.
    Pack,
    /// Keep this token; of this account, where the subject says so.
    Update(Option<&'a str>),
    /// Delete accounts.
    Delete,
    /// The token of this account.
    Lookup(&'a str),
}

/// The subjects that are about one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountSubject;

impl AccountSubject {
    /// What a message to this subject asks for; None: nothing of this.
    pub fn request(subject: &str) -> Option<ClaimsRequest<'_>> {
        let tokens: Vec<&str> = subject.split('.').collect();
        Some(match tokens[..] {
            ["$SYS", "REQ", "CLAIMS", "LIST"] => ClaimsRequest::List,
            ["$SYS", "REQ", "CLAIMS", "PACK"] => ClaimsRequest::Pack,
            ["$SYS", "REQ", "CLAIMS", "UPDATE"] => ClaimsRequest::Update(None),
            ["$SYS", "REQ", "CLAIMS", "DELETE"] => ClaimsRequest::Delete,
            ["$SYS", "REQ", "ACCOUNT", account, "CLAIMS", "UPDATE"]
            | ["$SYS", "ACCOUNT", account, "CLAIMS", "UPDATE"] => ClaimsRequest::Update(Some(account)),
            ["$SYS", "REQ", "ACCOUNT", account, "CLAIMS", "LOOKUP"] => ClaimsRequest::Lookup(account),
            _ => return None,
        })
    }
}

/// `data` of an answer. JSON: `server` stands beside it, which the sender adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpdateStatus {
    /// The account it is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// As of HTTP.
    pub code: u16,
    /// What was done.
    pub message: String,
}

/// `error` of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpdateError {
    /// The account it is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// As of HTTP.
    pub code: u16,
    /// What was not done, and why.
    pub description: String,
}

/// What goes back to who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: the one who asked waits in vain, as at the peer.
    None,
    /// A document with `data`.
    Done(UpdateStatus),
    /// A document with `error`.
    Failed(UpdateError),
    /// A document whose `data` is this list.
    Accounts(Vec<String>),
    /// Plain messages, in this order.
    Plain(Vec<Vec<u8>>),
}

/// An answer, and what changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What goes back.
    pub answer: Answer,
    /// Accounts with a new token.
    pub changed: Vec<String>,
    /// Accounts that are gone.
    pub deleted: Vec<String>,
}

impl Outcome {
    fn plain(answer: Answer) -> Self {
        Self {
            answer,
            changed: Vec::new(),
            deleted: Vec::new(),
        }
    }
}

/// Whose wishes count.
#[derive(Clone, Debug)]
pub struct ClaimsService {
    /// The first operator's own key.
    operator: String,
    /// Its keys that may ask for deletion.
    keys: BTreeSet<String>,
    is_strict: bool,
    system_account: Option<String>,
}

impl ClaimsService {
    /// For the first operator.
    pub fn new(operator: &OperatorClaims, system_account: Option<&str>) -> Self {
        let mut keys: BTreeSet<String> = operator.signing_keys.iter().cloned().collect();
        if !operator.strict_signing_key_usage {
            keys.insert(operator.data.subject.clone());
        }
        Self {
            operator: operator.data.subject.clone(),
            keys,
            is_strict: operator.strict_signing_key_usage,
            system_account: system_account.map(str::to_owned),
        }
    }

    /// Does what is asked for. `is_used` says whether an account is in use on this server: a cache keeps no others.
    pub fn answer(
        &self,
        request: ClaimsRequest<'_>,
        payload: &[u8],
        directory: &mut Directory,
        is_used: impl Fn(&str) -> bool,
        now: WallTime,
    ) -> Outcome {
        match request {
            ClaimsRequest::List => Outcome::plain(Answer::Accounts(
                directory
                    .tokens(now)
                    .map(|(account, _)| account.to_owned())
                    .collect(),
            )),
            ClaimsRequest::Pack => Outcome::plain(pack(payload, directory, now)),
            ClaimsRequest::Lookup(account) => Outcome::plain(lookup(account, directory, now)),
            ClaimsRequest::Delete => self.delete(payload, directory),
            ClaimsRequest::Update(account) => self.update(account, payload, directory, is_used, now),
        }
    }

    fn update(
        &self,
        named: Option<&str>,
        payload: &[u8],
        directory: &mut Directory,
        is_used: impl Fn(&str) -> bool,
        now: WallTime,
    ) -> Outcome {
        let texts = Texts::of(directory.is_cache());
        let token = String::from_utf8_lossy(payload);
        let claims = match decode_account(&token) {
            Ok(claims) => claims,
            Err(error) => {
                let about = named.filter(|_| directory.is_cache()).unwrap_or("n/a");
                return failed(about, texts.error, &error.to_string());
            }
        };
        let subject = claims.data.subject.as_str();
        let about = named.unwrap_or(subject);
        if subject != about {
            return failed(about, texts.error, "subject does not match jwt content");
        }
        if self.is_strict && claims.data.issuer == self.operator {
            return failed(about, texts.error, "operator requires issuer to be a signing key");
        }
        if directory.is_cache() && !is_used(about) {
            return done(about, "jwt update cache skipped");
        }
        let issues = claims.check(seconds(now));
        if let Some(issue) = issues.blocking(false) {
            return failed(subject, texts.invalid, &format!("validation errors: [{issue}]"));
        }
        match directory.save(about, &token, now) {
            Err(error) => failed(about, texts.error, &error.to_string()),
            Ok(is_new) => {
                let mut outcome = done(about, texts.done);
                if is_new {
                    outcome.changed.push(about.to_owned());
                }
                outcome
            }
        }
    }

    /// Only an operator, by its own token, may have accounts deleted.
    fn delete(&self, payload: &[u8], directory: &mut Directory) -> Outcome {
        let token = String::from_utf8_lossy(payload);
        let (asker, accounts) = match decode_generic(&token) {
            Err(error) => (String::new(), Err(error.to_string())),
            Ok(claims) => {
                let asker = claims.data.subject.clone();
                let is_own = claims.data.issuer == asker;
                let accounts = if directory.deletes() == Deletes::Off {
                    Err("delete must be enabled in server config".to_owned())
                } else if !is_own {
                    Err("not self signed".to_owned())
                } else if !self.keys.contains(&claims.data.issuer) {
                    Err("not trusted".to_owned())
                } else {
                    self.accounts_to_delete(claims.nats.get("accounts"))
                };
                (asker, accounts)
            }
        };
        let accounts = match accounts {
            Ok(accounts) => accounts,
            Err(reason) => {
                let message = format!("delete accounts request by {asker} failed");
                return failed("", &message, &reason);
            }
        };
        let mut deleted = Vec::new();
        let mut errors = Vec::new();
        for account in accounts {
            match directory.delete(&account) {
                Ok(()) => deleted.push(account),
                Err(error) => errors.push(error.to_string()),
            }
        }
        let mut outcome = if errors.is_empty() {
            done("", &format!("deleted {} accounts", deleted.len()))
        } else {
            let message = format!("deleted {} accounts, failed for {}", deleted.len(), errors.len());
            failed("", &message, &errors.join("\n"))
        };
        outcome.deleted = deleted;
        outcome
    }

    fn accounts_to_delete(&self, list: Option<&Value>) -> Result<Vec<String>, String> {
        let malformed = || "malformed request".to_owned();
        let list = list.and_then(Value::as_array).ok_or_else(malformed)?;
        list.iter()
            .map(|entry| {
                let account = entry.as_str().filter(|account| nkey::is_account(account));
                let account = account.ok_or_else(malformed)?;
                if self.system_account.as_deref() == Some(account) {
                    return Err("not allowed to delete system account".to_owned());
                }
                Ok(account.to_owned())
            })
            .collect()
    }
}

/// What a full directory and a cache say.
struct Texts {
    done: &'static str,
    error: &'static str,
    invalid: &'static str,
}

impl Texts {
    fn of(is_cache: bool) -> Self {
        if is_cache {
            Self {
                done: "jwt updated cache",
                error: "jwt update cache resulted in error",
                invalid: "jwt update cache validation failed",
            }
        } else {
            Self {
                done: "jwt updated",
                error: "jwt update resulted in error",
                invalid: "jwt validation failed",
            }
        }
    }
}

fn done(account: &str, message: &str) -> Outcome {
    Outcome::plain(Answer::Done(UpdateStatus {
        account: account.to_owned(),
        code: 200,
        message: message.to_owned(),
    }))
}

fn failed(account: &str, message: &str, reason: &str) -> Outcome {
    Outcome::plain(Answer::Failed(UpdateError {
        account: account.to_owned(),
        code: 500,
        description: format!("{message} - {reason}"),
    }))
}

fn pack(their_digest: &[u8], directory: &Directory, now: WallTime) -> Answer {
    let mut messages = Vec::new();
    if their_digest != directory.digest() {
        messages.extend(
            directory
                .tokens(now)
                .map(|(account, token)| format!("{account}|{token}").into_bytes()),
        );
    }
    messages.push(Vec::new());
    Answer::Plain(messages)
}

fn lookup(account: &str, directory: &mut Directory, now: WallTime) -> Answer {
    match directory.load(account, now) {
        Ok(token) => Answer::Plain(vec![token.into_bytes()]),
        Err(StoreError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            Answer::Plain(vec![Vec::new()])
        }
        Err(_) => Answer::None,
    }
}
