//! A compose file, run without containers on this machine: with its own commands, files and
//! scripts, but other paths and ports.

#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use backing_services_tests::folder::{self, Folder};
use backing_services_tests::process::{Process, find, unprivileged};
use backing_services_tests::{canary, port, postgres};
use compose_spec::Compose;
use serde_json::Value;

/// The output of `template compose`.
pub(crate) fn written(path: &str) -> String {
    written_as(path, path)
}

/// The same for a program that behaves differently under another name.
pub(crate) fn written_as(path: &str, name: &str) -> String {
    let output = Command::new(path)
        .arg0(name)
        .args(["template", "compose"])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    canary::assert_harmless("compose", &text);
    assert!(text.ends_with('\n') && !text.ends_with("\n\n"));
    text
}

/// Parses a compose file into the types of Compose. An unknown field is an error.
pub(crate) fn read(yaml: &str) -> Value {
    let file: Value = serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}"));
    let typed: Compose =
        serde_json::from_value(file.clone()).unwrap_or_else(|error| panic!("{error}"));
    typed.validate_all().unwrap_or_else(|error| panic!("{error}"));
    file
}

/// Interpolates a text as Compose does. Only `${PWD}` may be interpolated.
pub(crate) fn interpolated(text: &str) -> String {
    let text = text.replace("$$", "\u{1}");
    let rest = text.replace("${PWD}", "");
    assert!(!rest.contains('$'), "Compose would put something in: {rest}");
    text.replace('\u{1}', "$")
}

pub(crate) fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| interpolated(text.as_str().unwrap())).collect()
}

/// The folder of the project, with the compose file in it. `prepare` has not run yet.
#[derive(Debug)]
pub(crate) struct Project {
    folder: Folder,
    path: PathBuf,
    pub(crate) name: String,
    pub(crate) file: Value,
    /// The port of each server, and its replacement on this machine.
    ports: Vec<(String, String, String)>,
    /// The printed output so far.
    pub(crate) said: String,
}

impl Project {
    pub(crate) fn new(program: &str) -> Self {
        let file = read(&written(program));
        let folder = Folder::new("compose");
        // The name of the folder has to be quoted.
        let path = folder.path().join("a project");
        fs::create_dir(&path).unwrap();
        folder.own(&path);
        let mut ports = Vec::new();
        for (name, service) in servers(&file) {
            let published = service["ports"][0].as_str().unwrap();
            let published = published
                .strip_prefix("127.0.0.1:")
                .expect("it is published on this machine alone");
            let (outside, inside) = published.split_once(':').unwrap();
            let free = port::free().to_string();
            ports.push((name.to_owned(), inside.to_owned(), free.clone()));
            ports.push((
                name.to_owned(),
                format!("localhost:{outside}"),
                format!("localhost:{free}"),
            ));
        }
        let name = file["name"].as_str().unwrap().to_owned();
        Self { folder, path, name, file, ports, said: String::new() }
    }

    /// The program, as the user whose project it is: a developer, who owns what is prepared.
    pub(crate) fn program(&self, path: &str) -> Command {
        // That user may not reach the folder of the build.
        let copy = self.folder.path().join("program");
        if !copy.exists() {
            fs::copy(path, &copy).unwrap();
            self.folder.own(&copy);
        }
        unprivileged(copy)
    }

    /// Gives a file to the user whose project it is.
    pub(crate) fn own(&self, path: &Path) {
        self.folder.own(path);
    }

    /// The folder into which `prepare` writes.
    pub(crate) fn prepared(&self) -> PathBuf {
        self.path.join(format!(".{}", self.name))
    }

