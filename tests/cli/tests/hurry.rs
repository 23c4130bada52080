//! The first half hour of a developer in a hurry, step by step: an application on axum and sqlx
//! with a `.env` file. Each refusal is followed literally, and leads to the next step.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use backing_services_tests::canary::{ADMIN_PASSWORD, PASSWORD};
use backing_services_tests::pki::Authority;
use backing_services_tests::postgres::{self as server, ADMIN};
use tempfile::TempDir;

const HURRY: &str = env!("CARGO_BIN_EXE_hurry");

/// The folder of the application.
struct Desk {
    folder: TempDir,
    refusals: usize,
}

impl Desk {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["hurry", "hurry-services"] {
            symlink(HURRY, folder.path().join(name)).unwrap();
        }
        Self { folder, refusals: 0 }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the `.env` file, as an editor with a usual `umask` would not: only the own user reads
    /// it.
    fn write_env(&self, locator: &str, password: Option<&str>) {
        let file = self.path().join(".env");
        let _ = fs::remove_file(&file);
        let password = password.map(|word| format!("DATABASE_PASSWORD={word}\n"));
        let text = format!("DATABASE_URL={locator}\n{}", password.unwrap_or_default());
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(file).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let (program, arguments) = words.split_first().unwrap();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path()).env_clear();
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.path().display());
        command.env("PATH", path).stdin(Stdio::null()).stderr(Stdio::piped());
        command.stdout(Stdio::piped()).process_group(0);
        command
    }

    /// Runs a command that is refused, once, with this rule and this help.
    #[track_caller]
    fn refused(&mut self, words: &[&str], rule: &str, help: &str) {
        let output = self.command(words).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{said}");
        assert_eq!(said.matches("error").count(), 1, "{said}");
        assert!(said.contains(rule) && said.contains(help), "{rule}, {help}:\n{said}");
        self.refusals += 1;
    }

    /// Runs a command until the application listens, orders something, and stops it.
    #[track_caller]
    fn serves(&self, words: &[&str]) {
        let mut child = self.command(words).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
        let answers = address.map(|address| {
            ["POST /orders/7", "GET /orders"].map(|request| {
                let mut stream = TcpStream::connect(&address).unwrap();
                let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                stream.write_all(request.as_bytes()).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                answer
            })
        });
        let kill = ["-s", "TERM", "--", &format!("-{}", child.id())];
        assert!(Command::new("kill").args(kill).status().unwrap().success());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        child.wait().unwrap();
        let [ordered, count] = answers.unwrap_or_else(|| panic!("it does not listen:\n{said}"));
        assert!(ordered.starts_with("HTTP/1.1 201 Created"), "{ordered}");
        assert!(count.ends_with("\r\n\r\n1"), "{count}");
    }
}

/// The part of a document that must be there, so that the developer finds it.
#[track_caller]
fn documented(text: &str) {
    let document = include_str!("../../../docs/development.md");
    assert!(document.contains(text), "{text} is not in docs/development.md");
}

/// A server as a package installs it, without TLS, and an empty database.
fn local_server() -> server::Postgres {
    let server = server::Postgres::with(Authority::new("nobody's"), &server::Options::plaintext());
    server.sql("CREATE DATABASE shop");
    server
}

