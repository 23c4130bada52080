//! Several hosts in one locator, and the one that takes the session: `target_session_attrs`, as
//! libpq has it (PostgreSQL documentation, 34.1.1.3 and 34.1.2).

use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::{Refusal, Target};
use backing_services_runtime::{Failure, Finding};

use super::Parameters;
use super::login::{self, Demand, Session};

/// The server that a session wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

impl Wanted {
    fn of(target: &Target) -> Self {
        match target.locator().parameter("target_session_attrs") {
            Some("read-write") => Self::ReadWrite,
            Some("read-only") => Self::ReadOnly,
            Some("primary") => Self::Primary,
            Some("standby") => Self::Standby,
            Some("prefer-standby") => Self::PreferStandby,
            _ => Self::Any,
        }
    }

    /// True if the server of the session is the wanted one.
    async fn is_met(self, session: &mut Session) -> Result<bool, Refusal> {
        if self == Self::Any {
            return Ok(true);
        }
        let answer = session.ask(QUESTION).await?;
        let [Some(in_recovery), Some(read_only)] = answer.as_slice() else {
            return Err(Failure::protocol().into());
        };
        let (in_recovery, read_only) = (in_recovery == b"t", read_only == b"on");
        Ok(match self {
            Self::Any => true,
            Self::ReadWrite => !read_only,
            Self::ReadOnly => read_only,
            Self::Primary => !in_recovery,
            Self::Standby | Self::PreferStandby => in_recovery,
        })
    }
}

/// Both are settings of every supported release.
const QUESTION: &str = "SELECT pg_catalog.pg_is_in_recovery(), \
    pg_catalog.current_setting('transaction_read_only')";

/// Logs in to the first host, in their order, that is reached and is the wanted one. A host that
/// does not accept the credentials ends the search, as in libpq: the others have the same accounts,
/// and would lock them.
///
/// # Errors
/// [`Refusal`]: that of the last host.
pub(crate) async fn log_in(
    target: &Target,
    demand: impl Fn(&Target) -> Demand,
    parameters: &Parameters,
    extras: &Parameters,
) -> Result<Session, Refusal> {
    let wanted = Wanted::of(target);
    let (mut refused, mut fallback) = (None, None);
    for host in target.each_host() {
        let mut session = match login::log_in(&host, demand(&host), parameters, extras).await {
            Ok(session) => session,
            Err(refusal) if ends_the_search(&refusal) => return Err(named(refusal, &host, target)),
            Err(refusal) => {
                refused = Some(named(refusal, &host, target));
                continue;
            }
        };
        match wanted.is_met(&mut session).await {
            Ok(true) => return Ok(session),
            Ok(false) if wanted == Wanted::PreferStandby => {
                fallback.get_or_insert(session);
            }
            Ok(false) => {}
            Err(refusal) => refused = Some(named(refusal, &host, target)),
        }
    }
    fallback.ok_or_else(|| refused.unwrap_or_else(unwanted))
}

/// The refusal, with the host that it is about if there are several.
fn named(refusal: Refusal, host: &Target, target: &Target) -> Refusal {
    if target.locator().hosts().count() < 2 {
        return refusal;
    }
    let of = |message: &str| format!("{message} (at {})", host.locator());
    match refusal {
        Refusal::Failure(failure) => {
            Failure::new(failure.kind(), of(failure.message()), failure.help().to_owned()).into()
        }
        Refusal::Finding(finding) => Finding::new(finding.rule(), of(finding.message()))
            .with_help(finding.help().to_owned())
            .into(),
    }
}

fn ends_the_search(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Failure(failure) if failure.kind() == FailureKind::AuthenticationFailed
    )
}

fn unwanted() -> Refusal {
    Failure::new(
        FailureKind::Unavailable,
        "no host of the locator is the server that `target_session_attrs` wants",
        "check which of them is the primary (`SELECT pg_is_in_recovery()`), and whether \
         `default_transaction_read_only` is on",
    )
    .into()
}
