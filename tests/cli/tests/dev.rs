//! `dev`: real servers until a signal, or until a program ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot do what it should has to stop, there and loudly"
)]

mod kiosk;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use kiosk::{Said, kiosk, said};
use tempfile::TempDir;

/// Starts no server for these: they take long, are a second database, or depend on a feature.
const LESS: [&str; 12] = [
    "--without", "feeds.deliveries", "--without", "feeds.prices", "--without", "feeds.editions",
    "--without", "pictures", "--without", "mail", "--without", "notes",
];

/// Makes the table with `psql`, whose arguments hold no password, and keeps the locator.
const MIGRATE: &str = r#"
umask 077; printf %s "$DATABASE_URL" >admin
test "$DATABASE_URL" = "$DATABASE_ADMIN_URL" || exit 1
url=$DATABASE_URL; rest=${url#*//administrator:}; export PGPASSWORD="${rest%%@*}"
psql -X -q "postgres://administrator@${rest#*@}" -c 'CREATE TABLE orders (id bigint)' || exit
echo "orders is made by $DATABASE_URL"
"#;

/// A run of `dev` in a folder of its own, and in a process group of its own, as in a terminal.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    fn start(folder: &Path, command: &mut Command) -> Self {
        let command = command.current_dir(folder).process_group(0).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// Reads standard output up to a line that begins so, and returns all of it.
    fn read_until(&mut self, begin: &str) -> String {
        let mut text = String::new();
        loop {
            let before = text.len();
            if self.out.read_line(&mut text).unwrap() == 0 {
                let mut err = String::new();
                self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
                panic!("it ended before `{begin}`:\n{text}\n{err}");
            }
            if text[before..].starts_with(begin) {
                return text;
            }
        }
    }

    /// Sends a signal, to the whole group as a terminal does, or to the process alone.
    fn signal(&self, signal: &str, is_for_all: bool) {
        let pid = format!("{}{}", if is_for_all { "-" } else { "" }, self.child.id());
        let kill = Command::new("kill").args(["-s", signal, "--", &pid]).status().unwrap();
        assert!(kill.success());
    }

    /// Waits for the end, and returns the status and the rest of the output.
    fn end(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value of a variable in a file of variables.
fn value<'a>(env: &'a str, name: &str) -> &'a str {
    let line = env.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("no {name} in the file")).trim_matches('\'')
}

