//! Loads the one resource that a source depends on: a store of values, whose locator and
//! credentials are in another source.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use backing_services_rules::rule::MISSING_CREDENTIALS;

use crate::attach::connect::{abandon, apply_rules};
use crate::declare::manifest::{Category, Declaration};
use crate::live::field::Attached;
use crate::live::resource::Resource;
use crate::load::{ResourceLoader, ValueReader, report_warnings, today, unread};
use crate::net::tasks::caught;
use crate::net::thread::on_thread;
use crate::net::time::{Limit, panicked, with_timeout};
use crate::report::error::{AttachError, Problem};
use crate::report::finding::{Failure, FailureKind, Finding, Place};
use crate::report::refusal::Refusal;
use crate::service::Service;
use crate::service::erased::connect;
use crate::service::target::{Attempt, Target};
use crate::source::{Group, Source};

/// A store that passed the checks and may be connected to.
///
/// It has no client that the rules did not pass: [`connect`](Self::connect) checks the findings of
/// the service, as attaching does.
pub struct StoreTarget<S> {
    target: Arc<Target>,
    /// Its deadline began before loading.
    attempt: Attempt,
    report: Report,
    service: PhantomData<fn() -> S>,
}

impl<S> fmt::Debug for StoreTarget<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreTarget").field("target", &self.target).finish_non_exhaustive()
    }
}

/// The name and the place of a store in reports.
#[derive(Debug)]
struct Report {
    name: &'static str,
    place: Place,
}

impl Report {
    fn error(&self, problems: Vec<Problem>) -> AttachError {
        AttachError::new(self.name, 1, problems)
    }
}

/// Reads `BASE_URL` and its companions, and checks them against the rules, as for any resource.
///
/// # Errors
/// [`AttachError`], with the findings about the locator and its companions.
pub async fn load<S: Service>(
    field: &'static str,
    source: Arc<dyn Source>,
    base: &str,
    deadline: Duration,
) -> Result<StoreTarget<S>, AttachError> {
    let of_thread = base.to_owned();
    let attempt = Attempt::new(Limit::new(deadline).deadline);
    let loading = on_thread(deadline, move || read::<S>(field, &*source, &of_thread, attempt));
    loading.await.unwrap_or_else(|why| {
        let place =
            Place { field: field.to_owned(), variable: Some(format!("{base}_URL")), origin: None };
        Err(AttachError::new(
            S::NAME,
            1,
            vec![Problem::Failure(unread(why, deadline).in_place(&place))],
        ))
    })
}

/// A store has no field, and so neither waivers nor `needs`.
static DECLARATION: Declaration = Declaration::new("store", "STORE");

fn read<S: Service>(
    field: &'static str,
    source: &dyn Source,
    base: &str,
    attempt: Attempt,
) -> Result<StoreTarget<S>, AttachError> {
    struct Entry<S>(PhantomData<S>);
    impl<S: Service> Entry<S> {
        const CATEGORY: Category = <Resource<S> as Attached>::CATEGORY;
        const ENTRY: &'static Category = &Self::CATEGORY;
    }
    let Category::Resource(entry) = Entry::<S>::ENTRY else {
        unreachable!("a resource is a resource")
    };

    let variable = format!("{base}_URL");
    let mut findings = Vec::new();
    let mut reader = ValueReader::new(source);
    reader.keep_to_part(Group::of_resource(&variable, base), &mut findings);
    let loader = ResourceLoader {
        reader: &mut reader,
        entry,
        declaration: &DECLARATION,
        variable: &variable,
        base,
        today: today(),
        findings: &mut findings,
    };
    let target = loader.load().ok().flatten();
    if let Some(Target { fetched: Some(_), .. }) = target {
        let finding = Finding::new(
            &MISSING_CREDENTIALS,
            "credentials that are fetched are not for a store that is a source",
        );
        findings.push(
            finding
                .with_help(format!("read the store's password from a source: `{base}_PASSWORD`")),
        );
    }
    let origin = reader.origin_of_resource(&variable);
    let place = Place { field: field.to_owned(), variable: Some(variable.clone()), origin };
    let report = Report { name: S::NAME, place };
    let problems: Vec<_> = findings
        .into_iter()
        .map(|finding| {
            let finding = finding.at(field, &variable);
            let origin = finding.variable().and_then(|variable| reader.origin(variable));
            Problem::Finding(finding.out_of(origin))
        })
        .collect();
    match target {
        Some(target) if !problems.iter().any(Problem::is_denied) => {
            report_warnings(&problems);
            let target = Arc::new(target);
            Ok(StoreTarget { target, attempt, report, service: PhantomData })
        }
        _ => Err(report.error(problems)),
    }
}

impl<S: Service> StoreTarget<S> {
    /// The target, which passed the checks.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Connects, and checks the connection's findings against the rules. A client that is refused
    /// is closed again, and so is one with a relay: the client alone would lose its connections.
    ///
    /// # Errors
    /// [`AttachError`], with the refusal or the findings.
    pub async fn connect(&self) -> Result<S::Client, AttachError> {
        let place = &self.report.place;
        let connecting = connect::<S>(Arc::clone(&self.target), self.attempt);
        let mut connected = self.finish(connecting).await?;
        let findings = std::mem::take(&mut connected.findings);
        apply_rules(&mut connected.posture, findings, &DECLARATION, today(), place);
        let problems: Vec<_> =
            connected.posture.findings.iter().cloned().map(Problem::Finding).collect();
        if problems.iter().any(Problem::is_denied) {
            abandon([connected]).await;
            return Err(self.report.error(problems));
        }
        report_warnings(&problems);
        let (client, relay, _) = connected.into_parts::<S>();
        if relay.is_some() {
            S::close(&client).await;
            let failure = Failure::new(
                FailureKind::Unavailable,
                "a client whose connections go through a relay cannot serve a store",
                "use another driver for the store",
            );
            return Err(self.report.error(vec![Problem::Failure(failure.in_place(place))]));
        }
        Ok(client)
    }

    /// Waits for a further step of the beginning, up to the deadline.
    ///
    /// # Errors
    /// [`AttachError`], with the refusal, or the failure that the step panicked or was not done in
    /// time.
    pub async fn finish<T>(
        &self,
        step: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, AttachError> {
        let place = &self.report.place;
        let refusal = match caught(with_timeout(self.attempt.time_left(), step)).await {
            Some(Ok(Ok(done))) => return Ok(done),
            Some(Ok(Err(refusal))) => refusal,
            Some(Err(late)) => late.into(),
            None => panicked().into(),
        };
        Err(self.report.error(vec![match refusal {
            Refusal::Finding(finding) => Problem::Finding(finding.in_place(place)),
            Refusal::Failure(failure) => Problem::Failure(failure.in_place(place)),
        }]))
    }
}
