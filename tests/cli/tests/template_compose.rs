//! `template compose`: Compose reads the output, and it starts servers to which the program
//! attaches by all its rules.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot do what it should has to stop, there and loudly"
)]

mod composed;
mod kiosk;

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use backing_services::rules::date::Date;
use backing_services::rules::release::end_of_life;
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::port;
use backing_services_tests::process::{Process, find, run};
use composed::{Container, Project, answer, read, servers, tell, tell_of, texts, written};
use kiosk::{KIOSK, Said, said};
use serde_json::Value;

const DEPOT: &str = env!("CARGO_BIN_EXE_depot-services");
/// The image of a program.
const PROGRAM: &str = "registry.example/program:1";

const ARCADE: &str = env!("CARGO_BIN_EXE_arcade-services");

/// The programs, each with its file as written, and with the service of the program uncommented.
fn files() -> Vec<(&'static str, Value)> {
    let mut files = Vec::new();
    for path in [KIOSK, DEPOT, ARCADE] {
        let text = written(path);
        files.push((path, read(&text)));
        let uncommented: String = text
            .lines()
            .map(|line| {
                format!(
                    "{}\n",
                    line.strip_prefix("# ").filter(|bare| bare.starts_with("  ")).unwrap_or(line)
                )
            })
            .collect();
        // The lines before `services` are no service.
        let (_, services) = uncommented.split_once("\nservices:\n").unwrap();
        let filled = services.replace("__IMAGE__", PROGRAM).replace("__UID__:__GID__", "1000:1000");
        files.push((path, read(&format!("services:\n{filled}"))));
    }
    files
}

#[test]
fn all_that_it_refers_to_is_there() {
    for (_, file) in files() {
        let (services, configs) =
            (file["services"].as_object().unwrap(), file["configs"].as_object().unwrap());
        let (mut given, mut mounted, mut published) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (name, service) in services {
            assert_eq!(
                (&service["security_opt"], &service["cap_drop"]),
                (&serde_json::json!(["no-new-privileges:true"]), &serde_json::json!(["ALL"]))
            );
            for (awaited, _) in service["depends_on"].as_object().into_iter().flatten() {
                assert!(services.contains_key(awaited), "{name} waits for {awaited}");
            }
            for config in service["configs"].as_array().into_iter().flatten() {
                let source = config["source"].as_str().unwrap();
                assert!(
                    configs.contains_key(source)
                        && config["target"].as_str().unwrap().starts_with('/'),
                    "{name}: {config}"
                );
                assert!(given.insert(source), "{source}");
            }
            for mount in service["volumes"].as_array().unwrap() {
                if mount["type"] == "volume" {
                    assert!(mounted.insert(mount["source"].as_str().unwrap()), "{mount}");
                }
            }
            for port in service["ports"].as_array().into_iter().flatten() {
                assert!(
                    published.insert(port.as_str().unwrap().rsplit_once(':').unwrap().0),
                    "{port}"
                );
            }
        }
        assert_eq!(given, configs.keys().map(String::as_str).collect());
        assert_eq!(
            mounted,
            file["volumes"].as_object().unwrap().keys().map(String::as_str).collect()
        );
        let program = file["services"]
            .as_object()
            .unwrap()
            .values()
            .find(|service| service["image"] == PROGRAM);
        for (name, service) in servers(&file).filter(|(_, service)| service["image"] != PROGRAM) {
            assert_eq!(
                service["depends_on"]["prepare"]["condition"],
                "service_completed_successfully"
            );
            assert!(
                service["cap_add"].is_null()
                    && texts(&service["healthcheck"]["test"])[0].starts_with("CMD"),
                "{name}"
            );
            assert!(
                program.is_none_or(
                    |program| program["depends_on"][name]["condition"] == "service_healthy"
                ),
                "{name}"
            );
        }
    }
}

