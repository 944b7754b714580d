//! What goes back to the asker: status, content type, body; JSON as Go's encoder lays it out.
//!
//! Owns: layout of JSON (two spaces, `<`, `>` and `&` escaped), lists that are built row by row. Not here: HTTP.

use serde::Serialize;

/// How a body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// JSON, open to pages of any origin.
    Json,
    /// A plain text.
    Text,
    /// A page.
    Html,
    /// Metrics of Prometheus, text format 0.0.4.
    Metrics,
}

/// An answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content: Content,
    pub(super) body: Vec<u8>,
    /// Where else to look, for a redirect.
    pub(super) location: Option<String>,
}

impl Answer {
    pub(super) fn new(status: u16, content: Content, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content,
            body: body.into(),
            location: None,
        }
    }

    /// JSON that was laid out already.
    pub(super) fn json(body: Vec<u8>) -> Self {
        Self::new(200, Content::Json, body)
    }

    /// The asker's fault, in one line of text.
    pub(super) fn bad_request(why: impl Into<String>) -> Self {
        Self::new(400, Content::Text, why.into())
    }

    /// No such page.
    pub(super) fn not_found() -> Self {
        Self::new(404, Content::Text, "404 page not found\n")
    }

    /// The same page under its proper path.
    pub(super) fn redirect(path: &str, query: Option<&str>) -> Self {
        let location = match query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let shown = location
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&#34;");
        let body = format!("<a href=\"{shown}\">Temporary Redirect</a>.\n\n");
        Self {
            location: Some(location),
            ..Self::new(307, Content::Html, body)
        }
    }

    #[cfg(test)]
    pub(super) fn into_body(self) -> Vec<u8> {
        self.body
    }
}

/// A document laid out over lines.
pub(super) fn pretty(document: &impl Serialize) -> Vec<u8> {
    let mut json = serde_json::to_vec_pretty(document).expect("our documents have text keys only");
    escape_html(&mut json);
    json
}

/// A document on one line.
pub(super) fn compact(document: &impl Serialize) -> Vec<u8> {
    let mut json = serde_json::to_vec(document).expect("our documents have text keys only");
    escape_html(&mut json);
    json
}

/// These characters stand inside strings only, so the whole text may be treated alike.
fn escape_html(json: &mut Vec<u8>) {
    if !json.iter().any(|byte| matches!(byte, b'<' | b'>' | b'&')) {
        return;
    }
    let mut escaped = Vec::with_capacity(json.len() + 16);
    for &byte in json.iter() {
        match byte {
            b'<' => escaped.extend_from_slice(b"\\u003c"),
            b'>' => escaped.extend_from_slice(b"\\u003e"),
            b'&' => escaped.extend_from_slice(b"\\u0026"),
            other => escaped.push(other),
        }
    }
    *json = escaped;
}

/// A document whose last field is a long list: rows come one at a time, so that its building can pause.
pub(super) struct ListDocument {
    json: Vec<u8>,
    rows: usize,
}

impl ListDocument {
    /// Begins with the fields of `head`, of which there is at least one.
    pub(super) fn new(head: &impl Serialize, list: &str) -> Self {
        let mut json = pretty(head);
        let end = json.len() - 2;
        assert_eq!(&json[end..], b"\n}", "a head is an object with a field");
        json.truncate(end);
        json.extend_from_slice(format!(",\n  \"{list}\": [").as_bytes());
        Self { json, rows: 0 }
    }

    /// Adds one row.
    pub(super) fn push(&mut self, row: &impl Serialize) {
        self.json
            .extend_from_slice(if self.rows == 0 { b"\n    " } else { b",\n    " });
        for byte in pretty(row) {
            self.json.push(byte);
            // Line breaks inside strings are escaped: this one is layout.
            if byte == b'\n' {
                self.json.extend_from_slice(b"    ");
            }
        }
        self.rows += 1;
    }

    /// The whole text.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.json
            .extend_from_slice(if self.rows == 0 { b"]\n}" } else { b"\n  ]\n}" });
        self.json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Head {
        id: &'static str,
    }

    /// Rows added one at a time look as if the document was written at once.
    #[test]
    fn list_documents_are_laid_out_as_one() {
        for rows in [
            vec![],
            vec![serde_json::json!({"a": "x\ny", "b": [1, {"c": {}}]})],
            vec![serde_json::json!({"a": 1}), serde_json::json!({"a": "<&>"})],
        ] {
            let mut document = ListDocument::new(&Head { id: "N" }, "rows");
            for row in &rows {
                document.push(row);
            }
            let whole = pretty(&serde_json::json!({"id": "N", "rows": rows}));
            let built = String::from_utf8(document.finish()).unwrap();
            assert_eq!(built, String::from_utf8(whole).unwrap());
        }
    }

    /// What could end a script is escaped.
    #[test]
    fn json_is_safe_inside_a_page() {
        assert_eq!(pretty(&"a<b>&c"), br#""a\u003cb\u003e\u0026c""#);
        assert_eq!(compact(&"foo.>"), br#""foo.\u003e""#);
    }
}
