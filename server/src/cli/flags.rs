//! The command line as a value: what to do, and with which flags.
//!
//! Owns: reading the arguments by the rules of Go's flag package. Pure: nothing is printed or started.
//! Not here: the list of flags (`flag_table`), doing what was asked (`cli`), the options (`config`).
//!
//! Rules, as the Go server has them
//!   one dash or two; `-flag=value`, `-flag value`; a bool takes a value only behind `=`
//!   reading ends at the first word or behind `--`; the first word must be known; later ones are ignored
//!   a flag given twice has its last value; a wrong value ends the reading even if a later one would win
//!   an error found while reading shows the help text and exits with 0, any other error exits with 1
//!   version, help, help_tls, words, signal, -t: looked at in this order

use std::path::PathBuf;

use super::flag_table::{self, FlagId, FlagSpec, Kind, Status};
use super::go_syntax::{parse_bool, parse_int, quote};
use crate::config::tls::{CertificateFiles, TlsBlock};
use crate::log::Redacted;

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Start the server.
    Run(Flags),
    /// Show the help text.
    Help,
    /// Show how TLS is configured.
    HelpTls,
    /// Show the version.
    Version,
    /// Signal a running server.
    Signal {
        /// The word: stop, quit, ... Not checked yet.
        command: String,
        /// What stood behind `=`: a pid, a pid file, a prefix with `*`, or nothing.
        target: String,
    },
    /// Say whether this machine can run the server.
    Doctor(Flags),
    /// Check the configuration file and exit.
    TestConfig {
        /// The file of `-c`.
        config: String,
    },
}

/// Why a command line was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum UsageError {
    /// Found while reading: the message goes to stderr, the help text to stdout, exit code 0 (as the Go server).
    Unreadable(String),
    /// Well formed but impossible: one line to stderr, exit code 1.
    Refused(String),
}

/// Values of the flags that were given; `None` where the flag was not there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flags {
    /// `-c`
    pub config: Option<String>,
    /// Names and addresses.
    pub listen: ListenFlags,
    /// Pid file and ports file.
    pub files: FileFlags,
    /// The log.
    pub log: LogFlags,
    /// JetStream.
    pub store: StoreFlags,
    /// Who may connect.
    pub login: LoginFlags,
    /// TLS.
    pub tls: TlsFlags,
    /// Other servers.
    pub cluster: ClusterFlags,
    /// `--profile`
    pub profile_port: Option<i64>,
    /// Lines to log as warnings once the log is there: flags that are accepted and do nothing.
    pub warnings: Vec<String>,
}

/// Names and addresses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListenFlags {
    /// `-a`
    pub host: Option<String>,
    /// `-p`; the range is checked with the options.
    pub port: Option<i64>,
    /// `-n`
    pub server_name: Option<String>,
    /// `--client_advertise`
    pub client_advertise: Option<String>,
    /// `-m`
    pub http_port: Option<i64>,
    /// `-ms`
    pub https_port: Option<i64>,
}

/// Files that tell others about the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileFlags {
    /// `-P`
    pub pid_file: Option<String>,
    /// `--ports_file_dir`
    pub ports_file_dir: Option<String>,
}

/// The log. `-DV`, `-VV` and `-DVV` are folded into the three switches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogFlags {
    /// `-l`
    pub file: Option<String>,
    /// `-T`
    pub time: Option<bool>,
    /// `--logtime_utc`
    pub time_utc: Option<bool>,
    /// `-s`
    pub syslog: Option<bool>,
    /// `-r`
    pub remote_syslog: Option<String>,
    /// `-D`
    pub debug: Option<bool>,
    /// `-V`
    pub trace: Option<bool>,
    /// `-VV`
    pub trace_verbose: Option<bool>,
    /// `--log_size_limit`, bytes
    pub size_limit: Option<i64>,
    /// `--max_traced_msg_len`, bytes
    pub max_traced_msg_len: Option<i64>,
}

/// JetStream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoreFlags {
    /// `-js`
    pub jetstream: Option<bool>,
    /// `-sd`
    pub store_dir: Option<String>,
}

