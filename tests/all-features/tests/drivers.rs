//! Every driver with every feature that another crate of a program may enable. At `TRACE` the
//! password is in no log, another server is refused, and no variable of the process changes the
//! route or the trust.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::process::Command;
use std::time::Duration;

use backing_services::stores::Etcd;
use backing_services::{
    Amqp, AttachError, BackingServices, Environment, Https, MySql, Nats, Postgres, Redis, Resource,
    S3, Smtp, TokioPostgres,
};
use backing_services_tests::attempt::{attach, problems, refused};
use backing_services_tests::canary::{self, PASSWORD, WRONG_PASSWORD};
use backing_services_tests::folder::Folder;
use backing_services_tests::hostile::Hostile;
use backing_services_tests::pki::Authority;
use backing_services_tests::variables::{self, Variables};
use backing_services_tests::{
    amqp, etcd, https, journal, mariadb, nats, postgres, redis, s3, smtp,
};

const SOON: Duration = Duration::from_secs(20);

/// Checks that the driver's own logging is on. Otherwise the test could not fail.
fn assert_logged(what: &str) {
    assert!(journal::text().contains(what), "the driver's own log is off: {what}");
}

macro_rules! driver {
    (
        $name:ident: $service:ty, $base:literal, $server:expr, $locator:expr, $authority:expr,
        $use:expr
    ) => {
        mod $name {
            use super::*;

            #[derive(BackingServices)]
            #[services(prefix = "SHOP", deadline = 20)]
            struct Shop {
                #[service(env = $base)]
                resource: Resource<$service>,
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn logs_no_password_and_refuses_another_server() {
                journal::open();
                let server = tokio::task::spawn_blocking(|| $server).await.unwrap();
                let base = $base.trim_end_matches("_URL");
                let variables = |locator: String, password: &str, ca: String| {
                    [
                        ($base.to_owned(), locator),
                        (format!("{base}_PASSWORD"), password.to_owned()),
                        (format!("{base}_CA"), ca),
                    ]
                };
                let locator = $locator;
                let authority = $authority;
                let (url, ca) = (locator(&server), authority(&server));
                let good = variables(url.clone(), PASSWORD, ca.clone());
                let shop: Shop = attach(&good).await.unwrap();
                let used = $use;
                used(&shop.resource).await;
                shop.resource.health().await.unwrap();
                shop.resource.refresh_posture().await.unwrap();
                journal::assert_silent();
                shop.detach().await;

                // A server with another authority's certificate is refused.
                let other = Authority::new("the tests' authority").pem();
                let error = refused::<Shop>(&variables(url.clone(), PASSWORD, other), SOON).await;
                assert_eq!(problems(&error), ["unverified_tls"], "{error}");
                let error = refused::<Shop>(&variables(url, WRONG_PASSWORD, ca), SOON).await;
                assert_eq!(problems(&error), ["authentication_failed"], "{error}");
                journal::assert_silent();
            }
        }
    };
}

driver!(
    sqlx_postgres: Postgres, "SHOP_A_URL", postgres::Postgres::start(),
    |server: &postgres::Postgres| server.locator(),
    |server: &postgres::Postgres| server.authority.pem(),
    async |orders: &Resource<Postgres>| {
        sqlx::query("SELECT 1").execute(&*orders.client()).await.unwrap();
        assert_logged("sqlx::query");
    }
);

driver!(
    tokio_postgres: TokioPostgres, "SHOP_B_URL", postgres::Postgres::start(),
    |server: &postgres::Postgres| server.locator(),
    |server: &postgres::Postgres| server.authority.pem(),
    async |orders: &Resource<TokioPostgres>| {
        orders.client().get().await.unwrap().query_one("SELECT 1", &[]).await.unwrap();
        assert_logged("tokio_postgres::");
    }
);

driver!(
    sqlx_mysql: MySql, "SHOP_C_URL", mariadb::MariaDb::start(),
    |server: &mariadb::MariaDb| server.locator(),
    |server: &mariadb::MariaDb| server.authority.pem(),
    async |orders: &Resource<MySql>| {
        sqlx::query("SELECT 1").execute(&*orders.client()).await.unwrap();
        assert_logged("sqlx::query");
    }
);

driver!(
    redis_rs: Redis, "SHOP_D_URL", redis::Redis::start(),
    |server: &redis::Redis| server.locator(),
    |server: &redis::Redis| server.authority.pem(),
    async |sessions: &Resource<Redis>| {
        let _: Option<String> = ::redis::cmd("GET")
            .arg("greeting")
            .query_async(&mut sessions.client())
            .await
            .unwrap();
    }
);

driver!(
    lapin: Amqp, "SHOP_E_URL", amqp::Amqp::start(),
    |server: &amqp::Amqp| format!("amqps://{}@localhost:{}", amqp::USER, server.port),
    |server: &amqp::Amqp| server.authority.pem(),
    async |queue: &Resource<Amqp>| {
        queue.client().create_channel().await.unwrap();
        assert_logged("lapin::");
    }
);

driver!(
    async_nats: Nats, "SHOP_F_URL", nats::Nats::start(),
    |server: &nats::Nats| format!("tls://{}@localhost:{}", nats::USER, server.port),
    |server: &nats::Nats| server.authority.pem(),
    async |bus: &Resource<Nats>| {
        bus.client().flush().await.unwrap();
        assert_logged("write operation: CONNECT");
    }
);

driver!(
    lettre: Smtp, "SHOP_G_URL", smtp::Smtp::start(),
    |server: &smtp::Smtp| server.locator(),
    |server: &smtp::Smtp| server.authority.pem(),
    async |mail: &Resource<Smtp>| {
        mail.health().await.unwrap();
        assert_logged("Wrote: AUTH PLAIN");
    }
);

driver!(
    reqwest: Https, "SHOP_H_URL", https::Https::start(),
    |server: &https::Https| {
        format!("https://{}@localhost:{}/api?health=/health", https::USER, server.port)
    },
    |server: &https::Https| server.authority.pem(),
    async |rates: &Resource<Https>| {
        assert_eq!(rates.client().get("/orders").send().await.unwrap().status().as_u16(), 200);
        assert_logged("hyper_util::");
    }
);

// These differ from the drivers above: S3 has a bucket and an endpoint, and etcd is a source.

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Invoices {
    invoices: Resource<S3>,
}

fn invoices(endpoint: String, password: &str, ca: String) -> Variables {
    vec![
        ("SHOP_INVOICES_URL", format!("s3://{}/invoices?region=eu-west-1", s3::BUCKET)),
        ("SHOP_INVOICES_ENDPOINT", endpoint),
        ("SHOP_INVOICES_USER", s3::USER.to_owned()),
        ("SHOP_INVOICES_PASSWORD", password.to_owned()),
        ("SHOP_INVOICES_CA", ca),
    ]
}

#[tokio::test]
async fn object_store_logs_no_password_and_refuses_another_server() {
    let server = s3::S3::start();
    let good = invoices(server.endpoint(), PASSWORD, server.server.authority.pem());
    let shop: Invoices = attach(&good).await.unwrap();
    shop.invoices.health().await.unwrap();
    shop.detach().await;
    let other = Authority::new("the tests' authority").pem();
    let error = refused::<Invoices>(&invoices(server.endpoint(), PASSWORD, other), SOON).await;
    assert_eq!(problems(&error), ["unverified_tls"], "{error}");
    let wrong = invoices(server.endpoint(), WRONG_PASSWORD, server.server.authority.pem());
    let error = refused::<Invoices>(&wrong, SOON).await;
    assert_eq!(problems(&error), ["authentication_failed"]);
    journal::assert_silent();
}

async fn configuration(
    server: &etcd::Etcd,
    password: &str,
    ca: String,
) -> Result<Etcd, AttachError> {
    let variables = variables::of(
        "CONFIG",
        format!("https://{}@localhost:{}{}", etcd::USER, server.port, etcd::PREFIX),
        password,
        ca,
    );
    Etcd::connect(&Environment::from_iter(variables), "CONFIG").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_logs_no_password_and_refuses_another_server() {
    journal::open();
    let server = tokio::task::spawn_blocking(etcd::Etcd::start).await.unwrap();
    server.put("SHOP_KEY", PASSWORD);
    drop(configuration(&server, PASSWORD, server.authority.pem()).await.unwrap());
    journal::assert_silent();
    let other = Authority::new("the tests' authority").pem();
    let error = configuration(&server, PASSWORD, other).await.unwrap_err();
    canary::assert_error_silent(&error);
    assert_eq!(problems(&error), ["unverified_tls"], "{error}");
    let error = configuration(&server, WRONG_PASSWORD, server.authority.pem()).await.unwrap_err();
    canary::assert_error_silent(&error);
    assert_eq!(problems(&error), ["authentication_failed"], "{error}");
    journal::assert_silent();
}

// Variables of the process that a driver obeys with some feature. A test cannot set them in its own
// process.

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 10)]
struct Steered {
    orders: Option<Resource<Postgres>>,
    letters: Option<Resource<TokioPostgres>>,
    stock: Option<Resource<MySql>>,
    sessions: Option<Resource<Redis>>,
    queue: Option<Resource<Amqp>>,
    bus: Option<Resource<Nats>>,
    mail: Option<Resource<Smtp>>,
    rates: Option<Resource<Https>>,
    invoices: Option<Resource<S3>>,
}

