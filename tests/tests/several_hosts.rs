//! A locator with several hosts: each is dialled by itself, and verified under its own name.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

use std::sync::Arc;
use std::time::Duration;

use backing_services::resource::ClientGuard;
use backing_services::rules::Scheme;
use backing_services::service::{Attachment, Attempt, Login, Refusal, Target};
use backing_services::{Environment, Posture, Service, store};
use backing_services_dev::authority::{Authority, key, server_parameters};
use backing_services_tests::hostile::Hostile;

/// A service that exists for its target alone.
struct Flock;

impl Service for Flock {
    type Client = ();
    type Guard = ClientGuard<Self>;

    const NAME: &'static str = "Flock";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("flock").with_port(7072)];
    const LOGIN: Login = Login::None;
    const SEVERAL_HOSTS: bool = true;

    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<()>, Refusal> {
        Ok(Attachment::new((), Posture::of::<Self>(target)))
    }

    async fn health((): &()) -> Result<(), Refusal> {
        Ok(())
    }

    async fn close((): &()) {}
}

/// A server whose certificate is valid for this name alone, and its authority in PEM.
fn server_of(name: &str) -> (Hostile, String) {
    let authority = Authority::new("the tests' authority").unwrap();
    let leaf = authority.issue(server_parameters(&[name]).unwrap(), &key().unwrap()).unwrap();
    let server = Hostile::start(move |peer| {
        let leaf = leaf.clone();
        async move { Ok(Some(peer.encrypt(&leaf).await?)) }
    });
    (server, authority.pem())
}

async fn target(locator: &str, authority: &str) -> Target {
    let source = Environment::from_iter([("FLOCK_URL", locator), ("FLOCK_CA", authority)]);
    let limit = Duration::from_secs(10);
    let loaded = store::load::<Flock>("flock", Arc::new(source), "FLOCK", limit).await;
    loaded.unwrap_or_else(|error| panic!("{error}")).target().clone()
}

/// True if the server's certificate is accepted. Otherwise the finding says `why`.
async fn is_accepted(target: &Target, why: &str) -> bool {
    match target.dial().await {
        Ok(dialled) => {
            assert!(dialled.tls.is_some());
            true
        }
        Err(Refusal::Finding(finding)) => {
            assert!(finding.is_denied() && finding.message().contains(why), "{finding}");
            false
        }
        Err(refusal) => panic!("{refusal:?}"),
    }
}

#[tokio::test]
async fn each_host_is_verified_under_its_own_name() {
    for (valid_for, hosts) in [
        ("localhost", ["localhost", "127.0.0.1"]),
        ("localhost", ["127.0.0.1", "localhost"]),
        ("127.0.0.1", ["localhost", "127.0.0.1"]),
    ] {
        let (server, authority) = server_of(valid_for);
        let list = hosts.map(|host| format!("{host}:{}", server.port)).join(",");
        let target = target(&format!("flock://{list}"), &authority).await;
        let each: Vec<_> = target.each_host().collect();
        // Again, since a session of the first round could be resumed.
        for _ in 0..2 {
            for (host, target) in hosts.iter().zip(&each) {
                let accepted = is_accepted(target, "is not valid for the host").await;
                assert_eq!(accepted, *host == valid_for, "{host}, valid for {valid_for}");
            }
        }
    }
}

#[tokio::test]
async fn each_host_is_dialled_at_its_own_port() {
    let (one, authority) = server_of("localhost");
    let (other, _) = server_of("localhost");
    let list = format!("flock://localhost:{},localhost:{}", one.port, other.port);
    let target = target(&list, &authority).await;
    let each: Vec<_> = target.each_host().collect();
    // Both servers have the name. One has its certificate from another authority.
    assert!(is_accepted(&each[0], "").await);
    assert_eq!((one.heard().len(), other.heard().len()), (1, 0));
    assert!(!is_accepted(&each[1], "cannot be verified").await);
    assert_eq!((one.heard().len(), other.heard().len()), (1, 1));
}

#[tokio::test]
async fn the_whole_target_is_not_dialled() {
    let (server, authority) = server_of("localhost");
    let list = format!("flock://localhost:{0},127.0.0.1:{0}", server.port);
    let target = target(&list, &authority).await;
    let Err(Refusal::Failure(failure)) = target.dial().await else { panic!("it was dialled") };
    assert!(failure.message().contains("several hosts"), "{failure}");
    assert!(server.heard().is_empty());
}
