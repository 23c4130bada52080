//! A client certificate logs in only if the server asked for it, and got it, on that very
//! handshake. A configured certificate that no server checked proves nothing.

use std::sync::Arc;
use std::time::Duration;

use backing_services::posture::ClientCertificatePosture;
use backing_services::stores::Etcd;
use backing_services::{
    BackingServices, Environment, Https, MySql, Nats, Postgres, Redis, Resource, Smtp,
    TokioPostgres,
};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::hostile::{Asking, Hostile};
use backing_services_tests::pki::{Authority, Leaf};
use backing_services_tests::{etcd, https, mariadb, nats, postgres, redis, smtp};
use lettre::AsyncTransport as _;

/// No test here waits for a deadline.
const SOON: Duration = Duration::from_secs(15);

/// A struct with one resource, and an optional waiver.
macro_rules! services {
    ($($name:ident $service:ident $(allow($($waiver:tt)*))?;)*) => {$(
        #[derive(BackingServices)]
        #[services(prefix = "SHOP", deadline = 20)]
        struct $name {
            $(#[service(allow($($waiver)*))])?
            it: Resource<$service>,
        }
    )*};
}

services! {
    OnPostgres Postgres;
    OnTokioPostgres TokioPostgres;
    OnMySql MySql;
    OnRedis Redis;
    OnNats Nats;
    OnHttps Https;
    OnSmtp Smtp;
}

services! {
    LenientPostgres Postgres allow(weak_authentication, reason = "a test bench");
    LenientTokioPostgres TokioPostgres allow(weak_authentication, reason = "a test bench");
    LenientRedis Redis allow(weak_authentication, superuser_account, reason = "a test bench");
    LenientHttps Https allow(weak_authentication, reason = "a test bench");
    LenientSmtp Smtp allow(weak_authentication, reason = "a test bench");
}

/// The variables of a resource that logs in with a certificate.
struct Login {
    url: String,
    ca: String,
    leaf: Leaf,
    password: Option<&'static str>,
}

impl Login {
    fn new(url: String, authority: &Authority, name: &str) -> Self {
        Self { url, ca: authority.pem(), leaf: authority.client(name), password: None }
    }

    fn with_password(mut self, password: &'static str) -> Self {
        self.password = Some(password);
        self
    }

    fn pairs(&self) -> Vec<(&'static str, &str)> {
        let mut pairs = vec![
            ("SHOP_IT_URL", self.url.as_str()),
            ("SHOP_IT_CA", &self.ca),
            ("SHOP_IT_CLIENT_CERT", &self.leaf.certificate),
            ("SHOP_IT_CLIENT_KEY", &self.leaf.key),
        ];
        pairs.extend(self.password.map(|password| ("SHOP_IT_PASSWORD", password)));
        pairs
    }

    async fn refused<T: BackingServices>(&self) -> Vec<&'static str> {
        problems(&refused::<T>(&self.pairs(), SOON).await)
    }

    async fn attach<T: BackingServices>(&self) -> T {
        attach(&self.pairs()).await.unwrap_or_else(|error| panic!("{error}"))
    }
}

/// The posture of the one resource: the authentication, the use of the client certificate, and the
/// violated rules.
macro_rules! says {
    ($shop:expr) => {{
        let posture = $shop.it.posture();
        let tls = posture.tls.as_ref().expect("it is TLS");
        (posture.authentication.clone(), tls.client_certificate, rules(&posture.findings))
    }};
}

const CERTIFICATE: &str = "client certificate";

// --- Real servers --------------------------------------------------------------------------------

/// A server with one role that `trust` admits, and one that `cert` admits.
fn postgresql(client_ca: bool) -> postgres::Postgres {
    let authority = Authority::new("the tests' authority");
    let mut options = postgres::Options::tls(authority.server());
    if client_ca {
        options.client_ca = Some(authority.pem());
    }
    let cert = if client_ca { "hostssl all with_certificate all cert\n" } else { "" };
    options.hba = format!("{cert}hostssl all without_proof all trust\n");
    let server = postgres::Postgres::with(authority, &options);
    server.sql(&format!(
        "CREATE ROLE with_certificate LOGIN; CREATE ROLE without_proof LOGIN PASSWORD '{PASSWORD}';"
    ));
    server
}

