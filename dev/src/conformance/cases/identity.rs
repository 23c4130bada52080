//! The server proves its identity before anything is sent to it.

use std::process::Stdio;
use std::time::Duration;

use backing_services_runtime::posture::TrustPosture;
use backing_services_runtime::{AttachError, BackingServices as _, Resource};
use tokio::time::Instant;

use crate::authority::{NAMES, SUBJECT};
use crate::conformance::attempt::problems;
use crate::conformance::hostile::Hostile;
use crate::conformance::journal;
use crate::conformance::pki::{self, Authority, Leaf};
use crate::conformance::relay::{Flow, Relay};
use crate::conformance::stage::{self, Fixture as _, Patient, SOON, Stage, refused};
use crate::conformance::subject::{Setup, Subject, Variables};
use crate::folder::Folder;
use crate::port;
use crate::process::{Process, unprivileged};

pub(super) async fn attach<S: Subject>(stage: &Stage<S>) {
    let (relay, variables) = stage.relayed();
    let shop: Patient<S::Service> = stage::attach(&variables).await.unwrap();
    let posture = shop.subject().posture();
    let tls = posture
        .tls
        .as_ref()
        .expect("the posture has no TLS: set `posture.tls` to that of `Target::dial`");
    assert!(["TLS 1.2", "TLS 1.3"].contains(&tls.version), "{}", tls.version);
    assert_eq!(tls.trust, TrustPosture::PrivateCa);
    assert_eq!(tls.certificate.subject, format!("CN={SUBJECT}"));
    assert_eq!(tls.certificate.names, NAMES);
    let denied: Vec<_> = posture.findings.iter().filter(|finding| finding.is_denied()).collect();
    assert!(denied.is_empty(), "{denied:?}");

    let kept = shop.subject().client().clone();
    S::work(&kept).await.expect("a call works");
    shop.subject().health().await.expect("it is healthy");
    let detached = shop.detach().await;
    assert!(detached.is_clean(), "{detached}");
    shop.subject().health().await.expect_err("it is detached");
    S::work(&kept).await.expect_err("a clone of the client works no longer");
    relay.assert_all_closed().await;

    // The certificate is valid for the address, too.
    let shop: Patient<S::Service> = stage::attach(&variables.by_address()).await.unwrap();
    shop.detach().await;
}

pub(super) async fn wrong_authority<S: Subject>(stage: &Stage<S>) {
    is_refused(stage, &Authority::new("the suite's authority").server(), "unverified_tls").await;
    // Without `_CA`, only public authorities are trusted.
    let (pretender, variables) = stage.pretender(&stage.authority.server());
    assert_refused::<S>(&pretender, &variables.without("CA"), "unverified_tls").await;
    assert_not_trusted(&pretender);
}

pub(super) async fn expired<S: Subject>(stage: &Stage<S>) {
    is_refused(stage, &stage.authority.expired(), "certificate_expiry").await;
}

pub(super) async fn not_yet_valid<S: Subject>(stage: &Stage<S>) {
    is_refused(stage, &stage.authority.not_yet_valid(), "certificate_expiry").await;
}

pub(super) async fn wrong_name<S: Subject>(stage: &Stage<S>) {
    is_refused(stage, &stage.authority.other_host(), "unverified_tls").await;
}

pub(super) async fn self_signed<S: Subject>(stage: &Stage<S>) {
    is_refused(stage, &pki::self_signed(), "unverified_tls").await;
}

pub(super) async fn not_for_servers<S: Subject>(stage: &Stage<S>) {
    is_refused(stage, &stage.authority.not_for_servers(), "unverified_tls").await;
}

pub(super) async fn weak_key<S: Subject>(stage: &Stage<S>) {
    let (leaf, ca) = pki::weak(1024, "sha256");
    let server = OpenSsl::start(&leaf, "DEFAULT@SECLEVEL=0", &[]);
    let variables = server.before(stage).with("CA", ca);
    let error = refused::<Patient<S::Service>>(&variables, SOON).await;
    assert_eq!(problems(&error), ["weak_certificate"], "{error}");
    server.assert_no_handshake("-tls1_2");
}

