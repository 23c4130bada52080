//! PostgreSQL through tokio-postgres, with channel binding for every login: valid, faulty and
//! hostile servers.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use backing_services::posture::TrustPosture;
use backing_services::problem::FailureKind;
use backing_services::service::Refusal;
use backing_services::{BackingServices, Resource, TokioPostgres};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::hostile::Hostile;
use backing_services_tests::hostile::postgres::{AUTHENTICATION_OK, CLEARTEXT, MD5};
use backing_services_tests::journal;
use backing_services_tests::pki::{self, Authority, Leaf};
use backing_services_tests::postgres::{self as server, ADMIN, DATABASE, Options, USER};
use backing_services_tests::relay::{Flow, Relay};
use backing_services_tests::variables::{self, Variables};

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    orders: Resource<TokioPostgres>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 2)]
struct Hasty {
    orders: Resource<TokioPostgres>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 5)]
struct Lenient {
    #[service(allow(weak_authentication, reason = "the appliance knows nothing better"))]
    orders: Resource<TokioPostgres>,
}

/// No test here reaches this limit, unless it says so.
const SOON: Duration = Duration::from_secs(10);

/// The deadline of a hasty attempt, plus the time until the test sees its end.
const LIMIT: Duration = Duration::from_secs(3);

/// The server that most tests share.
static SERVER: LazyLock<server::Postgres> = LazyLock::new(|| {
    let authority = Authority::new("the tests' authority");
    let mut options = Options::tls(authority.server());
    options.client_ca = Some(authority.pem());
    options.hba = "hostssl all with_md5 all md5\n\
                   hostssl all with_clear_text all password\n\
                   hostssl all without_proof all trust\n\
                   hostssl all with_certificate all cert\n\
                   hostssl all all all scram-sha-256\n"
        .to_owned();
    let server = server::Postgres::with(authority, &options);
    let _ = server.sql(&format!(
        "SET password_encryption = 'md5'; CREATE ROLE with_md5 LOGIN PASSWORD '{PASSWORD}'; \
         RESET password_encryption;
         CREATE ROLE with_clear_text LOGIN PASSWORD '{PASSWORD}';
         CREATE ROLE without_proof LOGIN;
         CREATE ROLE with_certificate LOGIN;
         CREATE ROLE rotator LOGIN PASSWORD '{PASSWORD}';
         CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT pg_read_all_data TO reader;
         CREATE ROLE hidden_admin LOGIN NOINHERIT PASSWORD '{PASSWORD}'; \
         GRANT {ADMIN} TO hidden_admin;"
    ));
    server
});

fn variables(server: &server::Postgres) -> Variables {
    variables::of("SHOP_ORDERS", server.locator(), PASSWORD, server.authority.pem())
}

fn as_role(server: &server::Postgres, role: &str, password: &str) -> Variables {
    let mut variables = vec![
        ("SHOP_ORDERS_URL", format!("postgres://{role}@localhost:{}/{DATABASE}", server.port)),
        ("SHOP_ORDERS_CA", server.authority.pem()),
    ];
    if !password.is_empty() {
        variables.push(("SHOP_ORDERS_PASSWORD", password.to_owned()));
    }
    variables
}

// --- Success
// ---------------------------------------------------------------------------------------