/// Who may connect. What is secret prints as `[REDACTED]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoginFlags {
    /// `--user`
    pub user: Option<String>,
    /// `--pass`
    pub pass: Option<Redacted<String>>,
    /// `--auth`
    pub token: Option<Redacted<String>>,
}

/// TLS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsFlags {
    /// `--tls`
    pub enabled: Option<bool>,
    /// `--tlscert`
    pub cert: Option<String>,
    /// `--tlskey`
    pub key: Option<String>,
    /// `--tlsverify`
    pub verify: Option<bool>,
    /// `--tlscacert`
    pub ca_cert: Option<String>,
}

impl TlsFlags {
    /// The block they stand for, which takes the place of the file's; `None`: none of them asks for TLS.
    pub fn block(&self) -> Option<TlsBlock> {
        if !self.ask_for_tls() {
            return None;
        }
        let path = |text: &Option<String>| PathBuf::from(text.as_deref().unwrap_or_default());
        Some(TlsBlock {
            certificates: vec![CertificateFiles {
                cert_file: path(&self.cert),
                key_file: path(&self.key),
            }],
            ca_file: self
                .ca_cert
                .as_ref()
                .filter(|file| !file.is_empty())
                .map(PathBuf::from),
            verify: self.verify.unwrap_or(false),
            ..TlsBlock::default()
        })
    }

    /// Whether what they ask for is whole.
    ///
    /// # Errors
    /// The peer's words for what is missing.
    pub fn check(&self) -> Result<(), String> {
        let is_missing = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
        if self.ask_for_tls() && is_missing(&self.cert) {
            return Err("TLS Server certificate must be present and valid".to_owned());
        }
        if self.ask_for_tls() && is_missing(&self.key) {
            return Err("TLS Server private key must be present and valid".to_owned());
        }
        Ok(())
    }

    fn ask_for_tls(&self) -> bool {
        self.enabled != Some(false) && *self != Self::default()
    }
}

/// Other servers. The urls may hold passwords.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterFlags {
    /// `--routes`
    pub routes: Option<Redacted<String>>,
    /// `--cluster`
    pub listen: Option<Redacted<String>>,
    /// `--cluster_name`
    pub name: Option<String>,
    /// `--no_advertise`
    pub no_advertise: Option<bool>,
    /// `--cluster_advertise`
    pub advertise: Option<String>,
    /// `--connect_retries`
    pub connect_retries: Option<i64>,
}

/// Reads the arguments (without the program's name).
pub fn parse(args: &[String]) -> Result<Command, UsageError> {
    let (given, words) = read(args)?;
    if last_bool(&given, FlagId::Version) {
        return Ok(Command::Version);
    }
    if last_bool(&given, FlagId::Help) {
        return Ok(Command::Help);
    }
    if last_bool(&given, FlagId::HelpTls) {
        return Ok(Command::HelpTls);
    }
    let doctor = match words.first().map(|word| (word, word.to_lowercase())) {
        None => false,
        Some((_, lower)) if lower == "version" => return Ok(Command::Version),
        Some((_, lower)) if lower == "help" => return Ok(Command::Help),
        Some((_, lower)) if lower == "doctor" => true,
        Some((word, _)) => {
            return Err(UsageError::Refused(format!(
                "unrecognized command: {}",
                quote(word)
            )));
        }
    };
    if let Some(signal) = last_text(&given, FlagId::Signal).filter(|signal| !signal.is_empty()) {
        return split_signal(signal);
    }
    let flags = Flags::from_given(&given);
    if last_bool(&given, FlagId::TestConfig) {
        // Nothing but the file is looked at, so flags that are not built yet do no harm.
        return match flags.config {
            Some(config) if !config.is_empty() => Ok(Command::TestConfig { config }),
            _ => Err(UsageError::Refused(
                "must specify [-c, --config] option to check configuration file syntax".to_owned(),
            )),
        };
    }
    if doctor {
        return Ok(Command::Doctor(flags));
    }
    refuse_what_is_not_built(&given)?;
    Ok(Command::Run(flags))
}

impl Flags {
    fn from_given(given: &[Given]) -> Flags {
        let mut flags = Flags::default();
        for flag in given {
            flags.set(flag);
        }
        flags.log.fold_combined(given);
        flags
    }

