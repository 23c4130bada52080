//! Several hosts in one locator, and the one that takes the session: `target_session_attrs`, as
//! libpq has it (PostgreSQL documentation, 34.1.1.3 and 34.1.2).

use std::time::Duration;

use backing_services_runtime::Failure;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{Refusal, Target};

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

/// The limits of the steps of one host end before that of the host does: their errors are more
/// precise.
const GRACE: Duration = Duration::from_millis(100);

/// Logs in to the first host, in their order, that is reached and is the wanted one. Each host has
/// the time of `connect_timeout`, for all that it is asked. A host that does not accept the
/// credentials ends the search, as in libpq: the others have the same accounts, and would lock
/// them. A host that violates a rule is passed over, and the session holds its finding.
///
/// # Errors
/// [`Refusal`]: the finding of the last host that violates a rule, or else that of the last host.
pub(crate) async fn log_in(
    target: &Target,
    demand: impl Fn(&Target) -> Demand,
    parameters: &Parameters,
    extras: &Parameters,
) -> Result<Session, Refusal> {
    let wanted = Wanted::of(target);
    let has_several = target.locator().hosts().count() > 1;
    let (mut skipped, mut failed, mut fallback) = (Vec::new(), None, None);
    for host in target.each_host() {
        let asking = async {
            let mut session = login::log_in(&host, demand(&host), parameters, extras).await?;
            let is_met = wanted.is_met(&mut session).await?;
            Ok::<_, Refusal>((session, is_met))
        };
        let asked = with_timeout(host.connect_timeout() + GRACE, asking).await;
        let asked = asked.unwrap_or_else(|_| Err(silent().into()));
        match asked {
            Ok((mut session, true)) => {
                session.skipped = skipped;
                return Ok(session);
            }
            Ok((session, false)) if wanted == Wanted::PreferStandby => {
                fallback.get_or_insert(session);
            }
            Ok((_, false)) => {}
            Err(refusal) => {
                let ends = ends_the_search(&refusal);
                let refusal = if has_several { refusal.at_host(host.locator()) } else { refusal };
                if ends && fallback.is_none() {
                    return Err(refusal);
                }
                if ends {
                    break;
                }
                match refusal {
                    Refusal::Finding(finding) => skipped.push(finding),
                    Refusal::Failure(failure) => failed = Some(failure),
                }
            }
        }
    }
    if let Some(mut session) = fallback {
        session.skipped = skipped;
        return Ok(session);
    }
    Err(match (skipped.pop(), failed) {
        (Some(finding), _) => finding.into(),
        (None, failed) => failed.unwrap_or_else(unwanted).into(),
    })
}

fn ends_the_search(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Failure(failure) if failure.kind() == FailureKind::AuthenticationFailed
    )
}

fn silent() -> Failure {
    Failure::new(
        FailureKind::TimedOut,
        "the host did not give a session in time",
        "check its load, and the network between here and there",
    )
}

fn unwanted() -> Failure {
    Failure::new(
        FailureKind::Unavailable,
        "no host of the locator is the server that `target_session_attrs` wants",
        "check which of them is the primary (`SELECT pg_is_in_recovery()`), and whether \
         `default_transaction_read_only` is on",
    )
    .into_passing()
}
