//! The programs of the servers, and the packages that they are in.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::DevError;

/// A program, and its package in Debian, Homebrew and Fedora.
const PACKAGES: [(&str, [&str; 3]); 20] = [
    ("initdb", ["postgresql", "postgresql@18", "postgresql-server"]),
    ("pg_isready", ["postgresql", "postgresql@18", "postgresql"]),
    ("postgres", ["postgresql", "postgresql@18", "postgresql-server"]),
    ("psql", ["postgresql", "postgresql@18", "postgresql"]),
    ("pgbouncer", ["pgbouncer", "pgbouncer", "pgbouncer"]),
    ("mariadb", ["mariadb-server", "mariadb", "mariadb-server"]),
    ("mariadb-admin", ["mariadb-server", "mariadb", "mariadb-server"]),
    ("mariadb-dump", ["mariadb-server", "mariadb", "mariadb-server"]),
    ("mariadb-install-db", ["mariadb-server", "mariadb", "mariadb-server"]),
    ("mariadbd", ["mariadb-server", "mariadb", "mariadb-server"]),
    ("redis-cli", ["redis-server", "redis", "valkey"]),
    ("redis-server", ["redis-server", "redis", "valkey"]),
    ("epmd", ["rabbitmq-server", "rabbitmq", "rabbitmq-server"]),
    ("rabbitmq-server", ["rabbitmq-server", "rabbitmq", "rabbitmq-server"]),
    ("rabbitmqctl", ["rabbitmq-server", "rabbitmq", "rabbitmq-server"]),
    ("nats-server", ["nats-server", "nats-server", "nats-server"]),
    ("exim4", ["exim4-daemon-light", "exim", "exim"]),
    ("etcd", ["etcd-server", "etcd", "etcd"]),
    ("etcdctl", ["etcd-client", "etcd", "etcd"]),
    ("openssl", ["openssl", "openssl@3", "openssl"]),
];

/// The other names of a program.
const OTHER_NAMES: [(&str, &str); 3] =
    [("redis-server", "valkey-server"), ("redis-cli", "valkey-cli"), ("exim4", "exim")];

/// The folders that are searched after those of the path: a user's path often lacks `sbin`.
const FOLDERS: [&str; 6] = [
    "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/opt/homebrew/bin",
    "/opt/homebrew/sbin",
];

/// The folders of PostgreSQL's releases: Debian's and Homebrew's.
const RELEASES: [&str; 3] = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"];

/// The scripts in RabbitMQ's own folder. Those on the path check the user that runs them.
const RABBITMQ: &str = "/usr/lib/rabbitmq/bin";

/// The places of the servers' programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Programs {
    /// Empty for those of the machine.
    folder: Option<PathBuf>,
}

impl Programs {
    /// Those that are installed on the machine: of PostgreSQL the newest release, then those on the
    /// path, then those in the usual folders.
    #[must_use]
    pub const fn installed() -> Self {
        Self { folder: None }
    }

    /// Those in this folder alone, such as another release of a server.
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()) }
    }

    /// The path of a program.
    ///
    /// # Errors
    /// If it is not there: the message names the package that has it.
    pub fn find(&self, program: &str) -> Result<PathBuf, DevError> {
        let other = OTHER_NAMES.iter().find(|(name, _)| *name == program).map(|(_, other)| *other);
        let folders = match &self.folder {
            Some(folder) => vec![folder.clone()],
            None => installed(program),
        };
        [Some(program), other]
            .into_iter()
            .flatten()
            .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
            .find(|path| path.is_file())
            .ok_or_else(|| missing(program, self.folder.as_deref()))
    }
}

/// The folders that may have a program, in order.
fn installed(program: &str) -> Vec<PathBuf> {
    let mut folders = match program {
        "initdb" | "pg_isready" | "postgres" | "psql" => releases(),
        "rabbitmq-server" | "rabbitmqctl" => vec![PathBuf::from(RABBITMQ)],
        _ => Vec::new(),
    };
    folders.extend(env::var_os("PATH").iter().flat_map(env::split_paths));
    folders.extend(FOLDERS.map(PathBuf::from));
    folders
}

/// The folders of PostgreSQL's releases, the newest first.
fn releases() -> Vec<PathBuf> {
    let mut folders: Vec<_> = RELEASES
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| folder.join("postgres").is_file())
        .collect();
    folders.sort_by_key(|folder| {
        let digits: String =
            folder.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        std::cmp::Reverse(digits.parse().unwrap_or(0_u32))
    });
    folders
}

fn missing(program: &str, folder: Option<&Path>) -> DevError {
    let place = match folder {
        Some(folder) => format!("not in {}", folder.display()),
        None => "not installed".to_owned(),
    };
    let packages = PACKAGES.iter().find(|(name, _)| *name == program);
    let how = packages.map_or_else(String::new, |(_, [debian, homebrew, fedora])| {
        format!(
            ". Install it. Debian: apt-get install {debian}; Homebrew: brew install {homebrew}; \
             Fedora: dnf install {fedora}"
        )
    });
    DevError::new(format!("`{program}` is {place}{how}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_packages() {
        let nowhere = Programs::in_folder("/nonexistent");
        for (program, packages) in PACKAGES {
            let error = nowhere.find(program).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{program}` is not in /nonexistent. ")), "{error}");
            for (command, package) in
                ["apt-get install", "brew install", "dnf install"].iter().zip(packages)
            {
                assert!(error.contains(&format!("{command} {package}")), "{error}");
            }
        }
    }

    #[test]
    fn an_unknown_program_is_missing_too() {
        let error = Programs::installed().find("no-such-program").unwrap_err();
        assert_eq!(error.to_string(), "`no-such-program` is not installed");
    }

    #[test]
    fn a_program_is_found_by_its_other_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("valkey-server"), "").unwrap();
        let found = Programs::in_folder(folder.path()).find("redis-server").unwrap();
        assert_eq!(found, folder.path().join("valkey-server"));
    }
}
