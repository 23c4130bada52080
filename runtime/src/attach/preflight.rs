//! The preflight: attaches as the program does, reports each field instead of returning a struct,
//! and closes every connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::attach::connect::{PendingResource, abandon, connect};
use crate::attach::watch::{Ended, Watch};
use crate::declare::manifest::{Category, Field, Manifest};
use crate::load::spec::ConnectionSpec;
use crate::load::{self, Content, Loaded, LoadedField};
use crate::net::time::Limit;
use crate::report::error::Problem;
use crate::report::posture::Posture;
use crate::source::Source;

/// A check of a struct's fields without the struct: for an init container or a CI gate.
///
/// It needs the manifest alone, so it works for any struct that derives
/// [`BackingServices`](crate::BackingServices).
pub struct Preflight {
    manifest: &'static Manifest,
    source: Arc<dyn Source>,
    only: Option<String>,
    deadline: Duration,
    connects: bool,
}

impl fmt::Debug for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preflight")
            .field("manifest", &self.manifest.struct_name())
            .field("source", &self.source.name())
            .field("only", &self.only)
            .field("deadline", &self.deadline)
            .field("connects", &self.connects)
            .finish()
    }
}

impl Preflight {
    /// Checks all fields of a struct, with the struct's own deadline, and connects.
    pub fn new(manifest: &'static Manifest, source: Arc<dyn Source>) -> Self {
        Self { manifest, source, only: None, deadline: manifest.deadline(), connects: true }
    }

    /// Checks one field only. `path` is the field's path, such as `mail.relay`.
    #[must_use]
    pub fn with_only(mut self, path: Option<String>) -> Self {
        self.only = path;
        self
    }

    /// Sets the time limit for loading and connecting.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Loads and checks the values, and opens no connection.
    #[must_use]
    pub const fn without_connecting(mut self) -> Self {
        self.connects = false;
        self
    }

    /// Loads, checks, and connects. All resources are connected at once, under one deadline, and
    /// are closed at the end in any case. Returns the selected fields in declaration order.
    ///
    /// `watch` returns the observer of the progress. It is called before connecting, with the
    /// fields as they are then: those to connect are untried.
    pub async fn run(
        self,
        watch: impl FnOnce(&[FieldReport]) -> Option<Arc<dyn Watch>>,
    ) -> Vec<FieldReport> {
        let mut fields = self.fields();
        let wanted = fields.iter().map(|field| field.path.clone()).collect();
        let limit = Limit::new(self.deadline);
        let read =
            load::load(self.manifest, Arc::clone(&self.source), Some(wanted), self.deadline).await;
        let loaded = read.map_or_else(load::Unread::into_loaded, |read| read.loaded);
        let is_refused = loaded.is_denied();
        let Loaded { items, problems, today, .. } = loaded;
        let mut pending = self.pending(items, &mut fields);
        add(&mut fields, problems);
        if !is_refused && !pending.is_empty() {
            let mut problems = Vec::new();
            connect(&mut pending, limit, today, &mut problems, watch(&fields)).await;
            for resource in &pending {
                if let Some(field) = at(&mut fields, resource.ordinal) {
                    field.record(&resource.ended(&[]));
                }
            }
            add(&mut fields, problems);
            abandon(pending.into_iter().filter_map(|resource| resource.connected)).await;
        }
        fields
    }

    /// Every selected field, with nothing known about it yet.
    fn fields(&self) -> Vec<FieldReport> {
        let mut fields = Vec::new();
        self.manifest.walk(&mut |leaf| {
            if self.only.as_ref().is_none_or(|only| *only == leaf.path) {
                fields.push(FieldReport {
                    variable: leaf.variable,
                    path: leaf.path.into_owned(),
                    field: leaf.field,
                    state: FieldState::Untried,
                    origin: None,
                    endpoint: None,
                    posture: None,
                    problems: Vec::new(),
                    took: None,
                });
            }
        });
        fields
    }

