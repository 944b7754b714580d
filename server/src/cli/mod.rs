//! The command line: flags, words, exit codes.
//!
//! Owns: turning arguments into a [`Command`] or [`Settings`] and doing everything but running the server: help,
//! version, signals to other processes, the doctor's table, `-t`. Not here: the server itself (`main_with` is given it).

pub mod flag_table;
pub mod flags;
pub mod go_syntax;
pub mod settings;
pub mod usage;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

pub use flags::{Command, Flags, UsageError};
pub use settings::{settle, Settings};

use crate::config::load;
use crate::config::load::check;
use crate::preflight::{self, Wanted};
use crate::signals::send::{send, Host};

/// The name in front of messages: the Go server's, whatever this process was started as, because
/// scripts look for it.
pub const PROGRAM: &str = "nats-server";

/// Runs the program with the process's own arguments. `run` is the server: from settings to exit code.
pub fn main_with(run: &mut dyn FnMut(Settings) -> ExitCode) -> ExitCode {
    let mut args = Vec::new();
    for arg in std::env::args_os().skip(1) {
        match arg.into_string() {
            Ok(arg) => args.push(arg),
            Err(arg) => return fail(&format!("argument {arg:?} is not valid UTF-8")),
        }
    }
    match flags::parse(&args) {
        Ok(command) => perform(command, run),
        Err(UsageError::Unreadable(message)) => {
            // The exit code is the Go server's: its help text ends the process before the error can.
            print_error(&message);
            print_out(&usage::help());
            ExitCode::SUCCESS
        }
        Err(UsageError::Refused(message)) => fail(&message),
    }
}

fn perform(command: Command, run: &mut dyn FnMut(Settings) -> ExitCode) -> ExitCode {
    match command {
        Command::Run(flags) => match settle(flags, &read_file, &read_variable) {
            Ok(settings) => run(settings),
            Err(message) => fail(&message),
        },
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
        Command::Signal { command, target } => match send(&Host, &command, &target) {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => fail(&message),
        },
        Command::Doctor(flags) => match settle(flags, &read_file, &read_variable) {
            Ok(settings) => doctor(&settings),
            Err(message) => fail(&message),
        },
        Command::TestConfig { config } => {
            let path = Path::new(&config);
            match check(path, &load(path, &read_file, &read_variable)) {
                Ok(line) => {
                    print_error(&format!("{PROGRAM}: {line}"));
                    ExitCode::SUCCESS
                }
                Err(message) => fail(&message),
            }
        }
    }
}

fn doctor(settings: &Settings) -> ExitCode {
    let mut report = preflight::examine(&Wanted::from_options(&settings.options));
    let store_dir = settings.flags.store.store_dir.as_deref();
    if let Some(directory) = store_dir.filter(|directory| !directory.is_empty()) {
        report.add_store(Path::new(directory));
    }
    print_out(&report.table());
    if report.stops_the_server() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// The machine's files, for the configuration.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    std::fs::read(path)
}

/// The environment, for the configuration.
pub(crate) fn read_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// One line to stderr under the program's name, exit code 1.
pub fn fail(message: &str) -> ExitCode {
    print_error(&format!("{PROGRAM}: {message}"));
    ExitCode::FAILURE
}

/// A reader that went away (`pinion -h | head`) is no reason to fail.
fn print_out(text: &str) {
    io::stdout().write_all(text.as_bytes()).ok();
}

fn print_error(line: &str) {
    io::stderr().write_all(format!("{line}\n").as_bytes()).ok();
}
