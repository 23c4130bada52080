//! A store of values is connected to by the rules of any resource.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use backing_services::resource::ClientGuard;
use backing_services::rules::Scheme;
use backing_services::rules::rule::{EXCESS_PRIVILEGES, SUPERUSER_ACCOUNT};
use backing_services::service::{Attachment, Attempt, Refusal, Target};
use backing_services::store::{self, StoreTarget};
use backing_services::{AttachError, Environment, Finding, Posture, Service};

const SOON: Duration = Duration::from_secs(10);

/// A service whose locator's user says what it reports.
struct Fake;

static CLOSED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

impl Service for Fake {
    type Client = String;
    type Guard = ClientGuard<Self>;

    const NAME: &'static str = "Fake";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("fakes").with_port(1)];

    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<String>, Refusal> {
        let user = target.user().unwrap().to_owned();
        let finding = match user.as_str() {
            "administrator" => Some(Finding::new(&SUPERUSER_ACCOUNT, "it may do everything")),
            "warned" => Some(Finding::new(&EXCESS_PRIVILEGES, "it may do more").into_warning()),
            "hangs" => std::future::pending().await,
            "panics" => panic!("a driver's"),
            _ => None,
        };
        Ok(Attachment::new(user, Posture::of::<Self>(target)).with_findings(finding))
    }

    async fn health(_: &String) -> Result<(), Refusal> {
        Ok(())
    }

    async fn close(user: &String) {
        CLOSED.lock().unwrap().insert(user.clone());
    }
}

async fn loaded(user: &str, limit: Duration) -> StoreTarget<Fake> {
    let locator = format!("fakes://{user}:hX2-vR9_wQ1z-kk8m@fake.example");
    let source = Environment::from_iter([("FAKE_URL", locator.as_str())]);
    store::load("fake", Arc::new(source), "FAKE", limit).await.unwrap()
}

fn rules(error: &AttachError) -> Vec<&'static str> {
    error.findings().map(|finding| finding.rule().name).collect()
}

#[tokio::test]
async fn a_store_whose_account_is_refused_gives_no_client_and_is_closed() {
    let error = loaded("administrator", SOON).await.connect().await.unwrap_err();
    assert_eq!(rules(&error), [SUPERUSER_ACCOUNT.name]);
    assert!(error.to_string().contains("FAKE_URL"), "{error}");
    assert!(CLOSED.lock().unwrap().contains("administrator"));
}

#[tokio::test]
async fn a_warning_does_not_keep_the_client_away() {
    assert_eq!(loaded("warned", SOON).await.connect().await.unwrap(), "warned");
    assert!(!CLOSED.lock().unwrap().contains("warned"));
}

#[tokio::test]
async fn a_store_that_hangs_or_panics_is_an_error_within_the_deadline() {
    for user in ["hangs", "panics"] {
        let store = loaded(user, Duration::from_millis(300)).await;
        let error = tokio::time::timeout(SOON, store.connect()).await.unwrap().unwrap_err();
        assert_eq!(error.failures().count(), 1, "{user}: {error}");
    }
}

#[tokio::test]
async fn a_further_step_has_the_same_deadline() {
    let store = loaded("slow", Duration::from_millis(300)).await;
    store.connect().await.unwrap();
    let step = store.finish(std::future::pending::<Result<(), Refusal>>());
    let error = tokio::time::timeout(SOON, step).await.unwrap().unwrap_err();
    assert_eq!(error.failures().count(), 1, "{error}");
}