/// The commented service has every required variable, and its files are where `prepare` writes
/// them.
#[test]
fn the_programs_own_service_has_its_variables() {
    for (path, file) in files().into_iter().skip(1).step_by(2) {
        let program = file["services"]
            .as_object()
            .unwrap()
            .values()
            .find(|service| service["image"] == PROGRAM)
            .unwrap();
        let mut project = Project::new(path);
        assert!(project.prepare().status.success(), "{}", project.said);
        let mut check = project.program(path);
        check.arg("check").env_clear().stdin(Stdio::null());
        let mount = &program["volumes"][0];
        assert_eq!(
            (mount["source"].as_str(), mount["read_only"].as_bool()),
            (Some(format!("./.{}/program", project.name).as_str()), Some(true))
        );
        let target = mount["target"].as_str().unwrap();
        for (name, value) in program["environment"].as_object().unwrap() {
            let value = composed::interpolated(value.as_str().unwrap());
            let Some(file) = value.strip_prefix(&format!("{target}/")) else {
                check.env(name, if name.ends_with("GATES") { "4" } else { &value });
                continue;
            };
            let path = project.prepared().join("program").join(file);
            if !path.exists() {
                // The value that a person writes there.
                let written = match file {
                    _ if file.contains("PHOTOS_URL") => "s3://photos?region=eu-west-1",
                    _ if file.contains("CUSTOMS_URL") => "https://customs.example",
                    _ if file.contains("MAIL_URL") => "smtps://mail.example",
                    _ if file.contains("NOTES_URL") || file.contains("LEDGER_URL") => {
                        "sqlite:///var/lib/notes.db"
                    }
                    _ if file.ends_with("_USER") => "user",
                    _ => PASSWORD,
                };
                fs::write(&path, written).unwrap();
                fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o400))
                    .unwrap();
                project.own(&path);
            }
            check.env(name, path);
        }
        let said = said(&mut check);
        assert_eq!(said.status, 0, "{said:?}");
    }
}

/// A foreign service cannot break out of the text of its server, and each name is used once.
#[test]
fn the_container_of_a_foreign_service_is_data() {
    let file = read(&composed::written_as(KIOSK, "kennel-services"));
    let names: BTreeSet<_> =
        file["services"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["env-server", "kennel-server", "prepare", "prepare-server"]));
    let ports: BTreeSet<_> =
        servers(&file).map(|(_, service)| service["ports"][0].as_str().unwrap()).collect();
    assert_eq!(
        ports,
        BTreeSet::from(["127.0.0.1:1024:65535", "127.0.0.1:1025:65535", "127.0.0.1:65535:65535"])
    );
    for (name, account) in
        [("prepare-server", "kennel_prepare"), ("kennel-server", "kennel_itself")]
    {
        let service = &file["services"][name];
        assert_eq!(
            (service["image"].as_str(), service["user"].as_str()),
            (Some("hound:1"), Some("7:8"))
        );
        assert_eq!(
            texts(&service["command"]),
            ["bark", "--at", "${HOME} $x \"'#\n: {{ 7 * 7 }}", account]
        );
        assert_eq!(service["environment"], serde_json::json!({ "LEASH": "- *a\t&b\u{2028}" }));
        assert!(service["healthcheck"].is_null() && service["evil"].is_null());
        let content = |index: usize| {
            let config = &service["configs"][index];
            let content =
                file["configs"][config["source"].as_str().unwrap()]["content"].as_str().unwrap();
            (config["target"].as_str().unwrap().to_owned(), composed::interpolated(content))
        };
        assert_eq!(
            content(0),
            ("/etc/hound/a: b".to_owned(), " odd\n\n$(touch pwned)\u{85}".to_owned())
        );
        assert_eq!(content(1), ("/etc/hound/even".to_owned(), "  # even\n---\n".to_owned()));
    }
    let listed = file["configs"]["prepare.servers"]["content"].as_str().unwrap();
    assert_eq!(
        listed,
        "prepare-server 7:8 KENNEL_PREPARE yes\nkennel-server 7:8 KENNEL yes\n\
         env-server 7:8 KENNEL_ENV yes\n"
    );
    let env = file["configs"]["prepare.env"]["content"].as_str().unwrap();
    assert!(env.contains("\nKENNEL_PREPARE_URL=hounds://localhost:65535/a%2Fb%20c\n"), "{env}");

    // A program without resources has only its variables.
    let file = read(&composed::written_as(KIOSK, "stand-services"));
    assert_eq!(file["services"].as_object().unwrap().len(), 1);
}

