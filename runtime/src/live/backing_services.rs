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

/// A struct of resources, secrets and settings that is loaded, checked and attached as a whole. Derive it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not derive `BackingServices`",
    label = "no `#[derive(BackingServices)]`",
    note = "write `#[derive(backing_services::BackingServices)]` above the struct"
)]
pub trait BackingServices: Attached {
    /// What the struct attaches to, known at compile time.
    const MANIFEST: &'static Manifest;

    /// Loads every value from the source and checks it, by all the rules that need no connection. It opens none.
    ///
    /// # Errors
    /// [`AttachError`], with every finding of every field, in declaration order.
    fn check(source: &dyn Source) -> Result<(), AttachError> {
        load::check(Self::MANIFEST, source)
    }

    /// Attaches everything, from the environment of the process and [no other source](crate::source).
    ///
    /// # Errors
    /// As [`BackingServices::attach_from`].
    fn attach() -> impl Future<Output = Result<Self, AttachError>> + Send {
        crate::live::attach::attach(Arc::new(crate::source::Environment::process()))
    }

    /// Attaches everything: loads and checks all values; then, if none is refused, connects to all resources at once, under one
    /// deadline; and holds what was learnt against the rules. Either every resource is attached, or none is.
    ///
    /// The source is cloned, as it is asked in a thread of its own: what blocks there holds up nobody
    /// for longer than the deadline. An [`Arc`](std::sync::Arc) of a source is one that can be cloned.
    ///
    /// Dropping the future closes what was open.
    ///
    /// # Errors
    /// [`AttachError`], with everything that is wrong at every field, in declaration order.
    fn attach_from(
        source: &(impl Source + Clone + 'static),
    ) -> impl Future<Output = Result<Self, AttachError>> + Send {
        crate::live::attach::attach(Arc::new(source.clone()))
    }

    /// Every resource, those of nested structs too, in declaration order.
    fn resources(&self) -> Vec<&dyn AnyResource> {
        let mut resources = Vec::new();
        self.list(&mut resources);
        resources
    }

    /// Attaches every resource anew, with what the source has now, while the process runs: loads and checks all values, connects to all resources and probes
    /// them; then all of the new clients take their places at once, or none does. Each former client is closed when its last
    /// [guard](crate::ClientGuard) is gone, or when its time [is up](crate::manual::defaults). This returns as soon as the new ones are given out.
    ///
    /// Secrets and settings are plain fields, and stay what they are; so does an optional resource that there was none of, or that there is none of now. Where
    /// one of them has changed, that is the finding `stale_value`, which is in the log.
    ///
    /// A struct within the one that was attached may be reattached alone: then its resources are.
    ///
    /// Who reattaches at the same time does it by turns. The work is done in a task of the runtime
    /// that attached, so it goes on if the future is not polled. Dropping the future ends it and
    /// leaves everything as it was, unless the new clients take their places in that moment: then
    /// all of them do.
    ///
    /// # Errors
    /// [`AttachError`], with everything that is wrong at every field, in declaration order. Then every client stays what it was.
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

    /// As [`BackingServices::reattach`], but of those resources only whose values are no longer the ones that they were attached with. Gives their fields.
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

    /// Follows a source: whatever tells of a change of it, or of a file that a value came from, is a reason to look, and what has changed is reattached, as
    /// [`BackingServices::reattach_changed`] does it. It looks at once, too.
    ///
    /// Bursts of changes are collected. What is refused leaves everything as it was, and is said once; a service that is away is tried again, with
    /// pauses that grow, and one that does not let us in is not, until something changes. A SIGHUP is a reason to try in any case: from now on, it does not
    /// end the process any more. A panic in the source, or in a service while its values are
    /// checked, is refused likewise. The figures are in [the manual](crate::manual::defaults).
    ///
    /// Following ends when what this returns is dropped, or when the resources are detached.
    #[cfg(feature = "follow")]
    fn follow(&self, source: impl Source + 'static) -> crate::live::follow::Following {
        let resources = self.resources().into_iter().map(Sealed::handle).collect();
        crate::live::follow::follow((TypeId::of::<Self>(), Self::MANIFEST), resources, source)
    }

    /// How often the posture of each resource is taken again from now on: every hour, unless this says otherwise; `None` for never. What is found then is
    /// in the posture, and what is new of it is in the log, once.
    fn posture_interval(&self, interval: Option<std::time::Duration>) {
        self.resources().into_iter().for_each(|resource| resource.posture_interval(interval));
    }

    /// Lets everybody finish and closes everything, all resources at once, within [10
    /// s](crate::manual::defaults) in all. [Guards](crate::ClientGuard) and calls in flight have
    /// all of it but the last second. What was not done by then is cut; the report says what, and
    /// so does a warning in the log.
    ///
    /// New calls, by clones of a resource too, fail from then on. A guard that is taken while it
    /// detaches is not waited for. A second call waits for the first, and closes nothing.
    fn detach(&self) -> impl Future<Output = Detached> + Send + use<Self> {
        crate::live::detach::detach(self.resources().into_iter().map(Sealed::handle).collect())
    }
}
