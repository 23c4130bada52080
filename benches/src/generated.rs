//! Crates that a benchmark generates and builds with cargo. The cost of a build is the CPU time of
//! cargo and of all processes that it starts.
//!
//! They are below `target/`, with a copy of this workspace's lock file, so that they build the same
//! versions as the workspace. Nothing is generated in the source tree.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::outcome::folder;

/// A crate of a benchmark.
#[derive(Clone, Debug)]
pub struct Generated {
    folder: PathBuf,
    /// Cargo's target directory. If several crates share one, they share their built dependencies.
    target: PathBuf,
}

/// The directory of a benchmark's crates.
#[must_use]
pub fn below_target(benchmark: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| folder().join("../target"), PathBuf::from);
    target.join("benches").join(benchmark)
}

/// The cargo that runs this program.
#[must_use]
pub fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The runtime, as a dependency of a generated crate.
#[must_use]
pub fn runtime(features: &[&str]) -> String {
    let path = folder().join("../backing-services");
    format!(
        "backing-services = {{ path = {path:?}, default-features = false, features = {features:?} \
         }}\n"
    )
}

impl Generated {
    /// Writes a crate: its dependencies in the syntax of Cargo.toml, and the text of `main.rs` or
    /// `lib.rs`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(
        folder: PathBuf,
        target: PathBuf,
        dependencies: &str,
        file: &str,
        text: &str,
    ) -> Result<Self> {
        fs::create_dir_all(folder.join("src"))?;
        let name = folder
            .file_name()
            .map(|name| name.to_string_lossy().replace('.', "_"))
            .unwrap_or_default();
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\
             \n[dependencies]\n{dependencies}\n[profile.release]\nstrip = true\n"
        );
        write_changed(&folder.join("Cargo.toml"), &manifest)?;
        write_changed(&folder.join("src").join(file), text)?;
        let lock = folder.join("Cargo.lock");
        if !lock.exists() {
            fs::copy(crate::outcome::folder().join("../Cargo.lock"), lock)?;
        }
        Ok(Self { folder, target })
    }

    /// Runs cargo in the crate, and returns the user and system CPU seconds of all processes.
    ///
    /// # Errors
    /// If the build fails.
    pub fn cargo(&self, arguments: &[&str]) -> Result<f64> {
        let mut command = Command::new(cargo());
        command.args(arguments).arg("--quiet");
        let before = children()?;
        self.output(command)?;
        Ok(children()? - before)
    }

    /// Runs a cargo command in the crate, and returns its output.
    ///
    /// # Errors
    /// If the command fails.
    pub fn output(&self, mut command: Command) -> Result<Vec<u8>> {
        // Incremental compilation would find nothing to build.
        command
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_INCREMENTAL", "0");
        // Cargo's variables for this process describe this crate. They would make cargo rebuild the
        // other one.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("CARGO_PKG_")
                || name.starts_with("CARGO_MANIFEST_")
                || name == "RUSTFLAGS"
            {
                command.env_remove(name);
            }
        }
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            return Err(format!(
                "{command:?} in {}:\n{}",
                self.folder.display(),
                String::from_utf8_lossy(&output.stderr)
            )
            .into());
        }
        Ok(output.stdout)
    }

    /// As `cargo`, if the dependencies are built and only the crate itself is to be built.
    ///
    /// # Errors
    /// If the build fails.
    pub fn own(&self, command: &str) -> Result<f64> {
        // Cargo builds a file that is newer than its result.
        for file in ["main.rs", "lib.rs"] {
            let path = self.folder.join("src").join(file);
            if path.exists() {
                let text = fs::read(&path)?;
                fs::write(path, text)?;
            }
        }
        self.cargo(&[command])
    }

    /// Removes the target directory.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn clean(&self) -> Result<()> {
        if self.target.exists() {
            fs::remove_dir_all(&self.target)?;
        }
        Ok(())
    }

    /// The path of a built file.
    #[must_use]
    pub fn built(&self, path: &str) -> PathBuf {
        self.target.join(path)
    }

    /// The names and versions of its dependencies, without duplicates.
    ///
    /// # Errors
    /// If `cargo tree` fails.
    pub fn tree(&self) -> Result<Vec<String>> {
        let mut command = Command::new(cargo());
        command.args(["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]);
        let output = self.output(command)?;
        let text = String::from_utf8_lossy(&output);
        let mut crates: Vec<_> = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, rest)| format!("{name} {}", rest.split(' ').next().unwrap_or_default()))
            .collect();
        crates.sort();
        crates.dedup();
        Ok(crates)
    }
}

fn write_changed(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    fs::write(path, text)?;
    Ok(())
}

/// The CPU seconds of all child processes that have been waited for, and of theirs: the 16th and
/// 17th field of `/proc/self/stat`.
fn children() -> Result<f64> {
    // The kernel reports hundredths of a second, regardless of its own clock (USER_HZ).
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field is the program's name in parentheses, and may contain blanks.
    let (_, after) = stat.rsplit_once(')').ok_or("/proc/self/stat cannot be read")?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |at: usize| {
        fields
            .get(at - 3)
            .and_then(|field| field.parse::<f64>().ok())
            .ok_or("/proc/self/stat cannot be read")
    };
    Ok((ticks(16)? + ticks(17)?) / TICKS)
}