    /// Stores one value; a later one of the same flag wins.
    fn set(&mut self, given: &Given) {
        let value = &given.value;
        match given.spec.id {
            FlagId::Config => self.config = value.text(),
            FlagId::Host => self.listen.host = value.text(),
            FlagId::Port => self.listen.port = value.int(),
            FlagId::ServerName => self.listen.server_name = value.text(),
            FlagId::ClientAdvertise => self.listen.client_advertise = value.text(),
            FlagId::HttpPort => self.listen.http_port = value.int(),
            FlagId::HttpsPort => self.listen.https_port = value.int(),
            FlagId::PidFile => self.files.pid_file = value.text(),
            FlagId::PortsFileDir => self.files.ports_file_dir = value.text(),
            FlagId::LogFile => self.log.file = value.text(),
            FlagId::Logtime => self.log.time = value.bool(),
            FlagId::LogtimeUtc => self.log.time_utc = value.bool(),
            FlagId::Syslog => self.log.syslog = value.bool(),
            FlagId::RemoteSyslog => self.log.remote_syslog = value.text(),
            FlagId::Debug => self.log.debug = value.bool(),
            FlagId::Trace => self.log.trace = value.bool(),
            FlagId::LogSizeLimit => self.log.size_limit = value.int(),
            FlagId::MaxTracedMsgLen => self.log.max_traced_msg_len = value.int(),
            FlagId::JetStream => self.store.jetstream = value.bool(),
            FlagId::StoreDir => self.store.store_dir = value.text(),
            FlagId::User => self.login.user = value.text(),
            FlagId::Pass => self.login.pass = value.text().map(Redacted::new),
            FlagId::Auth => self.login.token = value.text().map(Redacted::new),
            FlagId::Tls => self.tls.enabled = value.bool(),
            FlagId::TlsCert => self.tls.cert = value.text(),
            FlagId::TlsKey => self.tls.key = value.text(),
            FlagId::TlsVerify => self.tls.verify = value.bool(),
            FlagId::TlsCaCert => self.tls.ca_cert = value.text(),
            FlagId::Routes => self.cluster.routes = value.text().map(Redacted::new),
            FlagId::Cluster => self.cluster.listen = value.text().map(Redacted::new),
            FlagId::ClusterName => self.cluster.name = value.text(),
            FlagId::NoAdvertise => self.cluster.no_advertise = value.bool(),
            FlagId::ClusterAdvertise => self.cluster.advertise = value.text(),
            FlagId::ConnectRetries => self.cluster.connect_retries = value.int(),
            FlagId::Profile => self.profile_port = value.int(),
            // Looked at by `parse` and by `fold_combined`.
            FlagId::TestConfig | FlagId::Signal | FlagId::Help | FlagId::Version | FlagId::HelpTls => {}
            FlagId::TraceVerbose | FlagId::DebugTrace | FlagId::DebugTraceVerbose => {}
        }
        if let Status::Warned(why) = given.spec.status {
            if value.asks_for_something() {
                self.warnings
                    .push(format!("Flag {} is ignored: {why}", given.spec.long_name()));
            }
        }
    }
}

impl LogFlags {
    /// The combined switches win over the plain ones wherever they stand; among them the last in the
    /// order DV, DVV, VV does.
    fn fold_combined(&mut self, given: &[Given]) {
        if let Some(on) = last(given, FlagId::DebugTrace).and_then(Value::bool) {
            (self.debug, self.trace) = (Some(on), Some(on));
        }
        if let Some(on) = last(given, FlagId::DebugTraceVerbose).and_then(Value::bool) {
            (self.debug, self.trace, self.trace_verbose) = (Some(on), Some(on), Some(on));
        }
        if let Some(on) = last(given, FlagId::TraceVerbose).and_then(Value::bool) {
            (self.trace, self.trace_verbose) = (Some(on), Some(on));
        }
    }
}

/// One flag as it stood on the command line.
#[derive(Debug)]
struct Given {
    spec: &'static FlagSpec,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Bool(bool),
    Int(i64),
    Text(String),
}

impl Value {
    fn bool(&self) -> Option<bool> {
        if let Value::Bool(on) = self {
            Some(*on)
        } else {
            None
        }
    }

