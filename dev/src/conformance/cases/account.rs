//! The client proves its identity, by an account that can do little.

use backing_services_runtime::posture::ClientCertificatePosture;
use backing_services_runtime::service::Login;
use backing_services_runtime::{BackingServices as _, Finding, Service};
use url::Url;

use crate::conformance::attempt::problems;
use crate::conformance::canary::WRONG_PASSWORD;
use crate::conformance::cases::identity::assert_refused;
use crate::conformance::hostile::Asking;
use crate::conformance::journal;
use crate::conformance::pki::{Authority, Leaf};
use crate::conformance::stage::{self, Fixture as _, Patient, SOON, Stage, Waived, refused};
use crate::conformance::subject::{Subject, Variables};
use crate::folder::Folder;

pub(super) async fn wrong_password<S: Subject>(stage: &Stage<S>) {
    let (relay, variables) = stage.relayed();
    let shop: Patient<S::Service> = stage::attach(&variables).await.unwrap();
    shop.detach().await;
    let enough = relay.accepted();
    let variables = variables.with("PASSWORD", WRONG_PASSWORD);
    let error = refused::<Patient<S::Service>>(&variables, SOON).await;
    assert_eq!(problems(&error), ["authentication_failed"], "{error}");
    assert!(error.to_string().to_lowercase().contains("password"), "{error}");
    relay.assert_all_closed().await;
    // A second try may lock the account.
    assert!(relay.accepted() <= 2 * enough, "there is no second try");
}

pub(super) async fn administrator<S: Subject>(stage: &Stage<S>) {
    let administrator = S::administrator(stage.server());
    let variables = stage
        .trusting(administrator.expect(
            "no administrator: return its variables, or declare an exception of this case",
        ));
    let (relay, _) = stage.relayed();
    let variables = variables.at(S::port(stage.server()), relay.port);
    let error = refused::<Patient<S::Service>>(&variables, SOON).await;
    assert_eq!(problems(&error), ["superuser_account"], "{error}");
    relay.assert_all_closed().await;

    let shop: Waived<S::Service> = stage::attach(&variables).await.unwrap();
    let posture = shop.subject().posture();
    let reasons: Vec<_> = posture
        .findings
        .iter()
        .filter(|finding| finding.rule().name == "superuser_account")
        .map(Finding::waived_because)
        .collect();
    assert_eq!(reasons, [Some("the account of the suite")]);
    assert!(journal::text().contains("the account of the suite"), "a waiver is logged");
    shop.detach().await;
}

pub(super) async fn client_certificate<S: Subject>(stage: &Stage<S>) {
    let clients = Authority::new("the clients' authority");
    let server = stage.start(stage.authority.server(), Some(clients.pem()));
    let variables = stage.trusting(S::account(&server));
    let shown = showing(variables.clone(), &clients.client("suite"));
    let shop: Patient<S::Service> = stage::attach(&shown).await.unwrap();
    let posture = shop.subject().posture();
    let tls = posture.tls.as_ref().expect("the posture has no TLS");
    assert_eq!(tls.client_certificate, ClientCertificatePosture::Sent);
    S::work(&shop.subject().client()).await.expect("a call works");
    shop.detach().await;

    let error = refused::<Patient<S::Service>>(&variables, SOON).await;
    assert_eq!(problems(&error).len(), 1, "without a certificate: {error}");
    let other = Authority::new("the clients' authority").client("suite");
    let error = refused::<Patient<S::Service>>(&showing(variables, &other), SOON).await;
    assert_eq!(problems(&error).len(), 1, "with a certificate of another authority: {error}");
}

pub(super) async fn not_asked_for<S: Subject>(stage: &Stage<S>) {
    let leaf = stage.authority.client("suite");
    let mut variables = showing(stage.variables().without("PASSWORD"), &leaf);
    // The certificate names the user, unless the service needs a name beside it.
    if <S::Service as Service>::LOGIN != Login::UserAndPassword {
        let mut url = Url::parse(variables.get("URL").expect("a locator")).expect("a locator");
        url.set_username("").expect("a locator with a host");
        variables = variables.with("URL", url).without("USER");
    }
    // A server that asks for a certificate of a kind that the client does not have is the same.
    for version in rustls::ALL_VERSIONS {
        for asking in [Asking::Not, Asking::ForRsa] {
            let configuration = asking.configuration(&stage.authority.server(), &[version]);
            let server = stage.serve(configuration);
            let variables = variables.clone().at(S::port(stage.server()), server.port);
            let error = assert_refused::<S>(&server, &variables, "weak_authentication").await;
            let expected = match asking {
                Asking::ForRsa => "takes no signature that the key in `SUITE_SUBJECT_CLIENT_KEY`",
                _ => "did not ask for the client certificate",
            };
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}

fn showing(variables: Variables, leaf: &Leaf) -> Variables {
    variables.with("CLIENT_CERT", leaf.certificate.clone()).with("CLIENT_KEY", leaf.key.clone())
}

pub(super) async fn files_and_parts<S: Subject>(stage: &Stage<S>) {
    let folder = Folder::of_values("values").unwrap();
    let in_file = |variables: Variables, name: &str| {
        let value = format!("{}\n", variables.get(name).expect("a value").trim_end());
        let path = folder.write(name, &value).unwrap();
        variables.without(name).with(&format!("{name}_FILE"), path.display().to_string())
    };
    let whole = in_file(in_file(stage.variables(), "PASSWORD"), "CA");
    let url = Url::parse(whole.get("URL").expect("a locator")).expect("a locator");
    let mut parts = whole.clone().without("URL");
    parts = parts.with("HOST", url.host_str().expect("a host"));
    if let Some(port) = url.port() {
        parts = parts.with("PORT", port.to_string());
    }
    if !url.username().is_empty() {
        parts = parts.with("USER", url.username());
    }
    let path = url.path().trim_start_matches('/');
    if !path.is_empty() {
        parts = parts.with("DATABASE", path);
    }
    let mut endpoints = Vec::new();
    for variables in [whole, parts] {
        let shop: Patient<S::Service> = stage::attach(&variables).await.unwrap();
        S::work(&shop.subject().client()).await.expect("a call works");
        endpoints.push(shop.subject().posture().endpoint.clone());
        shop.detach().await;
    }
    assert_eq!(endpoints[0], endpoints[1]);
}

/// Every other case searches the reports and the log, too. This one leads a client through all of
/// its life at once, and checks that the log was open.
pub(super) async fn canary<S: Subject>(stage: &Stage<S>) {
    let (relay, variables) = stage.relayed();
    let shop: Patient<S::Service> = stage::attach(&variables).await.unwrap();
    S::work(&shop.subject().client()).await.expect("a call works");
    let wrong = variables.clone().with("PASSWORD", WRONG_PASSWORD);
    refused::<Patient<S::Service>>(&wrong, SOON).await;
    let reattached = shop.reattach(&stage::environment(&wrong)).await;
    crate::conformance::canary::assert_error_silent(&reattached.unwrap_err());
    shop.reattach(&stage::environment(&variables)).await.unwrap();
    shop.subject().refresh_posture().await.unwrap();
    relay.set(crate::conformance::relay::Flow::ForcedClose);
    let error = shop.subject().health().await.unwrap_err();
    crate::conformance::canary::assert_error_silent(&error);
    let broken = S::work(&shop.subject().client()).await;
    crate::conformance::canary::assert_debug_silent(&broken);
    shop.detach().await;
    tracing::trace!("the finest level of the log is recorded");
    assert!(journal::text().contains("the finest level"), "the log is not recorded at TRACE");
    journal::assert_silent();
}
