//! PostgreSQL: valid and faulty servers.

use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use backing_services::posture::TrustPosture;
use backing_services::{BackingServices, Postgres, Resource};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::{PASSWORD, WRONG_PASSWORD};
use backing_services_tests::folder::Folder;
use backing_services_tests::hostile::Hostile;
use backing_services_tests::pki::{Authority, Leaf};
use backing_services_tests::postgres::{self as server, ADMIN, DATABASE, Options, USER};
use backing_services_tests::variables::{self, Variables};
use backing_services_tests::{canary, journal};
use sqlx::Row as _;

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    orders: Resource<Postgres>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Lenient {
    #[service(allow(weak_authentication, reason = "the appliance knows nothing better"))]
    orders: Resource<Postgres>,
}

/// The limit of an attempt. It is not reached.
const SOON: Duration = Duration::from_secs(10);

/// The server that most tests share. This is the only place that sets the roles' privileges and
/// login methods.
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
    server.sql(&format!(
        "SET password_encryption = 'md5'; CREATE ROLE with_md5 LOGIN PASSWORD '{PASSWORD}'; \
         RESET password_encryption;
         CREATE ROLE with_clear_text LOGIN PASSWORD '{PASSWORD}';
         CREATE ROLE without_proof LOGIN;
         CREATE ROLE with_certificate LOGIN;
         CREATE ROLE role_maker LOGIN CREATEROLE PASSWORD '{PASSWORD}';
         CREATE ROLE database_maker LOGIN CREATEDB PASSWORD '{PASSWORD}';
         CREATE ROLE replicator LOGIN REPLICATION PASSWORD '{PASSWORD}';
         CREATE ROLE rls_bypasser LOGIN BYPASSRLS PASSWORD '{PASSWORD}';
         CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT pg_read_all_data TO reader;
         CREATE ROLE team; GRANT pg_execute_server_program TO team;
         CREATE ROLE indirect_member LOGIN NOINHERIT PASSWORD '{PASSWORD}'; \
         GRANT team TO indirect_member;
         CREATE ROLE hidden_admin LOGIN NOINHERIT PASSWORD '{PASSWORD}'; \
         GRANT {ADMIN} TO hidden_admin;"
    ));
    server
});

/// The variables to connect to a server as the application's role.
fn variables(server: &server::Postgres) -> Variables {
    variables::of("SHOP_ORDERS", server.locator(), PASSWORD, server.authority.pem())
}

/// The same variables for another role.
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

#[tokio::test]
async fn attaches_and_the_posture_is_true() {
    let server = server::Postgres::start();
    let before = SystemTime::now();
    let shop: Shop = attach(&variables(&server)).await.unwrap();

    let posture = shop.orders.posture();
    let tls = posture.tls.as_ref().unwrap();
    // The server's own view of the same connections.
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
    assert_eq!(posture.service, "PostgreSQL");
    assert_eq!(posture.endpoint, format!("postgres://localhost:{}/{DATABASE}", server.port));
    assert_eq!(tls.trust, TrustPosture::PrivateCa);
    assert_eq!(tls.certificate.issuer, "CN=the tests' authority");
    assert_eq!(tls.certificate.key, "ECDSA P-256");
    assert!(
        (88..=90).contains(&tls.certificate.days_left(before)),
        "{}",
        tls.certificate.days_left(before)
    );
    assert!(posture.taken_at >= before && posture.taken_at <= SystemTime::now());
    assert_eq!(rules(&posture.findings), [""; 0]);
    // Nothing is to be remarked: the trust is exclusive, and the login is bound.
    assert_eq!(posture.remarks, [""; 0]);
    // Attaching opened one connection, and that one is in the pool.
    assert_eq!(server.connections_of(USER), 1);
    assert_eq!(server.log().matches(&format!("connection authorized: user={USER}")).count(), 1);

    // The client works.
    let orders = shop.orders.client();
    sqlx::query("INSERT INTO orders VALUES ($1)").bind(7).execute(&*orders).await.unwrap();
    assert_eq!(
        sqlx::query("SELECT id FROM orders").fetch_one(&*orders).await.unwrap().get::<i32, _>(0),
        7
    );
    drop(orders);
    assert_eq!(shop.resources().len(), 1);
    assert_eq!(shop.resources()[0].name(), "orders");

    assert!(server.connections_of(USER) > 0);
    shop.detach().await;
    server.assert_no_connection_of(USER).await;
    assert!(canary::find(server.log().as_bytes()).is_none());
    journal::assert_silent();
}

