//! `Dev`: real servers for a struct, with TLS and the account of `needs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "these are tests, and one of them is a process that another one hears"
)]

mod kept;
mod template;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backing_services::rules::Transport;
use backing_services::secrecy::{ExposeSecret as _, SecretString};
use backing_services::{
    Amqp, BackingServices, Environment, Https, MySql, Nats, Postgres, Redis, Resource, S3, Smtp,
    Sqlite, TokioPostgres,
};
use backing_services_dev::Dev;
use backing_services_dev::authority::Authority;
use backing_services_dev::process::Process;
use backing_services_dev::program::Programs;
use backing_services_dev::server::amqp;
use backing_services_tests::folder::Folder;
use redis::AsyncCommands as _;
use sqlx::Row as _;
use tokio::sync::Mutex;

/// `Dev`s of one process share servers, so the tests that wait for the end of one run by turns.
static TURN: Mutex<()> = Mutex::const_new(());

const ORDERS: &str = "CREATE TABLE orders (id int PRIMARY KEY)";

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 60)]
struct Shop {
    #[service(needs = "SELECT, INSERT ON orders")]
    orders: Resource<Postgres>,
    /// Another database on the same server.
    #[service(needs = "SELECT ON archive")]
    archive: Option<Resource<Postgres>>,
    #[service(needs = "get, setex ON KEY session:*")]
    sessions: Resource<Redis>,
    #[service(needs = "SELECT, INSERT ON stock")]
    stock: Resource<MySql>,
    #[service(needs = "PUBLISH ON orders.>")]
    news: Resource<Nats>,
    #[service(needs = "READ, WRITE, CONFIGURE ON QUEUE orders")]
    deliveries: Resource<Amqp>,
    mail: Option<Resource<Smtp>>,
    notes: Resource<Sqlite>,
    pictures: Resource<S3>,
    signing_key: SecretString,
    api_key: SecretString,
    #[setting(default = 20)]
    largest_order: u16,
}

/// A struct that needs one server of its own.
#[derive(BackingServices)]
#[services(prefix = "CACHE", deadline = 60)]
struct Cache {
    #[service(needs = "get ON KEY *")]
    sessions: Resource<Redis>,
}

/// A struct that needs a shared server.
#[derive(BackingServices)]
#[services(prefix = "STORE", deadline = 60)]
struct Store {
    #[service(needs = "SELECT, INSERT ON orders")]
    orders: Resource<Postgres>,
}

async fn store() -> Dev {
    Dev::builder::<Store>().with_script("orders", ORDERS).start().await.unwrap()
}

/// The value of a variable.
fn value<'a>(dev: &'a Dev, name: &str) -> &'a str {
    dev.variables().find(|(other, _)| *other == name).expect("a variable").1
}