fn as_role(server: &postgres::Postgres, role: &str) -> Login {
    let url = format!("postgres://{role}@localhost:{}/{}", server.port, postgres::DATABASE);
    Login::new(url, &server.authority, role)
}

#[tokio::test]
async fn postgresql_with_trust_and_no_client_ca_is_refused() {
    let server = postgresql(false);
    let login = as_role(&server, "without_proof");
    assert_eq!(login.refused::<OnPostgres>().await, ["weak_authentication"]);
    assert_eq!(login.refused::<OnTokioPostgres>().await, ["weak_authentication"]);
    assert!(!server.log().contains("without_proof"), "no user was named to it");

    // A waiver admits it, and the posture reports no authentication: nothing has proven the
    // identity.
    let shop: LenientPostgres = login.attach().await;
    let expected = (
        Some("nothing".to_owned()),
        ClientCertificatePosture::NotRequested,
        vec!["weak_authentication"],
    );
    assert_eq!(says!(shop), expected);
    shop.detach().await;
    let shop: LenientTokioPostgres = login.attach().await;
    assert_eq!(says!(shop), expected);
    shop.detach().await;
}

#[tokio::test]
async fn postgresql_with_cert_attaches_and_the_posture_reports_it() {
    let server = postgresql(true);
    let login = as_role(&server, "with_certificate");
    let expected = (Some(CERTIFICATE.to_owned()), ClientCertificatePosture::Sent, vec![]);
    let shop: OnPostgres = login.attach().await;
    assert_eq!(says!(shop), expected);
    shop.detach().await;
    let shop: OnTokioPostgres = login.attach().await;
    assert_eq!(says!(shop), expected);
    shop.detach().await;
    // A waiver does not change the observation.
    let shop: LenientTokioPostgres = login.attach().await;
    assert_eq!(says!(shop), expected);
    shop.detach().await;
}

/// The server asks for the certificate and gets it. It admits the role without asking for the
/// configured password.
#[tokio::test]
async fn a_certificate_is_no_proof_of_a_password() {
    let server = postgresql(true);
    let login = as_role(&server, "without_proof").with_password(PASSWORD);
    assert_eq!(login.refused::<OnPostgres>().await, ["weak_authentication"]);
    assert_eq!(login.refused::<OnTokioPostgres>().await, ["weak_authentication"]);
    let shop: LenientPostgres = login.attach().await;
    assert_eq!(
        says!(shop),
        (Some("nothing".to_owned()), ClientCertificatePosture::Sent, vec!["weak_authentication"])
    );
    shop.detach().await;
}

#[tokio::test]
async fn an_account_of_mariadb_without_a_password_logs_in_by_certificate() {
    for asks in [false, true] {
        let authority = Authority::new("the tests' authority");
        let mut options = mariadb::Options::tls(authority.server());
        options.client_ca = asks.then(|| authority.pem());
        let server = mariadb::MariaDb::with(authority, &options);
        let require = if asks { " REQUIRE X509" } else { "" };
        let _ = server.sql(&format!(
            "CREATE USER passwordless@'%' IDENTIFIED BY ''{require}; \
             GRANT SELECT ON {}.* TO passwordless@'%'",
            mariadb::DATABASE
        ));
        let url = format!("mysql://passwordless@localhost:{}/{}", server.port, mariadb::DATABASE);
        let login = Login::new(url, &server.authority, "passwordless");
        if asks {
            let shop: OnMySql = login.attach().await;
            let (authentication, certificate, _) = says!(shop);
            assert_eq!(
                (authentication.as_deref(), certificate),
                (Some(CERTIFICATE), ClientCertificatePosture::Sent)
            );
            shop.detach().await;
        } else {
            // Without an authority the server asks for a certificate as well, and then accepts
            // none.
            assert_eq!(login.refused::<OnMySql>().await.len(), 1);
            assert!(!server.heard().contains("passwordless"), "no user was named to it");
        }
    }
}

