//! Command lines and what they mean. What the Go server says to the same lines is in
//! `server/tests/command_line.rs`.

use super::*;

fn line(text: &str) -> Result<Command, UsageError> {
    // `~` stands for an empty argument.
    let args: Vec<String> = text
        .split_whitespace()
        .map(|arg| if arg == "~" { String::new() } else { arg.to_owned() })
        .collect();
    parse(&args)
}

fn run(text: &str) -> Flags {
    match line(text) {
        Ok(Command::Run(flags)) => flags,
        other => panic!("{text:?}: {other:?}"),
    }
}

fn unreadable(message: &str) -> Result<Command, UsageError> {
    Err(UsageError::Unreadable(message.to_owned()))
}

fn refused(message: &str) -> Result<Command, UsageError> {
    Err(UsageError::Refused(message.to_owned()))
}

fn signal(command: &str, target: &str) -> Result<Command, UsageError> {
    Ok(Command::Signal {
        command: command.to_owned(),
        target: target.to_owned(),
    })
}

/// Words, order of decisions, errors.
#[test]
fn commands_and_errors() {
    let cases: &[(&str, Result<Command, UsageError>)] = &[
        ("-v", Ok(Command::Version)),
        ("--version", Ok(Command::Version)),
        ("version", Ok(Command::Version)),
        ("VeRsion nonsense", Ok(Command::Version)),
        ("-v foo", Ok(Command::Version)),
        ("-v=false version", Ok(Command::Version)),
        ("-h -v", Ok(Command::Version)),
        ("-h", Ok(Command::Help)),
        ("HELP", Ok(Command::Help)),
        ("--help_tls", Ok(Command::HelpTls)),
        ("-help_tls -h", Ok(Command::Help)),
        ("-- version", Ok(Command::Version)),
        ("foo", refused("unrecognized command: \"foo\"")),
        ("-", refused("unrecognized command: \"-\"")),
        ("~", refused("unrecognized command: \"\"")),
        ("-D true", refused("unrecognized command: \"true\"")),
        ("-bogus", unreadable("flag provided but not defined: -bogus")),
        ("--bogus=1", unreadable("flag provided but not defined: -bogus")),
        ("---p 1", unreadable("bad flag syntax: ---p")),
        ("-=x", unreadable("bad flag syntax: -=x")),
        ("-p", unreadable("flag needs an argument: -p")),
        ("--port", unreadable("flag needs an argument: -port")),
        ("-p=", unreadable("invalid value \"\" for flag -p: parse error")),
        (
            "-p abc",
            unreadable("invalid value \"abc\" for flag -p: parse error"),
        ),
        (
            "-p abc -p 1",
            unreadable("invalid value \"abc\" for flag -p: parse error"),
        ),
        (
            "-p 99999999999999999999",
            unreadable("invalid value \"99999999999999999999\" for flag -p: value out of range"),
        ),
        (
            "-D=maybe -v",
            unreadable("invalid boolean value \"maybe\" for -D: parse error"),
        ),
        (
            "-help=x",
            unreadable("invalid boolean value \"x\" for -help: parse error"),
        ),
        (
            "-t",
            refused("must specify [-c, --config] option to check configuration file syntax"),
        ),
        (
            "-t -c ~",
            refused("must specify [-c, --config] option to check configuration file syntax"),
        ),
        (
            "-t -c a.conf",
            Ok(Command::TestConfig {
                config: "a.conf".to_owned(),
            }),
        ),
        (
            "-t -js -c a.conf",
            Ok(Command::TestConfig {
                config: "a.conf".to_owned(),
            }),
        ),
        ("-sl quit", signal("quit", "")),
        ("--signal=quit=12", signal("quit", "12")),
        ("-sl quit=12* -js -t", signal("quit", "12*")),
        ("-sl stop=", signal("stop", "")),
        ("-sl a=b=c=d", refused("invalid signal parameters: [c d]")),
        ("doctor", Ok(Command::Doctor(Flags::default()))),
    ];
    for (text, expected) in cases {
        assert_eq!(line(text), *expected, "{text:?}");
    }
}