#[test]
fn the_images_are_of_supported_releases() {
    let until = Date::parse("2028-01-01").unwrap();
    let mut known = 0;
    for (_, service) in servers(&read(&written(KIOSK))) {
        let image = service["image"].as_str().unwrap();
        let (name, tag) = image.split_once(':').unwrap();
        let product = match name.rsplit('/').next().unwrap() {
            "postgres" => "PostgreSQL",
            "rabbitmq" => "RabbitMQ",
            other => other,
        };
        if let Some((ends, _)) = end_of_life(product, tag) {
            known += 1;
            assert!(ends > until, "{image} ends on {ends}");
        }
    }
    assert_eq!(
        known, 3,
        "PostgreSQL, Valkey and MariaDB have long lives; the others' newest release is meant"
    );
}

#[test]
fn prepared_files_are_private_and_made_once() {
    let mut project = Project::new(KIOSK);
    let output = project.prepare();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", project.said);
    let own = fs::metadata(project.prepared()).unwrap();
    assert_eq!(own.mode() & 0o7777, 0o700);
    let before = project.files();
    for (path, mode, ..) in &before {
        let expected = match path.as_str() {
            "env" | ".gitignore" => 0o600,
            _ if project.prepared().join(path).is_dir() => 0o700,
            _ => 0o400,
        };
        assert_eq!(*mode, expected, "{path}");
    }
    for server in ["database", "sessions", "feeds-editions", "feeds-deliveries", "feeds-prices"] {
        let names: Vec<_> = before
            .iter()
            .filter_map(|(path, ..)| path.strip_prefix(&format!("{server}/")))
            .collect();
        let all = ["admin-password", "ca.pem", "certificate.pem", "key.pem", "password"];
        assert_eq!(
            names,
            if matches!(server, "database" | "feeds-prices") { &all[..] } else { &all[1..] }
        );
    }
    let secrets = project.secrets();
    assert_eq!(
        (secrets.len(), secrets.iter().collect::<BTreeSet<_>>().len()),
        (5 + 5 + 2 + 5 + 1, 5 + 2 + 5 + 1)
    );
    let text = written(KIOSK);
    for secret in &secrets {
        assert!(secret.len() >= 48 && !project.said.contains(secret) && !text.contains(secret));
    }

    // A second run changes and prints nothing.
    let again = project.prepare();
    assert!(
        again.status.success() && again.stdout.is_empty() && again.stderr.is_empty(),
        "{again:?}"
    );
    assert_eq!(project.files(), before);

    // A file that is missing, incomplete or about to expire is made again, and no other.
    let gone = ["database/certificate.pem", "sessions/password"];
    for path in gone {
        fs::remove_file(project.prepared().join(path)).unwrap();
    }
    assert!(project.prepare().status.success(), "{}", project.said);
    let changed: Vec<_> = project
        .files()
        .into_iter()
        .filter(|file| !before.contains(file))
        .map(|(path, ..)| path)
        .filter(|path| !project.prepared().join(path).is_dir())
        .collect();
    assert_eq!(
        changed,
        [
            "database/certificate.pem",
            "database/key.pem",
            "program/KIOSK_SESSIONS_PASSWORD",
            "sessions/password"
        ]
    );
}

