//! Figures from a counting allocator. It is in `guard`, a separate program, so that it does not
//! slow down the time measurements.

use std::process::Command;

use crate::generated::cargo;
use crate::{Result, outcome::folder};

/// Builds and runs `guard`, and returns the numbers that it prints.
///
/// # Errors
/// If it cannot be built, or fails.
pub fn taken(what: &str, arguments: &[&str], variables: &[(&str, String)]) -> Result<Vec<f64>> {
    let mut command = Command::new(cargo());
    command
        .args(["run", "--quiet", "--release", "-p", "benches", "--bin", "guard", "--", what])
        .args(arguments);
    command.current_dir(folder()).envs(variables.iter().map(|(name, value)| (name, value)));
    // Cargo's variables for this process describe the running crate. They would make cargo run
    // build scripts again.
    let told = |name: &str| {
        name.starts_with("CARGO_") && !["CARGO_HOME", "CARGO_TARGET_DIR"].contains(&name)
    };
    for (name, _) in std::env::vars().filter(|(name, _)| told(name)) {
        command.env_remove(name);
    }
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("`guard {what}` failed").into());
    }
    String::from_utf8(output.stdout)?.split_whitespace().map(|number| Ok(number.parse()?)).collect()
}
