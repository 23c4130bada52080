//! A loaded resource: what it is connected to, and where its values are.

use std::sync::Arc;

use crate::load::Fingerprint;
use crate::report::finding::Place;
use crate::service::target::Target;

/// What a generation was made of.
#[derive(Clone)]
pub(crate) struct Facts {
    pub(crate) target: Arc<Target>,
    /// Where the values are that the target was made of.
    pub(crate) place: Place,
    /// Of those values.
    pub(crate) fingerprint: Fingerprint,
}
