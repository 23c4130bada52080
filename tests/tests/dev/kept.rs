//! Data that stay between runs. Each run is a process of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backing_services::secrecy::{ExposeSecret as _, SecretString};
use backing_services::{
    Amqp, AttachError, BackingServices, MySql, Nats, Postgres, Redis, Resource, S3, Sqlite,
    async_nats::jetstream, lapin, object_store,
};
use backing_services_dev::{Dev, DevError};
use backing_services_tests::process::unprivileged;
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use object_store::ObjectStoreExt as _;
use redis::AsyncCommands as _;
use tempfile::TempDir;

#[derive(BackingServices)]
#[services(prefix = "HOARD", deadline = 60)]
struct Hoard {
    #[service(
        needs = "USAGE, CREATE ON SCHEMA workshop; SELECT, INSERT ON orders",
        allow(excess_privileges, reason = "it owns the table that it makes")
    )]
    orders: Resource<Postgres>,
    #[service(needs = "SELECT, INSERT ON stock")]
    stock: Resource<MySql>,
    #[service(needs = "rpush, llen ON KEY *")]
    sessions: Resource<Redis>,
    #[service(needs = "PUBLISH ON $JS.API.>, orders.>; SUBSCRIBE ON _INBOX.>")]
    news: Resource<Nats>,
    #[service(needs = "READ, WRITE, CONFIGURE ON QUEUE orders; WRITE ON EXCHANGE amq.default")]
    deliveries: Resource<Amqp>,
    notes: Resource<Sqlite>,
    pictures: Resource<S3>,
    signing_key: SecretString,
}

/// The variables that make a process of this test a run: the folder, and its number.
const FOLDER: &str = "DEV_TEST_KEPT";
const NUMBER: &str = "DEV_TEST_NUMBER";

async fn start(folder: &Path) -> Result<Dev, DevError> {
    Dev::builder::<Hoard>()
        .with_script(
            "orders",
            "CREATE SCHEMA IF NOT EXISTS workshop;
             CREATE TABLE IF NOT EXISTS orders (id int PRIMARY KEY)",
        )
        .with_script("stock", "CREATE TABLE IF NOT EXISTS stock (id int PRIMARY KEY)")
        .__keeping(folder)
        .start()
        .await
}

/// Adds one item everywhere, and returns the number of items everywhere.
async fn add(hoard: &Hoard, number: i32) -> Vec<(&'static str, i64)> {
    let orders = hoard.orders.client();
    sqlx::query("INSERT INTO orders VALUES ($1)").bind(number).execute(&*orders).await.unwrap();
    // A table of its own.
    let table = "CREATE TABLE IF NOT EXISTS workshop.drafts (id int PRIMARY KEY)";
    sqlx::query(table).execute(&*orders).await.unwrap();
    sqlx::query("INSERT INTO workshop.drafts VALUES ($1)")
        .bind(number)
        .execute(&*orders)
        .await
        .unwrap();
    let count = "SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM workshop.drafts)";
    let in_both: Result<i64, _> = sqlx::query_scalar(count).fetch_one(&*orders).await;
    let in_orders = in_both.map(|both| both / 2);

    let stock = hoard.stock.client();
    sqlx::query("INSERT INTO stock VALUES (?)").bind(number).execute(&*stock).await.unwrap();
    let in_stock = sqlx::query_scalar("SELECT count(*) FROM stock").fetch_one(&*stock).await;

    let notes = hoard.notes.client();
    let table = "CREATE TABLE IF NOT EXISTS notes (id int PRIMARY KEY)";
    sqlx::query(table).execute(&*notes).await.unwrap();
    sqlx::query("INSERT INTO notes VALUES (?)").bind(number).execute(&*notes).await.unwrap();
    let in_notes = sqlx::query_scalar("SELECT count(*) FROM notes").fetch_one(&*notes).await;

    let mut sessions = hoard.sessions.client();
    let _: i64 = sessions.rpush("sessions", number).await.unwrap();
    let in_sessions = sessions.llen("sessions").await.unwrap();

    let news = jetstream::new(hoard.news.client().clone());
    let config = jetstream::stream::Config {
        name: "orders".to_owned(),
        subjects: vec!["orders.>".to_owned()],
        ..Default::default()
    };
    let mut stream = news.get_or_create_stream(config).await.unwrap();
    news.publish("orders.new", "seven".into()).await.unwrap().await.unwrap();
    let in_news = stream.info().await.unwrap().state.messages;

    let pictures = hoard.pictures.client();
    let path = |number| object_store::path::Path::from(format!("{number}.png"));
    pictures.put(&path(number), "a picture".into()).await.unwrap();
    let mut in_pictures = 0;
    for number in 1..=number {
        in_pictures += i64::from(pictures.head(&path(number)).await.is_ok());
    }
    vec![
        ("PostgreSQL", in_orders.unwrap()),
        ("MariaDB", in_stock.unwrap()),
        ("SQLite", in_notes.unwrap()),
        ("Redis", in_sessions),
        ("NATS", i64::try_from(in_news).unwrap()),
        ("RabbitMQ", add_to_queue(hoard).await),
        ("S3", in_pictures),
    ]
}

