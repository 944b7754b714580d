//! What a request asks for: its path, and parameters with the peer's errors.
//!
//! Bytes from outside: nothing here panics, a parameter that cannot be read is an error text for the asker.

use std::borrow::Cow;

use pinion_shard::proto::quote::quote;

use super::answer::Answer;

/// The parameters of a request; the first of a name counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands behind the `?`. Pairs that are not well-formed are passed over.
    pub(super) fn parse(text: &str) -> Self {
        let pairs = text
            .split('&')
            .filter(|pair| !pair.is_empty() && !pair.contains(';'));
        let decoded = pairs.filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((unescape(name)?, unescape(value)?))
        });
        Self(decoded.collect())
    }

    /// A text; empty when it is absent.
    pub(super) fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(found, _)| found == name);
        found.map_or("", |(_, value)| value)
    }

    /// A truth value; absent is false.
    pub(super) fn boolean(&self, name: &str) -> Result<bool, Answer> {
        match self.text(name) {
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            other => Err(bad("boolean", name, "ParseBool", other, SYNTAX)),
        }
    }

    /// A whole number; absent is 0.
    pub(super) fn integer(&self, name: &str) -> Result<i64, Answer> {
        let text = self.text(name);
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        match text {
            "" => Ok(0),
            _ if !is_digits(digits) => Err(bad("int", name, "Atoi", text, SYNTAX)),
            _ => text.parse().map_err(|_| bad("int", name, "Atoi", text, RANGE)),
        }
    }

    /// A whole number that is not negative; absent is 0.
    pub(super) fn unsigned(&self, name: &str) -> Result<u64, Answer> {
        let text = self.text(name);
        match text {
            "" => Ok(0),
            _ if !is_digits(text) => Err(bad("uint64", name, "ParseUint", text, SYNTAX)),
            _ => text
                .parse()
                .map_err(|_| bad("uint64", name, "ParseUint", text, RANGE)),
        }
    }
}

const SYNTAX: &str = "invalid syntax";
const RANGE: &str = "value out of range";

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn bad(kind: &str, name: &str, reader: &str, text: &str, why: &str) -> Answer {
    let mut quoted = Vec::new();
    quote(&mut quoted, text.as_bytes());
    let quoted = String::from_utf8_lossy(&quoted);
    Answer::bad_request(format!(
        "Error decoding {kind} for '{name}': strconv.{reader}: parsing {quoted}: {why}"
    ))
}

/// Undoes `%41` and `+`; `None`: a broken escape.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            other => other,
        });
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    Some(u8::try_from(value).expect("a hexadecimal digit is below 16"))
}

/// The path without empty, `.` and `..` parts; a trailing slash stays.
pub(super) fn clean_path(path: &str) -> Cow<'_, str> {
    let is_clean = path.starts_with('/')
        && !path.contains("//")
        && !path.split('/').any(|part| part == "." || part == "..");
    if is_clean {
        return Cow::Borrowed(path);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    let slash = if path.ends_with('/') && !parts.is_empty() {
        "/"
    } else {
        ""
    };
    Cow::Owned(format!("/{}{slash}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error<T: std::fmt::Debug>(result: Result<T, Answer>) -> String {
        String::from_utf8(result.expect_err("the parameter is wrong").into_body()).unwrap()
    }

    /// Parameters are decoded as Go decodes them.
    #[test]
    fn parameters_are_decoded() {
        for (query, name, value) in [
            ("acc=A", "acc", "A"),
            ("acc=A&acc=B", "acc", "A"),
            ("acc=%24G", "acc", "$G"),
            ("acc=a+b", "acc", "a b"),
            ("acc", "acc", ""),
            ("&&acc=x&", "acc", "x"),
            ("acc=%zz&acc=y", "acc", "y"),
            ("acc=%4", "acc", ""),
            ("acc=a;b&acc=c", "acc", "c"),
            ("x=a=b", "x", "a=b"),
        ] {
            assert_eq!(Query::parse(query).text(name), value, "{query}");
        }
    }

    /// Values of all kinds, and what is said about those that are none.
    #[test]
    fn parameters_have_the_peers_errors() {
        for (text, value) in [
            ("", false),
            ("0", false),
            ("False", false),
            ("1", true),
            ("t", true),
            ("TRUE", true),
        ] {
            assert_eq!(Query::parse(&format!("a={text}")).boolean("a").ok(), Some(value));
        }
        assert_eq!(
            error(Query::parse("auth=yes").boolean("auth")),
            "Error decoding boolean for 'auth': strconv.ParseBool: parsing \"yes\": invalid syntax"
        );
        for (text, value) in [("", 0), ("%2B5", 5), ("-5", -5), ("007", 7)] {
            assert_eq!(
                Query::parse(&format!("a={text}")).integer("a").ok(),
                Some(value),
                "{text}"
            );
        }
        for (text, shown, why) in [
            ("x", "x", "invalid syntax"),
            ("-", "-", "invalid syntax"),
            ("1_0", "1_0", "invalid syntax"),
            ("+5", " 5", "invalid syntax"),
            (
                "99999999999999999999",
                "99999999999999999999",
                "value out of range",
            ),
        ] {
            assert_eq!(
                error(Query::parse(&format!("limit={text}")).integer("limit")),
                format!("Error decoding int for 'limit': strconv.Atoi: parsing \"{shown}\": {why}")
            );
        }
        assert_eq!(
            error(Query::parse("cid=-1").unsigned("cid")),
            "Error decoding uint64 for 'cid': strconv.ParseUint: parsing \"-1\": invalid syntax"
        );
    }

    /// Paths are cleaned before they are looked up.
    #[test]
    fn paths_are_cleaned() {
        for (path, clean) in [
            ("/varz", "/varz"),
            ("/varz/", "/varz/"),
            ("//varz", "/varz"),
            ("/a/../varz", "/varz"),
            ("/../../varz", "/varz"),
            ("/./varz/.", "/varz"),
            ("//", "/"),
            ("/a//b/", "/a/b/"),
            ("*", "/*"),
        ] {
            assert_eq!(clean_path(path), clean, "{path}");
        }
    }
}