    /// Records the loaded values, and returns the resources to connect to.
    fn pending(&self, items: Vec<LoadedField>, fields: &mut [FieldReport]) -> Vec<PendingResource> {
        let mut pending = Vec::new();
        for LoadedField { ordinal, place, fingerprint, declaration, content } in items {
            let Some(field) = at(fields, ordinal) else { continue };
            field.origin = place.origin.as_deref().map(str::to_owned);
            if let Content::Resource { target, .. } = &content {
                field.endpoint = Some(target.locator().to_string());
            }
            field.state = match content {
                Content::Resource { entry, target } if self.connects => {
                    pending.push(PendingResource::new(
                        ordinal,
                        entry,
                        declaration,
                        ConnectionSpec { target, place, fingerprint },
                    ));
                    FieldState::Untried
                }
                Content::Resource { .. } => FieldState::Passed,
                Content::Absent => FieldState::Absent,
                Content::Value(_) if field.origin.is_some() => FieldState::Passed,
                Content::Value(_) if declaration.default_text().is_some() => FieldState::Default,
                Content::Value(_) => FieldState::Absent,
            };
        }
        pending
    }
}

/// The field with this ordinal. The declaration order begins with 1.
fn at(fields: &mut [FieldReport], ordinal: usize) -> Option<&mut FieldReport> {
    fields.get_mut(ordinal.wrapping_sub(1))
}

fn add(fields: &mut [FieldReport], problems: Vec<(usize, Problem)>) {
    for (ordinal, problem) in problems {
        if let Some(field) = at(fields, ordinal) {
            field.add(problem);
        }
    }
}

/// The result of a [`Preflight`] for one field.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FieldReport {
    /// Its path, such as `mail.relay`.
    pub path: String,
    /// The variable that it is read from. For a resource, that of its locator.
    pub variable: String,
    /// Its declaration.
    pub field: &'static Field,
    /// The result.
    pub state: FieldState,
    /// The source of its value, in words. `None` if there was no value, or if it was refused.
    pub origin: Option<String>,
    /// The locator, without the user, the secret, and a path that may be secret. `None` if it was
    /// refused, or if the field is not a resource.
    pub endpoint: Option<String>,
    /// The posture that attaching observed.
    pub posture: Option<Posture>,
    /// The findings and the failures.
    pub problems: Vec<Problem>,
    /// The time that connecting took. `None` if it was not tried.
    pub took: Option<Duration>,
}

impl FieldReport {
    /// The category of the field. For a resource, the name of the service.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.field.category() {
            Category::Resource(entry) => entry.service(),
            category => category.name(),
        }
    }

    /// True if the field is a resource.
    #[must_use]
    pub const fn is_resource(&self) -> bool {
        matches!(self.field.category(), Category::Resource(_))
    }

    /// Takes over the result of connecting.
    pub fn record(&mut self, ended: &Ended<'_>) {
        self.endpoint = Some(ended.endpoint.clone());
        self.posture = ended.posture.cloned();
        self.took = ended.took;
        self.state = FieldState::Passed;
        ended.problems.iter().for_each(|(_, problem)| self.add(problem.clone()));
    }

    fn add(&mut self, problem: Problem) {
        if problem.is_denied() {
            self.state = FieldState::Refused;
        }
        self.problems.push(problem);
    }
}

/// The state of a field after a [`Preflight`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "each display has to show every state")]
pub enum FieldState {
    /// The value is valid. A resource that was to be attached was attached.
    Passed,
    /// The field is optional, and has no value.
    Absent,
    /// The field has no value, and its default is used.
    Default,
    /// A rule is violated and not waived, or the service could not be attached.
    Refused,
    /// The resource was not connected, because another problem was found before.
    Untried,
}

impl FieldState {
    /// All states, in declaration order.
    pub const ALL: [Self; 5] =
        [Self::Passed, Self::Absent, Self::Default, Self::Refused, Self::Untried];

    /// The name in reports, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Absent => "absent",
            Self::Default => "default",
            Self::Refused => "refused",
            Self::Untried => "untried",
        }
    }
}
