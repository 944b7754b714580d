//! The rules at the start of the server: of the configuration's accounts and users, or of tokens.
//!
//! Owns: choosing between the two, what must be there from the start in operator mode, what is said about it.
//! Not here: rules that change later.

use std::collections::BTreeSet;

use pinion_shard::io::WallTime;
use pinion_shard::rules::Rules;

use super::compile::{compile, has_plain_passwords};
use super::jwt::control::Control;
use super::jwt::decode_operator;
use crate::config::operator_mode::OperatorMode;
use crate::config::Options;

/// The rules to start with.
///
/// # Errors
/// What accounts cannot be, in one line.
pub fn first_rules(options: &Options, now: WallTime) -> Result<Rules, String> {
    match &options.operator_mode {
        Some(mode) => rules_of_tokens(mode, now),
        None => {
            if has_plain_passwords(&options.access) {
                tracing::warn!("Plaintext passwords detected, use nkeys or bcrypt");
            }
            compile(&options.access, None).map_err(|found| found.to_string())
        }
    }
}

fn rules_of_tokens(mode: &OperatorMode, now: WallTime) -> Result<Rules, String> {
    announce(mode);
    let mut control = Control::new(mode.trust.clone(), mode.source());
    let system_account = mode.trust.system_account.as_deref();
    if let Some(account) = system_account {
        control
            .find(account)
            .map_err(|error| format!("error resolving system account: {error}"))?;
    }
    let accounts: BTreeSet<&str> = mode.preload.keys().map(String::as_str).collect();
    for account in accounts {
        if let Err(error) = control.find(account) {
            tracing::warn!("Account [{account}] of resolver_preload is not used: {error}");
        }
    }
    let (rules, left_out) = control
        .rules(None, None, "", now)
        .map_err(|error| error.to_string())?;
    for text in left_out {
        tracing::warn!("{text}");
    }
    Ok(rules)
}

/// Which operators, as the peer says it.
fn announce(mode: &OperatorMode) {
    if mode.operator_tokens.is_empty() {
        return;
    }
    tracing::info!("Trusted Operators");
    for token in &mode.operator_tokens {
        let claims = decode_operator(token).expect("read with the configuration").data;
        tracing::info!("  System  : {:?}", claims.audience);
        tracing::info!("  Operator: {:?}", claims.name);
        tracing::info!("  Issued  : {}", shown(claims.issued_at));
        match claims.expires {
            0 => tracing::info!("  Expires : Never"),
            expires => tracing::info!("  Expires : {}", shown(expires)),
        }
    }
    if mode.trust.system_account.is_none() {
        tracing::warn!("Trusted Operators should utilize a System Account");
    }
}

/// A second as people read it.
fn shown(second: i64) -> String {
    jiff::Timestamp::from_second(second).map_or_else(|_| second.to_string(), |time| time.to_string())
}