#[tokio::test]
async fn a_verified_connection_is_every_connection() {
    let mut variables = variables(&SERVER);
    variables[0].1 += "?max_connections=4&statement_timeout=300";
    let shop: Shop = attach(&variables).await.unwrap();
    let pool = shop.orders.client();
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(pool.acquire().await.unwrap());
    }
    for connection in &mut connections {
        let row = sqlx::query(
            "SELECT ssl, current_setting('statement_timeout') FROM pg_stat_ssl \
             WHERE pid = pg_backend_pid()",
        )
        .fetch_one(&mut **connection)
        .await
        .unwrap();
        assert!(row.get::<bool, _>(0));
        assert_eq!(row.get::<String, _>(1), "300ms", "a statement is bounded on every connection");
        let begin = Instant::now();
        assert!(sqlx::query("SELECT pg_sleep(30)").execute(&mut **connection).await.is_err());
        assert!(begin.elapsed() < SOON);
    }
    drop(connections);
    drop(pool);
    shop.detach().await;
}

#[tokio::test]
async fn an_administrator_is_refused() {
    for (role, power) in [
        ("hidden_admin", "SUPERUSER"),
        ("role_maker", "CREATEROLE"),
        ("database_maker", "CREATEDB"),
        ("replicator", "REPLICATION"),
        ("rls_bypasser", "BYPASSRLS"),
        ("reader", "pg_read_all_data"),
        // Through a group whose privileges it gets only with `SET ROLE`, which it may use.
        ("indirect_member", "pg_execute_server_program"),
    ] {
        let error = refused::<Shop>(&as_role(&SERVER, role, PASSWORD), SOON).await;
        assert_eq!(problems(&error), ["superuser_account"], "{role}");
        assert!(error.to_string().contains(power), "{error}");
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
    assert!(nowhere.to_string().contains("no such database"), "{nowhere}");
    assert!(!nowhere.to_string().contains("nonexistent_db"), "values are not repeated: {nowhere}");
}

#[tokio::test]
async fn a_password_is_proven_and_not_shown() {
    for (role, password) in
        [("with_md5", PASSWORD), ("with_clear_text", PASSWORD), ("without_proof", PASSWORD)]
    {
        let error = refused::<Shop>(&as_role(&SERVER, role, password), SOON).await;
        assert_eq!(problems(&error), ["weak_authentication"], "{role}");
        SERVER.assert_no_connection_of(role).await;
        let shop: Lenient = attach(&as_role(&SERVER, role, password)).await.unwrap();
        assert_eq!(rules(&shop.orders.posture().findings), ["weak_authentication"], "{role}");
        shop.detach().await;
    }
}

#[tokio::test]
async fn a_client_certificate_logs_in() {
    let login = |leaf: &Leaf| {
        let mut variables = as_role(&SERVER, "with_certificate", "");
        variables.push(("SHOP_ORDERS_CLIENT_CERT", leaf.certificate.clone()));
        variables.push(("SHOP_ORDERS_CLIENT_KEY", leaf.key.clone()));
        variables
    };
    let shop: Shop = attach(&login(&SERVER.authority.client("with_certificate"))).await.unwrap();
    assert_eq!(shop.orders.posture().account.as_deref(), Some("with_certificate"));
    assert_eq!(shop.orders.posture().authentication.as_deref(), Some("client certificate"));
    shop.detach().await;

    let another = refused::<Shop>(&login(&SERVER.authority.client("role_maker")), SOON).await;
    assert_eq!(problems(&another), ["authentication_failed"]);
    let without = refused::<Shop>(&as_role(&SERVER, "with_certificate", PASSWORD), SOON).await;
    assert_eq!(problems(&without), ["authentication_failed"]);
}

/// The server has a client certificate, but asks for the password. The authentication method is
/// checked as without a certificate.
#[tokio::test]
async fn a_client_certificate_does_not_excuse_a_server_that_asks_for_nothing() {
    let leaf = SERVER.authority.client("without_proof");
    let mut variables = as_role(&SERVER, "without_proof", PASSWORD);
    variables.push(("SHOP_ORDERS_CLIENT_CERT", leaf.certificate));
    variables.push(("SHOP_ORDERS_CLIENT_KEY", leaf.key));
    assert_eq!(problems(&refused::<Shop>(&variables, SOON).await), ["weak_authentication"]);
    SERVER.assert_no_connection_of("without_proof").await;
}

#[tokio::test]
async fn a_password_in_the_locator_works_too() {
    let variables = [
        ("SHOP_ORDERS_URL", SERVER.locator().replace('@', &format!(":{PASSWORD}@"))),
        ("SHOP_ORDERS_CA", SERVER.authority.pem()),
    ];
    let shop: Shop = attach(&variables).await.unwrap();
    canary::assert_silent("the endpoint", &shop.orders.posture().endpoint);
    shop.detach().await;
}

/// Runs the program that attaches from the environment of its own process.
fn in_an_environment(variables: &[(&str, String)]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attach"));
    command.env_clear().envs(variables.iter().map(|(name, value)| (name, value)));
    let output = command.output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    canary::assert_silent("what the program printed", &text);
    (output.status.success(), text)
}

/// Those that the driver would read by itself, and those of the roots that it would trust.
#[test]
fn no_variable_of_the_process_steers_the_driver() {
    let elsewhere = Hostile::start(|peer| async { Ok(Some(peer)) });
    let folder = Folder::new("steering");
    let passwords = folder.write("pgpass", &format!("*:*:*:*:{WRONG_PASSWORD}\n"));
    let other = Authority::new("another authority");
    let [authority, certificate, key] = [
        ("other.pem", other.pem()),
        ("other.crt", other.client("another").certificate),
        ("other.key", other.client("another").key),
    ]
    .map(|(name, text)| folder.write(name, &text).display().to_string());
    let steering = [
        ("PGHOST", "127.0.0.1".to_owned()),
        ("PGHOSTADDR", "127.0.0.1".to_owned()),
        ("PGPORT", elsewhere.port.to_string()),
        ("PGUSER", ADMIN.to_owned()),
        ("PGPASSWORD", WRONG_PASSWORD.to_owned()),
        ("PGDATABASE", "postgres".to_owned()),
        ("PGOPTIONS", "-c search_path=evil".to_owned()),
        ("PGSSLMODE", "disable".to_owned()),
        ("PGSSLROOTCERT", authority.clone()),
        ("PGSSLCERT", certificate),
        ("PGSSLKEY", key),
        ("PGAPPNAME", "somebody".to_owned()),
        ("PGPASSFILE", passwords.display().to_string()),
        ("HOME", folder.path().display().to_string()),
        ("SSL_CERT_FILE", authority),
        ("SSL_CERT_DIR", folder.path().display().to_string()),
    ];
    let port = SERVER.port.to_string();
    let expected = [USER, DATABASE, &port, "backing-services", "\"$user\", public", "true"];
    // Each alone, and all of them.
    let all = steering.iter().map(std::slice::from_ref).chain([&steering[..]]);
    for steering in all {
        let (works, text) = in_an_environment(&[&variables(&SERVER)[..], steering].concat());
        let names: Vec<_> = steering.iter().map(|(name, _)| name).collect();
        assert!(works, "{names:?}: {text}");
        assert_eq!(text.lines().collect::<Vec<_>>(), expected, "{names:?}");
    }
    assert!(elsewhere.heard().is_empty());
    // A server of the other authority is refused, whatever the variables say.
    let leaf = other.server();
    let impostor = server::Postgres::with(other, &Options::tls(leaf));
    let mut variables = variables(&SERVER);
    variables[0].1 = impostor.locator();
    let (works, text) = in_an_environment(&[&variables[..], &steering].concat());
    assert!(!works && text.contains("unverified_tls"), "{text}");
    assert!(!impostor.log().contains(USER), "no user name was sent to it");
}