/// Locators of all services, for a server that a client trusts only if it obeys `SSL_CERT_FILE`.
fn locators(port: u16) -> [(&'static str, String); 9] {
    [
        ("ORDERS", format!("postgres://winkelier@localhost:{port}/shop")),
        ("LETTERS", format!("postgres://winkelier@localhost:{port}/shop")),
        ("STOCK", format!("mysql://winkelier@localhost:{port}/shop")),
        ("SESSIONS", format!("rediss://winkelier@localhost:{port}")),
        ("QUEUE", format!("amqps://winkelier@localhost:{port}")),
        ("BUS", format!("tls://winkelier@localhost:{port}?tls_first=true")),
        ("MAIL", format!("smtps://winkelier@localhost:{port}")),
        ("RATES", format!("https://winkelier@localhost:{port}/?health=/x")),
        ("INVOICES", "s3://bucket/invoices?region=eu-west-1".to_owned()),
    ]
}

#[tokio::test]
async fn no_variable_of_the_process_adds_an_authority_or_a_proxy() {
    // The test runs itself again, in a process that has the variables.
    let port = |name: &str| std::env::var(name).map(|port| port.parse().unwrap());
    if let (Ok(hostile), Ok(impostor)) = (port("STEERED_PORT"), port("STEERED_IMPOSTOR")) {
        steered(hostile).await;
        return postgresql_keeps_its_trust(impostor).await;
    }
    let authority = Authority::new("another authority");
    let leaf = authority.server();
    let folder = Folder::new("trust");
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let hostile = Hostile::start(move |peer| {
        let leaf = leaf.clone();
        async move { peer.encrypt(&leaf).await.map(Some) }
    });
    let options = postgres::Options::tls(authority.server());
    let impostor = postgres::Postgres::with(authority, &options);
    let proxy = Hostile::start(|peer| async { Ok(Some(peer)) });
    let of_proxy = format!("http://127.0.0.1:{}", proxy.port);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([
        "--exact",
        "no_variable_of_the_process_adds_an_authority_or_a_proxy",
        "--nocapture",
    ]);
    child
        .env("STEERED_PORT", hostile.port.to_string())
        .env("STEERED_IMPOSTOR", impostor.port.to_string())
        .env("SSL_CERT_FILE", &file)
        .env("SSL_CERT_DIR", folder.path());
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"]
    {
        child.env(name, &of_proxy);
    }
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    canary::assert_silent("its output", &said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert!(proxy.heard().is_empty(), "a proxy was asked");
    assert!(!impostor.log().contains(postgres::USER), "no user name was sent to it");
    for heard in hostile.heard() {
        assert!(
            heard.secret.is_empty() && canary::find(&heard.plain).is_none(),
            "a client trusts it"
        );
    }
}

async fn steered(port: u16) {
    let ca = Authority::new("the tests' authority").pem();
    for (field, locator) in locators(port) {
        let name = |ending: &str| format!("SHOP_{field}_{ending}");
        let mut variables = vec![
            (name("URL"), locator),
            (name("PASSWORD"), PASSWORD.to_owned()),
            (name("CA"), ca.clone()),
        ];
        if field == "INVOICES" {
            variables.push((name("ENDPOINT"), format!("https://localhost:{port}")));
            variables.push((name("USER"), "winkelier".to_owned()));
        }
        let pairs: Vec<_> =
            variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let error = refused::<Steered>(&pairs, SOON).await;
        let problems = problems(&error);
        let expected = match field {
            // The server does not speak the protocol of a database, so TLS does not begin.
            "ORDERS" | "LETTERS" | "STOCK" => {
                &["protocol", "timed_out", "opportunistic_tls", "unreachable"][..]
            }
            _ => &["unverified_tls"],
        };
        assert!(
            !problems.is_empty() && problems.iter().all(|problem| expected.contains(problem)),
            "{field}: {error}"
        );
    }
}

/// Both services for PostgreSQL trust the resource's authority and no other, whatever another crate
/// has switched on in sqlx: native-tls, and the roots of the system. This process has another
/// authority in `SSL_CERT_FILE`.
async fn postgresql_keeps_its_trust(impostor: u16) {
    let server = tokio::task::spawn_blocking(postgres::Postgres::start).await.unwrap();
    for field in ["ORDERS", "LETTERS"] {
        let variables = |port: u16| {
            let url =
                format!("postgres://{}@localhost:{port}/{}", postgres::USER, postgres::DATABASE);
            [
                (format!("SHOP_{field}_URL"), url),
                (format!("SHOP_{field}_PASSWORD"), PASSWORD.to_owned()),
                (format!("SHOP_{field}_CA"), server.authority.pem()),
            ]
        };
        let shop: Steered = attach(&variables(server.port)).await.unwrap();
        if let Some(orders) = &shop.orders {
            let one = sqlx::query("SELECT 1").execute(&*orders.client()).await;
            assert_eq!(one.unwrap().rows_affected(), 1);
        }
        shop.detach().await;
        let error = refused::<Steered>(&variables(impostor), SOON).await;
        assert_eq!(problems(&error), ["unverified_tls"], "{field}: {error}");
    }
}
