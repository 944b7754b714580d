//! One line for what a test run leaves out: it goes past the capture of the test harness.

use std::io::Write;

/// Says that a test is passed over, and why.
pub fn pass_over(reason: &str) {
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    // A closed stderr is no reason to fail.
    writeln!(std::io::stderr(), "passed over: {name}: {reason}").unwrap_or_default();
}
