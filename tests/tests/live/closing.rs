//! Closing closes. That an opening ends, and that a clone of a client opens no other, is a case of
//! the conformance suite. Here is the rest: if the time for closing is over, what is left is cut.

use std::time::{Duration, Instant};

use backing_services::resource::Detached;
use backing_services::{
    BackingServices, Https, MySql, Nats, Postgres, Resource, S3, Smtp, TokioPostgres,
};
use backing_services_tests::attempt::attach;
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::hostile::Hostile;
use backing_services_tests::pki::Authority;
use backing_services_tests::relay::{Flow, Relay};
use backing_services_tests::{mariadb, nats, postgres, s3, smtp};
use lettre::{AsyncTransport as _, Message};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use sqlx::{MySqlPool, PgPool};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The time limit for connecting, in seconds, and twice that for an answer. Detaching allows more.
const LIMIT: Duration = Duration::from_secs(2);

/// A relay to the server, and the variables of a resource that connects through it.
fn through(
    base: &str,
    locator: &str,
    port: u16,
    authority: &Authority,
) -> (Relay, Vec<(String, String)>) {
    let relay = Relay::to(port);
    let locator = locator.replace(&format!(":{port}"), &format!(":{}", relay.port));
    let variables = vec![
        (format!("{base}_URL"), locator),
        (format!("{base}_PASSWORD"), PASSWORD.to_owned()),
        (format!("{base}_CA"), authority.pem()),
    ];
    (relay, variables)
}

async fn attached<T: BackingServices>(variables: &[(String, String)]) -> T {
    let variables: Vec<_> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    attach(&variables).await.unwrap()
}

/// The report of a detach that did not wait any longer for the only resource.
fn assert_cut(detached: &Detached, field: &str) {
    assert_eq!(
        detached.to_string(),
        format!(
            "1 resource was detached; `{field}` was cut: it did not finish what was in flight in \
             time"
        )
    );
}

/// Breaks every connection, so that the next call has to open another one. Detaches while that
/// opening waits for the server, which ends it. `call` opens a connection and uses it.
async fn ends_openings<T, F>(services: T, relay: &Relay, call: impl Fn() -> F + Send + 'static)
where
    T: BackingServices,
    F: Future<Output = bool> + Send + 'static,
{
    assert!(call().await, "it works before");
    relay.set(Flow::ForcedClose);
    tokio::time::sleep(Duration::from_millis(300)).await;
    relay.set(Flow::Silent);
    let before = relay.accepted();
    let waiting = tokio::spawn(call());
    while relay.accepted() == before {
        assert!(!waiting.is_finished(), "it has to open a connection");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let begin = Instant::now();
    let detached = services.detach().await;
    assert!(detached.is_clean() && begin.elapsed() < LIMIT, "{detached} {:?}", begin.elapsed());
    let accepted = relay.accepted();
    relay.set(Flow::Open);
    let ended = tokio::time::timeout(2 * LIMIT, waiting).await.expect("the call ends");
    assert!(!ended.unwrap(), "no caller gets the connection");
    assert_eq!(relay.accepted(), accepted, "nothing connects after the end");
    relay.assert_all_closed().await;
}

/// Forwards connections to a port until it is aborted. Its own port then refuses connections.
fn forward(listener: TcpListener, target: u16) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut forwarded = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            forwarded.spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", target)).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    })
}

/// The driver repeats an attempt that is refused. Detaches while it does, and opens the port then.
async fn stops_dialling<T, F>(
    locator: &str,
    target: u16,
    authority: &Authority,
    call: impl FnOnce(&T) -> F,
) where
    T: BackingServices,
    F: Future<Output = bool> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let variables = [
        ("SHOP_ORDERS_URL".to_owned(), locator.replace(&format!(":{target}"), &format!(":{port}"))),
        ("SHOP_ORDERS_PASSWORD".to_owned(), PASSWORD.to_owned()),
        ("SHOP_ORDERS_CA".to_owned(), authority.pem()),
    ];
    let forwarding = forward(listener, target);
    let services: T = attached(&variables).await;
    let waiting = call(&services);
    forwarding.abort();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let waiting = tokio::spawn(waiting);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "the driver repeats it");
    let detached = services.detach().await;
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let accepting = tokio::time::timeout(3 * LIMIT, listener.accept());
    assert!(accepting.await.is_err(), "nothing connects after the end: {detached}");
    assert!(waiting.is_finished(), "the call ends");
    assert!(!waiting.await.unwrap(), "no caller gets a connection");
    assert!(detached.is_clean(), "the next attempt ends it: {detached}");
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Mail {
    mail: Resource<Smtp>,
}

