//! An attempt to attach, checked from all sides.

use std::time::{Duration, Instant};

use backing_services_runtime::{AttachError, BackingServices, Environment, Finding};

use crate::conformance::{canary, journal};

/// Attaches, and searches all results for the secret: the error by every route, the debug output
/// and the posture of every resource, and everything that the process has logged meanwhile.
///
/// # Errors
/// The errors of attaching.
pub async fn attach<T: BackingServices>(variables: &[(&str, &str)]) -> Result<T, AttachError> {
    journal::open();
    let environment = Environment::from_iter(variables.iter().copied());
    canary::assert_debug_silent(&environment);
    let attached = T::attach_from(&environment).await;
    match &attached {
        Ok(services) => {
            for resource in services.resources() {
                canary::assert_debug_silent(&resource);
                let posture = resource.posture();
                canary::assert_debug_silent(&posture);
                canary::assert_silent("a posture", &posture.to_string());
                canary::assert_harmless("a posture", &posture.to_string());
            }
        }
        Err(error) => {
            canary::assert_error_silent(error);
            error.failures().for_each(|failure| canary::assert_error_silent(failure));
            error.findings().for_each(|finding| canary::assert_error_silent(finding));
        }
    }
    journal::assert_silent();
    attached
}

/// Tries to attach, and expects an error within `limit`.
///
/// # Panics
/// If it attaches, or takes longer.
pub async fn refused<T: BackingServices>(
    variables: &[(&str, &str)],
    limit: Duration,
) -> AttachError {
    let begin = Instant::now();
    let attached = attach::<T>(variables).await;
    let took = begin.elapsed();
    let Err(error) = attached else { panic!("it was attached, and should not have been") };
    assert!(took < limit, "it took {took:?}, and should have taken less than {limit:?}: {error}");
    error
}

/// The names of the problems, as the report has them: rules and kinds of failures. Warnings and
/// waived findings are left out.
#[must_use]
pub fn problems(error: &AttachError) -> Vec<&'static str> {
    let findings =
        error.findings().filter(|finding| finding.is_denied()).map(|finding| finding.rule().name);
    findings.chain(error.failures().map(|failure| failure.kind().name())).collect()
}

/// The names of the violated rules, whether attaching succeeded or not.
#[must_use]
pub fn rules<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<&'static str> {
    findings.into_iter().map(|finding| finding.rule().name).collect()
}