#[tokio::test]
async fn attaches_and_the_posture_is_true() {
    let server = server::Postgres::start();
    let before = SystemTime::now();
    let shop: Shop = attach(&variables(&server)).await.unwrap();

    let posture = shop.orders.posture();
    let tls = posture.tls.as_ref().unwrap();
    let seen = server.sql(&format!(
        "SELECT DISTINCT version, cipher FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE \
         usename = '{USER}' AND ssl"
    ));
    let (version, cipher) = seen.split_once('|').expect("one version and one cipher");
    assert_eq!(tls.version, version.replace("TLSv", "TLS "));
    assert_eq!(tls.cipher.as_deref(), Some(cipher));
    assert_eq!(
        posture.server.as_ref().map(ToString::to_string).as_deref(),
        Some(format!("PostgreSQL {}", server.sql("SHOW server_version")).as_str())
    );
    assert_eq!(posture.account.as_deref(), Some(USER));
    assert_eq!(posture.authentication.as_deref(), Some("SCRAM-SHA-256-PLUS"));
    assert_eq!(posture.endpoint, format!("postgres://localhost:{}/{DATABASE}", server.port));
    assert_eq!(tls.trust, TrustPosture::PrivateCa);
    assert!(posture.taken_at >= before && posture.taken_at <= SystemTime::now());
    assert_eq!(rules(&posture.findings), [""; 0]);
    // On every connection, only the private authority is trusted.
    assert!(
        !posture.remarks.iter().any(|remark| remark.contains("public roots")),
        "{:?}",
        posture.remarks
    );
    // Attaching opened one connection, and that one is in the pool.
    assert_eq!(server.connections_of(USER), 1);
    assert_eq!(server.log().matches(&format!("connection authorized: user={USER}")).count(), 1);

    let pool = shop.orders.client();
    let client = pool.get().await.unwrap();
    client.execute("INSERT INTO orders VALUES ($1)", &[&7_i32]).await.unwrap();
    assert_eq!(client.query_one("SELECT id FROM orders", &[]).await.unwrap().get::<_, i32>(0), 7);
    drop(client);
    drop(pool);
    shop.orders.health().await.unwrap();

    shop.detach().await;
    server.assert_no_connection_of(USER).await;
    assert!(canary::find(server.log().as_bytes()).is_none());
    journal::assert_silent();
}

#[tokio::test]
async fn every_connection_is_bound_and_bounded() {
    let mut variables = variables(&SERVER);
    variables[0].1 +=
        "?max_connections=4&statement_timeout=300&connect_timeout=1&application_name=shop";
    let shop: Shop = attach(&variables).await.unwrap();
    let pool = shop.orders.client();
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(pool.get().await.unwrap());
    }
    for client in &clients {
        let row = client
            .query_one(
                "SELECT ssl, current_setting('statement_timeout'), \
                 current_setting('application_name')
                 FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
                &[],
            )
            .await
            .unwrap();
        assert!(row.get::<_, bool>(0));
        assert_eq!((row.get::<_, &str>(1), row.get::<_, &str>(2)), ("300ms", "shop"));
        let begin = Instant::now();
        assert!(client.batch_execute("SELECT pg_sleep(30)").await.is_err());
        assert!(begin.elapsed() < SOON);
    }
    // The pool is exhausted, and the call fails in time.
    let begin = Instant::now();
    assert!(pool.get().await.is_err());
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    drop(clients);
    drop(pool);
    shop.detach().await;
}

#[tokio::test]
async fn a_message_is_bounded() {
    let mut variables = variables(&SERVER);
    variables[0].1 += "?max_message=65536&max_connections=1";
    let shop: Shop = attach(&variables).await.unwrap();
    let pool = shop.orders.client();
    let row = pool.get().await.unwrap().query_one("SELECT repeat('x', 60000)", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0).len(), 60_000);
    assert!(pool.get().await.unwrap().query_one("SELECT repeat('x', 66000)", &[]).await.is_err());
    // That connection is closed. The pool opens another one.
    pool.get().await.unwrap().query_one("SELECT 1", &[]).await.unwrap();
    drop(pool);
    shop.detach().await;
}

#[tokio::test]
async fn every_certificate_that_defines_a_binding_binds() {
    let p384 = || rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    for (what, signs, key) in [
        ("RSA", pki::rsa_key(), pki::rsa_key()),
        ("SHA-384", p384(), p384()),
        ("a key of another kind than the authority's", pki::rsa_key(), p384()),
    ] {
        let authority = Authority::with("the tests' authority", signs);
        let options = Options::tls(authority.server_with(&key));
        let server = server::Postgres::with(authority, &options);
        let shop: Shop = attach(&variables(&server)).await.unwrap();
        assert_eq!(
            shop.orders.posture().authentication.as_deref(),
            Some("SCRAM-SHA-256-PLUS"),
            "{what}"
        );
        shop.detach().await;
    }
    // So does one that is trusted by its key alone.
    let leaf = pki::self_signed();
    let pin = leaf.pin().unwrap();
    let server = server::Postgres::with(Authority::new("an unused authority"), &Options::tls(leaf));
    let mut variables = variables(&server);
    variables[2] = ("SHOP_ORDERS_PIN", pin);
    let shop: Shop = attach(&variables).await.unwrap();
    assert_eq!(shop.orders.posture().authentication.as_deref(), Some("SCRAM-SHA-256-PLUS"));
    shop.detach().await;
}

