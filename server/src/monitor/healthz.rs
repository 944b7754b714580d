//! `/healthz`: whether this server takes clients.
//!
//! JetStream is not built yet, so its checks find it switched off in the configuration, which is healthy.

use pinion_shard::proto::quote::quote;
use serde::Serialize;

use super::answer::{compact, Answer, Content};
use super::request::Query;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<HealthError>,
}

#[derive(Serialize)]
struct HealthError {
    #[serde(rename = "type")]
    kind: &'static str,
    error: String,
}

/// A check that failed: HTTP status, kind, text.
type Failure = (u16, &'static str, String);

/// The page. `is_serving`: clients are accepted now.
pub(super) fn healthz(query: &Query, is_serving: bool) -> Answer {
    check(query, is_serving).unwrap_or_else(|answer| answer)
}

fn check(query: &Query, is_serving: bool) -> Result<Answer, Answer> {
    if query.boolean("js-enabled")? {
        tracing::warn!("Healthcheck: js-enabled deprecated, use js-enabled-only instead");
    }
    for parameter in ["js-enabled-only", "js-server-only", "js-meta-only"] {
        query.boolean(parameter)?;
    }
    let details = query.boolean("details")?;
    let failure = failure(query, is_serving);
    let status = failure.as_ref().map_or(200, |(status, _, _)| *status);
    let mut health = Health {
        status: "ok",
        error: None,
        errors: Vec::new(),
    };
    if let Some((_, kind, error)) = failure {
        health.status = "error";
        if details {
            tracing::warn!("Healthcheck failed: 1 errors");
            health.errors.push(HealthError { kind, error });
        } else {
            let mut quoted = Vec::new();
            quote(&mut quoted, error.as_bytes());
            tracing::warn!("Healthcheck failed: {}", String::from_utf8_lossy(&quoted));
            health.error = Some(error);
        }
    }
    Ok(Answer::new(status, Content::Json, compact(&health)))
}

fn failure(query: &Query, is_serving: bool) -> Option<Failure> {
    let is_absent = |name| query.text(name).is_empty();
    let missing = |what: &str, check: &str| {
        let text = format!("\"{what}\" must not be empty when checking {check} health");
        Some((400, "BAD_REQUEST", text))
    };
    if is_absent("account") && !is_absent("stream") {
        return missing("account", "stream");
    }
    if is_absent("stream") && !is_absent("consumer") {
        return missing("stream", "consumer");
    }
    if !is_serving {
        let text = "failed to be ready for connections after 1ms: server".to_owned();
        return Some((500, "CONNECTION", text));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status code and body of each form.
    #[test]
    fn forms() {
        let not_ready = "failed to be ready for connections after 1ms: server";
        for (query, is_serving, status, body) in [
            ("", true, 200, r#"{"status":"ok"}"#.to_owned()),
            ("details=1", true, 200, r#"{"status":"ok"}"#.to_owned()),
            ("js-enabled-only=true&js-server-only=1&js-meta-only=1", true, 200, r#"{"status":"ok"}"#.to_owned()),
            ("account=A", true, 200, r#"{"status":"ok"}"#.to_owned()),
            ("", false, 500, format!(r#"{{"status":"error","error":"{not_ready}"}}"#)),
            ("details=t", false, 500, format!(r#"{{"status":"error","errors":[{{"type":"CONNECTION","error":"{not_ready}"}}]}}"#)),
            ("stream=S", true, 400, r#"{"status":"error","error":"\"account\" must not be empty when checking stream health"}"#.to_owned()),
            ("account=A&consumer=C", true, 400, r#"{"status":"error","error":"\"stream\" must not be empty when checking consumer health"}"#.to_owned()),
            ("stream=S&details=true", false, 400, r#"{"status":"error","errors":[{"type":"BAD_REQUEST","error":"\"account\" must not be empty when checking stream health"}]}"#.to_owned()),
            ("details=x", true, 400, r#"Error decoding boolean for 'details': strconv.ParseBool: parsing "x": invalid syntax"#.to_owned()),
        ] {
            let answer = healthz(&Query::parse(query), is_serving);
            assert_eq!((answer.status, String::from_utf8(answer.body).unwrap()), (status, body), "{query}");
        }
    }
}