/// Each answer takes four seconds: the message is in its dialogue when the time is over.
#[tokio::test]
async fn a_mail_in_flight_is_cut() {
    let server = smtp::Smtp::start();
    let locator = format!("{}?response_timeout=60000", server.locator());
    let (relay, variables) = through("SHOP_MAIL", &locator, server.port, &server.authority);
    let shop: Mail = attached(&variables).await;
    let client = shop.mail.client().clone();
    let message = |subject: &str| {
        Message::builder()
            .from("shop@shop.example".parse().unwrap())
            .to("customer@post.example".parse().unwrap())
            .subject(subject)
            .body("Your order was sent.".to_owned())
            .unwrap()
    };
    client.send(message("first")).await.unwrap();
    relay.set(Flow::Slow(1900));
    let late = message("late");
    let sending = tokio::spawn(async move { client.send(late).await });
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!sending.is_finished(), "it is in flight");
    assert_cut(&shop.detach().await, "mail");
    let ended = tokio::time::timeout(LIMIT, sending).await.expect("the call ends");
    let error = ended.unwrap().unwrap_err().to_string();
    assert!(error.contains("the resource is detached"), "{error}");
    relay.set(Flow::Open);
    relay.assert_all_closed().await;
    assert_eq!(server.mail().matches("Subject: late").count(), 0, "it is not sent after the end");
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Strict {
    orders: Resource<TokioPostgres>,
}