#[tokio::test]
async fn redis_that_admits_unauthenticated_clients_reports_no_login() {
    let authority = Authority::new("the tests' authority");
    let mut options = redis::Options::tls(authority.server());
    options.lets_strangers_in = true;
    let server = redis::Redis::with(authority, &options);
    let login =
        Login::new(format!("rediss://localhost:{}", server.port), &server.authority, "shop");
    assert_eq!(login.refused::<OnRedis>().await, ["weak_authentication"]);
    let shop: LenientRedis = login.attach().await;
    let (authentication, certificate, rules) = says!(shop);
    assert_eq!(
        (authentication.as_deref(), certificate),
        (Some("nothing"), ClientCertificatePosture::NotRequested)
    );
    assert_eq!(rules.iter().filter(|rule| **rule == "weak_authentication").count(), 1);
    shop.detach().await;
}

#[tokio::test]
async fn https_is_refused_if_the_server_does_not_ask_and_attaches_if_it_does() {
    for (query, way) in [("?health=/health", Some(CERTIFICATE)), ("", None)] {
        let server = https::Https::asking(Authority::new("the tests' authority"), Asking::Not);
        let login = Login::new(format!("{}{query}", server.locator()), &server.authority, "shop");
        assert_eq!(login.refused::<OnHttps>().await, ["weak_authentication"], "{query}");
        assert!(server.requests().is_empty(), "nothing was asked of it");
        let shop: LenientHttps = login.attach().await;
        assert_eq!(
            says!(shop),
            (None, ClientCertificatePosture::NotRequested, vec!["weak_authentication"])
        );
        shop.detach().await;

        let server = https::Https::asking(Authority::new("the tests' authority"), Asking::ForAny);
        let login = Login::new(format!("{}{query}", server.locator()), &server.authority, "shop");
        let shop: OnHttps = login.attach().await;
        assert_eq!(says!(shop), (way.map(str::to_owned), ClientCertificatePosture::Sent, vec![]));
        shop.detach().await;
    }
}

#[tokio::test]
async fn smtp_is_refused_if_the_server_does_not_ask_and_attaches_if_it_does() {
    let server = smtp::Smtp::start();
    let login = Login::new(server.locator(), &server.authority, "shop");
    assert_eq!(login.refused::<OnSmtp>().await, ["weak_authentication"]);
    let shop: LenientSmtp = login.attach().await;
    assert_eq!(
        says!(shop),
        (None, ClientCertificatePosture::NotRequested, vec!["weak_authentication"])
    );
    shop.detach().await;

    let server = smtp::Smtp::asking_for_certificates();
    let login = Login::new(server.locator(), &server.authority, "shop");
    let shop: OnSmtp = login.attach().await;
    assert_eq!(says!(shop), (Some(CERTIFICATE.to_owned()), ClientCertificatePosture::Sent, vec![]));
    shop.detach().await;
    // With a password, the password logs in.
    let shop: OnSmtp = login.with_password(PASSWORD).attach().await;
    assert_eq!(
        says!(shop),
        (Some("AUTH PLAIN".to_owned()), ClientCertificatePosture::Sent, vec![])
    );
    shop.detach().await;
}

