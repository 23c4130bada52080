//! A third party's service, attached by the derive: against a server that follows the protocol, and
//! against servers that do not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot continue has to fail at once"
)]

use std::sync::Arc;

use backing_services::{AttachError, BackingServices, Environment, Resource};
use backing_services_faktory::Faktory;
use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::hostile::Hostile;
use backing_services_tests::pki::{self, Authority, Leaf};

#[derive(BackingServices, Debug)]
struct Services {
    jobs: Resource<Faktory>,
}

const GREETING: &str = "+HI {\"v\":2,\"s\":\"a1b2\",\"i\":4000}\r\n";

/// A server that sends these messages, each after it has received one.
fn server(leaf: &Leaf, says: &[&str]) -> Hostile {
    let leaf = leaf.clone();
    let says: Arc<Vec<String>> = Arc::new(says.iter().map(|says| (*says).to_owned()).collect());
    Hostile::start(move |peer| {
        let (leaf, says) = (leaf.clone(), Arc::clone(&says));
        async move {
            let mut peer = peer.encrypt(&leaf).await?;
            for (index, says) in says.iter().enumerate() {
                if index > 0 {
                    peer.read().await?;
                }
                peer.write(says.as_bytes()).await?;
            }
            Ok(Some(peer))
        }
    })
}

async fn attach(port: u16, ca: &str) -> Result<Services, AttachError> {
    let url = format!("tcp+tls://localhost:{port}");
    Services::attach_from(&Environment::from_iter([
        ("JOBS_URL", url.as_str()),
        ("JOBS_PASSWORD", PASSWORD),
        ("JOBS_CA", ca),
    ]))
    .await
}

#[tokio::test]
async fn attaches_and_works() {
    let ca = Authority::new("faktory");
    let info = "{\"server\":{\"faktory_version\":\"1.9.0\\u001b[2J\"}}";
    let info = format!("${}\r\n{info}\r\n", info.len());
    let server = server(&ca.server(), &[GREETING, "+OK\r\n", &info, "+OK\r\n"]);
    let services = attach(server.port, &ca.pem()).await.expect("it attaches");
    let posture = services.jobs.posture();
    assert_eq!(
        posture.server.as_ref().map(ToString::to_string).as_deref(),
        Some(r"Faktory 1.9.0\u{1b}[2J"),
        "what the server says is data"
    );
    assert!(posture.tls.is_some());
    services
        .jobs
        .client()
        .push("SendReceipt", &serde_json::json!([42]))
        .await
        .expect("it takes the job");
    services.detach().await;
    let heard = server.heard();
    assert!(heard.iter().all(|heard| heard.plain.is_empty() || heard.tls), "nothing before TLS");
    canary::assert_silent("what the server heard", &String::from_utf8_lossy(&heard[0].secret));
}

#[tokio::test]
async fn refuses_servers_that_violate_the_protocol() {
    let ca = Authority::new("faktory");
    for (leaf, says, rule) in [
        (pki::self_signed(), vec![GREETING], "unverified_tls"),
        (ca.expired(), vec![GREETING], "certificate_expiry"),
        (ca.server(), vec!["+HI {\"v\":2}\r\n"], "weak_authentication"),
        (
            ca.server(),
            vec!["+HI {\"v\":2,\"s\":\"a\",\"i\":4000000000}\r\n"],
            "weak_authentication",
        ),
        (ca.server(), vec!["+HI {\"v\":2,\"s\":\"a\",\"i\":1}\r\n"], "weak_authentication"),
        (ca.server(), vec!["+HI {\"v\":2,\"s\":\"\",\"i\":4000}\r\n"], "weak_authentication"),
    ] {
        let server = server(&leaf, &says);
        let error = attach(server.port, &ca.pem()).await.expect_err(rule);
        assert_eq!(
            error.findings().map(|finding| finding.rule().name).collect::<Vec<_>>(),
            [rule],
            "{error}"
        );
        canary::assert_error_silent(&error);
    }
    for says in [
        vec!["SSH-2.0-OpenSSH\r\n"],
        vec![GREETING, "-ERR Invalid password\r\n"],
        vec![GREETING, "+OK\r\n", "$99999999999\r\n"],
    ] {
        let server = server(&ca.server(), &says);
        let error = attach(server.port, &ca.pem()).await.expect_err("it is refused");
        assert_eq!(error.failures().count(), 1, "{error}");
        canary::assert_error_silent(&error);
    }
}