/// The port in a locator.
fn port(dev: &Dev, name: &str) -> u16 {
    let locator = value(dev, name);
    let (_, rest) = locator.rsplit_once(':').expect("a port");
    rest.split('/').next().unwrap().parse().expect("a number")
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Waits some seconds for the end of a server.
async fn ends(port: u16) -> bool {
    for _ in 0..200 {
        if !listens(port) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn every_service_attaches_over_tls_as_the_account_of_its_needs() {
    let _turn = TURN.lock().await;
    let dev = Dev::builder::<Shop>()
        .with_script("orders", ORDERS)
        .with_script("orders", "INSERT INTO orders VALUES (1)")
        .with_script("archive", "CREATE TABLE archive (id int PRIMARY KEY)")
        .with_script("stock", "CREATE TABLE stock (id int PRIMARY KEY)")
        .with_variable("SHOP_API_KEY", "kX3-vR9_wQ1z")
        .start()
        .await
        .unwrap();
    let shop = Shop::attach_from(&dev.environment()).await.unwrap();

    let mut seen = Vec::new();
    for resource in shop.resources() {
        let posture = resource.posture();
        let account = posture.account.clone().unwrap_or_default();
        seen.push((resource.name().to_owned(), posture.service));
        if posture.transport == Transport::Embedded {
            continue;
        }
        let tls = posture.tls.as_ref().unwrap_or_else(|| panic!("{}", posture.endpoint));
        assert!(tls.version.starts_with("TLS 1."), "{}", tls.version);
        // The releases of this machine may be old, and MariaDB has no method that the driver
        // speaks but an old one. Nothing else is to be reported.
        let findings: Vec<_> = posture
            .findings
            .iter()
            .map(|finding| finding.rule().name)
            .filter(|rule| !matches!(*rule, "unsupported_server" | "weak_authentication"))
            .collect();
        assert_eq!(findings, [""; 0], "{}", posture.service);
        if posture.service != "S3" {
            let begin = format!("shop_{}_", resource.name());
            assert!(account.starts_with(&begin), "{}: {account}", posture.service);
        }
    }
    assert_eq!(seen.len(), 9, "{seen:?}");

    // The account has its privileges, and no others.
    let orders = shop.orders.client();
    sqlx::query("INSERT INTO orders VALUES (2)").execute(&*orders).await.unwrap();
    let count: i64 =
        sqlx::query("SELECT count(*) FROM orders").fetch_one(&*orders).await.unwrap().get(0);
    assert_eq!(count, 2);
    for refused in ["DELETE FROM orders", "CREATE TABLE more (id int)", "CREATE ROLE more"] {
        assert!(sqlx::query(refused).execute(&*orders).await.is_err(), "{refused}");
    }
    let stock = shop.stock.client();
    sqlx::query("INSERT INTO stock VALUES (1)").execute(&*stock).await.unwrap();
    for refused in ["DELETE FROM stock", "CREATE TABLE more (id int)"] {
        assert!(sqlx::query(refused).execute(&*stock).await.is_err(), "{refused}");
    }
    drop((orders, stock));

    // One server for both, and a database for each.
    let ports = ["SHOP_ORDERS_URL", "SHOP_ARCHIVE_URL"].map(|name| port(&dev, name));
    assert_eq!(ports[0], ports[1]);
    let locators = ["SHOP_ORDERS_URL", "SHOP_ARCHIVE_URL"].map(|name| value(&dev, name));
    assert_ne!(locators[0], locators[1]);

    assert_eq!(shop.api_key.expose_secret(), "kX3-vR9_wQ1z");
    assert_eq!(shop.signing_key.expose_secret().len(), 48);
    assert_eq!(shop.largest_order, 20);
    shop.detach().await;
}

/// A struct that does not say what its accounts need.
#[derive(BackingServices)]
#[services(prefix = "BARE", deadline = 60)]
struct Bare {
    orders: Resource<TokioPostgres>,
    sessions: Resource<Redis>,
    stock: Resource<MySql>,
    news: Resource<Nats>,
    deliveries: Resource<Amqp>,
}

#[tokio::test]
async fn without_needs_an_account_can_log_in_and_do_nothing_else() {
    let _turn = TURN.lock().await;
    let dev = Dev::start::<Bare>().await.unwrap();
    let bare = Bare::attach_from(&dev.environment()).await.unwrap();
    let orders = bare.orders.client().get().await.unwrap();
    assert!(orders.execute("CREATE TABLE orders (id int)", &[]).await.is_err());
    drop(orders);
    let read: Result<Option<String>, _> = bare.sessions.client().get("x").await;
    assert_eq!(read.unwrap_err().code(), Some("NOPERM"));
    let databases = sqlx::query("SHOW DATABASES").fetch_all(&*bare.stock.client()).await.unwrap();
    assert_eq!(databases.len(), 1, "`information_schema` alone");
    bare.detach().await;
}

#[tokio::test]
async fn two_devs_do_not_see_each_others_tables() {
    let _turn = TURN.lock().await;
    let (first, second) = tokio::join!(store(), store());
    let ports = [&first, &second].map(|dev| port(dev, "STORE_ORDERS_URL"));
    assert_eq!(ports[0], ports[1], "they share the server");
    let one = Store::attach_from(&first.environment()).await.unwrap();
    let two = Store::attach_from(&second.environment()).await.unwrap();
    sqlx::query("INSERT INTO orders VALUES (7)").execute(&*one.orders.client()).await.unwrap();
    let count: i64 = sqlx::query("SELECT count(*) FROM orders")
        .fetch_one(&*two.orders.client())
        .await
        .unwrap()
        .get(0);
    assert_eq!(count, 0);
    // The account of one cannot even connect to the database of the other.
    let mut crossed: BTreeMap<_, _> = first.variables().collect();
    crossed.insert("STORE_ORDERS_URL", value(&second, "STORE_ORDERS_URL"));
    let crossed: Environment = crossed.into_iter().collect();
    assert!(Store::attach_from(&crossed).await.is_err());

    // The end of one leaves the other as it is, and removes its own database.
    one.detach().await;
    drop(first);
    let databases: i64 = sqlx::query("SELECT count(*) FROM pg_database WHERE NOT datistemplate")
        .fetch_one(&*two.orders.client())
        .await
        .unwrap()
        .get(0);
    assert_eq!(databases, 2, "`postgres`, and its own");
    two.detach().await;
    drop(second);
    assert!(ends(ports[0]).await, "the last one stops the server");
}

#[tokio::test]
async fn servers_end_with_their_dev_and_leave_nothing_behind() {
    let _turn = TURN.lock().await;
    let dev = Dev::start::<Cache>().await.unwrap();
    let port = port(&dev, "CACHE_SESSIONS_URL");
    assert!(listens(port));
    drop(dev);
    assert!(!listens(port), "it has ended by then");
}

#[tokio::test]
async fn servers_end_after_a_panic() {
    let _turn = TURN.lock().await;
    let dev = Dev::start::<Cache>().await.unwrap();
    let port = port(&dev, "CACHE_SESSIONS_URL");
    let panics = tokio::spawn(async move {
        let _dev = dev;
        panic!("on purpose");
    });
    assert!(panics.await.unwrap_err().is_panic());
    assert!(ends(port).await);
}

/// The variable that makes a process of this test the one that is killed.
const CHILD: &str = "DEV_TEST_CHILD";

#[tokio::test]
async fn servers_end_with_a_process_that_is_killed() {
    if std::env::var_os(CHILD).is_some() {
        let dev = store().await;
        println!("\nport {}", port(&dev, "STORE_ORDERS_URL"));
        std::thread::sleep(Duration::from_secs(600));
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "servers_end_with_a_process_that_is_killed", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines.map_while(Result::ok).find_map(|line| {
        line.strip_prefix("port ").map(|port| port.parse::<u16>().expect("a number"))
    });
    let port = port.expect("a server");
    assert!(listens(port));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ends(port).await);
}

/// The processes that a process has started, and those that they have started.
fn descendants(of: u32) -> HashSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name of the program may have spaces, and is in parentheses.
        let Some((begin, rest)) = stat.rsplit_once(") ") else { continue };
        let id = begin.split(' ').next().unwrap().parse().unwrap();
        let parent = rest.split(' ').nth(1).unwrap().parse().unwrap();
        children.entry(parent).or_default().push(id);
    }
    let (mut found, mut next) = (HashSet::new(), vec![of]);
    while let Some(id) = next.pop() {
        if found.insert(id) {
            next.extend(children.get(&id).into_iter().flatten());
        }
    }
    found
}

/// The addresses of IP on which these processes listen, as the kernel writes them, and the names of
/// the programs.
fn listeners(processes: &HashSet<u32>) -> BTreeSet<(String, String)> {
    let mut programs = BTreeMap::new();
    for id in processes {
        let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        let files = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
        for file in files.filter_map(|file| fs::read_link(file.path()).ok()) {
            let file = file.to_string_lossy().into_owned();
            if let Some(number) = file.strip_prefix("socket:[").and_then(|f| f.strip_suffix(']')) {
                programs.insert(number.to_owned(), name.trim().to_owned());
            }
        }
    }
    let mut found = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap().lines().skip(1) {
            let columns: Vec<_> = line.split_whitespace().collect();
            // `0A` is LISTEN (Linux, include/net/tcp_states.h).
            if let Some(program) = programs.get(columns[9]).filter(|_| columns[3] == "0A") {
                found.insert((program.clone(), columns[1].to_owned()));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_server_listens_on_the_loopback_interface_alone() {
    let _turn = TURN.lock().await;
    let stop = AtomicBool::new(false);
    let found = std::thread::scope(|scope| {
        // While servers start too: `rabbitmqctl` listens as long as it runs.
        let watcher = scope.spawn(|| {
            let (mut found, mut before) = (BTreeSet::new(), BTreeSet::new());
            while !stop.load(Ordering::Relaxed) {
                let now = listeners(&descendants(std::process::id()));
                // RabbitMQ tries its port on all interfaces, and closes it at once. A tool that
                // runs for its time listens much longer.
                found.extend(now.intersection(&before).cloned());
                before = now;
                std::thread::sleep(Duration::from_millis(150));
            }
            found
        });
        let dev = tokio::task::block_in_place(|| {
            let starting = Dev::builder::<Shop>()
                .with_script("orders", ORDERS)
                .with_script("archive", "CREATE TABLE archive (id int PRIMARY KEY)")
                .with_script("stock", "CREATE TABLE stock (id int PRIMARY KEY)")
                .start();
            tokio::runtime::Handle::current().block_on(starting)
        });
        let last = listeners(&descendants(std::process::id()));
        stop.store(true, Ordering::Relaxed);
        let mut found = watcher.join().unwrap();
        found.extend(last);
        dev.unwrap();
        found
    });
    let programs: BTreeSet<_> = found.iter().map(|(program, _)| program.as_str()).collect();
    for program in ["beam.smp", "epmd", "exim4", "mariadbd", "nats-server", "postgres"] {
        assert!(programs.contains(program), "{program}: {programs:?}");
    }
    // In the byte order of a small-endian machine, and of a big-endian one.
    let loopback = [
        "0100007F",
        "7F000001",
        "00000000000000000000000001000000",
        "00000000000000000000000000000001",
        "0000000000000000FFFF00000100007F",
    ];
    let is_open = |address: &str| !loopback.contains(&address.split(':').next().unwrap());
    let open: Vec<_> = found.iter().filter(|(_, address)| is_open(address)).collect();
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn no_file_of_the_machine_steers_rabbitmq() {
    let authority = Authority::new("an authority").unwrap();
    let options = amqp::Options {
        leaf: authority.server().unwrap(),
        client_ca: authority.pem(),
        definitions: r#"{"vhosts": [], "users": [], "permissions": []}"#.to_owned(),
    };
    let server = amqp::Amqp::start(&Programs::installed(), &options).unwrap();
    // All paths that the server takes from its variables, or by default.
    let context = server.control(&["eval", "rabbit_prelaunch:get_context()."]).unwrap();
    for path in [
        "additional_config_files", "advanced_config_file", "enabled_plugins_file",
        "main_config_file", "mnesia_base_dir",
    ] {
        assert!(context.contains(path), "{path}: {context}");
    }
    // Of these two, the server only makes defaults of the others.
    let is_base =
        |entry: &str| ["config_base_dir", "data_dir"].iter().any(|b| entry.starts_with(b));
    for entry in context.split(',').map(str::trim).filter(|entry| !is_base(entry)) {
        for folder in ["\"/etc/", "\"/var/", "\"/root", "\"/home"] {
            assert!(!entry.contains(folder), "{entry}");
        }
    }
}

/// The variable that makes a process of this test the one that is ended.
const ENDED: &str = "DEV_TEST_ENDED";

#[test]
fn the_folder_goes_however_the_process_ends() {
    if std::env::var_os(ENDED).is_some() {
        let folder = Folder::new("server");
        folder.write("password", "hX2");
        let command = ["sleep", "600"];
        let process = Process::start("sleep", "TERM", folder.path(), &[], command).unwrap();
        let pid = || fs::read_to_string(folder.path().join("server.pid")).unwrap_or_default();
        process.wait_until(|| pid().ends_with('\n')).unwrap();
        println!("\nfolder {}", folder.path().parent().unwrap().display());
        println!("server {}", pid());
        std::thread::sleep(Duration::from_secs(600));
    }
    // Ctrl-C in a terminal signals the group.
    for (signal, is_for_group) in [("INT", true), ("KILL", false), ("TERM", true), ("KILL", true)] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_folder_goes_however_the_process_ends", "--nocapture"])
            .env(ENDED, "1")
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut value =
            |name: &str| lines.find_map(|line| Some(line.strip_prefix(name)?.to_owned())).unwrap();
        let (folder, server) = (value("folder "), value("server "));
        let is_there = || Path::new(&folder).exists();
        let runs = || Path::new(&format!("/proc/{server}")).exists();
        assert!(is_there() && runs());
        let group = if is_for_group { "-" } else { "" };
        let target = format!("{group}{}", child.id());
        let kill = Command::new("kill").args(["-s", signal, "--", &target]).status().unwrap();
        assert!(kill.success());
        child.wait().unwrap();
        let begin = Instant::now();
        while (is_there() || runs()) && begin.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!((is_there(), runs()), (false, false), "{signal} {target}");
    }
}

/// A struct with a prefix that begins a name which PostgreSQL reserves.
#[derive(BackingServices)]
#[services(prefix = "PG", deadline = 60)]
struct Reserved {
    #[service(needs = "SELECT ON orders")]
    orders: Resource<Postgres>,
}

#[tokio::test]
async fn an_account_has_no_name_that_postgresql_reserves() {
    let _turn = TURN.lock().await;
    assert_eq!(Reserved::MANIFEST.account_of("orders"), "apg_orders");
    let dev = Dev::builder::<Reserved>().with_script("orders", ORDERS).start().await.unwrap();
    let reserved = Reserved::attach_from(&dev.environment()).await.unwrap();
    let account = reserved.resources()[0].posture().account.clone().unwrap();
    assert!(account.starts_with("apg_orders_"), "{account}");
    reserved.detach().await;
}

#[tokio::test]
async fn a_missing_program_names_its_packages() {
    let empty = Folder::of_values("no-programs");
    let programs = Programs::in_folder(empty.path());
    let error = Dev::builder::<Cache>().with_programs(programs).start().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "`sessions`: `redis-server` is not in {}. Install it. Debian: apt-get install \
             redis-server; Homebrew: brew install redis; Fedora: dnf install valkey",
            empty.path().display()
        )
    );
}

#[tokio::test]
async fn without_its_table_an_account_asks_for_the_migrations() {
    let _turn = TURN.lock().await;
    let error = Dev::start::<Store>().await.unwrap_err().to_string();
    assert!(
        error.starts_with(
            "`orders`: its account cannot get what it `needs`. If a table does not exist yet, run \
             the migrations first: `.with_script(\"orders\", \"CREATE TABLE …\")`. `"
        ) && error.contains("relation \"public.orders\" does not exist"),
        "{error}"
    );
    // A script that the server refuses is another mistake.
    let dev = Dev::builder::<Store>().with_script("orders", "CREATE TABEL orders");
    let error = dev.start().await.unwrap_err().to_string();
    assert!(error.contains("syntax error") && !error.contains("migrations"), "{error}");
}

/// A struct whose values a developer has to give.
#[derive(BackingServices)]
#[services(prefix = "TILL")]
#[allow(dead_code, reason = "it is never attached")]
struct Till {
    payments: Resource<Https>,
    #[service(hosts = "db.example.com")]
    ledger: Option<Resource<Postgres>>,
    #[setting]
    place: String,
    sessions: Option<Resource<Redis>>,
}

#[tokio::test]
async fn all_that_has_no_value_is_named_at_once() {
    let dev = Dev::builder::<Till>()
        .with_script("sessions", "SELECT 1")
        .with_script("nothing", "SELECT 1")
        .without("nobody")
        .with_variable("TILL_PALCE", "here");
    assert_eq!(
        dev.start().await.unwrap_err().to_string(),
        "no field reads `TILL_PALCE`, which `with_variable` gives\n\
         there is no server for HTTPS, the service of `payments`: give its locator: \
         `.with_variable(\"TILL_PAYMENTS_URL\", \"…\")`\n\
         `ledger` leads to db.example.com alone, and a server here is none: give its locator: \
         `.with_variable(\"TILL_LEDGER_URL\", \"…\")`; or leave it out: `.without(\"ledger\")`\n\
         `place` has no default: give it a value: `.with_variable(\"TILL_PLACE\", \"…\")`\n\
         `with_script` names `sessions`, and Redis runs no SQL of it here\n\
         `with_script` names `nothing`, which is not a resource that gets a server\n\
         `without` names `nobody`, which is not a field"
    );
    let dev = Dev::builder::<Till>()
        .with_variable("TILL_PAYMENTS_URL", "https://localhost:1")
        .with_variable("TILL_PLACE", "here")
        .without("ledger")
        .without("sessions");
    let names: Vec<_> = ["TILL_PAYMENTS_URL", "TILL_PLACE"].into();
    let dev = dev.start().await.unwrap();
    assert_eq!(dev.variables().map(|(name, _)| name).collect::<Vec<_>>(), names);
}

#[tokio::test]
async fn a_resource_whose_locator_is_given_gets_no_server() {
    let dev = Dev::builder::<Cache>()
        .with_variable("CACHE_SESSIONS_URL", "rediss://localhost:1")
        .with_programs(Programs::in_folder("/nonexistent"))
        .start()
        .await
        .unwrap();
    assert_eq!(value(&dev, "CACHE_SESSIONS_URL"), "rediss://localhost:1");
    assert_eq!(dev.variables().count(), 1);
}
