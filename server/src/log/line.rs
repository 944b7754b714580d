//! One line of the log: what happened and how it looks on paper.
//!
//! Owns: the Go server's text shape, the JSON shape, time stamps. Not here: where lines go (`sink`).
//! Units: `time_us` is microseconds since 1970 in UTC.
//!
//! Text    [pid] 2026/11/21 13:44:01.123456 [INF] text key=value
//! JSON    {"time":"2026-11-21T13:44:01.123456Z","level":"INF","pid":1,"text":"...","key":"value"}
//!
//! Invariant: a line is one line. Control characters in foreign text are escaped, so that nobody who can
//! put a name into a message can forge a line or colour a terminal.

use jiff::tz::TimeZone;
use jiff::Timestamp;

/// How bad, or how chatty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The server is about to end because of it.
    Fatal,
    /// Somebody must look.
    Error,
    /// Somebody should look some day.
    Warn,
    /// What an operator wants to see.
    Info,
    /// For finding faults; on with `-D`.
    Debug,
    /// The protocol; on with `-V`.
    Trace,
}

impl Level {
    /// The three letters.
    pub fn label(self) -> &'static str {
        match self {
            Level::Fatal => "FTL",
            Level::Error => "ERR",
            Level::Warn => "WRN",
            Level::Info => "INF",
            Level::Debug => "DBG",
            Level::Trace => "TRC",
        }
    }

    /// The terminal's code for it.
    fn color(self) -> &'static str {
        match self {
            Level::Fatal | Level::Error => "31",
            Level::Warn => "0;93",
            Level::Info => "32",
            Level::Debug => "36",
            Level::Trace => "33",
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// How bad.
    pub level: Level,
    /// When it happened, which is before it is written.
    pub time_us: i64,
    /// What.
    pub text: String,
    /// Details by name.
    pub fields: Vec<(&'static str, String)>,
}

impl Line {
    /// Bytes it holds in the queue.
    pub(super) fn size(&self) -> usize {
        size_of::<Line>()
            + self.text.len()
            + self
                .fields
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>()
    }

    /// The text with the details behind it, on one line.
    pub(super) fn flat_text(&self) -> String {
        let mut out = String::with_capacity(self.text.len());
        push_escaped(&mut out, &self.text);
        for (name, value) in &self.fields {
            out.push(' ');
            out.push_str(name);
            out.push('=');
            push_escaped(&mut out, value);
        }
        out
    }
}

fn push_escaped(out: &mut String, text: &str) {
    // Traced payloads are long and nearly always plain: whole pieces, not letters, are copied.
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_control() && c != '\t') {
        let (plain, behind) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = behind.chars();
        out.extend(chars.next().expect("found above").escape_default());
        rest = chars.as_str();
    }
    out.push_str(rest);
}

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The Go server's lines.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How lines look. Writes the same second only once.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) format: Format,
    pub(super) pid: u32,
    pub(super) time: bool,
    pub(super) utc: bool,
    pub(super) color: bool,
    pub(super) zone: TimeZone,
    /// The last second that was written out and its text; looking up the zone is the dear part.
    pub(super) last_second: Option<(i64, String)>,
}

