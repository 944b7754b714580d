//! The table of flags: the one list that gives the parser, the help text and what is built.
//!
//! Owns: names, kinds, help and status of every flag. Not here: how a command line is read (`flags`),
//! what the values do to the options (`config`).
//! Names are the Go server's; one dash and two mean the same.
//!
//! Invariant: no name stands twice (tested).

/// One flag, whatever name it was given by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlagId {
    /// `-a`
    Host,
    /// `-p`
    Port,
    /// `-n`
    ServerName,
    /// `-P`
    PidFile,
    /// `-m`
    HttpPort,
    /// `-ms`
    HttpsPort,
    /// `-c`
    Config,
    /// `-t`
    TestConfig,
    /// `-sl`
    Signal,
    /// `--client_advertise`
    ClientAdvertise,
    /// `--ports_file_dir`
    PortsFileDir,
    /// `-l`
    LogFile,
    /// `-T`
    Logtime,
    /// `--logtime_utc`
    LogtimeUtc,
    /// `-s`
    Syslog,
    /// `-r`
    RemoteSyslog,
    /// `-D`
    Debug,
    /// `-V`
    Trace,
    /// `-VV`
    TraceVerbose,
    /// `-DV`
    DebugTrace,
    /// `-DVV`
    DebugTraceVerbose,
    /// `--log_size_limit`
    LogSizeLimit,
    /// `--max_traced_msg_len`
    MaxTracedMsgLen,
    /// `-js`
    JetStream,
    /// `-sd`
    StoreDir,
    /// `--user`
    User,
    /// `--pass`
    Pass,
    /// `--auth`
    Auth,
    /// `--tls`
    Tls,
    /// `--tlscert`
    TlsCert,
    /// `--tlskey`
    TlsKey,
    /// `--tlsverify`
    TlsVerify,
    /// `--tlscacert`
    TlsCaCert,
    /// `--routes`
    Routes,
    /// `--cluster`
    Cluster,
    /// `--cluster_name`
    ClusterName,
    /// `--no_advertise`
    NoAdvertise,
    /// `--cluster_advertise`
    ClusterAdvertise,
    /// `--connect_retries`
    ConnectRetries,
    /// `--profile`
    Profile,
    /// `-h`
    Help,
    /// `-v`
    Version,
    /// `--help_tls`
    HelpTls,
}

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On when it stands alone; a value only behind `=`.
    Bool,
    /// A signed 64-bit number in the syntax of Go literals.
    Int,
    /// Any text.
    Text,
}

/// Whether the flag does its work in this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Effective,
    /// Accepted; the text says what is missing and is logged as a warning.
    Warned(&'static str),
    /// The server does not start with it; the text says what ignoring it would do.
    Refused(&'static str),
}

/// Where the flag stands in the help text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Addresses, files, signals.
    Server,
    /// Log lines and where they go.
    Logging,
    /// Streams.
    JetStream,
    /// Who may connect.
    Authorization,
    /// Encryption.
    Tls,
    /// Several servers.
    Cluster,
    /// Profiles.
    Profiling,
    /// Help and version.
    Common,
}

/// One row of the table.
#[derive(Debug)]
pub struct FlagSpec {
    /// What it sets.
    pub id: FlagId,
    /// Every name, without dashes.
    pub names: &'static [&'static str],
    /// What it takes.
    pub kind: Kind,
    /// Its section in the help text.
    pub section: Section,
    /// How the value is called in the help text; empty for a bool.
    pub value_name: &'static str,
    /// One line for the help text.
    pub help: &'static str,
    /// Whether it works.
    pub status: Status,
}

impl FlagSpec {
    /// The name used where one is enough: the longest, with two dashes.
    pub fn long_name(&self) -> String {
        let longest = self
            .names
            .iter()
            .max_by_key(|name| name.len())
            .expect("a flag has a name (tested)");
        format!("--{longest}")
    }
}

/// The row of the flag with this name (no dashes).
pub fn find(name: &str) -> Option<&'static FlagSpec> {
    FLAGS.iter().find(|spec| spec.names.contains(&name))
}

