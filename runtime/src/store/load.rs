//! Loads the one resource that a source depends on: a store of values, whose locator and
//! credentials are in another source.

use std::sync::Arc;
use std::time::Duration;

use backing_services_rules::rule::MISSING_CREDENTIALS;

use crate::declare::manifest::{Category, Declaration};
use crate::live::field::Attached;
use crate::live::resource::Resource;
use crate::load::{ResourceLoader, ValueReader, report_warnings, today, unread};
use crate::net::thread::on_thread;
use crate::net::time::Limit;
use crate::report::error::{AttachError, Problem};
use crate::report::finding::{Finding, Place};
use crate::report::refusal::Refusal;
use crate::service::Service;
use crate::service::target::{Attempt, Target};
use crate::source::{Group, Source};

/// A store that passed the checks and may be connected to, and the place for reports about it.
#[derive(Debug)]
#[non_exhaustive]
pub struct StoreTarget {
    /// The target, which passed the checks.
    pub target: Target,
    /// The attempt to connect. Its deadline began before loading.
    pub attempt: Attempt,
    report: Report,
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
pub async fn load<S: Service>(
    field: &'static str,
    source: Arc<dyn Source>,
    base: &str,
    deadline: Duration,
) -> Result<StoreTarget, AttachError> {
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

fn read<S: Service>(
    field: &'static str,
    source: &dyn Source,
    base: &str,
    attempt: Attempt,
) -> Result<StoreTarget, AttachError> {
    static DECLARATION: Declaration = Declaration::new("store", "STORE");
    struct Entry<S>(std::marker::PhantomData<S>);
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
            Ok(StoreTarget { target, attempt, report })
        }
        _ => Err(report.error(problems)),
    }
}

impl StoreTarget {
    /// Checks the findings of connecting against the rules.
    pub fn record<T>(&self, result: Result<(T, Vec<Finding>), Refusal>) -> Result<T, AttachError> {
        let place = &self.report.place;
        let finding = |finding: Finding| Problem::Finding(finding.in_place(place));
        match result {
            Ok((value, findings)) => {
                let problems: Vec<_> = findings.into_iter().map(finding).collect();
                if problems.iter().any(Problem::is_denied) {
                    return Err(self.report.error(problems));
                }
                report_warnings(&problems);
                Ok(value)
            }
            Err(Refusal::Finding(refused)) => Err(self.report.error(vec![finding(refused)])),
            Err(Refusal::Failure(failure)) => {
                Err(self.report.error(vec![Problem::Failure(failure.in_place(place))]))
            }
        }
    }
}