#[test]
fn edits_of_the_file_of_variables_stay() {
    let mut project = Project::new(KIOSK);
    assert!(project.prepare().status.success(), "{}", project.said);
    let path = project.prepared().join("env");
    let first = fs::read_to_string(&path).unwrap();
    assert!(
        first.contains(&format!("\nDATABASE_CA_FILE='{}/ca.pem'\n", project.prepared().display())),
        "{first}"
    );

    // A person has filled one value in and commented another one out, and a third is new.
    let paragraphs: Vec<_> =
        first.split("\n\n").filter(|text| !text.contains("KIOSK_SESSIONS_URL=")).collect();
    let mut text = paragraphs.join("\n\n").replace("=__SECRET__", &format!("={PASSWORD}"));
    text = text
        .lines()
        .map(|line| {
            if line.starts_with("KIOSK_FEEDS_PRICES_") {
                format!("#{line}\n")
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    fs::write(&path, &text).unwrap();
    let output = project.prepare();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "made env\n", "{output:?}");
    let second = fs::read_to_string(&path).unwrap();
    let added = second.strip_prefix(&text).expect("what was there is there");
    assert!(
        added.starts_with("\n# sessions: Redis, optional\n")
            && added.contains("\nKIOSK_SESSIONS_PASSWORD="),
        "{added}"
    );
    assert_eq!(added.matches("\n\n").count(), 0, "{added}");
    assert!(project.prepare().stdout.is_empty());

    // If the file cannot be written, an error is reported, and nothing is written.
    let output = project.prepare_as(Path::new("/home/o'neill/.kiosk"));
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("apostrophe"),
        "{output:?}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), second);
}

/// The server of a simulated container, with its environment.
struct Server {
    container: Container,
    environment: Vec<(&'static str, String)>,
    process: Process,
    /// Erlang's port mapper.
    _names: Option<Process>,
}

impl Server {
    fn exec(&self, words: &[&str]) -> Command {
        self.container.exec(words, &self.environment())
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        borrowed(&self.environment)
    }

    /// Waits until the health check of the container passes.
    fn wait(&self) {
        self.process.wait_until(|| self.container.is_healthy(&self.environment())).unwrap();
    }

    /// Runs an initialization script as the images of databases do without data: they source it in
    /// their own shell.
    fn initialize(&self) {
        let script = self.container.at("/docker-entrypoint-initdb.d/account.sh");
        let line = "set -Eeo pipefail; . \"$1\" 2>&1; echo it goes on";
        let said = tell(&mut self.exec(&["bash", "-c", line, "bash", script.to_str().unwrap()]));
        assert!(said.ends_with("it goes on\n"), "{said}");
    }
}

fn borrowed<'a>(list: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    list.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// PostgreSQL, as the entrypoint of its image begins.
fn postgresql(project: &Project, name: &str) -> Server {
    let container = project.container(name);
    let at = container.folder().path().display().to_string();
    let data = container.at("/var/lib/postgresql/data").display().to_string();
    let secret = container.variable("POSTGRES_PASSWORD_FILE");
    let password = container.at(&secret).display().to_string();
    run(&mut container.exec(
        &["initdb", "--no-sync", "--username=postgres", "--pwfile", &password, "--pgdata", &data],
        &[],
    ));
    let config = format!("{data}/postgresql.conf");
    let settings = format!(
        "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{at}'\n\
         fsync = off\n",
        container.port()
    );
    fs::write(&config, settings).unwrap();
    let mut environment =
        vec![("PGDATA", data), ("PGHOST", at), ("PGPORT", container.port().to_owned())];
    let process = container.start("postgres", &[], &borrowed(&environment));
    environment.push(("PGPASSWORD", fs::read_to_string(password).unwrap().trim().to_owned()));
    let server = Server { container, environment, process, _names: None };
    server.wait();
    let database = server.container.variable("POSTGRES_DB");
    run(&mut server.exec(&[
        "psql",
        "-U",
        "postgres",
        "-d",
        "postgres",
        "-c",
        &format!("CREATE DATABASE \"{database}\""),
    ]));
    server.initialize();
    server
}

/// MariaDB, likewise.
fn mariadb(project: &Project, name: &str) -> Server {
    let container = project.container(name);
    let at = container.folder().path().display().to_string();
    let data = container.at("/var/lib/mysql").display().to_string();
    run(&mut container.exec(
        &[
            "mariadb-install-db",
            "--no-defaults",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            &format!("--datadir={data}"),
        ],
        &[],
    ));
    let options = format!(
        "[mariadbd]\ndatadir={data}\nsocket={at}/socket\npid-file={at}/pid\nport={}\n\
         bind-address=127.0.0.1\nskip-name-resolve\n[client]\nsocket={at}/socket\n",
        container.port()
    );
    let file = container.folder().write(".my.cnf", &options).display().to_string();
    let environment = vec![("HOME", at)];
    let process =
        container.start("mariadbd", &[&format!("--defaults-file={file}")], &borrowed(&environment));
    let server = Server { container, environment, process, _names: None };
    let is_there = || {
        tell(&mut server.exec(&["mariadb", "--user=root", "-e", "SELECT 'here'"])).contains("here")
    };
    server.process.wait_until(is_there).unwrap();
    let password = project.made(&format!("{name}/admin-password"));
    let database = server.container.variable("MARIADB_DATABASE");
    let statements = format!(
        "SET PASSWORD FOR root@localhost = PASSWORD('{password}'); CREATE DATABASE `{database}`;"
    );
    assert_eq!(tell_of(&mut server.exec(&["mariadb", "--user=root"]), &statements), "");
    server.initialize();
    server.wait();
    server
}

/// RabbitMQ. In its image, Erlang replaces the shell.
fn rabbitmq(project: &Project, name: &str) -> Server {
    let container = project.container(name);
    let home = container.at("/var/lib/rabbitmq").display().to_string();
    let names = port::free().to_string();
    let path = |name: &str| format!("{home}/{name}");
    fs::write(container.at("/enabled_plugins"), "[].\n").unwrap();
    assert_eq!(container.variable("ERL_EPMD_ADDRESS"), "127.0.0.1");
    let environment = vec![
        ("ERL_EPMD_PORT", names.clone()),
        (
            "RABBITMQ_NODENAME",
            format!(
                "{}{}@localhost",
                container.variable("RABBITMQ_NODENAME").split_once('@').unwrap().0,
                container.port()
            ),
        ),
        ("RABBITMQ_DIST_PORT", port::free().to_string()),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
        (
            "RABBITMQ_CONFIG_FILES",
            container.at("/etc/rabbitmq/conf.d/*.conf").display().to_string(),
        ),
        ("RABBITMQ_CONFIG_FILE", path("none")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", container.at("/enabled_plugins").display().to_string()),
        ("RABBITMQ_MNESIA_BASE", path("mnesia")),
        ("RABBITMQ_GENERATED_CONFIG_DIR", path("generated")),
        ("RABBITMQ_LOG_BASE", path("logs")),
        ("RABBITMQ_LOGS", "-".to_owned()),
        ("RABBITMQ_PID_FILE", path("pid")),
        ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
        ("HOME", home),
    ];
    let folder = container.at("/epmd");
    fs::create_dir(&folder).unwrap();
    container.folder().own(&folder);
    let epmd = [
        find("epmd").into_os_string(),
        "-port".into(),
        names.clone().into(),
        "-address".into(),
        "127.0.0.1".into(),
    ];
    let epmd = Process::start("epmd", "TERM", &folder, &[], epmd).unwrap();
    epmd.wait_until(|| TcpStream::connect(("127.0.0.1", names.parse().unwrap())).is_ok()).unwrap();
    let process = container.start("rabbitmq-server", &[], &borrowed(&environment));
    let server = Server { container, environment, process, _names: Some(epmd) };
    server.wait();
    server
}

/// A server that needs no preparation.
fn started(project: &Project, name: &str, program: &'static str) -> Server {
    let container = project.container(name);
    let process = container.start(program, &[], &[]);
    let server = Server { container, environment: Vec::new(), process, _names: None };
    server.wait();
    server
}

/// Attaches to one field, or to all, with the prepared values.
fn attach(path: &str, project: &Project, only: Option<&str>) -> Said {
    let mut attach = project.program(path);
    attach
        .args(["attach", "--env-file"])
        .arg(project.prepared().join("env"))
        .env_clear()
        .stdin(Stdio::null());
    let said = said(attach.args(only.map(|field| ["--only", field]).into_iter().flatten()));
    for secret in project.secrets() {
        assert!(!said.out.contains(&secret) && !said.err.contains(&secret));
    }
    said
}

#[track_caller]
fn assert_passes(said: &Said, resource: &str, account: &str) {
    assert!(
        said.status == 0 && said.out.contains("passed") && said.out.contains(resource),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("TLS 1.3") && said.out.contains(&format!("as {account}")),
        "{}",
        said.out
    );
}

/// The log of a server contains no secret.
#[track_caller]
fn assert_silent(project: &Project, server: &Server) {
    let log = server.process.log();
    assert!(project.secrets().iter().all(|secret| !log.contains(secret)), "{log}");
}

#[test]
fn the_program_attaches_to_all_that_is_started() {
    let mut project = Project::new(KIOSK);
    assert!(project.prepare().status.success(), "{}", project.said);
    let database = postgresql(&project, "database");
    let prices = mariadb(&project, "feeds-prices");
    let sessions = started(&project, "sessions", "valkey-server");
    let editions = started(&project, "feeds-editions", "nats-server");
    let deliveries = rabbitmq(&project, "feeds-deliveries");

    // The grants on a missing table fail, and that is reported. Once the table exists, one command
    // grants them.
    let again = |server: &Server, statement: &str, client: &[&str]| {
        assert!(tell_of(&mut server.exec(client), statement).is_empty());
        let script = server.container.at("/docker-entrypoint-initdb.d/account.sh");
        let _ = tell(&mut server.exec(&["sh", script.to_str().unwrap()]));
    };
    let unready = attach(KIOSK, &project, Some("orders"));
    assert!(
        unready.status == 1 && unready.out.contains("error[missing_privileges]"),
        "{}",
        unready.out
    );
    again(
        &database,
        "CREATE TABLE orders (id int); CREATE TABLE others (id int);",
        &["psql", "-q", "-U", "postgres", "-d", "kiosk_orders"],
    );
    let password = project.made("feeds-prices/admin-password");
    let client =
        ["mariadb", "--user=root", &format!("--password={password}"), "kiosk_feeds_prices"];
    again(&prices, "CREATE TABLE prices (id int); CREATE TABLE others (id int);", &client);

    for (field, account) in [
        ("orders", "kiosk_orders"),
        ("feeds.prices", "kiosk_feeds_prices"),
        ("sessions", "kiosk_sessions"),
        ("feeds.editions", "kiosk_feeds_editions"),
        ("feeds.deliveries", "kiosk_feeds_deliveries"),
    ] {
        assert_passes(&attach(KIOSK, &project, Some(field)), field, account);
    }
    // The placeholders of resources without a container have to be filled in before anything is
    // attached.
    let unfilled = attach(KIOSK, &project, None);
    assert!(
        unfilled.status == 1
            && unfilled.out.contains("error[placeholder_value]")
            && unfilled.out.contains("KIOSK_RECEIPT_KEY"),
        "{}",
        unfilled.out
    );
    let file = project.prepared().join("env");
    let filled = fs::read_to_string(&file).unwrap().replace("=__SECRET__", &format!("={PASSWORD}"));
    fs::write(&file, filled).unwrap();
    let all = attach(KIOSK, &project, None);
    assert!(
        all.status == 0 && all.out.contains("\npassed: `Services` attaches: 12 fields"),
        "{}",
        all.out
    );

    // No login succeeds without TLS.
    let login = [("PGPASSWORD", project.made("database/password"))];
    let plain = format!(
        "host=127.0.0.1 port={} user=kiosk_orders dbname=kiosk_orders sslmode=disable",
        database.container.port()
    );
    let said = tell(database.exec(&["psql", "-c", "SELECT 1", &plain]).envs(login.clone()));
    assert!(said.contains("no pg_hba.conf entry") && said.contains("no encryption"), "{said}");
    let said = tell(
        database
            .exec(&["psql", "-Atc", "SELECT 'in'", &plain.replace("disable", "require")])
            .envs(login),
    );
    assert_eq!(said, "in\n");
    let port = format!("--port={}", prices.container.port());
    let client = [
        "mariadb", "--protocol=tcp", "--host=127.0.0.1", &port, "--user=kiosk_feeds_prices",
        "--skip-ssl", "-e", "SELECT 1",
    ];
    let said = tell(prices.exec(&client).env("MYSQL_PWD", project.made("feeds-prices/password")));
    assert!(said.contains("ERROR") && !said.contains("Unknown"), "{said}");
    let root = [
        "mariadb",
        "--user=root",
        &format!("--password={password}"),
        "-Ne",
        "SELECT @@require_secure_transport, @@tls_version",
    ];
    assert_eq!(tell(&mut prices.exec(&root)), "1\tTLSv1.2,TLSv1.3\n");
    let said = answer(sessions.container.port(), b"PING\r\n");
    assert!(
        !String::from_utf8_lossy(&said).contains("PONG")
            && !String::from_utf8_lossy(&said).contains("NOAUTH"),
        "{said:?}"
    );
    let secret = project.made("feeds-editions/password");
    let login =
        format!("CONNECT {{\"user\":\"kiosk_feeds_editions\",\"pass\":\"{secret}\"}}\r\nPING\r\n");
    let said =
        String::from_utf8_lossy(&answer(editions.container.port(), login.as_bytes())).into_owned();
    assert!(said.contains("\"tls_required\":true") && !said.contains("PONG"), "{said}");
    let said = answer(deliveries.container.port(), b"AMQP\x00\x00\x09\x01");
    assert!(
        !String::from_utf8_lossy(&said).contains("AMQPLAIN")
            && !String::from_utf8_lossy(&said).contains("PLAIN"),
        "{said:?}"
    );
    let listeners = run(&mut deliveries.exec(&["rabbitmq-diagnostics", "--quiet", "listeners"]));
    assert!(
        !listeners.contains("protocol: amqp,") && listeners.contains("protocol: amqp/ssl"),
        "{listeners}"
    );
    let users =
        run(&mut deliveries.exec(&["rabbitmqctl", "--quiet", "list_users", "--no-table-headers"]));
    assert_eq!(users.trim(), "kiosk_feeds_deliveries\t[]");

    for server in [&database, &prices, &sessions, &editions, &deliveries] {
        assert_silent(&project, server);
    }
}

/// Names that have to be quoted, and accounts without `needs`.
#[test]
fn a_program_whose_text_is_hostile_attaches_as_well() {
    let mut project = Project::new(DEPOT);
    assert!(project.prepare().status.success(), "{}", project.said);
    let pallets = postgresql(&project, "pallets");
    let statement = "CREATE TABLE \"Big Pallets\" (id int)";
    run(&mut pallets
        .exec(&["psql", "-q", "-U", "postgres", "-d", "depot_pallets", "-c", statement]));
    let script = pallets.container.at("/docker-entrypoint-initdb.d/account.sh");
    let _ = tell(&mut pallets.exec(&["sh", script.to_str().unwrap()]));
    let trucks = started(&project, "trucks", "nats-server");
    let orders = rabbitmq(&project, "orders");
    for (field, account) in
        [("pallets", "depot_pallets"), ("trucks", "depot_trucks"), ("orders", "depot_orders")]
    {
        assert_passes(&attach(DEPOT, &project, Some(field)), field, account);
    }
    for server in [&pallets, &trucks, &orders] {
        assert_silent(&project, server);
    }
    assert!(!project.prepared().join("pwned").exists() && !Path::new("pwned").exists());
}

/// Redis without `needs`, eleven times: each has its own port, volume and account.
#[test]
fn many_resources_of_one_service_are_as_many_servers() {
    let mut project = Project::new(ARCADE);
    assert!(project.prepare().status.success(), "{}", project.said);
    let started = ["coins", "prizes-shelves"].map(|name| started(&project, name, "valkey-server"));
    for (field, account) in [("coins", "arcade_coins"), ("prizes.shelves", "arcade_prizes_shelves")]
    {
        assert_passes(&attach(ARCADE, &project, Some(field)), field, account);
    }
    for server in &started {
        assert_silent(&project, server);
    }
    let ports: BTreeSet<_> =
        servers(&project.file).map(|(_, service)| service["ports"][0].as_str().unwrap()).collect();
    assert_eq!(ports.len(), 12);
    assert!(
        ports
            .iter()
            .skip(1)
            .take(3)
            .eq(&["127.0.0.1:6379:6379", "127.0.0.1:6380:6379", "127.0.0.1:6381:6379"]),
        "{ports:?}"
    );
}