    fn int(&self) -> Option<i64> {
        if let Value::Int(number) = self {
            Some(*number)
        } else {
            None
        }
    }

    fn text(&self) -> Option<String> {
        if let Value::Text(text) = self {
            Some(text.clone())
        } else {
            None
        }
    }

    /// False for the values that mean "off" or "not set".
    fn asks_for_something(&self) -> bool {
        match self {
            Value::Bool(on) => *on,
            Value::Int(number) => *number != 0,
            Value::Text(text) => !text.is_empty(),
        }
    }
}

/// Splits the arguments into flags and words.
fn read(args: &[String]) -> Result<(Vec<Given>, &[String]), UsageError> {
    let mut given = Vec::new();
    let mut rest = args;
    while let Some((arg, behind)) = rest.split_first() {
        if arg.len() < 2 || !arg.starts_with('-') {
            break;
        }
        rest = behind;
        if arg == "--" {
            break;
        }
        let body = arg
            .strip_prefix("--")
            .or_else(|| arg.strip_prefix('-'))
            .expect("begins with a dash");
        if body.starts_with(['-', '=']) {
            return Err(UsageError::Unreadable(format!("bad flag syntax: {arg}")));
        }
        let (name, inline) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, None),
        };
        let Some(spec) = flag_table::find(name) else {
            return Err(UsageError::Unreadable(format!(
                "flag provided but not defined: -{name}"
            )));
        };
        let text = match (spec.kind, inline) {
            (_, Some(value)) => value,
            (Kind::Bool, None) => "true",
            (Kind::Int | Kind::Text, None) => {
                let Some((value, behind)) = rest.split_first() else {
                    return Err(UsageError::Unreadable(format!("flag needs an argument: -{name}")));
                };
                rest = behind;
                value
            }
        };
        given.push(Given {
            spec,
            value: read_value(spec.kind, name, text)?,
        });
    }
    Ok((given, rest))
}

fn read_value(kind: Kind, name: &str, text: &str) -> Result<Value, UsageError> {
    match kind {
        Kind::Text => Ok(Value::Text(text.to_owned())),
        Kind::Int => parse_int(text).map(Value::Int).map_err(|error| {
            UsageError::Unreadable(format!("invalid value {} for flag -{name}: {error}", quote(text)))
        }),
        Kind::Bool => parse_bool(text).map(Value::Bool).map_err(|error| {
            UsageError::Unreadable(format!(
                "invalid boolean value {} for -{name}: {error}",
                quote(text)
            ))
        }),
    }
}

fn last(given: &[Given], id: FlagId) -> Option<&Value> {
    given
        .iter()
        .rev()
        .find(|flag| flag.spec.id == id)
        .map(|flag| &flag.value)
}

fn last_bool(given: &[Given], id: FlagId) -> bool {
    last(given, id).and_then(Value::bool).unwrap_or(false)
}

fn last_text(given: &[Given], id: FlagId) -> Option<String> {
    last(given, id).and_then(Value::text)
}

fn split_signal(signal: String) -> Result<Command, UsageError> {
    let parts: Vec<&str> = signal.split('=').collect();
    match parts.as_slice() {
        [command] => Ok(Command::Signal {
            command: (*command).to_owned(),
            target: String::new(),
        }),
        [command, target] => Ok(Command::Signal {
            command: (*command).to_owned(),
            target: (*target).to_owned(),
        }),
        [_, _, more @ ..] => Err(UsageError::Refused(format!(
            "invalid signal parameters: [{}]",
            more.join(" ")
        ))),
        [] => unreachable!("split gives at least one part"),
    }
}

/// Only the last value of a flag counts, so `-js -js=false` is fine.
fn refuse_what_is_not_built(given: &[Given]) -> Result<(), UsageError> {
    for flag in given {
        let Status::Refused(what_would_happen) = flag.spec.status else {
            continue;
        };
        if last(given, flag.spec.id).is_some_and(Value::asks_for_something) {
            return Err(UsageError::Refused(format!(
                "flag {} is not built yet: {what_would_happen}; start without it, or use the Go server",
                flag.spec.long_name()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
