//! Whom a resource trusts, beyond one authority: a pinned key, a chain that is completed, and what the report says of a chain that is not.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot do what it should has to stop, there and loudly")]

use backing_services::posture::TrustPosture;
use backing_services::{BackingServices, Redis, Resource};
use backing_services_tests::attempt::{self, problems};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::folder::Folder;
use backing_services_tests::hostile::Hostile;
use backing_services_tests::pki::{self, Authority, Leaf};
use backing_services_tests::port;
use backing_services_tests::process::{self, Process};
use backing_services_tests::redis::{self, Options, USER};

#[derive(BackingServices, Debug)]
struct Services {
    cache: Resource<Redis>,
}

struct Server(redis::Redis, String);

fn server(leaf: Leaf) -> Server {
    let pin = leaf.pin();
    Server(redis::Redis::with(Authority::new("unused"), &Options::tls(leaf)), pin)
}

impl Server {
    async fn attach(&self, trust: &[(&str, &str)]) -> Result<TrustPosture, backing_services::AttachError> {
        let url = format!("rediss://{USER}@localhost:{}", self.0.port);
        let variables: Vec<_> =
            [("CACHE_URL", url.as_str()), ("CACHE_PASSWORD", PASSWORD)].into_iter().chain(trust.iter().copied()).collect();
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
async fn a_pin_trusts_one_key_and_no_other() {
    let server = server(pki::self_signed());
    let other = pki::self_signed().pin();
    assert_eq!(server.attach(&[("CACHE_PIN", &server.1)]).await.expect("it is pinned"), TrustPosture::PinnedKey);
    let both = format!("{other}; {}", server.1);
    server.attach(&[("CACHE_PIN", &both)]).await.expect("one of the two is its key");
    assert!(server.report(&[("CACHE_PIN", &other)]).await.contains("the server's key is none of those that are pinned"));
}

/// What a pin does not look at: another host's certificate, and one that has expired, have the same key as before.
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
    let (authority, stranger) = (Authority::new("the tests' authority"), Authority::new("a stranger"));
    let server = server(authority.server());
    let other = pki::self_signed().pin();
    let trust = server.attach(&[("CACHE_CA", &authority.pem()), ("CACHE_PIN", &server.1)]).await;
    assert_eq!(trust.expect("both hold"), TrustPosture::PrivateCa);
    assert!(
        server.report(&[("CACHE_CA", &authority.pem()), ("CACHE_PIN", &other)]).await.contains("none of those that are pinned")
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
    let whole = Leaf { certificate: format!("{}{}", leaf.certificate, between.pem()), key: leaf.key.clone() };

    let short = server(leaf);
    let report = short.report(&[("CACHE_CA", &root.pem())]).await;
    assert!(
        report.contains("sends only its own certificate, and its issuer, CN=the one between, is not the authority"),
        "{report}"
    );
    short.attach(&[("CACHE_CA", &format!("{}{}", root.pem(), between.pem()))]).await.expect("the chain is completed");

    let whole = server(whole);
    whole.attach(&[("CACHE_CA", &root.pem())]).await.expect("the server sends its chain");
    let report = whole.report(&[("CACHE_CA", &stranger.pem())]).await;
    assert!(
        report.contains("the server's chain ends with CN=the one between, which is not the authority")
            || report.contains("CN=the root"),
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
    server.attach(&[("CACHE_CA", &certificate)]).await.expect("it vouches for itself, and is trusted");
    assert!(server.report(&[]).await.contains("is self-signed, and not issued by a public authority"));
}

/// A certificate of OpenSSL's making, with a key of so many bits, signed with this digest; and its authority.
fn openssl(folder: &Folder, bits: u32, digest: &str) -> (Leaf, String) {
    folder.write("extensions", "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n");
    for line in [
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=authority -days 30".to_owned(),
        format!("req -newkey rsa:{bits} -nodes -keyout server.key -out server.csr -subj /CN=server"),
        format!(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -set_serial 2 -days 30 -{digest} -extfile extensions -out server.pem"
        ),
    ] {
        process::run(process::unprivileged("openssl").args(line.split(' ')).current_dir(folder.path()));
    }
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file");
    (Leaf { certificate: read("server.pem"), key: read("server.key") }, read("ca.pem"))
}

async fn refused_as_weak(port: u16, ca: &str) {
    let url = format!("rediss://{USER}@localhost:{port}");
    let error = attempt::attach::<Services>(&[("CACHE_URL", &url), ("CACHE_PASSWORD", PASSWORD), ("CACHE_CA", ca)])
        .await
        .expect_err("it is weak");
    assert_eq!(problems(&error), ["weak_certificate"], "{error}");
}

#[tokio::test]
async fn a_weak_signature_is_refused() {
    let folder = Folder::new("weak");
    let (leaf, ca) = openssl(&folder, 2048, "sha1");
    let hostile = Hostile::start(move |peer| {
        let leaf = leaf.clone();
        async move { Ok(Some(peer.encrypt(&leaf).await?)) }
    });
    refused_as_weak(hostile.port, &ca).await;
}

#[tokio::test]
async fn a_short_key_is_refused() {
    let folder = Folder::new("weak");
    let (_, ca) = openssl(&folder, 1024, "sha256");
    let port = port::free();
    let accept = format!("127.0.0.1:{port}");
    let server = [
        "openssl", "s_server", "-quiet", "-accept", &accept, "-cert", "server.pem", "-key", "server.key", "-cipher",
        "DEFAULT@SECLEVEL=0",
    ];
    let server = Process::start("openssl", "KILL", folder.path(), &[], server);
    server.wait_until(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    refused_as_weak(port, &ca).await;
}
