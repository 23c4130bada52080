//! Fetches a resource's credentials before it is connected to.

use std::sync::Arc;
use std::time::SystemTime;

use backing_services_rules::rule::{AMBIGUOUS_LOCATOR, MALFORMED_VALUE, STALE_VALUE};
use secrecy::ExposeSecret as _;

use crate::load;
use crate::net::progress::{self, Step};
use crate::report::finding::{Failure, FailureKind, Finding};
use crate::report::redact::Guarded;
use crate::report::refusal::Refusal;
use crate::report::text::printable;
use crate::service::credentials::{FETCH_DEADLINE, Fetched, Lease, is_about_login};
use crate::service::erased::{Connected, ServiceEntry};
use crate::service::target::{Attempt, Target};
use crate::source::MAX_VALUE;

/// Fetches the credentials if a provider is configured, and connects. Also returns the target that
/// was connected to, with those credentials.
pub(crate) async fn fetch_and_connect(
    service: &'static ServiceEntry,
    target: Arc<Target>,
    attempt: Attempt,
) -> Result<(Arc<Target>, Connected), Refusal> {
    progress::at(Step::Fetching);
    let target = fetch(&target, attempt).await?.map_or(target, Arc::new);
    let findings = check_fetched(service, &target)?;
    let connected = (service.connect)(Arc::clone(&target), attempt).await?;
    Ok((target, connected.with_findings(findings)))
}

/// Returns the target with newly fetched credentials; `None` if it has its own.
pub(crate) async fn fetch(target: &Target, attempt: Attempt) -> Result<Option<Target>, Refusal> {
    let Some(of) = &target.fetched else { return Ok(None) };
    let fetching = of.credentials.0.fetch();
    // Fetching has to leave time to connect, and to report that fetching took too long.
    let limit = FETCH_DEADLINE.min(attempt.time_left() / 2);
    let credential = tokio::time::timeout(limit, fetching)
        .await
        .map_err(|_| late())?
        .map_err(|failure| fetch_failure(&failure))?;
    let fetched = SystemTime::now();
    if credential.not_after.is_some_and(|not_after| not_after <= fetched) {
        return Err(Failure::new(
            FailureKind::Unavailable,
            "its credentials were fetched, and have expired already",
            "check the service that gives them, and the clocks of both machines",
        )
        .into());
    }
    let user = fetched_user(of, credential.user)?;
    if credential.password.expose_secret().len() > MAX_VALUE {
        let message = "the password that was fetched is longer than 1 MiB";
        return Err(Finding::new(&MALFORMED_VALUE, message)
            .with_help("give the password or the token, and nothing else")
            .into());
    }
    let lease = credential.not_after.map(|not_after| Lease { fetched, not_after });
    let password = Some(credential.password)
        .filter(|password| !password.expose_secret().is_empty())
        .map(Guarded::new);
    let mut target = Target { user, password, ..target.clone() };
    if let Some(of) = &mut target.fetched {
        of.lease = lease;
    }
    Ok(Some(target))
}

/// The user to log in as, from the source or from the provider.
fn fetched_user(of: &Fetched, user: Option<String>) -> Result<Option<String>, Finding> {
    match (&of.user, user) {
        (Some(named), Some(user)) if *named != user => {
            let message = "its credentials were fetched, and are another user's than its own";
            Err(Finding::new(&AMBIGUOUS_LOCATOR, message).with_help(format!(
                "name the user nowhere else: not in the locator, and not in `{}_USER`",
                of.base
            )))
        }
        (_, Some(user)) if !load::is_user_name(&user) => {
            let message = "the user that was fetched with its credentials is longer than \
                           256 bytes, or holds a control character";
            Err(Finding::new(&MALFORMED_VALUE, message)
                .with_help("give the account's name, and nothing else"))
        }
        (named, user) => Ok(user.or_else(|| named.clone())),
    }
}

/// Checks fetched credentials like loaded ones. Returns the findings that do not end the attempt;
/// none if the target has credentials of its own.
pub(crate) fn check_fetched(
    service: &ServiceEntry,
    target: &Target,
) -> Result<Vec<Finding>, Refusal> {
    let Some(of) = &target.fetched else { return Ok(Vec::new()) };
    let has_certificate = target.client_certificate().is_some();
    let mut findings = load::check_login(
        of.login,
        target.user(),
        target.password(),
        has_certificate,
        &format!("{}_PASSWORD", of.base),
        &of.base,
    );
    findings.extend(
        (service.check)(target).into_iter().filter(|finding| is_about_login(finding.rule())),
    );
    let fetch_failure = |finding: Finding| {
        let message = format!("of the credentials that were fetched: {}", finding.message());
        let fetch_failure =
            Finding::new(finding.rule(), message).with_help(finding.help().to_owned());
        if finding.warns() { fetch_failure.into_warning() } else { fetch_failure }
    };
    let findings: Vec<_> = findings.into_iter().map(fetch_failure).collect();
    match findings.iter().find(|finding| finding.is_denied() && !target.waives(finding.rule())) {
        Some(refused) => Err(refused.clone().into()),
        None => Ok(findings),
    }
}

/// Returns true if both log in as the same user with the same password.
pub(crate) fn is_same_login(one: &Target, other: &Target) -> bool {
    fn password(target: &Target) -> Option<&str> {
        target.password().map(|password| password.expose_secret())
    }
    one.user() == other.user() && password(one) == password(other)
}

fn late() -> Failure {
    let help = "check the service that gives them, and the network";
    Failure::new(FailureKind::TimedOut, "its credentials were not fetched in time", help)
}

/// The finding that the target's credentials have expired.
pub(crate) fn expired(target: &Target) -> Option<Finding> {
    let lease = target.fetched.as_ref()?.lease?;
    (lease.not_after <= SystemTime::now()).then(|| {
        Finding::new(&STALE_VALUE, "its credentials have expired, and no others can be had")
            .with_help("check what gives them: it is asked again every minute")
    })
}

/// The provider of the credentials may repeat a server's text, so it is made printable.
fn fetch_failure(failure: &Failure) -> Failure {
    let message = format!("its credentials could not be fetched: {}", printable(failure.message()));
    Failure::new(failure.kind(), message, printable(failure.help()))
}