pub(super) async fn tls_1_1_only<S: Subject>(stage: &Stage<S>) {
    let server = OpenSsl::start(&stage.authority.server(), "ALL:@SECLEVEL=0", &["-tls1_1"]);
    let error = refused::<Patient<S::Service>>(&server.before(stage), SOON).await;
    assert_eq!(problems(&error), ["obsolete_tls"], "{error}");
    server.assert_no_handshake("-tls1_1");
}

pub(super) async fn plaintext_only<S: Subject>(stage: &Stage<S>) {
    let server = S::start(Setup { leaf: None, client_ca: None }).unwrap();
    let variables = stage.trusting(S::account(&server)).with_parameters("connect_timeout=3");
    let relay = Relay::to(S::port(&server));
    let variables = variables.at(S::port(&server), relay.port);
    let error = refused::<Patient<S::Service>>(&variables, SOON).await;
    let problems = problems(&error);
    assert!(problems.len() == 1 && S::PLAINTEXT.contains(&problems[0]), "{error}");
    assert!(relay.accepted() <= S::DIALS, "there is no second try");
    variables.assert_none_in(&relay.heard());
    let without_tls = error.to_string().contains("does not speak TLS");
    assert_eq!(without_tls, problems == ["obsolete_tls"], "{error}");
    // A developer's own server is the usual one without TLS.
    let way_out = format!("a debug build also accepts {}", S::WITHOUT_TLS);
    assert_eq!(error.to_string().contains(&way_out), cfg!(debug_assertions), "{error}");
}

pub(super) async fn about_to_expire<S: Subject>(stage: &Stage<S>) {
    let server = stage.start(stage.authority.about_to_expire(3), None);
    let variables = stage.trusting(S::account(&server));
    let shop: Patient<S::Service> = stage::attach(&variables).await.unwrap();
    let posture = shop.subject().posture();
    let mut findings = posture.findings.iter();
    let finding = findings.find(|finding| finding.rule().name == "certificate_expiry");
    let finding = finding.expect("no warning: the posture has to have the TLS of the connection");
    assert!(!finding.is_denied() && finding.message().contains("3 days"), "{finding}");
    let text = journal::text();
    let mut lines = text.lines();
    assert!(lines.any(|line| line.contains("WARN") && line.contains("certificate_expiry")));
    shop.detach().await;
}

pub(super) async fn pin<S: Subject>(stage: &Stage<S>) {
    let leaf = pki::self_signed();
    let (pretender, variables) = stage.pretender(&leaf);
    let variables = variables.without("CA");
    let other = variables.clone().with("PIN", pki::self_signed().pin().unwrap());
    assert_refused::<S>(&pretender, &other, "unverified_tls").await;
    assert_not_trusted(&pretender);

    let server = stage.start(leaf.clone(), None);
    let relay = Relay::to(S::port(&server));
    let variables = S::account(&server).at(S::port(&server), relay.port);
    let variables = variables.with("PIN", leaf.pin().unwrap()).with_parameters(S::LIMITS);
    let shop: Patient<S::Service> = stage::attach(&variables).await.unwrap();
    let posture = shop.subject().posture();
    assert_eq!(
        posture
            .tls
            .as_ref()
            .expect("the posture has no TLS: set `posture.tls` to that of `Target::dial`")
            .trust,
        TrustPosture::PinnedKey
    );
    S::work(&shop.subject().client()).await.expect("a call works");
    let (other, _) = stage.pretender(&pki::self_signed());
    later_is_refused::<S>(shop.subject(), &relay, &other, &variables).await;
    shop.detach().await;
}

/// A server with this certificate is refused, and is sent nothing.
pub(super) async fn is_refused<S: Subject>(stage: &Stage<S>, leaf: &Leaf, rule: &str) {
    let (pretender, variables) = stage.pretender(leaf);
    assert_refused::<S>(&pretender, &variables, rule).await;
    assert_not_trusted(&pretender);
}

