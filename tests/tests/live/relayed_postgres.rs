//! sqlx works through the relay as without it, and the relay leaves nothing behind.

use std::collections::HashMap;
use std::future::poll_fn;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use backing_services::{BackingServices, Environment, Postgres, Resource};
use backing_services_tests::attempt::attach;
use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::hostile::Hostile;
use backing_services_tests::hostile::postgres::message;
use backing_services_tests::journal;
use backing_services_tests::pki::Authority;
use backing_services_tests::postgres::{self as server, DATABASE, Options};
use backing_services_tests::relay::Relay;
use backing_services_tests::variables::{self, Variables};
use futures_core::Stream;
use sqlx::postgres::{PgListener, PgPoolCopyExt as _};
use sqlx::{Either, PgPool, Row as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    orders: Resource<Postgres>,
}

/// No test here reaches this limit.
const SOON: Duration = Duration::from_secs(20);

const MANY: usize = 200;

/// The roles of the tests. Each owns a schema, so that each test has tables of its own.
const ROLES: [&str; 11] = [
    "copier", "listener", "bulk", "sender", "spender", "migrator", "dropper", "crowd", "canceller",
    "stranger", "leaver",
];

static SERVER: LazyLock<server::Postgres> = LazyLock::new(|| {
    let authority = Authority::new("the tests' authority");
    let mut options = Options::tls(authority.server());
    options.settings = format!("max_connections = {}\n", MANY + 50);
    let server = server::Postgres::with(authority, &options);
    for role in ROLES {
        let _ = server.sql(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; CREATE SCHEMA {role} AUTHORIZATION \
             {role};
             CREATE TABLE {role}.lines (id int, text text);
             GRANT ALL ON {role}.lines TO {role};
             ALTER ROLE {role} SET search_path = {role}"
        ));
    }
    server
});

fn variables(role: &str, parameters: &str) -> Variables {
    let url = format!("postgres://{role}@localhost:{}/{DATABASE}{parameters}", SERVER.port);
    variables::of("SHOP_ORDERS", url, PASSWORD, SERVER.authority.pem())
}

async fn next<S: Stream + ?Sized>(stream: &mut Pin<Box<S>>) -> Option<S::Item> {
    poll_fn(|context| stream.as_mut().poll_next(context)).await
}