fn port(locator: &str) -> u16 {
    let (_, behind) = locator.split_once("localhost:").unwrap();
    behind.split(['/', '?']).next().unwrap().parse().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Waits until it is true.
#[track_caller]
fn eventually(what: &str, is_true: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_true() {
        assert!(begin.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The arguments of all processes of the machine.
fn arguments_of_all() -> String {
    let lines = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let line = fs::read(entry.unwrap().path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Another name of the program.
fn called(name: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = kiosk(arguments);
    command.arg0(name).current_dir(folder);
    command
}

#[test]
fn the_servers_run_until_an_interrupt_and_their_file_attaches() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    // The account of the servers may not enter it, if this is root.
    fs::set_permissions(at, fs::Permissions::from_mode(0o700)).unwrap();
    let mut dev = kiosk(&["dev", "--migrate", MIGRATE]);
    let mut running = Running::start(at, dev.args(LESS));
    let shown = running.read_until("  kiosk-services attach");
    let env = fs::read_to_string(at.join(".kiosk/env")).unwrap();
    let (orders, sessions) = (value(&env, "DATABASE_URL"), value(&env, "KIOSK_SESSIONS_URL"));
    for line in [
        "migrating\n         orders is made by postgres://administrator:…@localhost:",
        "\nmigrated\n",
        &format!("running  orders            PostgreSQL  {orders}, as kiosk_orders_"),
        &format!("running  sessions          Redis       {sessions}, as kiosk_sessions_"),
        "absent   feeds.editions    NATS        KIOSK_FEEDS_EDITIONS_URL\n",
        "absent   payments          HTTPS       KIOSK_PAYMENTS_URL\n",
        "\nrunning: `Services` has 2 servers, until an interrupt. Its variables are in \
         .kiosk/env:\n",
        "\n  kiosk-services attach --env-file .kiosk/env\n",
    ] {
        assert!(shown.contains(line), "{line} is not in:\n{shown}");
    }

    // The file attaches, and no one else can read it.
    assert_eq!((mode(&at.join(".kiosk")), mode(&at.join(".kiosk/env"))), (0o700, 0o600));
    let attach = said(kiosk(&["attach", "--env-file", ".kiosk/env"]).current_dir(at));
    assert_eq!((attach.status, attach.err.as_str()), (0, ""), "{}", attach.out);
    for part in ["passed   orders ", "passed   sessions ", ", as kiosk_orders_"] {
        assert!(attach.out.contains(part), "{part} is not in:\n{}", attach.out);
    }
    // A shell reads it too.
    let script = "set -a; . ./.kiosk/env; exec printenv DATABASE_URL";
    let shell = Command::new("sh").args(["-c", script]).current_dir(at).output().unwrap();
    assert_eq!(String::from_utf8(shell.stdout).unwrap().trim(), orders);

    // No password is in the output, or in the arguments of a process.
    let admin = fs::read_to_string(at.join("admin")).unwrap();
    let (_, behind) = admin.split_once("administrator:").unwrap();
    let mut secrets = vec![behind.split_once('@').unwrap().0, value(&env, "KIOSK_RECEIPT_KEY")];
    secrets.extend(["DATABASE_PASSWORD", "KIOSK_SESSIONS_PASSWORD"].map(|name| value(&env, name)));
    let all = arguments_of_all();
    for secret in &secrets {
        assert!(secret.len() == 48 && !shown.contains(secret) && !all.contains(secret));
    }

    // Another one in the same folder changes nothing.
    let second = said(kiosk(&["dev"]).current_dir(at));
    let why = "error: another `dev` runs in this folder, and uses `.kiosk`: stop it first\n";
    assert_eq!(second, Said { status: 2, out: String::new(), err: why.to_owned() });
    assert_eq!(fs::read_to_string(at.join(".kiosk/env")).unwrap(), env);

    // The interrupt of a terminal stops all of it.
    let is_there = |port| TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert!([orders, sessions].map(port).into_iter().all(is_there));
    running.signal("INT", true);
    let (status, rest) = running.end();
    assert_eq!((status.code(), rest.as_str()), (Some(130), "\nstopping the servers\n"));
    assert!(!at.join(".kiosk").exists());
    assert!(![orders, sessions].map(port).into_iter().any(is_there));
    let (_, authority) = admin.split_once("sslrootcert=").unwrap();
    let temporary = Path::new(authority).parent().and_then(Path::parent).unwrap();
    assert!(temporary.starts_with("/tmp") && temporary != Path::new("/tmp"));
    eventually("the temporary folder is gone", || !temporary.exists());
}

/// Two servers that start quickly.
const QUICK: [&str; 10] = [
    "--without", "feeds.deliveries", "--without", "feeds.prices", "--without", "feeds.editions",
    "--without", "pictures", "--without", "mail",
];

/// A migration that may run again, as those of every tool.
const AGAIN: &str = r#"
url=$DATABASE_ADMIN_URL; rest=${url#*//administrator:}; export PGPASSWORD="${rest%%@*}"
psql -X -q "postgres://administrator@${rest#*@}" -c 'CREATE TABLE IF NOT EXISTS orders (id bigint)'
"#;

/// Adds a row as the program's account, and prints the number of rows, and the program's secret.
const ADD: &str = r#"
export PGUSER="$DATABASE_USER" PGPASSWORD="$DATABASE_PASSWORD" PGSSLMODE=verify-full
printf %s "$DATABASE_CA" >authority; export PGSSLROOTCERT="$PWD/authority"
psql -X -q -A -t "$DATABASE_URL" -c 'INSERT INTO orders VALUES (7)' || exit
echo "$(psql -X -q -A -t "$DATABASE_URL" -c 'SELECT count(*) FROM orders') $KIOSK_RECEIPT_KEY"
"#;

/// Runs the program above under `dev --keep`. It may stay until it is ended.
fn keeping(then: &str) -> Command {
    let mut command = kiosk(&["dev", "--keep", "--migrate", AGAIN]);
    command.args(QUICK).args(["--", "sh", "-c", &format!("{ADD}\n{then}")]);
    command
}

#[test]
fn data_are_kept_between_runs_and_after_a_kill() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    // The account of root's servers has to enter it.
    fs::set_permissions(at, fs::Permissions::from_mode(0o711)).unwrap();
    let first = said(keeping("").current_dir(at));
    assert_eq!(first.status, 0, "{first:?}");
    let secret = first.out.strip_prefix("1 ").unwrap_or_else(|| panic!("{first:?}")).to_owned();

    // The data are there, no other user lists them, Git leaves them out, and no variable is left.
    let own = at.join(".kiosk");
    let names = |folder: &Path| {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&own), [".gitignore", "data"]);
    assert_eq!(fs::read_to_string(own.join(".gitignore")).unwrap(), "*\n");
    let servers = ["owner", "postgres", "redis-sessions", "secrets", "sqlite-notes"];
    assert_eq!(names(&own.join("data")), servers);
    for folder in [own.clone(), own.join("data"), own.join("data/postgres")] {
        assert_eq!(mode(&folder) & 0o066, 0, "{folder:?}");
    }
    assert_eq!(mode(&own.join("data/postgres/data")), 0o700);

    // It is killed, and the next run begins at once.
    let mut running = Running::start(at, &mut keeping("sleep 600"));
    running.read_until(&format!("2 {}", secret.trim()));
    let second = said(kiosk(&["dev", "--keep"]).current_dir(at));
    let why = "error: another `dev` runs in this folder, and uses `.kiosk`: stop it first\n";
    assert_eq!(second, Said { status: 2, out: String::new(), err: why.to_owned() });
    running.signal("KILL", true);
    drop(running);
    let third = said(keeping("").current_dir(at));
    assert_eq!((third.status, third.out), (0, format!("3 {secret}")), "{}", third.err);
    assert_eq!(names(&own), [".gitignore", "data"]);

    // Without the option, the data stay as they are.
    let mut dev = kiosk(&["dev", "--migrate", AGAIN]);
    let fresh = said(dev.args(QUICK).args(["--", "sh", "-c", ADD]).current_dir(at));
    assert!(fresh.status == 0 && fresh.out.starts_with("1 "), "{fresh:?}");
    assert_eq!(names(&own), [".gitignore", "data"]);

    // Data of another release: the next step is in the message.
    fs::write(own.join("data/postgres/release"), "PostgreSQL 9\n").unwrap();
    let refused = said(keeping("").current_dir(at));
    let begin = "error: `orders`: `.kiosk/data/postgres` has the data of PostgreSQL 9, and the \
                 installed server is PostgreSQL ";
    let end = "move the folder away, or remove it with all of its data: rm -r \
               .kiosk/data/postgres\n";
    assert!(refused.err.starts_with(begin) && refused.err.ends_with(end), "{}", refused.err);
    assert_eq!((refused.status, refused.out.as_str()), (2, ""));
}

#[test]
fn a_closed_terminal_ends_it_and_leaves_nothing() {
    for (signal, status) in [("HUP", 129), ("QUIT", 131), ("TERM", 143)] {
        let folder = TempDir::new().unwrap();
        let mut dev = called("till-services", folder.path(), &["dev"]);
        let mut running = Running::start(folder.path(), &mut dev);
        let shown = running.read_until("running  orders");
        let port = port(shown.trim_end());
        running.read_until("  till-services attach");
        running.signal(signal, true);
        let (ended, rest) = running.end();
        assert_eq!(ended.code(), Some(status), "{signal}: {rest}");
        assert!(!folder.path().join(".till").exists(), "{signal}");
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "{signal}");
    }
}

/// A folder with a name of the program that starts no server.
fn stand() -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    std::os::unix::fs::symlink(kiosk::KIOSK, folder.path().join("stand-services")).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    (folder, path)
}

#[test]
fn the_end_of_its_terminal_ends_it() {
    let (folder, path) = stand();
    // The terminal ends with `script`.
    let mut script = Command::new("script");
    script.args(["--quiet", "--command", "exec stand-services dev", "/dev/null"]);
    script.env_clear().env("PATH", path).env("SHELL", "/bin/sh").current_dir(folder.path());
    script.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut terminal = script.spawn().unwrap();
    let env = folder.path().join(".stand/env");
    eventually("the file is there", || env.exists());
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    eventually("the file goes with the terminal", || !env.exists());
}

#[test]
fn a_program_that_nohup_starts_outlives_its_terminal() {
    let (folder, path) = stand();
    let mut dev = Command::new("sh");
    dev.args(["-c", "trap '' HUP; exec stand-services dev"]).env_clear().env("PATH", path);
    let mut running = Running::start(folder.path(), &mut dev);
    running.read_until("  stand-services attach");
    running.signal("HUP", true);
    std::thread::sleep(Duration::from_millis(500));
    assert!(folder.path().join(".stand/env").exists());
    running.signal("TERM", true);
    assert_eq!(running.end().0.code(), Some(143));
    assert!(!folder.path().join(".stand").exists());
}

#[test]
fn a_program_has_the_variables_and_its_exit_status_is_that_of_dev() {
    let folder = TempDir::new().unwrap();
    let script = "test -n \"$DATABASE_PASSWORD\" && test -z \"$DATABASE_CA_FILE\" && \
                  case $DATABASE_CA in -----BEGIN*) echo \"$DATABASE_URL\"; exit 7; esac";
    let said = said(
        called("till-services", folder.path(), &["dev", "--", "sh", "-c", script])
            // It has no locator, so it is left out.
            .env("DATABASE_CA_FILE", "/nonexistent"),
    );
    assert_eq!(said.status, 7, "{said:?}");
    // Standard output is the program's.
    assert!(said.out.starts_with("postgres://localhost:") && said.out.lines().count() == 1);
    let line = format!("running  orders  PostgreSQL  {}, as till_orders_", said.out.trim());
    assert!(said.err.starts_with(&line), "{}", said.err);
    assert!(TcpStream::connect(("127.0.0.1", port(said.out.trim()))).is_err());
    assert!(!folder.path().join(".till").exists());
}

#[test]
fn a_resource_whose_locator_is_given_gets_no_server() {
    let folder = TempDir::new().unwrap();
    let script = "echo $DATABASE_URL; cat .till/env";
    let given = said(
        called("till-services", folder.path(), &["dev", "--", "sh", "-c", script])
            .env("DATABASE_URL", "postgres://till@db.internal/till?application_name=it's"),
    );
    let own = "postgres://till@db.internal/till?application_name=it's\n";
    assert_eq!(given.status, 0, "{given:?}");
    assert!(given.out.starts_with(own), "{}", given.out);
    assert!(given.out.ends_with(&format!("\nDATABASE_URL=\"{}\"\n", own.trim())), "{}", given.out);
    assert!(given.err.starts_with("given    orders  PostgreSQL  DATABASE_URL\n"), "{}", given.err);
    assert!(given.err.contains("\nrunning: `Till` has 0 servers, "), "{}", given.err);
}

#[test]
fn a_signal_goes_on_to_the_program_and_a_second_one_kills_it() {
    let folder = TempDir::new().unwrap();
    let stubborn = "trap '' TERM INT; echo up; while :; do sleep 0.1; done";
    let polite = "trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done";
    let plain = "echo up; while :; do sleep 0.1; done";
    for (script, signals, expected) in [
        (polite, &["TERM"][..], 9),
        (plain, &["TERM"], 143),
        (plain, &["INT"], 130),
        (plain, &["QUIT"], 131),
        // SIGHUP is a request to read the configuration again for many programs. The system and the
        // shell may both send it.
        (polite, &["HUP", "HUP"], 9),
        (plain, &["HUP"], 143),
        (stubborn, &["TERM", "TERM"], 137),
    ] {
        let mut dev = called("stand-services", folder.path(), &["dev", "--", "sh", "-c", script]);
        let mut running = Running::start(folder.path(), &mut dev);
        running.read_until("up");
        for signal in signals {
            running.signal(signal, false);
            std::thread::sleep(Duration::from_millis(500));
        }
        let (status, rest) = running.end();
        assert_eq!(status.code(), Some(expected), "{script}: {rest}");
    }
}

#[test]
fn a_migration_of_mariadb_has_an_administrator_s_locator() {
    let folder = TempDir::new().unwrap();
    // `mariadb` takes no locator. Its password is in no argument.
    let migrate = r#"
        url=$KIOSK_FEEDS_PRICES_ADMIN_URL; rest=${url#mysql://}; account=${rest%%@*}
        place=${rest#*@localhost:}; database=${place#*/}; ca=${url#*ssl-ca=}
        umask 077; printf '[client]\nuser=%s\npassword=%s\nhost=127.0.0.1\nport=%s\nssl-ca=%s\n' \
            "${account%%:*}" "${account#*:}" "${place%%/*}" "$ca" >admin.cnf
        case $url in *'?ssl-mode=VERIFY_IDENTITY&ssl-ca='*) ;; *) exit 3; esac
        test -z "$DATABASE_URL" || exit 4
        mariadb --defaults-file=admin.cnf "${database%%\?*}" \
            -e 'CREATE TABLE prices (id int)' || exit
        echo "prices are made by $url"
        url=$DATABASE_ADMIN_URL; rest=${url#*//administrator:}; export PGPASSWORD="${rest%%@*}"
        psql -X -q "postgres://administrator@${rest#*@}" -c 'CREATE TABLE orders (id bigint)'
    "#;
    // The account of the program reads the new table, and does no more.
    let program = r#"
        printf %s "$KIOSK_FEEDS_PRICES_CA" >authority; place=${KIOSK_FEEDS_PRICES_URL#*localhost:}
        umask 077
        printf '[client]\nuser=%s\npassword=%s\nhost=127.0.0.1\nport=%s\nssl-ca=authority\n' \
            "$KIOSK_FEEDS_PRICES_USER" "$KIOSK_FEEDS_PRICES_PASSWORD" "${place%%/*}" >own.cnf
        mariadb --defaults-file=own.cnf "${place#*/}" -e 'SELECT count(*) FROM prices' || exit
        ! mariadb --defaults-file=own.cnf "${place#*/}" -e 'DROP TABLE prices' 2>/dev/null
    "#;
    let mut dev = kiosk(&["dev", "--migrate", migrate, "--without", "feeds.deliveries"]);
    dev.args(["--without", "feeds.editions", "--without", "pictures", "--without", "mail"]);
    dev.args(["--without", "sessions", "--without", "notes", "--", "sh", "-c", program]);
    let said = said(dev.current_dir(folder.path()));
    assert_eq!((said.status, said.out.as_str()), (0, "count(*)\n0\n"), "{}", said.err);
    let made = "         prices are made by mysql://administrator:…@localhost:";
    assert!(said.err.contains(made), "{}", said.err);
}

#[test]
fn the_output_of_migrations_is_shown_as_it_comes() {
    let folder = TempDir::new().unwrap();
    let migrate = "echo first; while ! test -e go; do sleep 0.1; done; echo last";
    let mut dev = called("till-services", folder.path(), &["dev", "--migrate", migrate]);
    let mut running = Running::start(folder.path(), &mut dev);
    running.read_until("         first");
    fs::write(folder.path().join("go"), "").unwrap();
    running.read_until("         last");
    running.read_until("migrated");
    running.read_until("  till-services attach");
    running.signal("TERM", true);
    assert_eq!(running.end().0.code(), Some(143));
}

#[test]
fn a_migration_that_fails_ends_the_run_with_its_text() {
    let folder = TempDir::new().unwrap();
    let migrate = "echo no such luck with $DATABASE_URL >&2; exit 4";
    let failed = said(&mut called("till-services", folder.path(), &["dev", "--migrate", migrate]));
    let shown = "migrating\n         no such luck with postgres://administrator:…@localhost:";
    assert!(failed.status == 2 && failed.out.starts_with(shown), "{failed:?}");
    assert_eq!(failed.out.lines().count(), 2);
    let begin = format!(
        "error: the migrations: `{migrate}` failed (exit status: 4):\nno such luck with \
         postgres://administrator:…@localhost:"
    );
    assert!(failed.err.starts_with(&begin), "{}", failed.err);
    assert!(!folder.path().join(".till").exists());

    // Without migrations, the error names them.
    let failed =
        said(kiosk(&["dev", "--without", "sessions"]).args(LESS).current_dir(folder.path()));
    assert_eq!(failed.status, 2, "{failed:?}");
    let help = "run the migrations first: `--migrate 'sqlx migrate run'`";
    let begin = "error: `orders`: its account cannot get what it `needs`. ";
    assert!(failed.err.starts_with(begin) && failed.err.contains(help), "{}", failed.err);

    // There is nothing to migrate.
    let failed = said(&mut called("stand-services", folder.path(), &["dev", "--migrate", "true"]));
    let why = "error: no resource has a database here that migrations could change\n";
    assert_eq!(failed, Said { status: 2, out: String::new(), err: why.to_owned() });
}

#[test]
fn what_has_no_server_is_named_with_its_variable() {
    let folder = TempDir::new().unwrap();
    let failed = Command::new(env!("CARGO_BIN_EXE_depot-services"))
        .arg("dev")
        .env_clear()
        .current_dir(folder.path())
        .output()
        .unwrap();
    let err = String::from_utf8(failed.stderr).unwrap();
    assert_eq!((failed.status.code(), failed.stdout.len()), (Some(2), 0), "{err}");
    for part in [
        "error: `customs` leads to customs.example alone, and a server here is none: give its \
         locator: set `DEPOT_CUSTOMS_URL` in the environment\n",
        "`gates` has no default: give it a value: set `DEPOT_GATES` in the environment\n",
    ] {
        assert!(err.contains(part), "{err}");
    }
    assert!(!err.contains("with_variable"), "{err}");
}

#[test]
fn a_file_of_another_origin_is_kept() {
    let folder = TempDir::new().unwrap();
    let (own, env) = (folder.path().join(".stand"), folder.path().join(".stand/env"));
    fs::create_dir(&own).unwrap();
    fs::write(&env, "STAND_PLACE=here\n").unwrap();
    let run =
        || said(&mut called("stand-services", folder.path(), &["dev", "--", "cat", ".stand/env"]));
    let refused = run();
    let why = "error: `.stand/env` was not written by `dev`, which would replace it: move it away \
               first\n";
    assert_eq!(refused, Said { status: 2, out: String::new(), err: why.to_owned() });
    assert_eq!(fs::read_to_string(&env).unwrap(), "STAND_PLACE=here\n");

    // The remains of a killed run are replaced.
    fs::write(
        &env,
        "# Written by `dev`, which replaces this file, and removes it with the servers.\nX=1\n",
    )
    .unwrap();
    let fine = run();
    assert_eq!((fine.status, fine.out.lines().count()), (0, 1), "{fine:?}");
    assert!(!own.exists());

    // A link could lead anywhere.
    std::os::unix::fs::symlink("/tmp", &own).unwrap();
    let refused = run();
    assert_eq!(
        (refused.status, refused.err.as_str()),
        (2, "error: `.stand` is not a folder: move it away\n")
    );
}