#[tokio::test]
async fn nats_with_a_certificate_is_refused_if_the_server_does_not_ask() {
    let authority = Authority::new("the tests' authority");
    let options = nats::Options::tls(authority.server());
    let server = nats::Nats::with(authority, options);
    let login = Login::new(format!("tls://localhost:{}", server.port), &server.authority, "shop");
    assert_eq!(login.refused::<OnNats>().await, ["weak_authentication"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_with_a_certificate_is_refused_if_the_server_does_not_ask() {
    let authority = Authority::new("the tests' authority");
    let options =
        etcd::Options { leaf: Some(authority.server()), client_ca: None, has_accounts: false };
    let server = etcd::Etcd::with(authority, &options);
    let client = server.authority.client("shop");
    let variables = [
        ("CONFIG_URL", format!("https://localhost:{}{}", server.port, etcd::PREFIX)),
        ("CONFIG_CA", server.authority.pem()),
        ("CONFIG_CLIENT_CERT", client.certificate),
        ("CONFIG_CLIENT_KEY", client.key),
    ];
    let error = Etcd::connect(&Environment::from_iter(variables), "CONFIG")
        .await
        .expect_err("it answers anybody");
    assert_eq!(problems(&error), ["weak_authentication"], "{error}");
}

// --- Hostile servers -----------------------------------------------------------------------------

/// `tls_verify` in a greeting is only a claim. It does not replace the configured password.
#[tokio::test]
async fn a_nats_server_that_asks_for_no_login_gets_no_password() {
    let authority = Authority::new("the tests' authority");
    let configuration = Asking::ForAny.configuration(&authority.server(), rustls::ALL_VERSIONS);
    let hostile = Hostile::start(move |mut peer| {
        let configuration = Arc::clone(&configuration);
        async move {
            peer.write(
                "INFO {\"server_id\":\"x\",\"version\":\"2.9.10\",\"max_payload\":1048576,\
                 \"tls_required\":true,\"tls_verify\":true}\r\n",
            )
            .await?;
            Ok(Some(peer.encrypt_as(configuration).await?))
        }
    });
    let login = Login::new(format!("tls://shop@localhost:{}", hostile.port), &authority, "shop")
        .with_password(PASSWORD);
    assert_eq!(login.refused::<OnNats>().await, ["weak_authentication"]);
    assert!(hostile.heard().iter().all(|heard| heard.secret.is_empty()));
}

/// A server that asks for a certificate on its first connection, and on no later one.
fn forgetful(
    authority: &Authority,
    answer: &'static [&'static str],
    first: &'static str,
) -> Hostile {
    let leaf = authority.server();
    Hostile::start(move |peer| {
        let leaf = leaf.clone();
        async move {
            let asking = if peer.index() == 0 { Asking::ForAny } else { Asking::Not };
            let mut peer = peer.encrypt_asking(&leaf, asking).await?;
            peer.write(first).await?;
            for answer in answer {
                peer.read().await?;
                peer.write(answer).await?;
            }
            // It closes, so that the client needs another connection.
            Ok(None)
        }
    })
}

#[tokio::test]
async fn every_later_connection_of_smtp_has_to_ask_too() {
    let authority = Authority::new("the tests' authority");
    let hostile = forgetful(
        &authority,
        &["250 post.example\r\n", "250 ok\r\n"],
        "220 post.example ESMTP\r\n",
    );
    let login = Login::new(format!("smtps://shop@localhost:{}", hostile.port), &authority, "shop");
    let shop: OnSmtp = login.attach().await;
    let message = lettre::Message::builder()
        .from("a@shop.example".parse().unwrap())
        .to("b@post.example".parse().unwrap());
    let message = message.subject("x").body("y".to_owned()).unwrap();
    let error =
        shop.it.client().send(message).await.expect_err("the second connection did not ask");
    assert!(error.to_string().contains("weak_authentication"), "{error}");
    canary::assert_error_silent(&error);
    assert!(hostile.heard().iter().skip(1).all(|heard| heard.secret.is_empty()));
    shop.detach().await;
}

/// The driver does not expose its connections. All of them follow our configuration.
#[tokio::test]
async fn every_later_connection_of_https_has_to_ask_too() {
    let authority = Authority::new("the tests' authority");
    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nwell";
    let hostile = forgetful(&authority, &[ANSWER], "");
    let url = format!("https://localhost:{}/api?health=/health", hostile.port);
    let login = Login::new(url, &authority, "shop");
    let shop: OnHttps = login.attach().await;
    for _ in 0..3 {
        let error = shop
            .it
            .client()
            .get("/orders")
            .send()
            .await
            .expect_err("the later connections did not ask");
        assert!(error.to_string().contains("weak_authentication"), "{error}");
    }
    assert!(hostile.heard().iter().skip(1).all(|heard| heard.secret.is_empty()));
    shop.detach().await;
}