#[tokio::test]
async fn a_certificate_that_defines_none_is_refused_and_waived() {
    let authority = Authority::with("the tests' authority", pki::ed25519_key());
    let options = Options::tls(authority.server());
    let server = server::Postgres::with(authority, &options);
    let error = refused::<Shop>(&variables(&server), SOON).await;
    assert_eq!(problems(&error), ["weak_authentication"]);
    assert!(error.to_string().contains("Ed25519"), "{error}");

    let shop: Lenient = attach(&variables(&server)).await.unwrap();
    let posture = shop.orders.posture();
    assert_eq!(posture.authentication.as_deref(), Some("SCRAM-SHA-256"));
    assert_eq!(rules(&posture.findings), ["weak_authentication"]);
    assert_eq!(posture.findings[0].waived_because(), Some("the appliance knows nothing better"));
    shop.detach().await;
}

// --- Refusal
// ---------------------------------------------------------------------------------------

#[tokio::test]
async fn an_administrator_is_refused() {
    for role in ["reader", "hidden_admin"] {
        let error = refused::<Shop>(&as_role(&SERVER, role, PASSWORD), SOON).await;
        assert_eq!(problems(&error), ["superuser_account"], "{role}");
        SERVER.assert_no_connection_of(role).await;
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused() {
    let unknown = refused::<Shop>(&as_role(&SERVER, "unknown_user", PASSWORD), SOON).await;
    assert_eq!(problems(&unknown), ["authentication_failed"]);
    let mut variables = variables(&SERVER);
    variables[0].1 = SERVER.locator().replace(DATABASE, "nonexistent_db");
    let nowhere = refused::<Shop>(&variables, SOON).await;
    assert_eq!(problems(&nowhere), ["unavailable"]);
    assert!(
        nowhere.to_string().contains("no such database")
            && !nowhere.to_string().contains("nonexistent_db"),
        "{nowhere}"
    );
}

#[tokio::test]
async fn a_password_is_proven_and_not_shown() {
    for (role, password, way) in [
        ("with_md5", PASSWORD, "MD5"),
        ("with_clear_text", PASSWORD, "cleartext password"),
        ("without_proof", PASSWORD, "nothing"),
    ] {
        let error = refused::<Shop>(&as_role(&SERVER, role, password), SOON).await;
        assert_eq!(problems(&error), ["weak_authentication"], "{role}");
        SERVER.assert_no_connection_of(role).await;
        let shop: Lenient = attach(&as_role(&SERVER, role, password)).await.unwrap();
        assert_eq!(rules(&shop.orders.posture().findings), ["weak_authentication"], "{role}");
        assert_eq!(shop.orders.posture().authentication.as_deref(), Some(way));
        shop.detach().await;
    }
    // A waiver permits no more than needed: if channel binding is possible, it is used, and there
    // is no finding.
    let shop: Lenient = attach(&variables(&SERVER)).await.unwrap();
    assert_eq!(shop.orders.posture().authentication.as_deref(), Some("SCRAM-SHA-256-PLUS"));
    assert_eq!(rules(&shop.orders.posture().findings), [""; 0]);
    shop.detach().await;
}

#[tokio::test]
async fn a_client_certificate_logs_in() {
    let login = |role: &str, password: &str, leaf: &Leaf| {
        let mut variables = as_role(&SERVER, role, password);
        variables.push(("SHOP_ORDERS_CLIENT_CERT", leaf.certificate.clone()));
        variables.push(("SHOP_ORDERS_CLIENT_KEY", leaf.key.clone()));
        variables
    };
    let leaf = SERVER.authority.client("with_certificate");
    let shop: Shop = attach(&login("with_certificate", "", &leaf)).await.unwrap();
    assert_eq!(shop.orders.posture().authentication.as_deref(), Some("client certificate"));
    shop.orders.client().get().await.unwrap().query_one("SELECT 1", &[]).await.unwrap();
    shop.detach().await;

    let another = SERVER.authority.client("reader");
    let error = refused::<Shop>(&login("with_certificate", "", &another), SOON).await;
    assert_eq!(problems(&error), ["authentication_failed"]);
    // If the server asks for a password and none is configured, the login fails. With a password,
    // the login uses channel binding.
    let error = refused::<Shop>(&login(USER, "", &SERVER.authority.client(USER)), SOON).await;
    assert_eq!(problems(&error), ["authentication_failed"]);
    let shop: Shop = attach(&login(USER, PASSWORD, &SERVER.authority.client(USER))).await.unwrap();
    assert_eq!(shop.orders.posture().authentication.as_deref(), Some("SCRAM-SHA-256-PLUS"));
    shop.detach().await;
    // With both a certificate and a password, a server that asks for no proof is still refused.
    let error = refused::<Shop>(
        &login("without_proof", PASSWORD, &SERVER.authority.client("without_proof")),
        SOON,
    )
    .await;
    assert_eq!(problems(&error), ["weak_authentication"]);
}

#[tokio::test]
async fn an_invalid_locator_is_refused_before_a_connection() {
    let hostile = Hostile::start(|peer| async { Ok(Some(peer)) });
    let url = |user: &str, rest: &str| {
        format!("postgres://{user}@localhost:{}/{DATABASE}{rest}", hostile.port)
    };
    for (rest, rule) in [
        ("?sslmode=prefer", "opportunistic_tls"),
        ("?sslmode=allow", "opportunistic_tls"),
        ("?channel_binding=disable", ""),
        ("?channel_binding=prefer", ""),
        ("?host=evil.example", "unknown_parameter"),
        ("?hostaddr=127.0.0.1", "unknown_parameter"),
        ("?port=1", "unknown_parameter"),
        ("?user=somebody", "unknown_parameter"),
        ("?dbname=other", "unknown_parameter"),
        ("?options=-c%20role%3Dopperbaas", "unknown_parameter"),
        ("?options[role]=opperbaas", "unknown_parameter"),
        ("?sslrootcert=/tmp/evil.pem", "unknown_parameter"),
        ("?sslcert=/tmp/evil.pem", "unknown_parameter"),
        ("?sslkey=/tmp/evil.pem", "unknown_parameter"),
        ("?sslnegotiation=direct", "unknown_parameter"),
        ("?target_session_attrs=master", "malformed_locator"),
        ("?load_balance_hosts=random", "unknown_parameter"),
        ("?passfile=/tmp/evil", ""),
        ("?service=evil", "unknown_parameter"),
        ("?password=kanarie-7f3a-Wk0qShopZx84", "secret_in_parameter"),
        ("?max_message=1", ""),
        ("?max_message=99999999999", ""),
        ("#insecure", ""),
        ("/second", "malformed_locator"),
    ] {
        let url = url(USER, rest);
        let variables = [("SHOP_ORDERS_URL", url.as_str()), ("SHOP_ORDERS_PASSWORD", PASSWORD)];
        let error = refused::<Shop>(&variables, SOON).await;
        assert!(!problems(&error).is_empty(), "{rest}");
        assert!(rule.is_empty() || problems(&error).contains(&rule), "{rest}: {error}");
    }
    let shipped = url("postgres:postgres", "");
    let error = refused::<Shop>(&[("SHOP_ORDERS_URL", shipped.as_str())], SOON).await;
    assert!(problems(&error).contains(&"default_credentials"), "{error}");
    assert!(hostile.heard().is_empty());
    // The parameters that platforms add to a locator.
    let mut variables = variables(&SERVER);
    variables[0].1 += "?sslmode=require&channel_binding=require";
    let shop: Shop = attach(&variables).await.unwrap();
    shop.detach().await;
}

/// A build with `debug_assertions` permits plaintext to a loopback address. SCRAM is required all
/// the same, although there is no channel to bind to.
#[tokio::test]
async fn without_tls_there_is_still_a_proof() {
    let server =
        server::Postgres::with(Authority::new("an unused authority"), &Options::plaintext());
    let variables = [
        ("SHOP_ORDERS_URL", format!("{}?sslmode=disable", server.locator())),
        ("SHOP_ORDERS_PASSWORD", PASSWORD.to_owned()),
    ];
    let shop: Shop = attach(&variables).await.unwrap();
    let posture = shop.orders.posture();
    assert_eq!(
        (posture.tls.as_ref(), posture.authentication.as_deref()),
        (None, Some("SCRAM-SHA-256"))
    );
    assert!(journal::text().contains("plaintext_scheme"), "a debug build logs it");
    shop.detach().await;

    for asked in [CLEARTEXT.to_vec(), MD5.to_vec(), AUTHENTICATION_OK.to_vec()] {
        let asked = Arc::new(asked);
        let hostile = Hostile::start(move |mut peer| {
            let asked = Arc::clone(&asked);
            async move {
                peer.read().await?;
                peer.write(&*asked).await?;
                Ok(Some(peer))
            }
        });
        let url =
            format!("postgres://{USER}@localhost:{}/{DATABASE}?sslmode=disable", hostile.port);
        let error = refused::<Hasty>(
            &[("SHOP_ORDERS_URL", url.as_str()), ("SHOP_ORDERS_PASSWORD", PASSWORD)],
            LIMIT,
        )
        .await;
        assert_eq!(problems(&error), ["weak_authentication"]);
        hostile.assert_all_closed().await;
        assert!(hostile.heard().iter().all(|heard| canary::find(&heard.plain).is_none()));
    }
}

// --- Over time
// -------------------------------------------------------------------------------------

/// Every step of a login takes less than `connect_timeout`, and all of them take more: a call that
/// needs a new connection does not wait for their sum.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_has_connect_timeout_for_all_of_its_steps() {
    let server = server::Postgres::start();
    let relay = Relay::to(server.port);
    let mut variables = variables(&server);
    variables[0].1 =
        format!("postgres://{USER}@localhost:{}/{DATABASE}?connect_timeout=1", relay.port);
    let shop: Shop = attach(&variables).await.unwrap();
    let pool = shop.orders.client();
    let first = pool.get().await.unwrap();
    relay.set(Flow::Slow(130));
    let begin = Instant::now();
    assert!(pool.get().await.is_err());
    assert!(begin.elapsed() < Duration::from_millis(1500), "{:?}", begin.elapsed());
    drop((first, pool));
    relay.set(Flow::Open);
    shop.detach().await;
}

#[tokio::test]
async fn a_connection_that_broke_is_replaced_and_a_refused_login_is_not_tried_again() {
    let shop: Shop = attach(&as_role(&SERVER, "rotator", PASSWORD)).await.unwrap();
    let pool = shop.orders.client();
    let cut = || {
        SERVER
            .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotator'")
    };
    let _ = cut();
    tokio::time::sleep(Duration::from_millis(200)).await;
    pool.get().await.unwrap().query_one("SELECT 1", &[]).await.unwrap();

    let _ = SERVER.sql("ALTER ROLE rotator PASSWORD 'kanarie-7f3a-Qp2xNewPwRr55'");
    let _ = cut();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let attempts =
        || SERVER.log().matches("password authentication failed for user \"rotator\"").count();
    for _ in 0..20 {
        let Err(Refusal::Failure(failure)) = pool.get().await else { panic!("it is let in") };
        assert_eq!(failure.kind(), FailureKind::AuthenticationFailed);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(attempts(), 1, "a refused login is not repeated");
    drop(pool);
    shop.detach().await;
}

/// Detaching waits for running statements, and then closes every connection.
#[tokio::test]
async fn detaching_waits_for_statements_in_flight() {
    let server = server::Postgres::start();
    let shop: Shop = attach(&variables(&server)).await.unwrap();
    let client = shop.orders.client().get().await.unwrap();
    let work = tokio::spawn(async move {
        client.query_one("SELECT 7 FROM pg_sleep(0.5)", &[]).await.map(|row| row.get::<_, i32>(0))
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begin = Instant::now();
    shop.detach().await;
    assert!(
        begin.elapsed() >= Duration::from_millis(200) && begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(work.await.unwrap().unwrap(), 7);
    server.assert_no_connection_of(USER).await;
}
