//! The cases, by the part of the promise that they are about.

mod account;
mod identity;
mod life;
mod network;

use crate::conformance::case::Case;
use crate::conformance::stage::Stage;
use crate::conformance::subject::Subject;

/// Runs a case.
pub(crate) async fn run<S: Subject>(case: Case, stage: &Stage<S>) {
    match case {
        Case::Attach => identity::attach(stage).await,
        Case::WrongAuthority => identity::wrong_authority(stage).await,
        Case::Expired => identity::expired(stage).await,
        Case::NotYetValid => identity::not_yet_valid(stage).await,
        Case::WrongName => identity::wrong_name(stage).await,
        Case::SelfSigned => identity::self_signed(stage).await,
        Case::NotForServers => identity::not_for_servers(stage).await,
        Case::WeakKey => identity::weak_key(stage).await,
        Case::Tls11Only => identity::tls_1_1_only(stage).await,
        Case::PlaintextOnly => identity::plaintext_only(stage).await,
        Case::AboutToExpire => identity::about_to_expire(stage).await,
        Case::Pin => identity::pin(stage).await,
        Case::EveryConnection => network::every_connection(stage).await,
        Case::Silent => network::silent(stage).await,
        Case::Drip => network::drip(stage).await,
        Case::Flood => network::flood(stage).await,
        Case::NothingListens => network::nothing_listens(stage).await,
        Case::DroppedAttempt => network::dropped_attempt(stage).await,
        Case::Health => network::health(stage).await,
        Case::WrongPassword => account::wrong_password(stage).await,
        Case::Administrator => account::administrator(stage).await,
        Case::ClientCertificate => account::client_certificate(stage).await,
        Case::ClientCertificateNotAskedFor => account::not_asked_for(stage).await,
        Case::FilesAndParts => account::files_and_parts(stage).await,
        Case::Canary => account::canary(stage).await,
        Case::ReattachGood => life::reattach_good(stage).await,
        Case::ReattachBad => life::reattach_bad(stage).await,
        Case::ReattachSilent => life::reattach_silent(stage).await,
        Case::DetachInFlight => life::detach_in_flight(stage).await,
        Case::DetachOpening => life::detach_opening(stage).await,
    }
}
