//! The trait that the derive implements.

use std::any::TypeId;
use std::sync::Arc;

use crate::declare::manifest::Manifest;
use crate::live::detach::Detached;
use crate::live::field::Attached;
use crate::live::reattach::{Which, reattach};
use crate::live::resource::{AnyResource, Sealed};
use crate::load;
use crate::report::error::AttachError;
use crate::source::Source;

/// A struct of resources, secrets and settings that is loaded, checked and attached as a whole.
/// Derive it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not derive `BackingServices`",
    label = "no `#[derive(BackingServices)]`",
    note = "write `#[derive(backing_services::BackingServices)]` above the struct"
)]
pub trait BackingServices: Attached {
    /// The fields of the struct and their declarations, known at compile time.
    const MANIFEST: &'static Manifest;

    /// Loads every value from the source and checks it by all the rules that need no connection. It
    /// opens no connection.
    ///
    /// # Errors
    /// [`AttachError`], with every finding of every field, in declaration order.
    fn check(source: &dyn Source) -> Result<(), AttachError> {
        load::check(Self::MANIFEST, source)
    }

    /// Attaches everything from the environment of the process, and from [no other
    /// source](crate::source).
    ///
    /// # Errors
    /// As [`BackingServices::attach_from`].
    fn attach() -> impl Future<Output = Result<Self, AttachError>> + Send {
        crate::live::attach::attach(Arc::new(crate::source::Environment::process()))
    }

    /// Attaches everything. It loads and checks all values. If none is refused, it connects to all
    /// resources at once, under one deadline, and checks the connections against the rules. Either
    /// every resource is attached, or none is.
    ///
    /// The source is cloned, because a thread of its own reads it: a source that blocks delays the
    /// caller no longer than the deadline. An [`Arc`](std::sync::Arc) of a source can be cloned.
    ///
    /// Dropping the future closes the open connections.
    ///
    /// # Errors
    /// [`AttachError`], with all problems of all fields, in declaration order.
    fn attach_from(
        source: &(impl Source + Clone + 'static),
    ) -> impl Future<Output = Result<Self, AttachError>> + Send {
        crate::live::attach::attach(Arc::new(source.clone()))
    }

    /// Every resource in declaration order, including those of nested structs.
    fn resources(&self) -> Vec<&dyn AnyResource> {
        let mut resources = Vec::new();
        self.list(&mut resources);
        resources
    }

    /// Attaches every resource again with the current values of the source, while the process runs.
    /// It loads and checks all values, connects to all resources and probes them. Then all of the
    /// new clients replace the former ones at once, or none does. Each former client is closed when
    /// its last [guard](crate::resource::ClientGuard) is dropped, or when its [time
    /// limit](crate::manual::defaults) has passed. This returns as soon as
    /// [`Resource::client`](crate::Resource::client) returns the new clients.
    ///
    /// Secrets and settings are plain fields, and keep their values. An optional resource that was
    /// absent stays absent, and one whose locator is gone stays attached. If one of them has
    /// changed, the log has the finding `stale_value`.
    ///
    /// A struct within the attached struct may be reattached alone: then only its resources are.
    ///
    /// Concurrent reattaches of one struct run one after the other. The work runs in a task of the
    /// runtime that attached, so it goes on if the future is not polled. Dropping the future ends
    /// it and changes nothing, unless the new clients are being published at that moment: then all
    /// of them are.
    ///
    /// # Errors
    /// [`AttachError`], with all problems of all fields, in declaration order. Then every client
    /// stays as it was.
    fn reattach(
        &self,
        source: &(impl Source + Clone + 'static),
    ) -> impl Future<Output = Result<(), AttachError>> + Send {
        let resources: Vec<_> = self.resources().into_iter().map(Sealed::handle).collect();
        let source = Arc::new(source.clone());
        async move {
            reattach((TypeId::of::<Self>(), Self::MANIFEST), &resources, source, Which::All, None)
                .await
                .done()
                .map(drop)
        }
    }

    /// Like [`BackingServices::reattach`], but only for the resources whose values have changed
    /// since they were attached. Returns their fields.
    ///
    /// # Errors
    /// As [`BackingServices::reattach`].
    fn reattach_changed(
        &self,
        source: &(impl Source + Clone + 'static),
    ) -> impl Future<Output = Result<Vec<String>, AttachError>> + Send {
        let resources: Vec<_> = self.resources().into_iter().map(Sealed::handle).collect();
        let source = Arc::new(source.clone());
        async move {
            reattach(
                (TypeId::of::<Self>(), Self::MANIFEST),
                &resources,
                source,
                Which::Changed,
                None,
            )
            .await
            .done()
        }
    }

    /// Follows a source. Each signal that the source, or a file with one of its values, has changed
    /// triggers a reload, and changed resources are reattached as by
    /// [`BackingServices::reattach_changed`]. The first reload happens at once.
    ///
    /// Bursts of changes are collected. If the new values are refused, everything stays as it was,
    /// and the refusal is reported once. An unavailable service is tried again, with growing
    /// pauses. A service that rejects the credentials is not tried again until something changes. A
    /// SIGHUP triggers an attempt in any case; from now on, it does not end the process any more. A
    /// panic in the source, or in a service while its values are checked, counts as a refusal. The
    /// figures are in [the manual](crate::manual::defaults).
    ///
    /// Following ends when the returned value is dropped, or when the resources are detached.
    #[cfg(feature = "follow")]
    fn follow(&self, source: impl Source + 'static) -> crate::live::follow::Following {
        let resources = self.resources().into_iter().map(Sealed::handle).collect();
        crate::live::follow::follow((TypeId::of::<Self>(), Self::MANIFEST), resources, source)
    }

    /// Sets how often the posture of each resource is taken again: every hour by default; `None`
    /// for never. The findings are in the posture, and each new one is logged once.
    fn posture_interval(&self, interval: Option<std::time::Duration>) {
        self.resources().into_iter().for_each(|resource| resource.posture_interval(interval));
    }

    /// Lets all users finish and closes everything, all resources at once, within [10
    /// s](crate::manual::defaults) in total. [Guards](crate::resource::ClientGuard) and calls in
    /// flight have all of it but the last second. Whatever has not finished by then is closed
    /// forcibly; the returned report lists it, and a warning is logged.
    ///
    /// From then on, new calls fail, those by clones of a resource too. It does not wait for a
    /// guard that is taken during the detach. A second call waits for the first.
    fn detach(&self) -> impl Future<Output = Detached> + Send + use<Self> {
        crate::live::detach::detach(self.resources().into_iter().map(Sealed::handle).collect())
    }
}
