//! The command line: flags, words, exit codes.
//!
//! Owns: turning arguments into a [`Command`] and doing everything but running the server: help, version,
//! signals to other processes, the doctor's table. Not here: starting the server (`boot`), the options.

pub mod flag_table;
pub mod flags;
pub mod go_syntax;
pub mod usage;

use std::io::Write;
use std::process::ExitCode;

pub use flags::{Command, Flags, UsageError};

/// The name in front of messages: the Go server's, whatever this process was started as, because
/// scripts look for it.
pub const PROGRAM: &str = "nats-server";

/// What only the rest of the server can do.
pub trait Actions {
    /// Runs the server until it ends.
    fn run(&mut self, flags: Flags) -> ExitCode;
    /// Checks the configuration file: the line that says it is valid, or what is wrong.
    fn test_config(&mut self, config: &str) -> Result<String, String>;
}

/// Runs the program with the process's own arguments.
pub fn main_with(actions: &mut dyn Actions) -> ExitCode {
    let mut args = Vec::new();
    for arg in std::env::args_os().skip(1) {
        match arg.into_string() {
            Ok(arg) => args.push(arg),
            Err(arg) => return fail(&format!("argument {arg:?} is not valid UTF-8")),
        }
    }
    match flags::parse(&args) {
        Ok(command) => perform(command, actions),
        Err(UsageError::Unreadable(message)) => {
            // The exit code is the Go server's: its help text ends the process before the error can.
            print_error(&message);
            print_out(&usage::help());
            ExitCode::SUCCESS
        }
        Err(UsageError::Refused(message)) => fail(&message),
    }
}

fn perform(command: Command, actions: &mut dyn Actions) -> ExitCode {
    match command {
        Command::Run(flags) => actions.run(flags),
        Command::Help => {
            print_out(&usage::help());
            ExitCode::SUCCESS
        }
        Command::HelpTls => {
            print_out(&usage::help_tls());
            ExitCode::SUCCESS
        }
        Command::Version => {
            print_out(&usage::version());
            ExitCode::SUCCESS
        }
        Command::Signal { command, target } => {
            match crate::signals::send::send(&crate::signals::send::Host, &command, &target) {
                Ok(()) => ExitCode::SUCCESS,
                Err(message) => fail(&message),
            }
        }
        Command::Doctor(_) => {
            let report = crate::preflight::examine(&crate::preflight::Wanted::default());
            print_out(&report.table());
            if report.stops_the_server() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            }
        }
        Command::TestConfig { config } => match actions.test_config(&config) {
            Ok(line) => {
                print_error(&format!("{PROGRAM}: {line}"));
                ExitCode::SUCCESS
            }
            Err(message) => fail(&message),
        },
    }
}

/// One line to stderr under the program's name, exit code 1.
pub fn fail(message: &str) -> ExitCode {
    print_error(&format!("{PROGRAM}: {message}"));
    ExitCode::FAILURE
}

/// A reader that went away (`pinion -h | head`) is no reason to fail.
fn print_out(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).ok();
}

fn print_error(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).ok();
}

/// Runs the program with the process's own arguments.
pub fn main() -> ExitCode {
    main_with(&mut NotBuilt)
}

/// Stands in until the server is joined to the command line.
struct NotBuilt;

impl Actions for NotBuilt {
    fn run(&mut self, _flags: Flags) -> ExitCode {
        fail("running the server is not built yet")
    }

    fn test_config(&mut self, _config: &str) -> Result<String, String> {
        Err("checking a configuration file is not built yet".to_owned())
    }
}
