//! The texts of `--help`, `--help_tls` and `--version`.
//!
//! Owns: the words. The list of flags comes from `flag_table`, so it cannot fall behind.

use super::flag_table::{FlagSpec, Section, Status, FLAGS};

/// The version of the Go server whose behaviour this is; clients and scripts look at it.
pub const PEER_VERSION: &str = "2.14.5";

/// What `--version` prints. Scripts read the first line.
pub fn version() -> String {
    format!(
        "nats-server: v{PEER_VERSION}\npinion: v{}\n",
        env!("CARGO_PKG_VERSION")
    )
}

const SECTIONS: &[(Section, &str)] = &[
    (Section::Server, "Server"),
    (Section::Logging, "Logging"),
    (Section::JetStream, "JetStream"),
    (Section::Authorization, "Authorization"),
    (Section::Tls, "TLS"),
    (Section::Cluster, "Cluster"),
    (Section::Profiling, "Profiling"),
    (Section::Common, "Help"),
];

/// Column where the explanations begin.
const HELP_COLUMN: usize = 38;

/// What `--help` prints.
pub fn help() -> String {
    // The empty first line is the Go server's.
    let mut text = String::from(
        "\nUsage: nats-server [options]\n\n\
         This is Pinion, a NATS server; it also answers to the name pinion.\n\
         One dash or two, `-flag value` or `-flag=value`. Flags win over the configuration file.\n",
    );
    for (section, title) in SECTIONS {
        text.push_str(&format!("\n{title}:\n"));
        for spec in FLAGS.iter().filter(|spec| spec.section == *section) {
            text.push_str(&help_line(spec));
        }
    }
    text.push_str(
        "\nWords:\n    help, version                     As the flags\n    \
         doctor                            Say whether this machine can run the server, and what to mend\n\n",
    );
    text
}

fn help_line(spec: &FlagSpec) -> String {
    let mut left = String::from("    ");
    for (index, name) in spec.names.iter().enumerate() {
        if index > 0 {
            left.push_str(", ");
        }
        left.push_str(dashes(name));
        left.push_str(name);
    }
    if !spec.value_name.is_empty() {
        left.push_str(&format!(" <{}>", spec.value_name));
    }
    let built = match spec.status {
        Status::Effective => "",
        Status::Warned(_) => " (no effect)",
        Status::Refused(_) => " (not built yet)",
    };
    if left.len() < HELP_COLUMN {
        format!("{left:<HELP_COLUMN$}{}{built}\n", spec.help)
    } else {
        format!("{left}\n{:HELP_COLUMN$}{}{built}\n", "", spec.help)
    }
}

/// One dash for letters, two for words. The parser takes both for all.
fn dashes(name: &str) -> &'static str {
    if name.len() <= 2 || name.bytes().all(|letter| letter.is_ascii_uppercase()) {
        "-"
    } else {
        "--"
    }
}

/// What `--help_tls` prints.
pub fn help_tls() -> String {
    // The first two lines are the Go server's.
    String::from(
        "\nTLS configuration is specified in the tls section of a configuration file:\n\n    \
         tls {\n        \
         cert_file: \"./certs/server.pem\"\n        \
         key_file:  \"./certs/server-key.pem\"\n        \
         ca_file:   \"./certs/ca.pem\"\n        \
         verify:    true\n    \
         }\n\n\
         Without ca_file, verify trusts whom this machine trusts. docs/operating.md has more.\n",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every name of every flag is in the help text, so a user finds what the parser takes.
    #[test]
    fn help_lists_every_name() {
        let help = help();
        for spec in FLAGS {
            for name in spec.names {
                let dashed = format!("{}{name}", dashes(name));
                let listed = help
                    .lines()
                    .any(|line| line.split([' ', ',']).any(|word| word == dashed));
                assert!(listed, "{dashed} is not in the help text");
            }
        }
    }

    /// A user sees in the help text what would be refused.
    #[test]
    fn help_says_what_is_not_built() {
        let refused = FLAGS
            .iter()
            .filter(|spec| matches!(spec.status, Status::Refused(_)));
        assert_eq!(help().matches("(not built yet)").count(), refused.count());
        let tls = help()
            .lines()
            .find(|line| line.contains("--https_port"))
            .map(str::to_owned);
        assert!(tls.is_some_and(|line| line.ends_with("(not built yet)")));
    }

    /// Scripts take the first line apart.
    #[test]
    fn version_has_two_lines() {
        let version = version();
        let lines: Vec<&str> = version.lines().collect();
        assert_eq!(
            lines,
            [
                "nats-server: v2.14.5",
                &format!("pinion: v{}", env!("CARGO_PKG_VERSION"))
            ]
        );
    }
}