impl Shape {
    /// Appends `line` and its end.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, line: &Line) {
        match self.format {
            Format::Text => self.write_text(out, line),
            Format::Json => self.write_json(out, line),
        }
        out.push(b'\n');
    }

    fn write_text(&mut self, out: &mut Vec<u8>, line: &Line) {
        out.extend_from_slice(format!("[{}] ", self.pid).as_bytes());
        if self.time {
            let second = line.time_us.div_euclid(1_000_000);
            if self
                .last_second
                .as_ref()
                .is_none_or(|(known, _)| *known != second)
            {
                self.last_second = Some((second, self.second_text(second)));
            }
            let (_, text) = self.last_second.as_ref().expect("set above");
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(format!(".{:06} ", line.time_us.rem_euclid(1_000_000)).as_bytes());
        }
        let (label, color) = (line.level.label(), line.level.color());
        if self.color {
            out.extend_from_slice(format!("[\x1b[{color}m{label}\x1b[0m] ").as_bytes());
        } else {
            out.extend_from_slice(format!("[{label}] ").as_bytes());
        }
        out.extend_from_slice(line.flat_text().as_bytes());
    }

    fn second_text(&self, second: i64) -> String {
        let zone = if self.utc {
            TimeZone::UTC
        } else {
            self.zone.clone()
        };
        let when = Timestamp::from_second(second).unwrap_or_default().to_zoned(zone);
        when.strftime("%Y/%m/%d %H:%M:%S").to_string()
    }

    fn write_json(&self, out: &mut Vec<u8>, line: &Line) {
        let mut object = serde_json::Map::new();
        // Our own names first; a detail of the same name goes under another one.
        if self.time {
            let when = Timestamp::from_microsecond(line.time_us).unwrap_or_default();
            object.insert("time".to_owned(), format!("{when:.6}").into());
        }
        object.insert("level".to_owned(), line.level.label().into());
        object.insert("pid".to_owned(), self.pid.into());
        object.insert("text".to_owned(), line.text.clone().into());
        for (name, value) in &line.fields {
            let name = if object.contains_key(*name) {
                format!("field_{name}")
            } else {
                (*name).to_owned()
            };
            object.insert(name, value.clone().into());
        }
        out.extend_from_slice(serde_json::Value::Object(object).to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape {
            format: Format::Text,
            pid: 42,
            time: true,
            utc: true,
            color: false,
            zone: TimeZone::fixed(jiff::tz::offset(2)),
            last_second: None,
        }
    }

    fn line() -> Line {
        Line {
            level: Level::Info,
            time_us: 1_795_268_641_001_234,
            text: "Server is ready".to_owned(),
            fields: Vec::new(),
        }
    }

    fn written(shape: &mut Shape, line: &Line) -> String {
        let mut out = Vec::new();
        shape.write(&mut out, line);
        String::from_utf8(out).unwrap()
    }

    /// The Go server's shape, which log readers take apart.
    #[test]
    fn text_shape() {
        assert_eq!(
            written(&mut shape(), &line()),
            "[42] 2026/11/21 13:44:01.001234 [INF] Server is ready\n"
        );
        assert_eq!(
            written(
                &mut Shape {
                    utc: false,
                    ..shape()
                },
                &line()
            ),
            "[42] 2026/11/21 15:44:01.001234 [INF] Server is ready\n"
        );
        assert_eq!(
            written(
                &mut Shape {
                    time: false,
                    color: true,
                    ..shape()
                },
                &line()
            ),
            "[42] [\x1b[32mINF\x1b[0m] Server is ready\n"
        );
    }

    /// The second that is kept is not kept too long.
    #[test]
    fn seconds_move_on() {
        let mut shape = shape();
        let mut later = line();
        later.time_us += 999_000;
        written(&mut shape, &line());
        assert_eq!(
            written(&mut shape, &later),
            "[42] 2026/11/21 13:44:02.000234 [INF] Server is ready\n"
        );
        assert_eq!(
            written(&mut shape, &line()),
            "[42] 2026/11/21 13:44:01.001234 [INF] Server is ready\n"
        );
    }

    /// A client's name cannot forge a line or reach the terminal.
    #[test]
    fn control_characters_are_escaped() {
        let mut line = line();
        line.text = "name a\r\n[1] [FTL] forged \x1b[31m\u{9b}".to_owned();
        line.fields = vec![("reason", "b\nc".to_owned())];
        assert_eq!(
            written(
                &mut Shape {
                    time: false,
                    ..shape()
                },
                &line
            ),
            "[42] [INF] name a\\r\\n[1] [FTL] forged \\u{1b}[31m\\u{9b} reason=b\\nc\n"
        );
    }

    /// JSON lines are JSON whatever the text holds, and details do not hide our own keys.
    #[test]
    fn json_shape() {
        let mut line = line();
        line.text = "a \"b\"\n".to_owned();
        line.fields = vec![("client", "7".to_owned()), ("level", "9".to_owned())];
        let text = written(
            &mut Shape {
                format: Format::Json,
                utc: false,
                ..shape()
            },
            &line,
        );
        assert_eq!(text.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "time": "2026-11-21T13:44:01.001234Z", "level": "INF", "pid": 42,
                "text": "a \"b\"\n", "client": "7", "field_level": "9",
            })
        );
    }
}
