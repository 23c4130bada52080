//! Attaches a struct: loads, connects, and creates its resources.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::Arc;

use crate::attach::connect::{PendingResource, abandon, connect};
use crate::declare::manifest::{Manifest, Slot};
use crate::live::backing_services::BackingServices;
use crate::live::field::{Arrived, Values};
use crate::live::generation::{AttachedStruct, FieldContext};
use crate::live::reattach::ImmutableFields;
use crate::load::spec::ConnectionSpec;
use crate::load::{self, Content, Loaded, LoadedField, waiver};
use crate::net::time::Limit;
use crate::report::error::{AttachError, Problem, in_declaration_order};
use crate::source::Source;

pub(crate) async fn attach<T: BackingServices>(source: Arc<dyn Source>) -> Result<T, AttachError> {
    let limit = Limit::new(T::MANIFEST.deadline());
    let read = load::load(T::MANIFEST, source, None, limit.total).await;
    let loaded =
        read.map_err(|unread| unread.into_error(T::MANIFEST))?.loaded.judged(T::MANIFEST)?;
    let slots = attach_loaded(TypeId::of::<T>(), T::MANIFEST, loaded, limit).await?;
    Ok(T::take(&mut Values(slots.into_iter())))
}

/// Connects to every resource, all or nothing. Dropping this future ends all that it has started.
pub(crate) async fn attach_loaded(
    of: TypeId,
    manifest: &'static Manifest,
    loaded: Loaded,
    limit: Limit,
) -> Result<Vec<Slot>, AttachError> {
    let Loaded { items, mut problems, fields, waivers, today } = loaded;
    let mut parts = Vec::with_capacity(items.len());
    let mut pending = Vec::new();
    let mut immutable = HashMap::new();
    for LoadedField { ordinal, place, fingerprint, declaration, content } in items {
        parts.push(match content {
            Content::Value(slot) => {
                immutable.insert(place.field, fingerprint);
                Part::Value(slot)
            }
            Content::Absent => {
                immutable.insert(place.field, fingerprint);
                Part::Value(Box::new(None::<Arrived>))
            }
            Content::Resource { entry, target } => {
                let spec = ConnectionSpec { target, place, fingerprint };
                pending.push(PendingResource::new(ordinal, entry, declaration, spec));
                Part::Resource
            }
        });
    }
    connect(&mut pending, limit, today, &mut problems, None).await;

    let problems = in_declaration_order(problems);
    if problems.iter().any(Problem::is_denied) {
        abandon(pending.into_iter().filter_map(|resource| resource.connected)).await;
        return Err(AttachError::new(manifest.struct_name(), fields, problems));
    }
    load::report_warnings(&problems);
    waiver::report(&waivers);
    tracing::info!(services = manifest.struct_name(), fields, "attached");

    let owner = Arc::new(AttachedStruct::new(
        of,
        manifest,
        tokio::runtime::Handle::current(),
        ImmutableFields::new(immutable),
    ));
    let mut pending = pending.into_iter();
    let slot = |part| match part {
        Part::Value(slot) => Some(slot),
        Part::Resource => pending.next().map(|resource| arrived(resource, &owner)),
    };
    Ok(parts.into_iter().filter_map(slot).collect())
}

/// The value of a resource's field. Nothing was refused, so every resource is connected.
fn arrived(resource: PendingResource, group: &Arc<AttachedStruct>) -> Slot {
    let PendingResource { entry, declaration, spec, connected, .. } = resource;
    let (field, service) = (spec.place.field.clone(), entry.service);
    let context = Arc::new(FieldContext::new(field, service, declaration, Arc::clone(group)));
    Box::new(connected.map(|connected| Arrived { connected, spec, context }))
}

/// A field's value before the struct is built.
pub(crate) enum Part {
    Value(Slot),
    /// The next resource that was connected to.
    Resource,
}
