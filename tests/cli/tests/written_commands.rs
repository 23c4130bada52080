//! Every command that a template or a document contains: a shell's parser splits it, and the
//! program that it calls takes its words.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

mod kiosk;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kiosk::KIOSK;
use serde_json::Value;

const DEPOT: &str = env!("CARGO_BIN_EXE_depot-services");
const ARCADE: &str = env!("CARGO_BIN_EXE_arcade-services");

/// The programs with a command line, by the names that they are called by.
const PROGRAMS: [(&str, &str); 6] = [
    ("kiosk-services", KIOSK),
    ("till-services", KIOSK),
    ("stand-services", KIOSK),
    ("kennel-services", KIOSK),
    ("depot-services", DEPOT),
    ("arcade-services", ARCADE),
];

const KINDS: [&str; 6] =
    ["env", "kubernetes", "servicebinding", "networkpolicy", "systemd", "compose"];

fn template(name: &str, path: &str, kind: &str) -> String {
    let output = Command::new(path).arg0(name).args(["template", kind]).output().unwrap();
    assert!(output.status.success(), "{name}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands in the comments of a template. In its head they are indented. Elsewhere they end a
/// sentence.
fn commands(template: &str) -> Vec<String> {
    let head = template.lines().take_while(|line| line.starts_with('#'));
    let mut commands: Vec<_> =
        head.filter_map(|line| line.strip_prefix("#   ")).map(str::to_owned).collect();
    let again = template.lines().filter_map(|line| line.split_once("this grants it: "));
    commands.extend(again.map(|(_, command)| command.to_owned()));
    commands
}

/// The lines of the shell blocks of a document, and its spans of code that begin with a program.
fn commands_of_document(text: &str) -> Vec<String> {
    const SPANS: [&str; 5] = ["cargo ", "docker compose ", "shop-services ", "openssl ", "./ci/"];
    let mut commands = Vec::new();
    let mut block = false;
    for line in text.lines() {
        let bare = line.trim_start_matches("//! ").trim_start_matches("/// ");
        if bare.starts_with("```") {
            block = bare == "```sh";
        } else if block {
            commands.push(bare.to_owned());
        } else {
            let spans = bare.split('`').skip(1).step_by(2);
            let spans = spans.filter(|span| SPANS.iter().any(|begin| span.starts_with(begin)));
            commands.extend(spans.map(str::to_owned));
        }
    }
    commands
}

/// The names that the words of a command may have.
struct Known {
    /// The services of the compose file.
    services: Vec<String>,
    /// The packages of the workspace, as `cargo metadata` prints them.
    packages: Vec<Value>,
}

impl Known {
    /// Splits a line as a shell does, and checks each of its commands.
    fn check(&self, line: &str) -> Result<(), String> {
        let words = shlex::split(line).ok_or("a shell cannot split it")?;
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        for command in words.split(|word| *word == "&&") {
            let command: Vec<_> = command
                .iter()
                .copied()
                .skip_while(|word| word.split_once('=').is_some_and(|(name, _)| is_variable(name)))
                .filter(|word| !word.starts_with('>'))
                .collect();
            self.check_command(&command)?;
        }
        Ok(())
    }

    fn check_command(&self, words: &[&str]) -> Result<(), String> {
        let service = |name: &str| {
            let is_there = self.services.iter().any(|service| service == name);
            if is_there { Ok(()) } else { Err(format!("no service `{name}`")) }
        };
        match *words {
            ["docker", "compose", "up"]
            | ["docker", "compose", "up", "--wait"]
            | ["docker", "compose", "down", "--volumes"] => Ok(()),
            ["docker", "compose", "run", "--rm", name, ..] => service(name),
            ["docker", "compose", "exec", name, program, ..] if !program.starts_with('-') => {
                service(name)
            }
            ["install", ref options @ .., path] => {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join(path.trim_start_matches('/'));
                succeeds(Command::new("install").args(options).arg(path).stdin(Stdio::null()))
            }
            ["systemd-creds", "encrypt", name, "-", path]
                if name.starts_with("--name=") && path.starts_with('/') =>
            {
                let help = Command::new("systemd-creds").arg("--help").output().unwrap();
                let help = String::from_utf8_lossy(&help.stdout).into_owned();
                let is_known = help.contains("encrypt INPUT OUTPUT") && help.contains("--name=");
                if is_known { Ok(()) } else { Err(help) }
            }
            ["openssl", ref words @ ..] => succeeds(Command::new("openssl").args(words)),
            ["cargo", "mutants", ref words @ ..] => self.check_mutants(words),
            ["cargo", ref words @ ..] => self.check_cargo(words),
            ["bash", script] | [script, ..] if script.contains('/') => is_executable(script),
            [program, ref words @ ..] => {
                // The documents' shop has the same command line, and a field `orders` too.
                let program = if program == "shop-services" { "kiosk-services" } else { program };
                let Some((name, path)) = PROGRAMS.iter().find(|(name, _)| *name == program) else {
                    return Err(format!("no program `{program}`"));
                };
                // Help is printed once everything before it is parsed. What follows `--` is a
                // program with its own arguments.
                let own = words.split(|word| *word == "--").next().unwrap_or_default();
                succeeds(Command::new(path).arg0(name).args(own).arg("--help"))
            }
            [] => Err("no command".to_owned()),
        }
    }

    /// cargo-mutants is not a part of cargo, and has to be installed.
    fn check_mutants(&self, words: &[&str]) -> Result<(), String> {
        let after = |option: &str| {
            let at = words.iter().position(|word| *word == option)?;
            words.get(at + 1).copied()
        };
        let package = after("-p").ok_or("no package")?;
        if !self.packages.iter().any(|candidate| candidate["name"] == package) {
            return Err(format!("no package `{package}`"));
        }
        let file = after("--file").ok_or("no file")?;
        if root().join(file).is_file() { Ok(()) } else { Err(format!("no file `{file}`")) }
    }

    fn check_cargo(&self, words: &[&str]) -> Result<(), String> {
        let [subcommand @ ("build" | "check" | "run" | "test" | "clippy" | "doc"), words @ ..] =
            words
        else {
            return Err("no subcommand of cargo that is known here".to_owned());
        };
        let mut words = words.iter().copied().take_while(|word| *word != "--");
        let (mut package, mut named) = (None, Vec::new());
        while let Some(word) = words.next() {
            match word {
                "-p" => package = words.next(),
                "--bin" | "--example" | "--test" => {
                    named.push((&word[2..], words.next().unwrap_or_default()));
                }
                "--features" => {
                    let features = words.next().unwrap_or_default().split(',');
                    named.extend(features.map(|feature| ("feature", feature)));
                }
                "--all-features" | "--release" | "--workspace" => {}
                word => return Err(format!("cargo {subcommand}: `{word}`")),
            }
        }
        let of_package =
            |candidate: &&Value| package.is_none_or(|package| candidate["name"] == package);
        let candidates: Vec<_> = self.packages.iter().filter(of_package).collect();
        if candidates.is_empty() {
            return Err(format!("no package {package:?}"));
        }
        for (kind, name) in named {
            let has = |candidate: &&Value| match kind {
                "feature" => candidate["features"].get(name).is_some(),
                _ => candidate["targets"].as_array().unwrap().iter().any(|target| {
                    target["name"] == name
                        && target["kind"].as_array().unwrap().iter().any(|own| own == kind)
                }),
            };
            if !candidates.iter().any(has) {
                return Err(format!("no {kind} `{name}` in {package:?}"));
            }
        }
        Ok(())
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

fn succeeds(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn is_executable(script: &str) -> Result<(), String> {
    let found = fs::metadata(root().join(script)).map_err(|error| error.to_string())?;
    if found.permissions().mode() & 0o111 != 0 { Ok(()) } else { Err("not executable".to_owned()) }
}

fn packages() -> Vec<Value> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(root());
    let metadata: Value = serde_json::from_slice(&cargo.output().unwrap().stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn services(compose: &str) -> Vec<String> {
    let file: Value = serde_saphyr::from_str(compose).unwrap();
    file["services"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_command_in_a_template_can_be_typed() {
    for (name, path) in PROGRAMS {
        for kind in KINDS {
            let text = template(name, path, kind);
            let services = if kind == "compose" { services(&text) } else { Vec::new() };
            let known = Known { services, packages: Vec::new() };
            let commands = commands(&text);
            let expected = match kind {
                "compose" => 3,
                "systemd" => 2,
                _ => 0,
            };
            assert!(commands.len() >= expected, "{name}, {kind}: {commands:?}");
            for command in commands {
                known.check(&command).unwrap_or_else(|why| {
                    panic!("{name}, {kind}: {command}: {why}");
                });
            }
        }
    }
}

#[test]
fn every_command_in_a_document_can_be_typed() {
    let mut files: Vec<_> = [
        "README.md", "CONTRIBUTING.md", "SECURITY.md", "cli/src/lib.rs", "examples/shop/src/lib.rs",
    ]
    .map(|name| root().join(name))
    .into();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        files.push(entry.unwrap().path());
    }
    let known = Known { services: Vec::new(), packages: packages() };
    let mut count = 0;
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end != "svg")) {
        for command in commands_of_document(&fs::read_to_string(file).unwrap()) {
            known.check(&command).unwrap_or_else(|why| {
                panic!("{}: {command}: {why}", file.display());
            });
            count += 1;
        }
    }
    assert!(count > 20, "{count} commands");
}

#[test]
fn a_command_that_cannot_be_typed_is_found() {
    let known = Known { services: vec!["orders".to_owned()], packages: packages() };
    for command in [
        "docker compose \"up --wait\"",
        "docker compose run --rm customers",
        "docker compose exec orders",
        "kiosk-services attach --env-fil x",
        "kiosk-services 'attach' 'x",
        "cargo test -p backing-services-nothing",
        "cargo run -p shop --bin shop-service",
        "./ci/tests",
        "install --nothing x y",
    ] {
        assert!(known.check(command).is_err(), "{command}");
    }
}
