//! Does a received frame match the expected text? Knows no sockets.
//!
//! A pattern is the frame's text. `${NAME}` matches a run without space or quote: the first time it captures,
//! after that it must be equal. `INFO {...}` is compared as JSON, key by key; with `"...": "..."` the server
//! may say more keys, and a value `"${NAME}"` captures a value of any type.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Values captured so far in one run of a transcript.
pub type Captures = BTreeMap<String, String>;

/// The key that allows others beside those named.
const OTHERS: &str = "...";

/// Compares; on a match, new captures are kept.
pub fn matches(pattern: &str, text: &str, captures: &mut Captures) -> bool {
    let mut found = captures.clone();
    let matched = match (pattern.strip_prefix("INFO "), text.strip_prefix("INFO ")) {
        (Some(pattern), Some(text)) => info_matches(pattern, text, &mut found),
        _ => text_matches(pattern.trim_end(), text.trim_end(), &mut found),
    };
    if matched {
        *captures = found;
    }
    matched
}

/// The text to write into the transcript for a frame that came where `pattern` was expected: captures and
/// the choice of INFO keys are kept, the rest is what came.
pub fn rewrite(pattern: &str, text: &str, captures: &mut Captures) -> String {
    if matches(pattern, text, captures) {
        return pattern.to_owned();
    }
    let (Some(pattern), Some(came)) = (pattern.strip_prefix("INFO "), text.strip_prefix("INFO ")) else {
        return text.trim_end().to_owned();
    };
    let (Some(Value::Object(wanted)), Some(Value::Object(came))) = (json(pattern), json(came)) else {
        return text.to_owned();
    };
    let mut rewritten = Map::new();
    for (key, value) in &wanted {
        if key == OTHERS || capture_name(value).is_some() && came.contains_key(key) {
            rewritten.insert(key.clone(), value.clone());
        } else if let Some(value) = came.get(key) {
            rewritten.insert(key.clone(), value.clone());
        }
    }
    if !wanted.contains_key(OTHERS) {
        for (key, value) in came {
            rewritten.entry(key).or_insert(value);
        }
    }
    format!("INFO {}", Value::Object(rewritten))
}

fn json(text: &str) -> Option<Value> {
    // A log-like escape of the wire cannot occur in JSON text that the servers write: it is plain ASCII.
    serde_json::from_str(text.trim()).ok()
}

fn info_matches(pattern: &str, text: &str, captures: &mut Captures) -> bool {
    let (Some(Value::Object(wanted)), Some(Value::Object(came))) = (json(pattern), json(text)) else {
        return false;
    };
    let named = wanted
        .iter()
        .filter(|(key, _)| *key != OTHERS)
        .all(|(key, value)| match came.get(key) {
            None => *value == Value::String("absent".into()),
            Some(came) => value_matches(value, came, captures),
        });
    named && (wanted.contains_key(OTHERS) || came.keys().all(|key| wanted.contains_key(key)))
}

fn value_matches(wanted: &Value, came: &Value, captures: &mut Captures) -> bool {
    match (wanted, came) {
        (Value::Array(wanted), Value::Array(came)) => {
            wanted.len() == came.len()
                && wanted
                    .iter()
                    .zip(came)
                    .all(|(w, c)| value_matches(w, c, captures))
        }
        (Value::String(wanted), Value::String(came)) => text_matches(wanted, came, captures),
        _ => match capture_name(wanted) {
            Some(name) => capture(name, &came.to_string(), captures),
            None => wanted == came,
        },
    }
}

fn capture_name(value: &Value) -> Option<&str> {
    value.as_str()?.strip_prefix("${")?.strip_suffix('}')
}

fn capture(name: &str, text: &str, captures: &mut Captures) -> bool {
    captures.entry(name.to_owned()).or_insert_with(|| text.to_owned()) == text
}

fn text_matches(pattern: &str, text: &str, captures: &mut Captures) -> bool {
    let Some((before, rest)) = pattern.split_once("${") else {
        return pattern == text;
    };
    let Some((name, rest)) = rest.split_once('}') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(before) else {
        return false;
    };
    let stop = rest.chars().next();
    let ends = |c: char| c.is_whitespace() || c == '\'' || c == '"' || Some(c) == stop;
    let size = text.find(ends).unwrap_or(text.len());
    size > 0 && capture(name, &text[..size], captures) && text_matches(rest, &text[size..], captures)
}

#[cfg(test)]
mod tests {
    use super::{matches, rewrite, Captures};

    fn check(pattern: &str, text: &str) -> bool {
        matches(pattern, text, &mut Captures::new())
    }

    #[test]
    fn plain_text_is_compared_whole() {
        assert!(check("MSG a 1 2 | hi", "MSG a 1 2 | hi"));
        assert!(check("MSG a 1 0 |", "MSG a 1 0 | "));
        assert!(!check("MSG a 1 2 | hi", "MSG a 1 2 | ho"));
        assert!(!check("+OK", "-ERR 'x'"));
    }

    #[test]
    fn captures_bind_once() {
        let mut captures = Captures::new();
        assert!(matches("MSG a 1 ${INBOX} 0 |", "MSG a 1 r.1 0 | ", &mut captures));
        assert!(matches("MSG ${INBOX} 2 0 |", "MSG r.1 2 0 | ", &mut captures));
        assert!(!matches("MSG ${INBOX} 2 0 |", "MSG r.2 2 0 | ", &mut captures));
        assert!(check("x:${P}", "x:4222"));
        assert!(!check("x:${P}", "y:4222"));
    }

    #[test]
    fn info_is_compared_by_key() {
        let info = r#"INFO {"server_id":"NAB","port":4222,"headers":true} "#;
        assert!(check(r#"INFO {"headers":true,"...":"..."}"#, info));
        assert!(check(
            r#"INFO {"port":"${P}","server_id":"${I}","headers":true}"#,
            info
        ));
        assert!(
            !check(r#"INFO {"headers":true}"#, info),
            "unnamed keys need the ellipsis"
        );
        assert!(!check(r#"INFO {"headers":false,"...":"..."}"#, info));
        assert!(check(r#"INFO {"ldm":"absent","...":"..."}"#, info));
        assert!(!check(r#"INFO {"port":"absent","...":"..."}"#, info));
    }

    #[test]
    fn rewrite_keeps_captures_and_takes_values() {
        let info = r#"INFO {"server_id":"NAB","max_payload":9,"headers":true}"#;
        let pattern = r#"INFO {"server_id":"${ID}","max_payload":1,"...":"..."}"#;
        assert_eq!(
            rewrite(pattern, info, &mut Captures::new()),
            r#"INFO {"server_id":"${ID}","max_payload":9,"...":"..."}"#
        );
        assert_eq!(rewrite("+OK", "PONG", &mut Captures::new()), "PONG");
    }
}
