//! Trust beyond a single authority: a pinned key, a completed chain, and the report for an
//! incomplete chain.

use std::time::Duration;

use backing_services::posture::TrustPosture;
use backing_services::{
    AttachError, BackingServices, Environment, MySql, Postgres, Redis, Resource, TokioPostgres,
};
use backing_services_tests::attempt::{self, problems, rules};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::folder::Folder;
use backing_services_tests::hostile::Hostile;
use backing_services_tests::pki::{self, Authority, Leaf};
use backing_services_tests::process::Process;
use backing_services_tests::redis::{self, Options, USER};
use backing_services_tests::{journal, port, postgres};

#[derive(BackingServices, Debug)]
struct Services {
    cache: Resource<Redis>,
}

struct Server(redis::Redis, String);

fn server(leaf: Leaf) -> Server {
    let pin = leaf.pin().unwrap();
    Server(redis::Redis::with(Authority::new("unused"), &Options::tls(leaf)), pin)
}

impl Server {
    async fn attach(&self, trust: &[(&str, &str)]) -> Result<TrustPosture, AttachError> {
        let url = format!("rediss://{USER}@localhost:{}", self.0.port);
        let variables: Vec<_> = [("CACHE_URL", url.as_str()), ("CACHE_PASSWORD", PASSWORD)]
            .into_iter()
            .chain(trust.iter().copied())
            .collect();
        let services = attempt::attach::<Services>(&variables).await?;
        let trust = services.cache.posture().tls.as_ref().expect("it is TLS").trust;
        services.detach().await;
        Ok(trust)
    }

    async fn report(&self, trust: &[(&str, &str)]) -> String {
        let error = self.attach(trust).await.expect_err("it is not to be trusted");
        assert_eq!(problems(&error), ["unverified_tls"], "{error}");
        error.to_string()
    }
}

#[tokio::test]
async fn a_key_that_is_one_of_several_pins_is_trusted() {
    let server = server(pki::self_signed());
    let other = pki::self_signed().pin().unwrap();
    let both = format!("{other}; {}", server.1);
    server.attach(&[("CACHE_PIN", &both)]).await.expect("one of the two is its key");
    assert!(
        server
            .report(&[("CACHE_PIN", &other)])
            .await
            .contains("the server's key is none of those that are pinned")
    );
}

/// A pin ignores the host name and the dates: a certificate for another host and an expired one
/// have the same key.
#[tokio::test]
async fn a_pin_is_about_the_key_alone() {
    let authority = Authority::new("the tests' authority");
    for leaf in [authority.expired(), authority.other_host()] {
        let server = server(leaf);
        server.attach(&[("CACHE_PIN", &server.1)]).await.expect("it is pinned");
    }
}

#[tokio::test]
async fn a_pin_beside_an_authority_is_asked_for_both() {
    let (authority, stranger) =
        (Authority::new("the tests' authority"), Authority::new("a stranger"));
    let server = server(authority.server());
    let other = pki::self_signed().pin().unwrap();
    let trust = server.attach(&[("CACHE_CA", &authority.pem()), ("CACHE_PIN", &server.1)]).await;
    assert_eq!(trust.expect("both hold"), TrustPosture::PrivateCa);
    assert!(
        server
            .report(&[("CACHE_CA", &authority.pem()), ("CACHE_PIN", &other)])
            .await
            .contains("none of those that are pinned")
    );
    assert!(
        server
            .report(&[("CACHE_CA", &stranger.pem()), ("CACHE_PIN", &server.1)])
            .await
            .contains("not the authority in `CACHE_CA`")
    );
}

#[tokio::test]
async fn a_chain_is_completed_and_a_report_says_which_end_is_missing() {
    let root = Authority::new("the root");
    let between = root.intermediate("the one between");
    let stranger = Authority::new("a stranger");
    let leaf = between.server();
    let whole = Leaf {
        certificate: format!("{}{}", leaf.certificate, between.pem()),
        key: leaf.key.clone(),
    };

    let short = server(leaf);
    let report = short.report(&[("CACHE_CA", &root.pem())]).await;
    assert!(
        report.contains(
            "sends only its own certificate, and its issuer, CN=the one between, is \
             not the authority",
        ),
        "{report}"
    );
    short
        .attach(&[("CACHE_CA", &format!("{}{}", root.pem(), between.pem()))])
        .await
        .expect("the chain is completed");

    let whole = server(whole);
    whole.attach(&[("CACHE_CA", &root.pem())]).await.expect("the server sends its chain");
    let report = whole.report(&[("CACHE_CA", &stranger.pem())]).await;
    assert!(
        report.contains(
            "the server's chain ends with CN=the one between, which is not the authority"
        ) || report.contains("CN=the root"),
        "{report}"
    );
    let report = whole.report(&[]).await;
    assert!(report.contains("which is not a public authority"), "{report}");
}