/// The row of `id`.
pub fn spec(id: FlagId) -> &'static FlagSpec {
    FLAGS
        .iter()
        .find(|spec| spec.id == id)
        .expect("every FlagId has a row (tested)")
}

const fn row(
    id: FlagId,
    names: &'static [&'static str],
    kind: Kind,
    section: Section,
    value_name: &'static str,
    help: &'static str,
    status: Status,
) -> FlagSpec {
    FlagSpec {
        id,
        names,
        kind,
        section,
        value_name,
        help,
        status,
    }
}

const ALONE: Status = Status::Refused("the server would stand alone");

/// Every flag, in the order of the help text.
#[rustfmt::skip]
pub static FLAGS: &[FlagSpec] = {
    use FlagId as F;
    use Kind::{Bool, Int, Text};
    use Section as S;
    use Status::{Effective, Refused, Warned};
    &[
    row(F::Host, &["a", "addr", "net"], Text, S::Server, "host", "Address to listen on (0.0.0.0 when not set)", Effective),
    row(F::Port, &["p", "port"], Int, S::Server, "port", "Port for clients (4222 when not set, -1 picks a free one)", Effective),
    row(F::ServerName, &["n", "name", "server_name"], Text, S::Server, "name", "Name of this server (made up when not set)", Effective),
    row(F::PidFile, &["P", "pid"], Text, S::Server, "file", "Write the process id to this file", Effective),
    row(F::HttpPort, &["m", "http_port"], Int, S::Server, "port", "Serve monitoring over HTTP on this port", Effective),
    row(F::HttpsPort, &["ms", "https_port"], Int, S::Server, "port", "Serve monitoring over HTTPS on this port",
        Refused("monitoring would not be encrypted")),
    row(F::Config, &["c", "config"], Text, S::Server, "file", "Read this configuration file; flags win over it", Effective),
    row(F::TestConfig, &["t"], Bool, S::Server, "", "Check the configuration file, say what is wrong, exit", Effective),
    row(F::Signal, &["sl", "signal"], Text, S::Server, "signal[=pid]",
        "Signal a running server: ldm, stop, quit, term, reopen, reload; pid is a number, a pid file or a prefix ending in *", Effective),
    row(F::ClientAdvertise, &["client_advertise"], Text, S::Server, "host:port", "Address that other servers tell clients for this one", Effective),
    row(F::PortsFileDir, &["ports_file_dir"], Text, S::Server, "dir", "Write <program>_<pid>.ports, the open ports as JSON, in this directory", Effective),

    row(F::LogFile, &["l", "log"], Text, S::Logging, "file", "Log to this file", Effective),
    row(F::Logtime, &["T", "logtime"], Bool, S::Logging, "", "Put the time in log lines (on; -T=false for off)", Effective),
    row(F::LogtimeUtc, &["logtime_utc"], Bool, S::Logging, "", "Put the time in UTC, not in the local zone", Effective),
    row(F::Syslog, &["s", "syslog"], Bool, S::Logging, "", "Log to this machine's syslog", Effective),
    row(F::RemoteSyslog, &["r", "remote_syslog"], Text, S::Logging, "url", "Log to a syslog server (udp://host:514, tcp://host:514)", Effective),
    row(F::Debug, &["D", "debug"], Bool, S::Logging, "", "Log debugging lines", Effective),
    row(F::Trace, &["V", "trace"], Bool, S::Logging, "", "Log every protocol line", Effective),
    row(F::TraceVerbose, &["VV"], Bool, S::Logging, "", "Log every protocol line, the system account's too", Effective),
    row(F::DebugTrace, &["DV"], Bool, S::Logging, "", "Both -D and -V", Effective),
    row(F::DebugTraceVerbose, &["DVV"], Bool, S::Logging, "", "Both -D and -VV", Effective),
    row(F::LogSizeLimit, &["log_size_limit"], Int, S::Logging, "bytes", "Start a new log file when it is larger than this", Effective),
    row(F::MaxTracedMsgLen, &["max_traced_msg_len"], Int, S::Logging, "bytes", "Cut traced payloads to this length (0: whole)", Effective),

    row(F::JetStream, &["js", "jetstream"], Bool, S::JetStream, "", "Serve streams (JetStream)", Refused("nothing would be stored")),
    row(F::StoreDir, &["sd", "store_dir"], Text, S::JetStream, "dir", "Directory for stored streams",
        Warned("this version stores nothing yet; the directory is not used")),

    row(F::User, &["user"], Text, S::Authorization, "user", "User that clients must give", Effective),
    row(F::Pass, &["pass"], Text, S::Authorization, "password", "Password that clients must give", Effective),
    row(F::Auth, &["auth"], Text, S::Authorization, "token", "Token that clients must give", Effective),

    row(F::Tls, &["tls"], Bool, S::Tls, "", "Serve TLS, ask clients for no certificate", Effective),
    row(F::TlsCert, &["tlscert"], Text, S::Tls, "file", "The server's certificate", Effective),
    row(F::TlsKey, &["tlskey"], Text, S::Tls, "file", "The key of that certificate", Effective),
    row(F::TlsVerify, &["tlsverify"], Bool, S::Tls, "", "Serve TLS and check the clients' certificates", Effective),
    row(F::TlsCaCert, &["tlscacert"], Text, S::Tls, "file", "Authority that signed the clients' certificates", Effective),

    row(F::Routes, &["routes"], Text, S::Cluster, "url,url", "Servers to connect to", ALONE),
    row(F::Cluster, &["cluster", "cluster_listen"], Text, S::Cluster, "url", "Listen for other servers; empty switches the cluster off", ALONE),
    row(F::ClusterName, &["cluster_name"], Text, S::Cluster, "name", "Name of the cluster", ALONE),
    row(F::NoAdvertise, &["no_advertise"], Bool, S::Cluster, "", "Do not tell clients about the other servers", ALONE),
    row(F::ClusterAdvertise, &["cluster_advertise"], Text, S::Cluster, "host:port", "Address that other servers are told for this one", ALONE),
    row(F::ConnectRetries, &["connect_retries"], Int, S::Cluster, "count", "How often to retry a server that others told about", ALONE),

    row(F::Profile, &["profile"], Int, S::Profiling, "port", "Serve Go profiles on this port",
        Warned("there are no Go profiles here; use perf")),

    row(F::Help, &["h", "help"], Bool, S::Common, "", "Show this text", Effective),
    row(F::Version, &["v", "version"], Bool, S::Common, "", "Show the version", Effective),
    row(F::HelpTls, &["help_tls"], Bool, S::Common, "", "Show how TLS is configured", Effective),
    ]
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A name that stood twice would make the second row unreachable.
    #[test]
    fn names_and_ids_stand_once() {
        let mut names = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for spec in FLAGS {
            assert!(ids.insert(spec.id), "{:?} has two rows", spec.id);
            assert!(!spec.names.is_empty());
            for name in spec.names {
                assert!(names.insert(*name), "{name} stands twice");
                assert_eq!(find(name).map(|found| found.id), Some(spec.id));
            }
            assert_eq!(
                spec.value_name.is_empty(),
                spec.kind == Kind::Bool,
                "{:?}",
                spec.id
            );
        }
        assert_eq!(names.len(), 64, "the Go server registers 64 names");
        assert_eq!(find("no_such_flag").map(|found| found.id), None);
    }

    /// The list of what is built changes on purpose only; docs/parity.md repeats it.
    #[test]
    fn status_of_each_flag() {
        let with = |wanted: fn(&Status) -> bool| -> Vec<&str> {
            FLAGS
                .iter()
                .filter(|spec| wanted(&spec.status))
                .map(|spec| spec.names[0])
                .collect()
        };
        assert_eq!(
            with(|status| matches!(status, Status::Refused(_))),
            [
                "ms",
                "js",
                "routes",
                "cluster",
                "cluster_name",
                "no_advertise",
                "cluster_advertise",
                "connect_retries"
            ]
        );
        assert_eq!(
            with(|status| matches!(status, Status::Warned(_))),
            ["sd", "profile"]
        );
        assert_eq!(
            with(|status| matches!(status, Status::Effective)).len(),
            FLAGS.len() - 10
        );
    }
}
