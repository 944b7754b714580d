//! What the server runs with: the configuration file with the flags on top.
//!
//! Owns: which flag sets which option, and the order: defaults, file, flags.
//! Not here: what the options mean (`config`), what the flags are (`flags`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::flags::Flags;
use crate::config::{load, Diagnostic, Env, Options, RawOptions, ReadFile};
use crate::log::Redacted;

/// What the server runs with.
#[derive(Debug)]
pub struct Settings {
    /// The options.
    pub options: Options,
    /// The flags, for a reload: they stay on top of a changed file.
    pub flags: Flags,
    /// Name of the configuration file and the digest of what is in it.
    pub config: Option<(PathBuf, String)>,
    /// Lines to log as warnings once the log is there.
    pub warnings: Vec<String>,
}

/// Reads the configuration file, if one is named, and puts the flags on top. The error is what to print under the
/// program's name, one finding a line.
pub fn settle(flags: Flags, read: &dyn ReadFile, env: &dyn Env) -> Result<Settings, String> {
    let mut raw = RawOptions::default();
    let mut warnings = Vec::new();
    let mut config = None;
    if let Some(path) = flags.config.as_deref().filter(|path| !path.is_empty()) {
        let path = Path::new(path);
        let loaded = load(path, read, env).map_err(|found| lines(&found))?;
        warnings.extend(loaded.warnings.iter().map(Diagnostic::to_string));
        config = Some((path.to_owned(), loaded.digest));
        raw = loaded.raw;
    }
    raw.merge(flags.to_raw());
    flags.tls.check()?;
    let options = raw.resolve().map_err(|found| lines(&found))?;
    crate::tls::check(&options, read)?;
    warnings.extend(flags.warnings.iter().cloned());
    Ok(Settings {
        options,
        flags,
        config,
        warnings,
    })
}

fn lines(found: &[Diagnostic]) -> String {
    let lines: Vec<String> = found.iter().map(Diagnostic::to_string).collect();
    lines.join("\n")
}

fn secret(given: Option<&Redacted<String>>) -> Option<Redacted<Arc<str>>> {
    given.map(|text| Redacted::new(Arc::from(text.reveal().as_str())))
}

