//! Takes the values of a file over into `RawOptions`, key by key, as the one table of keys says.
//!
//! Owns: types and ranges of single values, and the words for what is wrong with one.
//! Not here: what the text is (`parser`), which keys there are (`table`), what needs several settings (`raw`).
//! Keys are taken in the order in which they stand in the file; where two set the same thing, the later one wins.

use std::collections::BTreeMap;
use std::time::Duration;

use super::access;
use super::block::{Field, Reader};
use super::diagnostic::Diagnostic;
use super::operator_mode;
use super::options::{Pin, WriteTimeout};
use super::raw::{RawOptions, SHARDS_MAX};
use super::table::{Key, Table};
use super::tls;
use super::value::{Map, Node, Value};
use super::websocket;
use crate::log::Format;
use pinion_shard::proto::duration::{format_duration_ns, parse_duration_ns};

/// Shortest `lame_duck_duration`.
pub const LAME_DUCK_DURATION_MIN: Duration = Duration::from_secs(30);

/// What became of a file's values.
#[derive(Debug, Default)]
pub struct Applied {
    /// The settings of all keys that were in order.
    pub raw: RawOptions,
    /// Everything that is to be said, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// Takes over a key whose value has a file of its own here.
type BlockStore = fn(&mut Reader<'_>, &Key, &str, &Node, &mut RawOptions);

/// Takes over every key of a file.
pub fn apply(map: &Map, table: &Table) -> Applied {
    let mut applied = Applied::default();
    let mut reader = Reader {
        table,
        diagnostics: &mut applied.diagnostics,
    };
    for Field { key, written, node } in reader.fields("", map) {
        let store = match key.path {
            path if access::owns(path) => Some(access::store as BlockStore),
            path if operator_mode::owns(path) => Some(operator_mode::store as BlockStore),
            _ => None,
        };
        if let Some(store) = store {
            store(&mut reader, &key, written, node, &mut applied.raw);
            applied.raw.origins.insert(key.path, node.at.clone());
            continue;
        }
        if key.path == "tls" {
            applied.raw.tls = tls::read(&mut reader, key.path, written, node);
            applied.raw.origins.insert(key.path, node.at.clone());
            continue;
        }
        if key.path == "websocket" {
            applied.raw.websocket = websocket::read(&mut reader, written, node);
            applied.raw.origins.insert(key.path, node.at.clone());
            continue;
        }
        let mut setting = Setting {
            written,
            node,
            diagnostics: &mut *reader.diagnostics,
        };
        match setting.store(&key, &mut applied.raw) {
            Ok(()) => drop(applied.raw.origins.insert(key.path, node.at.clone())),
            Err(text) => reader.error(&node.at, text),
        }
    }
    access::check(&mut reader, &applied.raw);
    applied
}

/// One key of a file with its value.
struct Setting<'a> {
    written: &'a str,
    node: &'a Node,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Setting<'_> {
    /// Puts the value where it belongs. The error says what is wrong with it.
    fn store(&mut self, key: &Key, raw: &mut RawOptions) -> Result<(), String> {
        match key.path {
            "listen" => {
                let (host, port) = self.listen()?;
                (raw.host, raw.port) = (Some(host), Some(port));
            }
            "host" => raw.host = Some(self.text()?),
            "port" => raw.port = Some(self.integer()?),
            "client_advertise" => raw.client_advertise = Some(self.text()?),
            "proxy_protocol" => raw.proxy_protocol = Some(self.boolean()?),
            "server_name" => raw.server_name = Some(self.server_name()?),
            "server_tags" => raw.server_tags = Some(self.tags()?),
            "server_metadata" => raw.server_metadata = Some(self.metadata()?),
            "shards" => raw.shards = Some(self.shards()?),
            "pin" => raw.pin = Some(self.pin()?),
            path if path.starts_with("http") => self.store_monitor(path, raw)?,
            path if path.starts_with("max_") => self.store_limit(path, raw)?,
            path if path.starts_with("log") || path.starts_with("trace") => self.store_log(path, raw)?,
            path => self.store_rest(path, raw)?,
        }
        Ok(())
    }

    fn store_monitor(&mut self, path: &str, raw: &mut RawOptions) -> Result<(), String> {
        match path {
            "http" => {
                let (host, port) = self.listen()?;
                (raw.http_host, raw.http_port) = (Some(host), Some(port));
            }
            "http_port" => raw.http_port = Some(self.integer()?),
            "http_base_path" => raw.http_base_path = Some(self.text()?),
            _ => unreachable!("{path} is effective but nothing stores it"),
        }
        Ok(())
    }

    fn store_limit(&mut self, path: &str, raw: &mut RawOptions) -> Result<(), String> {
        let value = self.integer()?;
        match path {
            "max_control_line" => raw.max_control_line = Some(self.at_most(value, i64::from(i32::MAX))?),
            "max_payload" => raw.max_payload = Some(self.at_most(value, i64::from(i32::MAX))?),
            "max_pending" => raw.max_pending = Some(value),
            // Further in, 0 asks for the default; here it is meant.
            "max_connections" => raw.max_connections = Some(if value == 0 { -1 } else { value }),
            "max_subscriptions" => raw.max_subscriptions = Some(value),
            "max_sub_tokens" => raw.max_sub_tokens = Some(self.sub_tokens(value)?),
            "max_traced_msg_len" => raw.max_traced_msg_len = Some(value),
            "max_closed_clients" => raw.max_closed_clients = Some(value),
            _ => unreachable!("{path} is effective but nothing stores it"),
        }
        Ok(())
    }

    fn store_log(&mut self, path: &str, raw: &mut RawOptions) -> Result<(), String> {
        match path {
            "logtime" => raw.logtime = Some(self.boolean()?),
            "log_format" => raw.log_format = Some(self.log_format()?),
            "logtime_utc" => raw.logtime_utc = Some(self.boolean()?),
            "log_file" => raw.log_file = Some(self.text()?.into()),
            "log_size_limit" => raw.log_size_limit = Some(self.integer()?),
            "log_max_num" => raw.log_max_num = Some(self.integer()?),
            "trace" => {
                raw.trace = Some(
                    self.boolean()? || raw.trace_verbose == Some(true) || raw.trace_headers == Some(true),
                )
            }
            "trace_verbose" => {
                let on = self.boolean()?;
                raw.trace_verbose = Some(on);
                raw.trace = Some(on || raw.trace == Some(true));
            }
            "trace_headers" => {
                let on = self.boolean()?;
                raw.trace_headers = Some(on);
                raw.trace = Some(on || raw.trace == Some(true));
            }
            _ => unreachable!("{path} is effective but nothing stores it"),
        }
        Ok(())
    }

    fn store_rest(&mut self, path: &str, raw: &mut RawOptions) -> Result<(), String> {
        match path {
            "debug" => raw.debug = Some(self.boolean()?),
            "syslog" => raw.syslog = Some(self.boolean()?),
            "remote_syslog" => raw.remote_syslog = Some(self.text()?),
            "pid_file" => raw.pid_file = Some(self.text()?.into()),
            "ports_file_dir" => raw.ports_file_dir = Some(self.text()?.into()),
            "ping_interval" => raw.ping_interval = Some(self.duration_or_seconds("ping_interval")?),
            "ping_max" => raw.ping_max = Some(self.integer()?),
            "write_deadline" => raw.write_deadline = Some(self.duration_or_seconds("write_deadline")?),
            "write_timeout" => raw.write_timeout = Some(self.write_timeout()?),
            "no_fast_producer_stall" => raw.no_fast_producer_stall = Some(self.boolean()?),
            "allow_non_tls" => raw.allow_non_tls = Some(self.boolean()?),
            "no_header_support" => raw.no_header_support = Some(self.boolean()?),
            "disable_sublist_cache" => raw.disable_sublist_cache = Some(self.boolean()?),
            "lame_duck_duration" => raw.lame_duck_duration = Some(self.lame_duck_duration()?),
            "lame_duck_grace_period" => raw.lame_duck_grace_period = Some(self.lame_duck_grace_period()?),
            "connect_error_reports" => raw.connect_error_reports = Some(self.integer()?),
            "reconnect_error_reports" => raw.reconnect_error_reports = Some(self.integer()?),
            _ => unreachable!("{path} is effective but nothing stores it"),
        }
        Ok(())
    }

    fn wrong_type(&self, expected: &str) -> String {
        format!(
            "{} must be {expected}, not {}",
            self.written,
            self.node.value.kind()
        )
    }

    fn text(&self) -> Result<String, String> {
        match &self.node.value {
            Value::Text(text) => Ok(text.to_string()),
            _ => Err(self.wrong_type("a string")),
        }
    }

    fn boolean(&self) -> Result<bool, String> {
        match self.node.value {
            Value::Bool(on) => Ok(on),
            _ => Err(self.wrong_type("a boolean")),
        }
    }

    fn integer(&self) -> Result<i64, String> {
        match self.node.value {
            Value::Integer(number) => Ok(number),
            _ => Err(self.wrong_type("an integer")),
        }
    }

    fn at_most(&self, value: i64, limit: i64) -> Result<i64, String> {
        if value > limit {
            return Err(format!("{} value is too big", self.written));
        }
        Ok(value)
    }

    fn sub_tokens(&self, value: i64) -> Result<u8, String> {
        let value = self.at_most(value, i64::from(u8::MAX))?;
        u8::try_from(value)
            .ok()
            .filter(|tokens| *tokens > 0)
            .ok_or_else(|| format!("{} value can not be negative", self.written))
    }

    fn server_name(&self) -> Result<String, String> {
        let name = self.text()?;
        if name.contains(' ') {
            return Err("server name cannot contain spaces".to_owned());
        }
        Ok(name)
    }

    /// `host:port`, `[v6]:port`, `:port` or a bare port.
    fn listen(&self) -> Result<(String, i64), String> {
        let text = match &self.node.value {
            Value::Integer(port) => return Ok((String::new(), *port)),
            Value::Text(text) => text,
            other => return Err(format!("expected port or host:port, got {}", other.peer_kind())),
        };
        let (host, port) =
            split_host_port(text).ok_or_else(|| format!("could not parse address string {text:?}"))?;
        let port = port
            .parse()
            .map_err(|_| format!("could not parse port {port:?}"))?;
        Ok((host.to_owned(), port))
    }

    fn tags(&self) -> Result<Vec<String>, String> {
        let wrong = |value: &Value| format!("error parsing tags: unsupported type {}", value.peer_kind());
        match &self.node.value {
            Value::Text(tag) => Ok(vec![tag.to_string()]),
            Value::List(items) => items
                .iter()
                .map(|item| match &item.value {
                    Value::Text(tag) => Ok(tag.to_string()),
                    other => Err(format!("{} where string is expected", wrong(other))),
                })
                .collect(),
            other => Err(wrong(other)),
        }
    }

    fn metadata(&self) -> Result<BTreeMap<String, String>, String> {
        let Value::Map(map) = &self.node.value else {
            return Err(format!(
                "error parsing metadata: unsupported type {}",
                self.node.value.peer_kind()
            ));
        };
        map.iter()
            .map(|(key, node)| match &node.value {
                Value::Text(text) => Ok((key.to_owned(), text.to_string())),
                other => Err(format!(
                    "server_metadata: {key:?} must be a string, not {}",
                    other.kind()
                )),
            })
            .collect()
    }

    /// A duration, or with a warning a number of seconds.
    fn duration_or_seconds(&mut self, field: &str) -> Result<Duration, String> {
        let duration_ns = match &self.node.value {
            Value::Text(text) => {
                parse_duration_ns(text).map_err(|error| format!("error parsing {field}: {error}"))?
            }
            Value::Integer(seconds) => {
                let text =
                    format!("invalid use of field {field:?}: {field} should be converted to a duration");
                self.diagnostics
                    .push(Diagnostic::warning(Some(self.node.at.clone()), text));
                seconds
                    .checked_mul(pinion_shard::proto::duration::SECOND_NS)
                    .ok_or_else(|| format!("{field} value is too big"))?
            }
            _ => return Err(self.wrong_type("a duration, as in \"2m30s\"")),
        };
        not_negative(duration_ns).ok_or_else(|| format!("invalid {field}, needs to be positive"))
    }

    fn duration_ns(&self, field: &str) -> Result<i64, String> {
        let Value::Text(text) = &self.node.value else {
            return Err(self.wrong_type("a duration, as in \"2m30s\""));
        };
        parse_duration_ns(text).map_err(|error| format!("error parsing {field}: {error}"))
    }

    fn lame_duck_duration(&self) -> Result<Duration, String> {
        let duration_ns = self.duration_ns("lame_duck_duration")?;
        not_negative(duration_ns)
            .filter(|duration| *duration >= LAME_DUCK_DURATION_MIN)
            .ok_or_else(|| {
                let shown = format_duration_ns(duration_ns);
                format!("invalid lame_duck_duration of {shown}, minimum is 30 seconds")
            })
    }

    fn lame_duck_grace_period(&self) -> Result<Duration, String> {
        let duration_ns = self.duration_ns("lame_duck_grace_period")?;
        not_negative(duration_ns)
            .ok_or_else(|| "invalid lame_duck_grace_period, needs to be positive".to_owned())
    }

    fn log_format(&self) -> Result<Format, String> {
        match self.text()?.as_str() {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err("log_format must be 'text' or 'json'".to_owned()),
        }
    }

    fn write_timeout(&self) -> Result<WriteTimeout, String> {
        match self.text()?.as_str() {
            "default" => Ok(WriteTimeout::Default),
            "close" => Ok(WriteTimeout::Close),
            "retry" => Ok(WriteTimeout::Retry),
            _ => Err("write_timeout must be 'default', 'close' or 'retry'".to_owned()),
        }
    }

    fn shards(&self) -> Result<u16, String> {
        let count = self.integer()?;
        u16::try_from(count)
            .ok()
            .filter(|_| (1..=SHARDS_MAX).contains(&count))
            .ok_or_else(|| format!("shards must be 1 to {SHARDS_MAX}, not {count}"))
    }

    fn pin(&self) -> Result<Pin, String> {
        match &self.node.value {
            Value::Bool(true) => Ok(Pin::On),
            Value::Bool(false) => Ok(Pin::Off),
            Value::Text(text) if text.eq_ignore_ascii_case("auto") => Ok(Pin::Auto),
            Value::List(items) => {
                let mut cores: Vec<u32> = Vec::new();
                for item in items {
                    match item.value {
                        Value::Integer(number) => {
                            let core =
                                u32::try_from(number).map_err(|_| format!("pin: {number} is no core"))?;
                            if cores.contains(&core) {
                                return Err(format!("pin names core {core} twice"));
                            }
                            cores.push(core);
                        }
                        ref other => {
                            return Err(format!("pin must list cores by number, not {}", other.kind()))
                        }
                    }
                }
                if cores.is_empty() {
                    return Err("pin lists no core".to_owned());
                }
                Ok(Pin::Cores(cores))
            }
            _ => Err("pin must be auto, on, off or a list of cores".to_owned()),
        }
    }
}

fn not_negative(duration_ns: i64) -> Option<Duration> {
    u64::try_from(duration_ns).ok().map(Duration::from_nanos)
}

/// `host:port` where a host with colons stands in brackets; `None` where the text is not of that form.
pub(super) fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    (!host.contains(['[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

#[cfg(test)]
mod tests;