#[tokio::test]
async fn a_self_signed_certificate_is_its_own_authority() {
    let leaf = pki::self_signed();
    let certificate = leaf.certificate.clone();
    let server = server(leaf);
    server
        .attach(&[("CACHE_CA", &certificate)])
        .await
        .expect("it vouches for itself, and is trusted");
    assert!(
        server.report(&[]).await.contains("is self-signed, and not issued by a public authority")
    );
}

// --- Trust from a `_CA` variable
// -------------------------------------------------------------------

/// The holder of a server certificate's key can act as that server only: certificates that it signs
/// are not trusted.
#[tokio::test]
async fn a_certificate_that_is_not_an_authority_cannot_issue_others() {
    let impostor = Authority::without_authority("a server that plays an authority");
    let issued = server(impostor.server());
    let report = issued.report(&[("CACHE_CA", &impostor.pem())]).await;
    assert!(
        report.contains(
            "was issued by one that is in `CACHE_CA` and is not an authority (`CA:FALSE`)"
        ),
        "{report}"
    );
    // Another certificate in the variable that is an authority does not make this one an authority.
    let authority = Authority::new("the tests' authority");
    let both = format!("{}{}", authority.pem(), impostor.pem());
    issued.report(&[("CACHE_CA", &both)]).await;
    server(authority.server())
        .attach(&[("CACHE_CA", &both)])
        .await
        .expect("the authority vouches for it");
    // Nor does a chain that ends with it.
    let leaf = impostor.intermediate("one between").server();
    let between =
        Leaf { certificate: format!("{}{}", leaf.certificate, impostor.pem()), key: leaf.key };
    server(between).report(&[("CACHE_CA", &impostor.pem())]).await;
    // Only the server that presents this same certificate is trusted.
    let own = server(impostor.as_leaf());
    assert_eq!(
        own.attach(&[("CACHE_CA", &impostor.pem())]).await.expect("it is the same"),
        TrustPosture::PrivateCa
    );
    own.attach(&[("CACHE_CA", &both)]).await.expect("it is the same");
}

/// The certificate need not be self-signed. Its issuer does not matter, but its name, its dates and
/// its purpose do.
#[tokio::test]
async fn a_certificate_that_is_trusted_alone_is_checked_for_host_and_dates() {
    let unknown = Authority::new("an untrusted authority");
    let leaf = unknown.server();
    server(leaf.clone()).attach(&[("CACHE_CA", &leaf.certificate)]).await.expect("it is the same");
    server(unknown.server()).report(&[("CACHE_CA", &leaf.certificate)]).await;
    let leaf = unknown.other_host();
    let report = server(leaf.clone()).report(&[("CACHE_CA", &leaf.certificate)]).await;
    assert!(report.contains("db.example.com"), "{report}");
    let leaf = unknown.not_for_servers();
    let report = server(leaf.clone()).report(&[("CACHE_CA", &leaf.certificate)]).await;
    assert!(report.contains("is not one for servers"), "{report}");
}

fn checked(ca: &str) -> Result<(), AttachError> {
    let url = format!("rediss://{USER}@localhost:{}", port::free());
    let variables = [("CACHE_URL", url.as_str()), ("CACHE_PASSWORD", PASSWORD), ("CACHE_CA", ca)];
    Services::check(&Environment::from_iter(variables))
}

/// The report of loading a `_CA` variable that is refused. It is about that variable, and needs no
/// server.
fn refused_ca(ca: &str) -> (Vec<&'static str>, String) {
    let error = checked(ca).expect_err("it is to be refused");
    assert_eq!(error.findings().next().expect("a finding").variable(), Some("CACHE_CA"));
    (problems(&error), error.to_string())
}