/// The attempt violates this rule alone, and nothing is sent to the server under TLS.
pub(super) async fn assert_refused<S: Subject>(
    pretender: &Hostile,
    variables: &Variables,
    rule: &str,
) -> AttachError {
    let error = refused::<Patient<S::Service>>(variables, SOON).await;
    assert_eq!(problems(&error), [rule], "{error}");
    pretender.assert_all_closed().await;
    let dials = pretender.heard().len();
    assert!((1..=S::DIALS).contains(&dials), "it is dialled, and there is no second try");
    assert_nothing_was_sent(pretender, variables);
    error
}

/// Nothing is sent under TLS, and none of the names and secrets before it.
pub(super) fn assert_nothing_was_sent(pretender: &Hostile, variables: &Variables) {
    for heard in pretender.heard() {
        assert!(heard.secret.is_empty(), "it was sent {} bytes", heard.secret.len());
        variables.assert_none_in(&heard.plain);
    }
}

/// No handshake was completed. A client that waits for a greeting would send nothing, and yet trust
/// the server.
pub(super) fn assert_not_trusted(pretender: &Hostile) {
    assert!(pretender.heard().iter().all(|heard| !heard.tls), "a handshake was completed");
}

/// Every connection breaks, and the next ones lead to a server that is not the right one: it is
/// refused, and is sent nothing.
pub(super) async fn later_is_refused<S: Subject>(
    subject: &Resource<S::Service>,
    relay: &Relay,
    pretender: &Hostile,
    variables: &Variables,
) {
    relay.lead_to(pretender.port);
    relay.set(Flow::ForcedClose);
    tokio::time::sleep(Duration::from_millis(300)).await;
    relay.set(Flow::Open);
    let begin = Instant::now();
    while pretender.heard().is_empty() {
        S::work(&subject.client()).await.expect_err("it is not the server");
        assert!(
            begin.elapsed() < 2 * SOON,
            "no call connects again after a break: see `service::reconnect`"
        );
    }
    S::work(&subject.client()).await.expect_err("it is not the server");
    subject.health().await.expect_err("it is not the server");
    assert_nothing_was_sent(pretender, variables);
    assert_not_trusted(pretender);
}

/// `openssl s_server`: it can do what rustls refuses.
struct OpenSsl {
    process: Process,
    port: u16,
    /// Removed after the process has ended.
    _folder: Folder,
}

impl OpenSsl {
    fn start(leaf: &Leaf, ciphers: &str, options: &[&str]) -> Self {
        let folder = Folder::new("openssl").unwrap();
        folder.write("server.pem", &leaf.certificate).unwrap();
        folder.write("server.key", &leaf.key).unwrap();
        let port = port::free().unwrap();
        let accept = format!("127.0.0.1:{port}");
        let mut command = vec![
            "openssl", "s_server", "-rev", "-accept", &accept, "-cert", "server.pem", "-key",
            "server.key", "-cipher", ciphers,
        ];
        command.extend(options);
        let process = Process::start("openssl", "KILL", folder.path(), &[], command).unwrap();
        process.wait_until(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).unwrap();
        Self { process, port, _folder: folder }
    }

    /// The variables that lead to it, behind the messages of the protocol before TLS.
    fn before<S: Subject>(&self, stage: &Stage<S>) -> Variables {
        let port = self.port;
        let before = Hostile::start(move |peer| async move {
            S::before_tls(peer).await?.forward(port).await?;
            Ok(None)
        });
        stage.at(before.port)
    }

    /// It reports each handshake that is completed. A client that accepts it completes one.
    fn assert_no_handshake(&self, version: &str) {
        let is_reported = || self.process.log().contains("Protocol version");
        assert!(!is_reported(), "a handshake was completed:\n{}", self.process.log());
        let address = format!("127.0.0.1:{}", self.port);
        let mut client = unprivileged("openssl");
        client.args(["s_client", version, "-cipher", "ALL:@SECLEVEL=0", "-connect", &address]);
        client.stdin(Stdio::null()).output().unwrap();
        self.process.wait_until(is_reported).unwrap();
    }
}