/// Each flag reaches its field, by each of its names.
#[test]
fn every_effective_flag_by_every_name() {
    let text = |value: &Option<String>| value.as_deref() == Some("x");
    type Check<'a> = (FlagId, &'a dyn Fn(&Flags) -> bool);
    let checks: &[Check<'_>] = &[
        (FlagId::Host, &|flags| text(&flags.listen.host)),
        (FlagId::Port, &|flags| flags.listen.port == Some(77)),
        (FlagId::ServerName, &|flags| text(&flags.listen.server_name)),
        (FlagId::PidFile, &|flags| text(&flags.files.pid_file)),
        (FlagId::HttpPort, &|flags| flags.listen.http_port == Some(77)),
        (FlagId::Config, &|flags| text(&flags.config)),
        (FlagId::ClientAdvertise, &|flags| {
            text(&flags.listen.client_advertise)
        }),
        (FlagId::PortsFileDir, &|flags| text(&flags.files.ports_file_dir)),
        (FlagId::User, &|flags| text(&flags.login.user)),
        (FlagId::Pass, &|flags| {
            flags.login.pass.as_ref().is_some_and(|pass| pass.reveal() == "x")
        }),
        (FlagId::Auth, &|flags| {
            flags
                .login
                .token
                .as_ref()
                .is_some_and(|token| token.reveal() == "x")
        }),
        (FlagId::LogFile, &|flags| text(&flags.log.file)),
        (FlagId::Logtime, &|flags| flags.log.time == Some(true)),
        (FlagId::LogtimeUtc, &|flags| flags.log.time_utc == Some(true)),
        (FlagId::Syslog, &|flags| flags.log.syslog == Some(true)),
        (FlagId::RemoteSyslog, &|flags| text(&flags.log.remote_syslog)),
        (FlagId::Debug, &|flags| {
            flags.log.debug == Some(true) && flags.log.trace.is_none()
        }),
        (FlagId::Trace, &|flags| {
            flags.log.trace == Some(true) && flags.log.trace_verbose.is_none()
        }),
        (FlagId::TraceVerbose, &|flags| {
            flags.log.trace_verbose == Some(true) && flags.log.debug.is_none()
        }),
        (FlagId::DebugTrace, &|flags| {
            flags.log.debug == Some(true) && flags.log.trace == Some(true)
        }),
        (FlagId::DebugTraceVerbose, &|flags| {
            flags.log.debug == Some(true) && flags.log.trace_verbose == Some(true)
        }),
        (FlagId::LogSizeLimit, &|flags| flags.log.size_limit == Some(77)),
        (FlagId::MaxTracedMsgLen, &|flags| {
            flags.log.max_traced_msg_len == Some(77)
        }),
        (FlagId::Tls, &|flags| flags.tls.enabled == Some(true)),
        (FlagId::TlsCert, &|flags| text(&flags.tls.cert)),
        (FlagId::TlsKey, &|flags| text(&flags.tls.key)),
        (FlagId::TlsVerify, &|flags| flags.tls.verify == Some(true)),
        (FlagId::TlsCaCert, &|flags| text(&flags.tls.ca_cert)),
    ];
    for spec in flag_table::FLAGS
        .iter()
        .filter(|spec| spec.status == Status::Effective)
    {
        let check = checks.iter().find(|(id, _)| *id == spec.id);
        let Some((_, check)) = check else {
            let own_command = [
                FlagId::TestConfig,
                FlagId::Signal,
                FlagId::Help,
                FlagId::Version,
                FlagId::HelpTls,
            ];
            assert!(
                own_command.contains(&spec.id),
                "{:?} is effective and not checked",
                spec.id
            );
            continue;
        };
        let value = match spec.kind {
            Kind::Bool => None,
            Kind::Int => Some("77"),
            Kind::Text => Some("x"),
        };
        for name in spec.names {
            for dashes in ["-", "--"] {
                let spellings = match value {
                    None => vec![format!("{dashes}{name}"), format!("{dashes}{name}=T")],
                    Some(value) => vec![
                        format!("{dashes}{name} {value}"),
                        format!("{dashes}{name}={value}"),
                    ],
                };
                for spelling in spellings {
                    assert!(check(&run(&spelling)), "{spelling}");
                }
            }
        }
    }
}

/// What is not built and asked for stops the start and names the flag; switched off it does not.
#[test]
fn what_is_not_built_is_refused_by_name() {
    for spec in flag_table::FLAGS
        .iter()
        .filter(|spec| matches!(spec.status, Status::Refused(_)))
    {
        let name = spec.names[0];
        let (on, off) = match spec.kind {
            Kind::Bool => (format!("-{name}"), format!("-{name}=false")),
            Kind::Int => (format!("-{name} 1"), format!("-{name} 0")),
            Kind::Text => (format!("-{name} secret"), format!("-{name}=")),
        };
        let Err(UsageError::Refused(message)) = line(&on) else {
            panic!("{on} was taken")
        };
        assert!(
            message.contains(&format!("flag {} is not built yet", spec.long_name())),
            "{message}"
        );
        assert!(!message.contains("secret"), "{message}");
        assert_eq!(message.lines().count(), 1);
        run(&off);
        run(&format!("{on} {off}"));
    }
}

/// Accepted without effect: said, not silent.
#[test]
fn harmless_flags_warn() {
    assert_eq!(
        run("-sd /data -profile 6060").warnings,
        [
            "Flag --store_dir is ignored: this version stores nothing yet; the directory is not used",
            "Flag --profile is ignored: there are no Go profiles here; use perf"
        ]
    );
    assert_eq!(run("-profile 0").warnings, Vec::<String>::new());
}

/// The combined switches win over the plain ones, wherever they stand.
#[test]
fn combined_switches() {
    let cases: &[(&str, [Option<bool>; 3])] = &[
        ("-p 1", [None, None, None]),
        ("-DV -D=false", [Some(true), Some(true), None]),
        ("-D -DV=false", [Some(false), Some(false), None]),
        ("-D -D=false", [Some(false), None, None]),
        ("-DVV -DV=false", [Some(true), Some(true), Some(true)]),
        ("-VV=false -DVV", [Some(true), Some(false), Some(false)]),
        ("-V --trace=false", [None, Some(false), None]),
    ];
    for (text, expected) in cases {
        let log = run(text).log;
        assert_eq!([log.debug, log.trace, log.trace_verbose], *expected, "{text}");
    }
}

/// A password must not get out through a debug print.
#[test]
fn secrets_do_not_print() {
    let args: Vec<String> = [
        "--pass",
        "s3cr3t",
        "--auth",
        "s3cr3t",
        "--routes",
        "nats://u:s3cr3t@h:1",
        "--cluster",
        "nats://u:s3cr3t@h:1",
        "doctor",
    ]
    .iter()
    .map(|arg| (*arg).to_owned())
    .collect();
    let Ok(Command::Doctor(flags)) = parse(&args) else {
        panic!("not taken")
    };
    assert_eq!(
        flags.login.pass.as_ref().map(|pass| pass.reveal().as_str()),
        Some("s3cr3t")
    );
    let printed = format!("{flags:?} {flags:#?}");
    assert!(!printed.contains("s3cr3t"), "{printed}");
    assert!(printed.contains("[REDACTED]"));
}