#[test]
fn an_authority_that_has_expired_is_refused() {
    let expired = Authority::ending_in("the tests' authority", -60).pem();
    let (problems, report) = refused_ca(&expired);
    assert_eq!(problems, ["certificate_expiry"]);
    assert!(report.contains("`CACHE_CA` holds a certificate that has expired"), "{report}");
    // With several certificates, the report gives the number of the bad one.
    let (problems, report) =
        refused_ca(&format!("{}{expired}", Authority::new("another one").pem()));
    assert_eq!(problems, ["certificate_expiry"]);
    assert!(report.contains("has expired: number 2 of 2"), "{report}");
    // A certificate that is trusted alone is refused too, if it has expired or is not yet valid.
    let leaf = Authority::new("the tests' authority").expired().certificate;
    assert_eq!(refused_ca(&leaf).0, ["certificate_expiry"]);
    let leaf = Authority::new("the tests' authority").not_yet_valid().certificate;
    assert_eq!(refused_ca(&leaf).0, ["certificate_expiry"]);
}

#[test]
fn an_authority_that_may_not_sign_is_refused() {
    let (problems, report) = refused_ca(&Authority::that_may_not_sign("a weak authority").pem());
    assert_eq!(problems, ["malformed_value"]);
    assert!(report.contains("its key usage lacks `keyCertSign`"), "{report}");
}

const DAY: i64 = 86_400;

/// The warning names the variable, is in the posture, and is logged once, although loading and
/// connecting both see it.
#[tokio::test]
async fn an_authority_with_fewer_than_30_days_left_warns() {
    let authority = Authority::ending_in("the tests' authority", 30 * DAY - DAY / 2);
    let ending = server(authority.server());
    let url = format!("rediss://{USER}@localhost:{}", ending.0.port);
    let variables =
        [("CACHE_URL", url.as_str()), ("CACHE_PASSWORD", PASSWORD), ("CACHE_CA", &authority.pem())];
    let services = attempt::attach::<Services>(&variables).await.expect("it only warns");
    let posture = services.cache.posture();
    // The server's release may have a finding too, which is not counted here.
    let expiring =
        |rules: &[&str]| rules.iter().filter(|rule| **rule == "certificate_expiry").count();
    assert_eq!(expiring(&rules(&posture.findings)), 1);
    assert_eq!(posture.findings[0].variable(), Some("CACHE_CA"));
    assert!(
        posture.findings[0]
            .message()
            .contains("`CACHE_CA` holds a certificate that expires in 29 days"),
        "{posture}"
    );
    let said = journal::text()
        .lines()
        .filter(|line| line.contains("WARN") && line.contains("expires in 29 days"))
        .count();
    assert_eq!(said, 1);
    services.cache.refresh_posture().await.expect("it only warns");
    services.detach().await;
    // The variable that is set is the one that the warning names, once.
    let folder = Folder::of_values("authority");
    let file = folder.write("ca.pem", &authority.pem());
    let variables = [
        ("CACHE_URL", url.as_str()),
        ("CACHE_PASSWORD", PASSWORD),
        ("CACHE_CA_FILE", file.to_str().unwrap()),
    ];
    let services = attempt::attach::<Services>(&variables).await.expect("it only warns");
    services.detach().await;
    let said = journal::text();
    let said: Vec<_> = said
        .lines()
        .filter(|line| line.contains("WARN") && line.contains("expires in 29 days"))
        .collect();
    assert!(said.len() == 2 && said[1].contains("CACHE_CA_FILE"), "{said:?}");
    checked(&authority.pem()).expect("it only warns");

    let authority = Authority::ending_in("the tests' authority", 30 * DAY + DAY / 2);
    let good = server(authority.server());
    let url = format!("rediss://{USER}@localhost:{}", good.0.port);
    let variables =
        [("CACHE_URL", url.as_str()), ("CACHE_PASSWORD", PASSWORD), ("CACHE_CA", &authority.pem())];
    let services = attempt::attach::<Services>(&variables).await.expect("it is good");
    assert_eq!(expiring(&rules(&services.cache.posture().findings)), 0);
    services.detach().await;
}