    /// The content of a prepared file.
    pub(crate) fn made(&self, name: &str) -> String {
        fs::read_to_string(self.prepared().join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .trim()
            .to_owned()
    }

    /// The content of a config.
    fn content(&self, name: &str) -> String {
        interpolated(
            self.file["configs"][name]["content"].as_str().unwrap_or_else(|| panic!("{name}")),
        )
    }

    /// Runs the command of the service `prepare`, which gets its folder as from Compose.
    pub(crate) fn prepare(&mut self) -> Output {
        let outside = self.prepared();
        self.prepare_as(&outside)
    }

    pub(crate) fn prepare_as(&mut self, outside: &Path) -> Output {
        let service = self.file["services"]["prepare"].clone();
        assert_eq!(
            service["environment"],
            serde_json::json!({ "FOLDER": format!("${{PWD}}/.{}", self.name) })
        );
        let (path, prepared) =
            (self.path.display().to_string(), self.prepared().display().to_string());
        let given = self.folder.path().join("prepare");
        fs::create_dir_all(&given).unwrap();
        fs::create_dir_all(&prepared).unwrap();
        // The users in the images, and the users on this machine.
        let account = folder::account().unwrap_or_else(|| {
            let own = fs::metadata("/proc/self").unwrap();
            (own.uid(), own.gid())
        });
        let account = format!(" {}:{} ", account.0, account.1);
        let here = |text: &str| {
            let text = text
                .replace("/prepared", &format!("'{prepared}'"))
                .replace("/project", &format!("'{path}'"));
            text.replace("/prepare/", &format!("{}/", given.display()))
        };
        for config in service["configs"].as_array().unwrap() {
            let target = config["target"].as_str().unwrap().strip_prefix("/prepare/").unwrap();
            let mut text = self.content(config["source"].as_str().unwrap());
            match target {
                "servers" => text = text.replace(" 999:999 ", &account).replace(" 0:0 ", &account),
                "env" => {
                    for (_, there, here) in
                        self.ports.iter().filter(|(_, there, _)| there.starts_with("localhost:"))
                    {
                        text = text
                            .replace(&format!("{there}\n"), &format!("{here}\n"))
                            .replace(&format!("{there}/"), &format!("{here}/"));
                    }
                }
                _ => text = here(&text),
            }
            fs::write(given.join(target), text).unwrap();
        }
        let command: Vec<_> = texts(&service["command"]).iter().map(|word| here(word)).collect();
        let mut prepare = Command::new(find(&command[0]));
        prepare
            .args(&command[1..])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("FOLDER", outside)
            .stdin(Stdio::null());
        let output = prepare.output().unwrap();
        for bytes in [&output.stdout, &output.stderr] {
            self.said.push_str(&String::from_utf8_lossy(bytes));
        }
        output
    }

    /// All secrets.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        for (path, ..) in self.files() {
            let text = fs::read_to_string(self.prepared().join(&path)).unwrap_or_default();
            if path.to_ascii_lowercase().ends_with("password") {
                secrets.push(text.trim().to_owned());
            } else if path.ends_with(".key") || path.ends_with("key.pem") {
                // A line of the key itself.
                secrets.push(text.lines().nth(1).unwrap().to_owned());
            }
        }
        secrets
    }

    /// Every prepared file and folder: its path, mode, owner, content, and time of change.
    pub(crate) fn files(&self) -> Vec<(String, u32, u32, Vec<u8>, i64)> {
        fn walk(folder: &Path, root: &Path, files: &mut Vec<(String, u32, u32, Vec<u8>, i64)>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let found = fs::symlink_metadata(&path).unwrap();
                let text = if found.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
                let name = path.strip_prefix(root).unwrap().display().to_string();
                files.push((name, found.mode() & 0o7777, found.uid(), text, found.mtime_nsec()));
                if found.is_dir() {
                    walk(&path, root, files);
                }
            }
        }
        let mut files = Vec::new();
        walk(&self.prepared(), &self.prepared(), &mut files);
        files.sort();
        files
    }

    /// The command of a container, to be run on this machine.
    pub(crate) fn container(&self, name: &str) -> Container {
        let service = self.file["services"][name].clone();
        let folder = Folder::new("container");
        let at = |path: &str| folder.path().join(path.trim_start_matches('/'));
        let mut places = Vec::new();
        for mount in service["volumes"].as_array().unwrap() {
            let target = mount["target"].as_str().unwrap();
            match mount["type"].as_str().unwrap() {
                "bind" => {
                    assert_eq!(mount["source"], format!("./.{}/{name}", self.name));
                    assert_eq!(mount["read_only"], true);
                    let link = at(target);
                    fs::create_dir_all(link.parent().unwrap()).unwrap();
                    symlink(self.prepared().join(name), link).unwrap();
                }
                "volume" => {
                    fs::create_dir_all(at(target)).unwrap();
                    folder.own(&at(target));
                }
                other => panic!("{other}"),
            }
            places.push(target.to_owned());
        }
        fs::create_dir_all(at("/tmp")).unwrap();
        folder.own(&at("/tmp"));
        places.push("/tmp/".to_owned());
        for config in service["configs"].as_array().unwrap() {
            let target = config["target"].as_str().unwrap();
            places.push(Path::new(target).parent().unwrap().display().to_string());
        }
        places.sort();
        places.dedup();
        let mut ports: Vec<_> = self
            .ports
            .iter()
            .filter(|(owner, there, _)| owner == name && !there.contains(':'))
            .cloned()
            .collect();
        // The monitoring port of NATS, for its health check.
        ports.push((name.to_owned(), "8222".to_owned(), port::free().to_string()));
        let container = Container { folder, service, places, ports };
        for config in container.service["configs"].as_array().unwrap() {
            let path = container.at(config["target"].as_str().unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, container.here(&self.content(config["source"].as_str().unwrap())))
                .unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        }
        let programs = container.at("/programs");
        fs::create_dir_all(&programs).unwrap();
        for (there, here) in [("valkey-server", "redis-server"), ("valkey-cli", "redis-cli")] {
            symlink(find(here), programs.join(there)).unwrap();
        }
        container
    }
}