#[tokio::test]
async fn a_connection_of_tokio_postgres_that_is_held_is_cut() {
    let server = postgres::Postgres::start();
    let (relay, variables) =
        through("SHOP_ORDERS", &server.locator(), server.port, &server.authority);
    let shop: Strict = attached(&variables).await;
    let held = shop.orders.client().clone().get().await.unwrap();
    held.simple_query("SELECT 1").await.unwrap();
    assert_cut(&shop.detach().await, "orders");
    held.simple_query("SELECT 1").await.unwrap_err();
    relay.assert_all_closed().await;
    server.assert_no_connection_of(postgres::USER).await;
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Pooled {
    orders: Resource<Postgres>,
}

async fn uses_postgres(pool: PgPool) -> bool {
    let Ok(mut connection) = pool.acquire().await else { return false };
    sqlx::raw_sql("SELECT 1").execute(&mut *connection).await.is_ok()
}

#[tokio::test]
async fn an_opening_of_postgres_that_does_not_end_is_of_no_use() {
    let server = postgres::Postgres::start();
    let locator = format!("{}?connect_timeout=60", server.locator());
    let (relay, variables) = through("SHOP_ORDERS", &locator, server.port, &server.authority);
    let shop: Pooled = attached(&variables).await;
    let pool = shop.orders.client().clone();
    ends_openings(shop, &relay, move || uses_postgres(pool.clone())).await;
    server.assert_no_connection_of(postgres::USER).await;
}

#[tokio::test]
async fn postgres_stops_dialling() {
    let server = postgres::Postgres::start();
    let locator = format!("{}?connect_timeout=60", server.locator());
    stops_dialling(&locator, server.port, &server.authority, |shop: &Pooled| {
        uses_postgres(shop.orders.client().clone())
    })
    .await;
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Legacy {
    orders: Resource<MySql>,
}

async fn uses_mysql(pool: MySqlPool) -> bool {
    let Ok(mut connection) = pool.acquire().await else { return false };
    sqlx::raw_sql("SELECT 1").execute(&mut *connection).await.is_ok()
}

#[tokio::test]
async fn an_opening_of_mysql_that_does_not_end_is_of_no_use() {
    let server = mariadb::MariaDb::start();
    let locator = format!("{}?connect_timeout=60", server.locator());
    let (relay, variables) = through("SHOP_ORDERS", &locator, server.port, &server.authority);
    let shop: Legacy = attached(&variables).await;
    let pool = shop.orders.client().clone();
    ends_openings(shop, &relay, move || uses_mysql(pool.clone())).await;
    server.assert_no_connection_of(mariadb::USER).await;
}

#[tokio::test]
async fn mysql_stops_dialling() {
    let server = mariadb::MariaDb::start();
    let locator = format!("{}?connect_timeout=60", server.locator());
    stops_dialling(&locator, server.port, &server.authority, |shop: &Legacy| {
        uses_mysql(shop.orders.client().clone())
    })
    .await;
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Bus {
    bus: Resource<Nats>,
}

/// A bus to whose server nothing gets through any more.
async fn stalled(server: &nats::Nats) -> (Relay, Bus) {
    let (relay, variables) = through("SHOP_BUS", &server.locator(), server.port, &server.authority);
    let shop: Bus = attached(&variables).await;
    relay.set(Flow::Silent);
    (relay, shop)
}

/// The number of messages of a subject that the server has got.
fn published(server: &nats::Nats, subject: &str) -> usize {
    server.log().lines().filter(|line| line.contains(&format!("[PUB {subject}"))).count()
}

#[tokio::test]
async fn a_message_that_is_published_after_the_end_is_not_sent() {
    let server = nats::Nats::start();
    let (relay, shop) = stalled(&server).await;
    let client = shop.bus.client().clone();
    let flushes = || tokio::time::timeout(Duration::from_millis(300), client.flush());
    // Until the driver can write no more.
    loop {
        client.publish("orders.flood", vec![b'x'; 300_000].into()).await.unwrap();
        if flushes().await.is_err() {
            break;
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_cut(&shop.detach().await, "bus");
    // The driver's queue takes it, as the driver cannot yet see that it is to end.
    let publishing = client.publish("orders.late", "late".into());
    let _ = tokio::time::timeout(Duration::from_secs(1), publishing).await;
    relay.set(Flow::Open);
    server.assert_no_connection().await;
    assert!(published(&server, "orders.flood") > 0, "what was published before may be sent");
    assert_eq!(published(&server, "orders.late"), 0);
    relay.assert_all_closed().await;
    assert!(client.publish("orders.late", "late".into()).await.is_err(), "the client ended");
}

/// The driver has written it, and the server has not read it.
#[tokio::test]
async fn a_message_of_nats_that_does_not_arrive_is_reported() {
    let server = nats::Nats::start();
    let (relay, shop) = stalled(&server).await;
    let client = shop.bus.client().clone();
    client.publish("orders.lost", "lost".into()).await.unwrap();
    client.flush().await.unwrap();
    assert_cut(&shop.detach().await, "bus");
    relay.set(Flow::ForcedClose);
    server.assert_no_connection().await;
    assert_eq!(published(&server, "orders.lost"), 0);
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Asked {
    rates: Resource<Https>,
}

/// The server says nothing, and the request has more time than detaching.
#[tokio::test]
async fn a_request_of_https_that_does_not_end_is_reported_and_opens_nothing() {
    let authority = Authority::new("the tests' authority");
    let leaf = authority.server();
    let server = Hostile::start(move |peer| {
        let leaf = leaf.clone();
        async move {
            // The first connection is attaching's.
            if peer.index() == 0 { peer.encrypt(&leaf).await.map(Some) } else { Ok(Some(peer)) }
        }
    });
    let query = "connect_timeout=60&response_timeout=60000";
    let variables = [
        ("SHOP_RATES_URL".to_owned(), format!("https://localhost:{}?{query}", server.port)),
        ("SHOP_RATES_PASSWORD".to_owned(), PASSWORD.to_owned()),
        ("SHOP_RATES_CA".to_owned(), authority.pem()),
    ];
    let shop: Asked = attached(&variables).await;
    let client = shop.rates.client().clone();
    let waiting = tokio::spawn(async move { client.get("orders").send().await });
    while server.heard().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let detached = shop.detach().await;
    assert_eq!(
        detached.to_string(),
        "1 resource was detached; `rates` was cut: it did not finish what was in flight in time"
    );
    let ended = tokio::time::timeout(LIMIT, waiting).await.expect("the call ends");
    let error = ended.unwrap().expect_err("there is no answer").to_string();
    assert!(error.contains("the resource is detached"), "{error}");
    server.assert_all_closed().await;
    assert_eq!(server.heard().len(), 2, "nothing connects after the end");
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Archive {
    invoices: Resource<S3>,
}

/// A relay to the server, and the variables of a resource that connects through it.
fn archive(server: &s3::S3) -> (Relay, Vec<(String, String)>) {
    let port = server.server.port;
    let (relay, mut variables) =
        through("SHOP_INVOICES", &server.endpoint(), port, &server.server.authority);
    variables[0].0 = "SHOP_INVOICES_ENDPOINT".to_owned();
    let locator = format!("s3://{}/invoices?connect_timeout=1", s3::BUCKET);
    variables.push(("SHOP_INVOICES_URL".to_owned(), locator));
    variables.push(("SHOP_INVOICES_USER".to_owned(), s3::USER.to_owned()));
    (relay, variables)
}

/// An upload in parts sends one request for each part.
#[tokio::test]
async fn a_transfer_of_s3_that_does_not_end_is_cut_and_reported() {
    let server = s3::S3::start();
    let (_relay, variables) = archive(&server);
    let shop: Archive = attached(&variables).await;
    let client = shop.invoices.client().clone();
    let mut upload = client.put_multipart(&Path::from("large.pdf")).await.unwrap();
    upload.put_part(vec![0x25; 1024].into()).await.unwrap();
    let detached = shop.detach().await;
    assert_eq!(
        detached.to_string(),
        "1 resource was detached; `invoices` was cut: it did not finish what was in flight in time"
    );
    let requests = server.server.requests().len();
    let error = upload.put_part(vec![0x25; 1024].into()).await.unwrap_err();
    assert!(format!("{error:?}").contains("the resource is detached"), "{error:?}");
    upload.complete().await.unwrap_err();
    assert_eq!(server.server.requests().len(), requests, "no request is sent after that");
}

/// The driver opens a connection for a second request at once. If the first one ends before, its
/// connection serves both, and the opening goes on alone.
#[tokio::test]
async fn an_opening_of_https_that_no_request_waits_for_ends() {
    let authority = Authority::new("the tests' authority");
    let leaf = authority.server();
    let server = Hostile::start(move |peer| {
        let leaf = leaf.clone();
        async move {
            if peer.index() > 1 {
                tokio::time::sleep(Duration::from_millis(1500)).await;
            }
            let mut peer = peer.encrypt(&leaf).await?;
            while peer.read().await?.starts_with(b"GET") {
                tokio::time::sleep(Duration::from_millis(300)).await;
                peer.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
            }
            Ok(Some(peer))
        }
    });
    let variables = [
        ("SHOP_RATES_URL".to_owned(), format!("https://localhost:{}", server.port)),
        ("SHOP_RATES_PASSWORD".to_owned(), PASSWORD.to_owned()),
        ("SHOP_RATES_CA".to_owned(), authority.pem()),
    ];
    let shop: Asked = attached(&variables).await;
    let client = shop.rates.client().clone();
    let call = || async { client.get("/").send().await.unwrap().text().await.unwrap() };
    // The connection of attaching was closed: the first request opens one.
    assert_eq!(call().await, "ok");
    let (one, other) = tokio::join!(call(), call());
    assert_eq!((one.as_str(), other.as_str()), ("ok", "ok"));
    assert_eq!(server.heard().len(), 3, "one is being opened");
    let begin = Instant::now();
    let detached = shop.detach().await;
    assert!(detached.is_clean() && begin.elapsed() < Duration::from_millis(500), "{detached}");
    server.assert_all_closed().await;
    assert!(!server.heard()[2].tls, "the handshake is not completed after the end");
}