/// The authority expires while the process runs. From then on, no certificate of it is trusted.
#[tokio::test]
async fn an_authority_that_expires_meanwhile_is_not_trusted() {
    let authority = Authority::ending_in("the tests' authority", 12);
    let end = std::time::Instant::now() + Duration::from_secs(13);
    let ending = server(authority.server());
    let url = format!("rediss://{USER}@localhost:{}", ending.0.port);
    let variables =
        [("CACHE_URL", url.as_str()), ("CACHE_PASSWORD", PASSWORD), ("CACHE_CA", &authority.pem())];
    let services = attempt::attach::<Services>(&variables).await.expect("it is good for now");
    tokio::time::sleep_until(end.into()).await;
    let error = services.cache.refresh_posture().await.expect_err("its authority has expired");
    assert!(error.to_string().contains("certificate_expiry"), "{error}");
    services.detach().await;
}

/// Both services for PostgreSQL, and MySQL's.
#[derive(BackingServices, Debug)]
struct Databases {
    sqlx: Resource<Postgres>,
    own: Resource<TokioPostgres>,
    mysql: Resource<MySql>,
}

/// It is trusted for the one server that presents it.
#[test]
fn a_certificate_that_is_not_an_authority_is_accepted_by_each_database() {
    let leaf = Authority::new("the tests' authority").server().certificate;
    let url = "postgres://shop@db.example/shop";
    let environment = Environment::from_iter([
        ("SQLX_URL", url),
        ("SQLX_PASSWORD", PASSWORD),
        ("SQLX_CA", &leaf),
        ("OWN_URL", url),
        ("OWN_PASSWORD", PASSWORD),
        ("OWN_CA", &leaf),
        ("MYSQL_URL", "mysql://shop@db.example/shop"),
        ("MYSQL_PASSWORD", PASSWORD),
        ("MYSQL_CA", &leaf),
    ]);
    Databases::check(&environment).expect("each of them is verified by this crate");
}

/// Over the network, our own TLS stream refuses a certificate that such a certificate
/// issued.
#[tokio::test]
async fn the_strict_service_for_postgresql_refuses_a_certificate_that_no_authority_issued() {
    #[derive(BackingServices, Debug)]
    struct Own {
        own: Resource<TokioPostgres>,
    }
    let impostor = Authority::without_authority("a server that plays an authority");
    let ca = impostor.pem();
    let options = postgres::Options::tls(impostor.server());
    let server = postgres::Postgres::with(impostor, &options);
    let url = server.locator();
    let variables = [("OWN_URL", url.as_str()), ("OWN_PASSWORD", PASSWORD), ("OWN_CA", &ca)];
    let error = attempt::refused::<Own>(&variables, Duration::from_secs(10)).await;
    assert_eq!(problems(&error), ["unverified_tls"]);
    assert!(!server.log().contains(postgres::USER), "no user name was sent to it");
}

// --- Weak keys and signatures
// ----------------------------------------------------------------------

async fn refused_as_weak(port: u16, ca: &str) {
    let url = format!("rediss://{USER}@localhost:{port}");
    let error = attempt::attach::<Services>(&[
        ("CACHE_URL", url.as_str()),
        ("CACHE_PASSWORD", PASSWORD),
        ("CACHE_CA", ca),
    ])
    .await
    .expect_err("it is weak");
    assert_eq!(problems(&error), ["weak_certificate"], "{error}");
}

#[tokio::test]
async fn a_weak_signature_is_refused() {
    let (leaf, ca) = pki::weak(2048, "sha1");
    let hostile = Hostile::start(move |peer| {
        let leaf = leaf.clone();
        async move { Ok(Some(peer.encrypt(&leaf).await?)) }
    });
    refused_as_weak(hostile.port, &ca).await;
}

/// The conformance suite has a server with a short key and its authority. The key is not trusted as
/// a single certificate either.
#[tokio::test]
async fn a_short_key_is_not_trusted_alone() {
    let folder = Folder::new("weak");
    let (leaf, _) = pki::weak(1024, "sha256");
    folder.write("server.pem", &leaf.certificate);
    folder.write("server.key", &leaf.key);
    let port = port::free();
    let accept = format!("127.0.0.1:{port}");
    let server = [
        "openssl", "s_server", "-quiet", "-accept", &accept, "-cert", "server.pem", "-key",
        "server.key", "-cipher", "DEFAULT@SECLEVEL=0",
    ];
    let server = Process::start("openssl", "KILL", folder.path(), &[], server).unwrap();
    server.wait_until(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).unwrap();
    refused_as_weak(port, &leaf.certificate).await;
}
