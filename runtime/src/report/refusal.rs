//! The reason why a service could not be attached: a finding or a failure.

use std::fmt;

use crate::report::finding::{Failure, Finding};

/// The reason why a service could not be attached or does not answer: a violated rule, or a failure
/// that no rule covers.
#[derive(Clone)]
#[allow(clippy::exhaustive_enums, reason = "a refusal is a finding or a failure, and nothing else")]
pub enum Refusal {
    /// A rule is violated.
    Finding(Finding),
    /// The service is unreachable, rejected the login, or broke its protocol.
    Failure(Failure),
}

impl Refusal {
    /// The same refusal, with the host in its message, for a locator with several.
    #[must_use]
    pub fn at_host(self, host: &dyn fmt::Display) -> Self {
        match self {
            Self::Finding(finding) => finding.at_host(host).into(),
            Self::Failure(failure) => failure.at_host(host).into(),
        }
    }
}

impl From<Finding> for Refusal {
    fn from(finding: Finding) -> Self {
        Self::Finding(finding)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finding(finding) => fmt::Display::fmt(finding, f),
            Self::Failure(failure) => fmt::Display::fmt(failure, f),
        }
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finding(finding) => fmt::Debug::fmt(finding, f),
            Self::Failure(failure) => fmt::Debug::fmt(failure, f),
        }
    }
}

impl std::error::Error for Refusal {}