impl Flags {
    /// What the flags write into the options; the rest stays as the file has it.
    pub fn to_raw(&self) -> RawOptions {
        // The taking apart is complete on purpose: a new flag does not compile until it is used here.
        let Flags {
            config: _,
            listen,
            files,
            log,
            login,
            // Refused when they ask for something, so they have nothing to write.
            store: _,
            tls,
            cluster: _,
            profile_port: _,
            warnings: _,
        } = self;
        RawOptions {
            user: login.user.as_deref().map(Arc::from),
            password: secret(login.pass.as_ref()),
            token: secret(login.token.as_ref()),
            host: listen.host.clone(),
            port: listen.port,
            server_name: listen.server_name.clone(),
            client_advertise: listen.client_advertise.clone(),
            http_port: listen.http_port,
            pid_file: files.pid_file.as_ref().map(PathBuf::from),
            ports_file_dir: files.ports_file_dir.as_ref().map(PathBuf::from),
            log_file: log.file.as_ref().map(PathBuf::from),
            logtime: log.time,
            logtime_utc: log.time_utc,
            syslog: log.syslog,
            remote_syslog: log.remote_syslog.clone(),
            debug: log.debug,
            trace: log.trace,
            trace_verbose: log.trace_verbose,
            log_size_limit: log.size_limit,
            max_traced_msg_len: log.max_traced_msg_len,
            tls: tls.block(),
            tls_off: (tls.enabled == Some(false)).then_some(true),
            ..RawOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::flags::{parse, Command};
    use super::*;
    use crate::config::access::Login;

    const FILE: &str = "port: 1111, host: \"h\", debug: true, logtime: false, pid_file: \"/from/file\"\n\
                        max_payload: 99, log_file: \"/file.log\", http: \"m:8222\"";

    fn settled(line: &str) -> Result<Settings, String> {
        let args: Vec<String> = line
            .split_whitespace()
            .map(|arg| if arg == "~" { "a b" } else { arg }.to_owned())
            .collect();
        let Ok(Command::Run(flags)) = parse(&args) else {
            panic!("{line} was not taken")
        };
        let read = |path: &Path| match path.to_str() {
            Some("a.conf") => Ok(FILE.as_bytes().to_vec()),
            _ => Err(std::io::Error::from_raw_os_error(2)),
        };
        settle(flags, &read, &|_: &str| None)
    }

    fn options(line: &str) -> Options {
        settled(line)
            .unwrap_or_else(|error| panic!("{line}: {error}"))
            .options
    }

    /// Flags win over the file, and only where they were given.
    #[test]
    fn flags_over_file() {
        let file = options("-c a.conf");
        assert_eq!((file.client.port, file.client.host.as_str()), (1111, "h"));
        assert_eq!(
            (file.log.debug, file.log.trace, file.log.time),
            (true, false, false)
        );

        let both = options("-c a.conf -p 2222 -V -D=false -P /from/flag -m 9");
        assert_eq!((both.client.port, both.client.host.as_str()), (2222, "h"));
        assert_eq!(
            (both.log.debug, both.log.trace, both.log.time),
            (false, true, false)
        );
        assert_eq!(both.operations.pid_file, Some(PathBuf::from("/from/flag")));
        assert_eq!(both.limits.payload_size, 99);
        assert_eq!(both.monitor.map(|monitor| monitor.port), Some(9));

        assert!(options("-c a.conf -T").log.time);
        assert_eq!(
            options("-c a.conf -l=").log.file,
            None,
            "an empty value takes the file's away"
        );
        assert_eq!(options("-p -1").client.port, 0, "any free port");
        assert_eq!(options("-p 0").client.port, 4222);
    }

    /// Each effective flag that has an option changes it.
    #[test]
    fn every_flag_reaches_its_option() {
        type Change<'a> = (&'a str, &'a dyn Fn(&Options) -> bool);
        let changes: &[Change<'_>] = &[
            ("-a x", &|options| options.client.host == "x"),
            ("-p 77", &|options| options.client.port == 77),
            ("-n x", &|options| {
                options.identity.server_name.as_deref() == Some("x")
            }),
            ("-P x", &|options| {
                options.operations.pid_file == Some(PathBuf::from("x"))
            }),
            ("-m 77", &|options| {
                options.monitor.as_ref().is_some_and(|monitor| monitor.port == 77)
            }),
            ("--client_advertise x", &|options| {
                options.client.advertise.as_deref() == Some("x")
            }),
            ("--ports_file_dir x", &|options| {
                options.operations.ports_file_dir == Some(PathBuf::from("x"))
            }),
            ("-l x", &|options| options.log.file == Some(PathBuf::from("x"))),
            ("-T=false", &|options| !options.log.time),
            ("--logtime_utc", &|options| options.log.time_utc),
            ("-s", &|options| options.log.syslog),
            ("-r x", &|options| {
                options.log.remote_syslog.as_deref() == Some("x")
            }),
            (
                "--user x",
                &|options| matches!(&options.access.login, Login::User { user, .. } if &**user == "x"),
            ),
            (
                "--user x --pass y",
                &|options| matches!(&options.access.login, Login::User { password, .. } if &**password.reveal() == "y"),
            ),
            (
                "--auth x",
                &|options| matches!(&options.access.login, Login::Token(token) if &**token.reveal() == "x"),
            ),
            ("-D", &|options| options.log.debug),
            ("-V", &|options| options.log.trace),
            ("-VV", &|options| options.log.trace_verbose && options.log.trace),
            ("-DV", &|options| options.log.debug && options.log.trace),
            ("-DVV", &|options| options.log.debug && options.log.trace_verbose),
            ("--log_size_limit 77", &|options| options.log.file_size_max == 77),
            ("--max_traced_msg_len 77", &|options| {
                options.log.traced_msg_size_max == 77
            }),
        ];
        for (line, holds) in changes {
            assert!(!holds(&options("")), "{line}: true without the flag");
            assert!(holds(&options(line)), "{line}");
        }
    }

    /// What is wrong is said, and what is ignored too.
    #[test]
    fn errors_and_warnings() {
        assert_eq!(
            settled("-c none.conf").unwrap_err(),
            "open none.conf: no such file or directory"
        );
        assert_eq!(settled("-n ~").unwrap_err(), "server name cannot contain spaces");
        assert!(settled("-p 70000").unwrap_err().contains("70000"));
        assert_eq!(settled("-profile 1").unwrap().warnings.len(), 1);
    }
}
