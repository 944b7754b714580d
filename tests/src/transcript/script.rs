//! The text of a transcript, parsed into steps. Knows no sockets.

use crate::escape::unescape;

/// What a transcript holds.
#[derive(Debug, Clone)]
pub struct Script {
    /// The file's name, for messages.
    pub name: String,
    /// The rows of the parity tables that this transcript stands for: `kind/name`.
    pub covers: Vec<String>,
    /// The peer's answers depend on packets here; it gets whole lines. `# peer in whole lines: why`.
    pub peer_whole: bool,
    /// Config lines of the server.
    pub config: String,
    /// Every line of the file, so that it can be written again.
    pub lines: Vec<Line>,
}

/// One line of the file: its text and what it means.
#[derive(Debug, Clone)]
pub struct Line {
    /// As written.
    pub text: String,
    /// What to do; None for comments, blank lines and the config block.
    pub step: Option<Step>,
    /// Lines with the same number stand in one `any order` block.
    pub group: Option<usize>,
}

/// One thing to do or to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `open a`: connect and read INFO, send nothing.
    Open(String),
    /// `raw a`: connect; INFO is for the transcript to expect.
    Raw(String),
    /// `a> LINE | payload`, `a>> bytes`: what the client sends.
    Send(String, Vec<u8>),
    /// `a< LINE | payload`: the next frame.
    Expect(String, String),
    /// `one of a,b < LINE`: exactly one of them has it next.
    ExpectOneOf(Vec<String>, String),
    /// `a closed`: the server ends the connection.
    ExpectClosed(String),
    /// `a close`: the client ends it.
    Close(String),
    /// `leave a`: no PING at the end (the client is in the middle of something).
    Leave(String),
    /// `signal NAME`: to the server.
    Signal(String),
    /// `server exits CODE`.
    ServerExits(i32),
}

impl Script {
    /// Parses the text of a file.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut script = Self {
            name: name.into(),
            covers: Vec::new(),
            peer_whole: false,
            config: String::new(),
            lines: Vec::new(),
        };
        let mut in_config = false;
        let mut group = None;
        let mut groups = 0;
        for (index, text) in text.lines().enumerate() {
            let at = |what: String| format!("{name}:{}: {what}", index + 1);
            let trimmed = text.trim();
            let mut step = None;
            if in_config {
                in_config = text != "}";
                if in_config {
                    script.config.push_str(trimmed);
                    script.config.push('\n');
                }
            } else if let Some(rows) = trimmed.strip_prefix("# covers:") {
                script.covers.extend(
                    rows.split(';')
                        .map(|row| row.trim().to_owned())
                        .filter(|row| !row.is_empty()),
                );
            } else if trimmed.starts_with("# peer in whole lines:") {
                script.peer_whole = true;
            } else if trimmed == "config {" {
                in_config = true;
            } else if trimmed == "any order {" {
                groups += 1;
                group = Some(groups);
            } else if trimmed == "}" && group.is_some() {
                group = None;
            } else if !trimmed.is_empty() && !trimmed.starts_with('#') {
                step = Some(parse_step(trimmed).map_err(at)?);
            }
            let in_group = step.is_some().then_some(group).flatten();
            if in_group.is_some() && !matches!(step, Some(Step::Expect(..))) {
                return Err(at("an `any order` block holds `a< ...` lines only".into()));
            }
            script.lines.push(Line {
                text: text.to_owned(),
                step,
                group: in_group,
            });
        }
        if in_config || group.is_some() {
            return Err(format!("{name}: a block is not closed by a line `}}`"));
        }
        if script.covers.is_empty() {
            return Err(format!("{name}: no line `# covers: kind/name; ...`"));
        }
        Ok(script)
    }
}

fn parse_step(text: &str) -> Result<Step, String> {
    if let Some(rest) = text.strip_prefix("one of ") {
        let (clients, frame) = rest.split_once('<').ok_or("want `one of a,b < FRAME`")?;
        let clients = clients
            .split(',')
            .map(|client| client.trim().to_owned())
            .collect();
        return Ok(Step::ExpectOneOf(clients, frame.trim().to_owned()));
    }
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["open", client] => return Ok(Step::Open((*client).into())),
        ["raw", client] => return Ok(Step::Raw((*client).into())),
        ["leave", client] => return Ok(Step::Leave((*client).into())),
        ["signal", name] => return Ok(Step::Signal((*name).into())),
        [client, "closed"] => return Ok(Step::ExpectClosed((*client).into())),
        [client, "close"] => return Ok(Step::Close((*client).into())),
        ["server", "exits", code] => {
            return code
                .parse()
                .map(Step::ServerExits)
                .map_err(|_| format!("{code} is no exit code"))
        }
        _ => {}
    }
    let (client, rest) = words[0].split_at(words[0].find(['<', '>']).unwrap_or(words[0].len()));
    let body = text[words[0].len()..].strip_prefix(' ').unwrap_or_default();
    if client.is_empty() || !client.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("unknown step {text:?}"));
    }
    match rest {
        "<" => Ok(Step::Expect(client.into(), body.into())),
        ">>" => Ok(Step::Send(client.into(), unescape(body)?)),
        ">" => {
            let (line, payload) = match body.split_once(" |") {
                Some((line, payload)) => (line, Some(payload.strip_prefix(' ').unwrap_or(payload))),
                None => (body, None),
            };
            let mut bytes = unescape(line)?;
            bytes.extend_from_slice(b"\r\n");
            if let Some(payload) = payload {
                bytes.extend(unescape(payload)?);
                bytes.extend_from_slice(b"\r\n");
            }
            Ok(Step::Send(client.into(), bytes))
        }
        _ => Err(format!("unknown step {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Script, Step};

    fn step(text: &str) -> Result<Step, String> {
        let script = Script::parse("t", &format!("# covers: x/y\n{text}\n"))?;
        Ok(script.lines[1].step.clone().expect("the line is a step"))
    }

    #[test]
    fn steps_are_read() {
        assert_eq!(
            step("a> PUB x 2 | hi"),
            Ok(Step::Send("a".into(), b"PUB x 2\r\nhi\r\n".to_vec()))
        );
        assert_eq!(
            step("a> PUB x 0 |"),
            Ok(Step::Send("a".into(), b"PUB x 0\r\n\r\n".to_vec()))
        );
        assert_eq!(step("a>> PI\\r"), Ok(Step::Send("a".into(), b"PI\r".to_vec())));
        assert_eq!(
            step("a< MSG x 1 0 | "),
            Ok(Step::Expect("a".into(), "MSG x 1 0 |".into()))
        );
        assert_eq!(
            step("one of a,b < +OK"),
            Ok(Step::ExpectOneOf(vec!["a".into(), "b".into()], "+OK".into()))
        );
        assert_eq!(step("a closed"), Ok(Step::ExpectClosed("a".into())));
    }

    #[test]
    fn wrong_lines_name_file_and_line() {
        assert_eq!(
            step("nonsense").expect_err("no step"),
            "t:2: unknown step \"nonsense\""
        );
        assert!(Script::parse("t", "a> PING\n").is_err(), "covers is required");
        assert!(
            Script::parse("t", "# covers: x/y\nconfig {\n").is_err(),
            "a block must end"
        );
        assert!(
            Script::parse("t", "# covers: x/y\nany order {\na> PING\n}\n").is_err(),
            "only expectations"
        );
    }
}