#[test]
fn an_own_server_takes_three_refusals() {
    let (server, mut desk) = (local_server(), Desk::new());
    let port = server.port;

    desk.write_env(&format!("postgres://{ADMIN}@localhost:{port}/shop"), Some(ADMIN_PASSWORD));
    desk.refused(
        &["hurry"],
        "error[opportunistic_tls]: the server refuses TLS",
        "for a server on this machine, a debug build also accepts `sslmode=disable`",
    );
    documented("`postgres://shop@localhost/shop?sslmode=disable`");

    let of = |user: &str| format!("postgres://{user}@localhost:{port}/shop?sslmode=disable");
    desk.write_env(&of(ADMIN), Some(ADMIN_PASSWORD));
    desk.refused(
        &["hurry"],
        "error[superuser_account]: the account is an administrator's",
        "`CREATE ROLE … LOGIN`, `GRANT` it what the application does, and log in as that role",
    );
    documented("an account for the program: `shop-services grants` writes its statements");

    // The role has no tables yet on which it could be granted anything.
    server.sql(&format!("CREATE ROLE shop_orders LOGIN PASSWORD '{PASSWORD}'"));
    desk.write_env(&of("shop_orders"), Some(PASSWORD));
    desk.refused(
        &["hurry"],
        "error[missing_privileges]: the account lacks ",
        "First run the migrations",
    );

    server.script("shop", "CREATE TABLE orders (id bigint PRIMARY KEY)");
    let grants = desk.command(&["hurry-services", "grants", "orders"]).output().unwrap();
    let grants = String::from_utf8(grants.stdout).unwrap();
    // The role is there already.
    let (create, grants): (Vec<_>, Vec<_>) =
        grants.lines().partition(|line| line.starts_with("CREATE ROLE \"shop_orders\""));
    assert_eq!(create.len(), 1);
    server.script("shop", &grants.join("\n"));
    desk.serves(&["hurry"]);
    assert_eq!(desk.refusals, 3);
}

#[test]
fn an_own_server_and_its_administrator_take_two_refusals() {
    let (server, mut desk) = (local_server(), Desk::new());
    let locator = format!("postgres://{ADMIN}@localhost:{}/shop", server.port);
    // As many tutorials have it.
    desk.write_env(&format!("{locator}?sslmode=prefer"), Some(ADMIN_PASSWORD));
    let (rule, help) = ("error[opportunistic_tls]", "help: remove the parameter");
    desk.refused(&["hurry", "waiving"], rule, help);
    desk.write_env(&locator, Some(ADMIN_PASSWORD));
    desk.refused(&["hurry", "waiving"], rule, "a debug build also accepts `sslmode=disable`");
    documented(
        "allow(superuser_account, weak_password, reason = \"a developer's server\", debug_only)",
    );
    desk.write_env(&format!("{locator}?sslmode=disable"), Some(ADMIN_PASSWORD));
    server.script("shop", "CREATE TABLE orders (id bigint PRIMARY KEY)");
    desk.serves(&["hurry", "waiving"]);
    assert_eq!(desk.refusals, 2);
}

#[test]
fn servers_by_the_command_line_take_one_refusal() {
    let mut desk = Desk::new();
    documented("`dev -- cargo run` runs the program");
    desk.refused(
        &["hurry-services", "dev", "--", "hurry"],
        "error: `orders`: its account cannot get what it `needs`.",
        "run the migrations first: `--migrate 'sqlx migrate run'`",
    );
    let migrate = r#"
        url=$DATABASE_URL; rest=${url#*//administrator:}; export PGPASSWORD="${rest%%@*}"
        psql -X -q "postgres://administrator@${rest#*@}" \
            -c 'CREATE TABLE orders (id bigint PRIMARY KEY)'
    "#;
    desk.serves(&["hurry-services", "dev", "--migrate", migrate, "--", "hurry"]);
    assert_eq!(desk.refusals, 1);
}

#[test]
fn a_file_of_sqlite_takes_one_refusal() {
    let mut desk = Desk::new();
    desk.write_env("sqlite:orders.db", None);
    desk.refused(
        &["hurry", "sqlite"],
        "error[malformed_locator]: its path is not absolute",
        "write it as `sqlite:///path/to/file`",
    );
    documented("`SHOP_ORDERS_URL=sqlite:///home/ada/shop/orders.db`");
    desk.write_env(&format!("sqlite://{}/orders.db", desk.path().display()), None);
    desk.serves(&["hurry", "sqlite"]);
    assert_eq!(desk.refusals, 1);
}
