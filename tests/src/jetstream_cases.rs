//! Requests to JetStream and their answers, as lines of text: recorded from the peer, asked of the handlers here.
//!
//! Owns: reading and writing the files of `tests/jetstream`, and making answers comparable. Not here: who answers.
//!
//! A file is a story for a server without streams:
//! ```text
//! # a comment
//! #= max_mem=1000 max_streams=3                  limits of the account, by their keys in a configuration
//! subject [Name: value][Name: value] payload     a message with a reply subject; headers and payload may be absent
//! < answer                                       one line each; a header block in brackets before the payload
//! ! 1500ms                                       time passes
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::escape::escape;

/// One line of a story that does something, and what it says behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The line as it stands in the file.
    pub text: String,
    /// What is done.
    pub step: Step,
    /// The answers, comparable.
    pub answers: Vec<String>,
}

/// What a story does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A message is published.
    Publish {
        /// Its subject.
        subject: String,
        /// Its header block, or nothing.
        headers: Vec<u8>,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// Time passes.
    Pass(Duration),
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// Where it stands.
    pub path: PathBuf,
    /// Comments at the top.
    pub opening: Vec<String>,
    /// Its lines.
    pub cases: Vec<Case>,
}

/// All stories, in order of their names.
pub fn load() -> Vec<Story> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("jetstream");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the folder is in the tree")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "there are stories");
    paths.into_iter().map(Story::read).collect()
}

impl Story {
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).expect("a story is text");
        let mut story = Self {
            path,
            opening: Vec::new(),
            cases: Vec::new(),
        };
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(answer) = line.strip_prefix("< ") {
                let case = story.cases.last_mut().expect("an answer follows a request");
                case.answers.push(answer.to_owned());
            } else if line.starts_with('#') && story.cases.is_empty() {
                story.opening.push(line.to_owned());
            } else {
                story.cases.push(Case {
                    text: line.to_owned(),
                    step: Step::read(line),
                    answers: Vec::new(),
                });
            }
        }
        story
    }

    /// The limits of the account, by their keys in a configuration.
    pub fn limits(&self) -> Vec<(&str, &str)> {
        let lines = self.opening.iter().filter_map(|line| line.strip_prefix("#= "));
        let pairs = lines.flat_map(str::split_whitespace);
        pairs
            .map(|pair| pair.split_once('=').expect("a limit has a value"))
            .collect()
    }

    /// The file's text with other answers.
    pub fn with_answers(&self, answers: &[Vec<String>]) -> String {
        let mut text = String::new();
        for line in &self.opening {
            text.push_str(line);
            text.push('\n');
        }
        for (case, answers) in self.cases.iter().zip(answers) {
            text.push_str(&case.text);
            text.push('\n');
            for answer in answers {
                text.push_str("< ");
                text.push_str(answer);
                text.push('\n');
            }
        }
        text
    }

    /// Lines that tell where the answers are others than those of the file.
    pub fn differences(&self, answers: &[Vec<String>]) -> Vec<String> {
        let mut found = Vec::new();
        for (case, answers) in self.cases.iter().zip(answers) {
            if case.answers != *answers {
                let name = self.path.file_name().unwrap_or_default().to_string_lossy();
                found.push(format!(
                    "{name}: {}\n  expected {:#?}\n  got      {answers:#?}",
                    case.text, case.answers
                ));
            }
        }
        found
    }
}

impl Step {
    fn read(line: &str) -> Self {
        if let Some(time) = line.strip_prefix("! ") {
            let millis = time.strip_suffix("ms").and_then(|millis| millis.parse().ok());
            return Self::Pass(Duration::from_millis(millis.expect("time is given in ms")));
        }
        let (subject, mut rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut headers = String::new();
        while let Some((header, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            // A payload may be a list, too.
            let Some((name, value)) = header.split_once(": ").filter(|(name, _)| !name.contains('"')) else {
                break;
            };
            headers.push_str(&format!("{name}: {value}\r\n"));
            rest = after;
        }
        let headers = if headers.is_empty() {
            Vec::new()
        } else {
            format!("NATS/1.0\r\n{headers}\r\n").into_bytes()
        };
        let payload = rest.strip_prefix(' ').unwrap_or(rest);
        Self::Publish {
            subject: subject.to_owned(),
            headers,
            payload: payload.as_bytes().to_vec(),
        }
    }
}

/// An answer as a line: what differs from run to run is a star.
pub fn comparable(headers: &[u8], payload: &[u8]) -> String {
    let mut line = String::new();
    if !headers.is_empty() {
        let text = escape(headers);
        line.push('[');
        line.push_str(&without_header_time(&text));
        line.push_str("] ");
    }
    line.push_str(&without_times(&escape(payload)));
    line.trim_end().to_owned()
}

fn without_header_time(text: &str) -> String {
    replace_after(text, "Nats-Time-Stamp: ", |rest| {
        rest.find('\\').unwrap_or(rest.len())
    })
}

fn without_times(text: &str) -> String {
    let mut text = text.to_owned();
    for key in [
        "created",
        "ts",
        "first_ts",
        "last_ts",
        "time",
        "timestamp",
        "id",
        "leader",
    ] {
        text = replace_after(&text, &format!("\"{key}\":\""), |rest| {
            // A time that is not set is no time of this run.
            if rest.starts_with("0001-") {
                0
            } else {
                rest.find('"').unwrap_or(rest.len())
            }
        });
    }
    text
}

fn replace_after(text: &str, marker: &str, length: impl Fn(&str) -> usize) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(marker) {
        let (before, after) = rest.split_at(at + marker.len());
        out.push_str(before);
        let length = length(after);
        if length > 0 {
            out.push('*');
        }
        rest = &after[length..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let step = Step::read(r#"a.b [Nats-Msg-Id: x][Nats-TTL: 5] {"a":[1]}"#);
        let expected = Step::Publish {
            subject: "a.b".to_owned(),
            headers: b"NATS/1.0\r\nNats-Msg-Id: x\r\nNats-TTL: 5\r\n\r\n".to_vec(),
            payload: br#"{"a":[1]}"#.to_vec(),
        };
        assert_eq!(step, expected);
        assert_eq!(Step::read("! 20ms"), Step::Pass(Duration::from_millis(20)));
        let list = Step::read("a [1]");
        assert!(matches!(list, Step::Publish { payload, .. } if payload == b"[1]"));
    }

    #[test]
    fn times_are_stars() {
        let line = comparable(
            b"",
            br#"{"ts":"2026-01-01T00:00:00Z","first_ts":"0001-01-01T00:00:00Z"}"#,
        );
        assert_eq!(line, r#"{"ts":"*","first_ts":"0001-01-01T00:00:00Z"}"#);
    }
}