async fn number(pool: &PgPool, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn a_copy_goes_in_and_out() {
    let shop: Shop = attach(&variables("copier", "")).await.unwrap();
    let pool = shop.orders.client();
    let line = |id: usize| format!("{id}\t{}\n", "x".repeat(100));
    let sent: String = (0..50_000).map(line).collect();
    let mut copy = pool.copy_in_raw("COPY lines FROM STDIN").await.unwrap();
    for piece in sent.as_bytes().chunks(100_000) {
        copy.send(piece).await.unwrap();
    }
    assert_eq!(copy.finish().await.unwrap(), 50_000);

    let mut out = pool.copy_out_raw("COPY (TABLE lines ORDER BY id) TO STDOUT").await.unwrap();
    let mut got = Vec::new();
    while let Some(piece) = next(&mut out).await {
        got.extend_from_slice(&piece.unwrap());
    }
    drop(out);
    assert!(got == sent.as_bytes());

    let mut copy = pool.copy_in_raw("COPY lines FROM STDIN").await.unwrap();
    copy.send(&b"1\tx\n"[..]).await.unwrap();
    copy.abort("not this one").await.unwrap();
    assert_eq!(number(&pool, "SELECT count(*) FROM lines").await, 50_000);
    // One that is left in the middle.
    let mut out = pool.copy_out_raw("COPY lines TO STDOUT").await.unwrap();
    next(&mut out).await.unwrap().unwrap();
    drop(out);
    assert_eq!(number(&pool, "SELECT count(*) FROM lines").await, 50_000);
    drop(pool);
    shop.detach().await;
}

#[tokio::test]
async fn a_listener_hears_notifications_also_after_its_connection_was_ended() {
    let shop: Shop = attach(&variables("listener", "")).await.unwrap();
    let mut listener = PgListener::connect_with(&shop.orders.client()).await.unwrap();
    listener.listen("jobs").await.unwrap();
    let _ = SERVER.sql("NOTIFY jobs, 'first'");
    let heard = tokio::time::timeout(SOON, listener.recv()).await.unwrap().unwrap();
    assert_eq!((heard.channel(), heard.payload()), ("jobs", "first"));
    // Through another connection of the pool, many at once.
    let pool = shop.orders.client();
    let notify = "SELECT pg_notify('jobs', i::text) FROM generate_series(1, 2000) i";
    sqlx::raw_sql(notify).execute(&*pool).await.unwrap();
    for expected in 1..=2000 {
        let heard = tokio::time::timeout(SOON, listener.recv()).await.unwrap().unwrap();
        assert_eq!(heard.payload(), expected.to_string());
    }

    let ended = SERVER.sql(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'listener'",
    );
    assert_ne!(ended, "0");
    let notifying = async {
        loop {
            let _ = SERVER.sql("NOTIFY jobs, 'again'");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let heard = tokio::select! {
        heard = tokio::time::timeout(SOON, listener.recv()) => heard.unwrap().unwrap(),
        () = notifying => panic!("it ended"),
    };
    assert_eq!(heard.payload(), "again");
    drop((listener, pool));
    shop.detach().await;
}

#[tokio::test]
async fn large_rows_and_parameters_pass_up_to_the_limit() {
    const LARGE: usize = 20 * 1024 * 1024;
    let shop: Shop = attach(&variables("bulk", "?max_message=30000000")).await.unwrap();
    let pool = shop.orders.client();
    let sent: Vec<u8> = (0..LARGE).map(|number| (number % 251) as u8).collect();
    let row = sqlx::query("SELECT $1, length($1)").bind(&sent).fetch_one(&*pool).await.unwrap();
    assert!(row.get::<&[u8], _>(0) == sent);
    assert_eq!(row.get::<i32, _>(1), LARGE as i32);
    drop(row);
    // Many rows that are larger together.
    let rows = sqlx::query("SELECT $1::bytea FROM generate_series(1, 40)").bind(&sent[..1_000_000]);
    let rows = rows.fetch_all(&*pool).await.unwrap();
    assert!(rows.iter().all(|row| row.get::<&[u8], _>(0) == &sent[..1_000_000]));

    let error = sqlx::query("SELECT repeat('x', 31000000)").fetch_one(&*pool).await.unwrap_err();
    assert!(matches!(error, sqlx::Error::Io(_)), "{error}");
    assert!(journal::text().contains("larger than `max_message` allows"));
    assert_eq!(number(&pool, "SELECT 1::bigint").await, 1, "the pool opens another one");
    drop(pool);
    shop.detach().await;
}

#[tokio::test]
async fn many_statements_and_several_results_stay_in_order() {
    let shop: Shop = attach(&variables("sender", "?max_connections=1")).await.unwrap();
    let pool = shop.orders.client();
    // All in one message, with a notice in each.
    let statements: String = (0..1000).map(|number| format!("SELECT {number}; ")).collect();
    let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statements));
    let mut results = statement.fetch_many(&*pool);
    let (mut rows, mut ends) = (Vec::new(), 0);
    while let Some(result) = next(&mut results).await {
        match result.unwrap() {
            Either::Left(_) => ends += 1,
            Either::Right(row) => rows.push(row.get::<i32, _>(0)),
        }
    }
    drop(results);
    assert_eq!(rows, (0..1000).collect::<Vec<_>>());
    assert_eq!(ends, 1000);
    // Each is prepared, by several messages that are sent at once.
    for number in 0..300 {
        let statement = sqlx::AssertSqlSafe(format!("SELECT $1::int + {number}"));
        let sum: i32 = sqlx::query_scalar(statement).bind(1).fetch_one(&*pool).await.unwrap();
        assert_eq!(sum, number + 1);
    }
    // An error in the middle ends the rest, and not the connection.
    let failing = sqlx::raw_sql("SELECT 1; SELECT 1/0; SELECT 2").execute(&*pool).await;
    let sqlx::Error::Database(error) = failing.unwrap_err() else { panic!("another error") };
    assert_eq!((error.code().as_deref(), error.message()), (Some("22012"), "division by zero"));
    assert_eq!(number(&pool, "SELECT 2::bigint").await, 2);
    drop(pool);
    shop.detach().await;
}

#[tokio::test]
async fn transactions_commit_and_roll_back() {
    const COUNT: &str = "SELECT count(*) FROM lines";
    const INSERT: &str = "INSERT INTO lines VALUES (1, 'one')";
    let shop: Shop = attach(&variables("spender", "?max_connections=2")).await.unwrap();
    let pool = shop.orders.client();
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query(INSERT).execute(&mut *transaction).await.unwrap();
    assert_eq!(number(&pool, COUNT).await, 0, "another connection does not see it");
    transaction.commit().await.unwrap();
    assert_eq!(number(&pool, COUNT).await, 1);
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query(INSERT).execute(&mut *transaction).await.unwrap();
    transaction.rollback().await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query(INSERT).execute(&mut *transaction).await.unwrap();
    drop(transaction);
    assert_eq!(number(&pool, COUNT).await, 1);
    // A savepoint in one.
    let mut transaction = pool.begin().await.unwrap();
    let mut inner = sqlx::Acquire::begin(&mut *transaction).await.unwrap();
    sqlx::query(INSERT).execute(&mut *inner).await.unwrap();
    inner.rollback().await.unwrap();
    sqlx::query(INSERT).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(number(&pool, COUNT).await, 2);
    drop(pool);
    shop.detach().await;
}

#[tokio::test]
async fn migrations_of_the_driver_run() {
    let shop: Shop = attach(&variables("migrator", "")).await.unwrap();
    let pool = shop.orders.client();
    let migrator = sqlx::migrate!("tests/live/steps");
    migrator.run(&*pool).await.unwrap();
    assert_eq!(number(&pool, "SELECT id FROM invoices WHERE text = 'one'").await, 1);
    migrator.run(&*pool).await.unwrap();
    assert_eq!(number(&pool, "SELECT count(*) FROM _sqlx_migrations WHERE success").await, 2);
    drop(pool);
    shop.detach().await;
}

#[tokio::test]
async fn a_future_that_is_dropped_leaves_a_pool_that_works() {
    let shop: Shop = attach(&variables("dropper", "?max_connections=1")).await.unwrap();
    let pool = shop.orders.client();
    for statement in
        ["SELECT pg_sleep(1)", "SELECT repeat('x', 10000) FROM generate_series(1, 1e4)"]
    {
        let running = sqlx::raw_sql(statement).execute(&*pool);
        let dropped = tokio::time::timeout(Duration::from_millis(10), running).await;
        assert!(dropped.is_err(), "it was dropped while it ran");
        let asking = tokio::time::timeout(SOON, number(&pool, "SELECT 7::bigint"));
        assert_eq!(asking.await.unwrap(), 7);
    }
    drop(pool);
    shop.detach().await;
}

#[tokio::test]
async fn the_pool_recovers_when_the_server_was_restarted() {
    let authority = Authority::new("the tests' authority");
    let ca = authority.pem();
    let options = Options::tls(authority.server());
    let first = server::Postgres::with(authority, &options);
    let between = Relay::to(first.port);
    let url = format!("postgres://{}@localhost:{}/{DATABASE}", server::USER, between.port);
    let variables = variables::of("SHOP_ORDERS", url, PASSWORD, ca);
    let shop: Shop = attach(&variables).await.unwrap();
    let pool = shop.orders.client();
    assert_eq!(number(&pool, "SELECT 1::bigint").await, 1);
    drop(first);
    assert!(sqlx::query("SELECT 1").execute(&*pool).await.is_err(), "the server is gone");

    let second = server::Postgres::with(Authority::new("an unused authority"), &options);
    between.lead_to(second.port);
    let begin = Instant::now();
    while sqlx::query("SELECT 1").execute(&*pool).await.is_err() {
        assert!(begin.elapsed() < SOON, "it does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    shop.orders.health().await.unwrap();
    drop(pool);
    shop.detach().await;
    second.assert_no_connection_of(server::USER).await;
}

/// The runtime of the test has one thread.
#[tokio::test]
async fn many_connections_are_opened_at_once() {
    let parameters = format!("?max_connections={MANY}&connect_timeout=60");
    let shop: Shop = attach(&variables("crowd", &parameters)).await.unwrap();
    let pool = shop.orders.client();
    let mut opening = JoinSet::new();
    for _ in 0..MANY {
        let pool = pool.clone();
        opening.spawn(async move {
            let mut connection = pool.acquire().await.unwrap();
            let process = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()");
            (process.fetch_one(&mut *connection).await.unwrap(), connection)
        });
    }
    let held: HashMap<_, _> = opening.join_all().await.into_iter().collect();
    assert_eq!(held.len(), MANY);
    assert_eq!(SERVER.connections_of("crowd"), MANY);
    drop((held, pool));
    shop.detach().await;
    SERVER.assert_no_connection_of("crowd").await;
}

// --- The endpoint --------------------------------------------------------------------------------

/// The socket of the relay, and the name that it demands.
fn endpoint(pool: &PgPool) -> (PathBuf, String) {
    let options = pool.connect_options();
    let file = options.get_socket().expect("a socket").join(".s.PGSQL.5432");
    (file, options.get_username().to_owned())
}

/// Opens a session as the driver does.
async fn greet(file: &Path, user: &str) -> UnixStream {
    let mut stream = UnixStream::connect(file).await.unwrap();
    let body = format!("\0\u{3}\0\0user\0{user}\0client_encoding\0UTF8\0\0");
    let length = u32::try_from(body.len() + 4).unwrap();
    stream.write_all(&[&length.to_be_bytes()[..], body.as_bytes()].concat()).await.unwrap();
    stream
}

async fn read_message(stream: &mut UnixStream) -> (u8, Vec<u8>) {
    let kind = stream.read_u8().await.unwrap();
    let mut body = vec![0; stream.read_u32().await.unwrap() as usize - 4];
    stream.read_exact(&mut body).await.unwrap();
    (kind, body)
}

async fn ask_to_cancel(file: &Path, key: &[u8]) {
    let mut stream = UnixStream::connect(file).await.unwrap();
    let request = [&16_u32.to_be_bytes()[..], &80_877_102_u32.to_be_bytes(), key].concat();
    stream.write_all(&request).await.unwrap();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0, "there is no answer");
}

#[tokio::test]
async fn a_request_to_cancel_reaches_the_server_with_its_own_key() {
    let shop: Shop = attach(&variables("canceller", "")).await.unwrap();
    let (file, token) = endpoint(&shop.orders.client());
    let mut stream = greet(&file, &token).await;
    let mut key = Vec::new();
    loop {
        match read_message(&mut stream).await {
            (b'K', body) => key = body,
            (b'Z', _) => break,
            (kind, body) => {
                assert!(matches!(kind, b'R' | b'S'), "{}", kind as char);
                assert!(kind != b'R' || body == [0; 4], "there is no authentication");
            }
        }
    }
    assert_eq!(key.len(), 8);
    let process = i32::from_be_bytes(key[..4].try_into().unwrap());
    let known = SERVER.sql(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {process}"));
    assert_eq!(known, "0", "the server's key does not leave the relay");

    let begin = Instant::now();
    stream.write_all(&message(b'Q', b"SELECT pg_sleep(25)\0")).await.unwrap();
    let is_asleep = || {
        SERVER.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'canceller' AND query LIKE \
             '%pg_sleep(25)%' AND state = 'active'",
        ) == "1"
    };
    while !is_asleep() {
        assert!(begin.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // An unknown key does nothing.
    ask_to_cancel(&file, &[7; 8]).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(is_asleep());
    ask_to_cancel(&file, &key).await;
    let error = loop {
        if let (b'E', body) = read_message(&mut stream).await {
            break String::from_utf8(body).unwrap();
        }
    };
    assert!(error.contains("\0C57014\0"), "{error:?}");
    assert!(begin.elapsed() < SOON);
    // Once its session is over, the key is unknown.
    drop(stream);
    while SERVER.connections_of("canceller") > 1 {
        assert!(begin.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ask_to_cancel(&file, &key).await;
    assert_eq!(SERVER.log().matches("canceling statement due to user request").count(), 1);
    shop.detach().await;
}

#[tokio::test]
async fn a_connection_without_the_token_is_refused() {
    let shop: Shop = attach(&variables("stranger", "")).await.unwrap();
    let (file, token) = endpoint(&shop.orders.client());
    for user in ["stranger", "postgres", "", &token[1..], &token.to_uppercase()] {
        let mut stream = greet(&file, user).await;
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "it gets nothing: {user}");
    }
    // Bytes that are no startup message end the connection too.
    for sent in [&b"\0\0\0\x08\x04\xd2\x16\x2f"[..], b"\xff\xff\xff\xff", b"\0\0\0\0", b"GET / HT"]
    {
        let mut stream = UnixStream::connect(&file).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let (kind, _) = read_message(&mut stream).await;
        assert_eq!(kind, b'E', "{sent:?}");
        // Bytes that were not read make the end an error.
        assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)), "{sent:?}");
    }
    let authorized = || SERVER.log().matches("connection authorized: user=stranger").count();
    assert_eq!(authorized(), 1, "the server got no connection of these");
    assert_eq!(number(&shop.orders.client(), "SELECT 1::bigint").await, 1);

    // Another process gets nothing, not even with the token.
    let program = "import socket, struct, sys\n\
        s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1])\n\
        body = b'\\0\\3\\0\\0user\\0' + sys.argv[2].encode() + b'\\0\\0'\n\
        try:\n\
        \x20   s.sendall(struct.pack('>I', len(body) + 4) + body)\n\
        \x20   sys.exit(len(s.recv(1)))\n\
        except (BrokenPipeError, ConnectionResetError): pass\n";
    // The relay of the tests above has reported a stranger, and does so once a minute.
    let reports = || journal::text().matches("a stranger connected to the endpoint").count();
    for knows_the_token in [true, false] {
        let shop: Shop = attach(&variables("stranger", "")).await.unwrap();
        let (file, token) = endpoint(&shop.orders.client());
        let (before, reported) = (authorized(), reports());
        let mut other = Command::new("python3");
        let user = if knows_the_token { &token } else { "postgres" };
        other.args(["-c", program]).arg(&file).arg(user);
        let status = tokio::task::spawn_blocking(move || other.status().unwrap()).await.unwrap();
        assert!(status.success(), "it got something, or nothing came: {status}");
        assert_eq!(reports(), reported + 1);
        assert_eq!(authorized(), before, "the server got no connection of these");
        assert!(!journal::text().contains(&token), "the token is in no log");
        shop.detach().await;
    }
    assert!(!journal::text().contains(&token), "the token is in no log");
    shop.detach().await;
}

#[tokio::test]
async fn the_drivers_options_hold_neither_the_password_nor_the_address() {
    let shop: Shop = attach(&variables("leaver", "")).await.unwrap();
    let options = shop.orders.client().connect_options();
    canary::assert_debug_silent(&options);
    let shown = format!("{options:?} {options:#?}");
    let port = SERVER.port.to_string();
    for hidden in [port.as_str(), "leaver", "BEGIN CERTIFICATE"] {
        assert!(!shown.contains(hidden), "{hidden}: {shown}");
    }
    shop.detach().await;
}

// --- Its life ------------------------------------------------------------------------------------

/// The folders of relays. The process has a folder of its own for them.
fn folders() -> Vec<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").unwrap();
    std::fs::read_dir(runtime).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Waits until there is neither a folder nor a task. A dropped task ends when the runtime gets to
/// it.
async fn assert_nothing_left(tasks: usize) {
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for _ in 0..100 {
        if folders().is_empty() && alive() <= tasks {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?} and {} tasks are left, and there were {tasks}", folders(), alive());
}

/// Not a test: the body of the child process that the next one starts.
#[tokio::test]
#[ignore = "run by the test of what is left"]
async fn lives_and_leaves() {
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_nothing_left(tasks).await;
    let variables = variables("leaver", "?max_connections=3");
    let open = async || {
        let shop: Shop = attach(&variables).await.unwrap();
        let pool = shop.orders.client().clone();
        let held = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
        let [folder] = folders().try_into().unwrap();
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(endpoint(&pool).0, folder.join(".s.PGSQL.5432"));
        (shop, pool, held)
    };
    // Detached, with connections that are held.
    let (shop, pool, held) = open().await;
    shop.detach().await;
    assert!(pool.acquire().await.is_err());
    // The pool has a task of its own for each connection that comes back.
    drop(held);
    assert_nothing_left(tasks).await;
    drop((shop, pool));
    // Dropped, while a clone of the pool is held.
    let (shop, pool, held) = open().await;
    drop(shop);
    SERVER.assert_no_connection_of("leaver").await;
    drop((pool, held));
    assert_nothing_left(tasks).await;
    // Attached again: a relay is of one generation.
    let (shop, pool, held) = open().await;
    drop((pool, held));
    let before = folders();
    shop.reattach(&Environment::from_iter(variables.clone())).await.unwrap();
    for _ in 0..100 {
        if folders().len() == 1 && folders() != before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(folders().len() == 1 && folders() != before, "{before:?} {:?}", folders());
    shop.detach().await;
    assert_nothing_left(tasks).await;
    // An attempt that is dropped, and one that fails.
    let silent = Hostile::start(|peer| async { Ok(Some(peer)) });
    let url = format!("postgres://leaver@localhost:{}/{DATABASE}", silent.port);
    let unanswered = variables::of("SHOP_ORDERS", url, PASSWORD, SERVER.authority.pem());
    let mut attempt = Box::pin(attach::<Shop>(&unanswered));
    let waiting = tokio::time::timeout(Duration::from_millis(200), attempt.as_mut()).await;
    assert!(waiting.is_err(), "it has to wait");
    assert_eq!(folders().len(), 1);
    drop(attempt);
    assert_nothing_left(tasks).await;
    silent.assert_all_closed().await;
    let mut wrong = variables.clone();
    wrong[1].1 = canary::WRONG_PASSWORD.to_owned();
    assert!(attach::<Shop>(&wrong).await.is_err());
    assert_nothing_left(tasks).await;
    SERVER.assert_no_connection_of("leaver").await;
}

#[test]
fn no_folder_and_no_task_outlives_the_client() {
    // The path of a socket is short: in a longer one, the relay would not use this folder.
    let folder = tempfile::TempDir::with_prefix("ends").unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--ignored", "--exact", "relayed_postgres::lives_and_leaves", "--nocapture"]);
    let output = child.env("XDG_RUNTIME_DIR", folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    canary::assert_silent("its output", &text);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
