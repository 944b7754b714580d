//! Account tokens from an HTTP server: `GET <url>/<account>` answers with the token.
//!
//! Owns: the request and its bounds. Not here: on which thread it runs; TLS.

use std::fmt;
use std::time::Duration;

use ureq::Agent;

use super::FetchError;
use crate::auth::jwt::TOKEN_SIZE_MAX;

/// How long a request may take in all; beyond, the account cannot be had now.
const FETCH_TIMEOUT: Duration = Duration::from_millis(1900);

/// Where to ask. What the address holds of a login is in no text.
#[derive(Clone)]
pub struct UrlSource {
    /// Ends in a slash.
    base: String,
    agent: Agent,
}

impl UrlSource {
    /// Of the address in the configuration.
    ///
    /// # Errors
    /// It is no address this server can ask, with the reason.
    pub fn new(address: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = address.split_once("://") else {
            return Err("an URL such as http://127.0.0.1:9090/jwt/v1/accounts/ is needed".to_owned());
        };
        if scheme.eq_ignore_ascii_case("https") {
            return Err("https is not built yet: give an http URL".to_owned());
        }
        if !scheme.eq_ignore_ascii_case("http") || rest.is_empty() || rest.starts_with('/') {
            return Err("an http URL with a host is needed".to_owned());
        }
        let config = Agent::config_builder()
            .timeout_global(Some(FETCH_TIMEOUT))
            .proxy(None)
            .build();
        Ok(Self {
            base: format!("{}/", address.trim_end_matches('/')),
            agent: config.into(),
        })
    }

    /// The token of an account. Blocks for [`FETCH_TIMEOUT`] at most.
    pub(super) fn fetch(&self, account: &str) -> Result<String, FetchError> {
        let failed = |why: String| {
            FetchError::Failed(format!("could not fetch <\"{}{account}\">: {why}", self.shown()))
        };
        let limit = u64::try_from(TOKEN_SIZE_MAX).expect("a small number");
        let mut answer = match self.agent.get(format!("{}{account}", self.base)).call() {
            Ok(answer) => answer,
            Err(ureq::Error::StatusCode(404)) => return Err(FetchError::Missing),
            Err(ureq::Error::StatusCode(code)) => return Err(failed(format!("status {code}"))),
            Err(error) => return Err(failed(error.to_string())),
        };
        if answer.status() != 200 {
            return Err(failed(format!("status {}", answer.status().as_u16())));
        }
        let body = answer.body_mut().with_config().limit(limit).read_to_string();
        body.map_err(|error| failed(error.to_string()))
    }

    /// The address without its login.
    fn shown(&self) -> String {
        let Some((scheme, rest)) = self.base.split_once("://") else {
            return String::new();
        };
        let host_end = rest.find('/').unwrap_or(rest.len());
        match rest[..host_end].rfind('@') {
            Some(at) => format!("{scheme}://xxxxx{}", &rest[at..]),
            None => self.base.clone(),
        }
    }
}

impl fmt::Debug for UrlSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UrlSource").field(&self.shown()).finish()
    }
}
