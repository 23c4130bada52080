//! Programs and processes.

use std::path::PathBuf;
use std::process::Command;

pub use backing_services_dev::process::{Process, unprivileged};
use backing_services_dev::program::Programs;

/// Runs a command to its end, and returns its output.
///
/// # Panics
/// With all output, if it fails.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    backing_services_dev::process::run(command).unwrap()
}

/// The programs of the servers: those that are installed, or those of the folder `TEST_PROGRAMS`
/// alone, which is another release of one server (`ci/servers`).
#[must_use]
pub fn programs() -> Programs {
    std::env::var_os("TEST_PROGRAMS").map_or_else(Programs::installed, Programs::in_folder)
}

/// The path of a program.
///
/// # Panics
/// If it is not installed. The tests are not skipped.
#[must_use]
#[track_caller]
pub fn find(program: &str) -> PathBuf {
    programs().find(program).unwrap()
}
