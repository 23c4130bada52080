//! A loaded resource: the target to connect to, and the place of its values.

use std::sync::Arc;

use crate::load::Fingerprint;
use crate::report::finding::Place;
use crate::service::target::Target;

/// The data that a generation was made of.
#[derive(Clone)]
pub(crate) struct ConnectionSpec {
    pub(crate) target: Arc<Target>,
    /// The place of the values that the target was made of.
    pub(crate) place: Place,
    /// The fingerprint of those values.
    pub(crate) fingerprint: Fingerprint,
}