/// Publishes a message that stays, and returns the number of messages in the queue.
async fn add_to_queue(hoard: &Hoard) -> i64 {
    let client = hoard.deliveries.client();
    let channel = client.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare("orders".into(), durable, FieldTable::default()).await.unwrap();
    let properties = lapin::BasicProperties::default().with_delivery_mode(2);
    let options = BasicPublishOptions::default();
    let published =
        channel.basic_publish("".into(), "orders".into(), options, b"seven", properties);
    assert!(published.await.unwrap().await.unwrap().is_ack());
    // It is not acknowledged, so it stays in the queue.
    let got = channel.basic_get("orders".into(), BasicGetOptions::default()).await.unwrap();
    i64::from(got.unwrap().message_count) + 1
}

/// One run, as a process that prints what it finds, and its secret, and then waits for its end.
async fn run() {
    let folder = std::env::var_os(FOLDER).unwrap();
    let number = std::env::var(NUMBER).unwrap().parse().unwrap();
    let dev = start(Path::new(&folder)).await.unwrap();
    let hoard = Hoard::attach_from(&dev.environment()).await.unwrap();
    let found = add(&hoard, number).await;
    println!("\nfound {found:?} {}", hoard.signing_key.expose_secret());
    hoard.detach().await;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    drop(dev);
    // The other end of the harness's output is closed.
    std::process::exit(0);
}

/// Starts a run, and returns it with its findings.
fn started(folder: &Path, number: i32) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kept::data_stay_between_runs_and_after_a_kill", "--nocapture"])
        .envs([(FOLDER, folder.as_os_str()), (NUMBER, number.to_string().as_ref())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let found =
        lines.map_while(Result::ok).find_map(|line| Some(line.strip_prefix("found ")?.to_owned()));
    (child, found.expect("it attaches"))
}

/// A process that ends with its handle.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// All files and folders below a folder, with their modes.
fn modes(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, mode) = (entry.path(), fs::symlink_metadata(entry.path()).unwrap().mode());
        found.push((path.display().to_string(), mode & 0o777));
        if entry.file_type().unwrap().is_dir() {
            found.extend(modes(&path));
        }
    }
    found
}