/// The services that are servers.
pub(crate) fn servers(file: &Value) -> impl Iterator<Item = (&str, &Value)> {
    file["services"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| *name != "prepare")
        .map(|(name, service)| (name.as_str(), service))
}

/// A simulated container. Its folders are below a folder of this machine, and its ports are
/// replaced.
#[derive(Debug)]
pub(crate) struct Container {
    folder: Folder,
    service: Value,
    places: Vec<String>,
    ports: Vec<(String, String, String)>,
}

impl Container {
    /// The path on this machine for a path in the container.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The port on this machine.
    pub(crate) fn port(&self) -> &str {
        &self.ports[0].2
    }

    /// A text with the paths and ports of this machine.
    fn here(&self, text: &str) -> String {
        let mut text =
            text.replace("bind * -::*", "bind 127.0.0.1").replace("0.0.0.0", "127.0.0.1");
        text = text.replace("listeners.ssl.default = ", "listeners.ssl.default = 127.0.0.1:");
        for place in &self.places {
            text = text.replace(place, &format!("\u{1}{place}"));
        }
        for (_, there, here) in &self.ports {
            text = text.replace(there, here);
        }
        text.replace('\u{1}', &self.folder.path().display().to_string())
    }

    pub(crate) fn variable(&self, name: &str) -> String {
        interpolated(self.service["environment"][name].as_str().unwrap_or_else(|| panic!("{name}")))
    }

    /// The environment of the container on this machine, with more variables.
    fn environment(&self, more: &[(&str, &str)]) -> Vec<(String, OsString)> {
        let mut environment: Vec<(String, OsString)> = Vec::new();
        if let Some(variables) = self.service["environment"].as_object() {
            environment.extend(variables.iter().map(|(name, value)| {
                (name.clone(), self.here(&interpolated(value.as_str().unwrap())).into())
            }));
        }
        let postgresql = postgres::program("initdb");
        let path = format!(
            "{}:{}:/usr/lib/rabbitmq/bin:/usr/local/sbin:/usr/local/bin:\
             /usr/sbin:/usr/bin:/sbin:/bin",
            self.at("/programs").display(),
            postgresql.parent().unwrap().display()
        );
        environment.push(("PATH".to_owned(), path.into()));
        for (name, value) in more {
            environment.retain(|(other, _)| other != name);
            environment.push(((*name).to_owned(), (*value).into()));
        }
        environment
    }

    /// Starts the command of the container.
    pub(crate) fn start(
        &self,
        name: &'static str,
        before: &[&str],
        more: &[(&str, &str)],
    ) -> Process {
        let mut command: Vec<_> =
            texts(&self.service["command"]).iter().map(|word| self.here(word)).collect();
        command.splice(1..1, before.iter().map(|word| (*word).to_owned()));
        let environment = self.environment(more);
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_os_str())).collect();
        // A signal that stops it at once. After QUIT, PostgreSQL leaves no shared memory behind.
        let signal = if name == "postgres" { "QUIT" } else { "KILL" };
        Process::start(name, signal, self.folder.path(), &environment, command).unwrap()
    }

    /// A program, as it is run by `docker compose exec`.
    pub(crate) fn exec(&self, words: &[&str], more: &[(&str, &str)]) -> Command {
        let mut command = unprivileged("env");
        command
            .arg("--")
            .args(words)
            .envs(self.environment(more))
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// True if its own health check passes.
    pub(crate) fn is_healthy(&self, more: &[(&str, &str)]) -> bool {
        let test: Vec<_> = texts(&self.service["healthcheck"]["test"])
            .iter()
            .map(|word| self.here(word))
            .collect();
        let words: Vec<_> = test.iter().map(String::as_str).collect();
        let mut command = match words[..] {
            ["CMD", "wget", ref words @ ..] => {
                let wget = find("wget").display().to_string();
                self.exec(&[&[wget.as_str()], words].concat(), more)
            }
            ["CMD", ref words @ ..] => self.exec(words, more),
            ["CMD-SHELL", line] => self.exec(&["sh", "-c", line], more),
            _ => panic!("{test:?}"),
        };
        command.output().unwrap().status.success()
    }
}

/// The output of a command, whatever its status.
#[track_caller]
pub(crate) fn tell(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
}

/// The same for a command with standard input.
#[track_caller]
pub(crate) fn tell_of(command: &mut Command, given: &str) -> String {
    use std::io::Write as _;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
}

/// The answer of a server on its port to bytes without TLS.
pub(crate) fn answer(port: &str, said: &[u8]) -> Vec<u8> {
    use std::io::{Read as _, Write as _};
    let mut connection =
        std::net::TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    connection.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    let (mut answer, mut some) = (Vec::new(), [0; 1024]);
    // If the server has already closed the connection, the write may fail.
    let _ = connection.write_all(said);
    while let Ok(count @ 1..) = connection.read(&mut some) {
        answer.extend_from_slice(&some[..count]);
    }
    answer
}