#[tokio::test]
async fn data_stay_between_runs_and_after_a_kill() {
    if std::env::var_os(FOLDER).is_some() {
        return run().await;
    }
    let _turn = super::TURN.lock().await;
    let outside = TempDir::new().unwrap();
    // The account of root's servers has to enter it.
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let folder = outside.path().join("it's kept");

    let (mut first, found) = started(&folder, 1);
    let (items, secret) = found.rsplit_once(' ').unwrap();
    let all = |number| {
        let services = ["PostgreSQL", "MariaDB", "SQLite", "Redis", "NATS", "RabbitMQ", "S3"];
        format!("{:?}", services.map(|service| (service, number)))
    };
    assert_eq!(items, all(1));
    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());

    let (mut second, found) = started(&folder, 2);
    assert_eq!(found, format!("{} {secret}", all(2)));
    // While one runs, another one does not touch the data.
    let begin = std::time::Instant::now();
    let error = start(&folder).await.unwrap_err().to_string();
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    assert!(error.contains("another server uses the data in `"), "{error}");
    second.kill().unwrap();
    second.wait().unwrap();

    // At once: the servers of the killed run are still stopping.
    let (mut third, found) = started(&folder, 3);
    assert_eq!(found, format!("{} {secret}", all(3)));
    drop(third.stdin.take());
    assert!(third.wait().unwrap().success());

    // No other user reads a file or lists a folder. Files of a server are in a folder of its own.
    for (path, mode) in modes(&folder) {
        let is_closed = mode & 0o066 == 0;
        assert!(is_closed || path.contains("/data/"), "{path}: {mode:o}");
        assert!(!path.ends_with("/data") || mode == 0o700, "{path}: {mode:o}");
    }

    // A number that a new process has by now stands in the way of PostgreSQL.
    let other = Other(unprivileged("sleep").arg("600").current_dir("/").spawn().unwrap());
    let pid = folder.join("postgres/data/postmaster.pid");
    fs::write(&pid, format!("{}\n{}\n", other.0.id(), folder.display())).unwrap();
    let (mut fourth, found) = started(&folder, 4);
    assert_eq!(found, format!("{} {secret}", all(4)));
    drop(fourth.stdin.take());
    fourth.wait().unwrap();
    drop(other);

    // The privileges are those of the present struct.
    let dev = Dev::builder::<changed::Hoard>().__keeping(&folder).start().await.unwrap();
    let hoard = changed::Hoard::attach_from(&dev.environment()).await;
    let hoard = hoard.unwrap_or_else(|error: AttachError| panic!("{error}"));
    for resource in hoard.resources() {
        let findings = &resource.posture().findings;
        let excess = findings.iter().find(|finding| finding.rule().name == "excess_privileges");
        let message = excess.map(|finding| finding.message().to_owned()).unwrap_or_default();
        // The table of its own is the one thing that it keeps.
        let kept = message.trim_start_matches("the account may do what the field does not need: ");
        assert!(["", "OWNERSHIP ON TABLE workshop.drafts"].contains(&kept), "{message}");
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM orders")
        .fetch_one(&*hoard.orders.client())
        .await
        .unwrap();
    assert_eq!(count, 4);
    hoard.detach().await;
    drop(dev);

    another_release_is_refused(&folder).await;
}

/// The errors about a folder of another release, and of another struct.
async fn another_release_is_refused(folder: &Path) {
    let release = folder.join("postgres/release");
    let own = fs::read_to_string(&release).unwrap();
    fs::write(&release, "PostgreSQL 9\n").unwrap();
    let error = start(folder).await.unwrap_err().to_string();
    let part = format!(
        "has the data of PostgreSQL 9, and the installed server is {}, which cannot read them: \
         install that release again to copy them, or move the folder away, or remove it with all \
         of its data: rm -r '",
        own.trim()
    );
    assert!(error.starts_with("`orders`: `") && error.contains(&part), "{error}");
    fs::write(&release, own).unwrap();

    let other = Dev::builder::<super::Cache>().__keeping(folder).start().await;
    let error = other.unwrap_err().to_string();
    let part = "has the data of `Hoard (HOARD)`, and this is `Cache (CACHE)`: move the folder away";
    assert!(error.contains(part), "{error}");

    // Data that the server cannot read: its own text, and the next step.
    let broken = folder.join("redis-sessions/data/appendonlydir");
    for entry in fs::read_dir(&broken).unwrap().flatten() {
        fs::write(entry.path(), "broken").unwrap();
    }
    let error = start(folder).await.unwrap_err().to_string();
    assert!(error.starts_with("`sessions`: redis-server has ended "), "{error}");
    assert!(error.contains("\nIts data are kept in `"), "{error}");
}

mod changed {
    use super::*;

    #[derive(BackingServices)]
    #[services(prefix = "HOARD", deadline = 60)]
    pub(super) struct Hoard {
        #[service(
            needs = "SELECT ON orders",
            allow(excess_privileges, reason = "it owns the table that it makes")
        )]
        pub(super) orders: Resource<Postgres>,
        #[service(needs = "SELECT ON stock")]
        stock: Resource<MySql>,
        #[service(needs = "READ ON QUEUE orders")]
        deliveries: Resource<Amqp>,
    }
}
