//! The trait that the derive implements.

use crate::attached::Attached;
use crate::check;
use crate::error::AttachError;
use crate::manifest::Manifest;
use crate::resource::AnyResource;
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
        check::check(Self::MANIFEST, source)
    }

    /// Attaches everything, from the environment of the process and [no other source](crate::source).
    ///
    /// # Errors
    /// As [`BackingServices::attach_from`].
    #[cfg(feature = "net")]
    fn attach() -> impl Future<Output = Result<Self, AttachError>> + Send {
        async { crate::attach::attach(&crate::source::Environment::process()).await }
    }

    /// Attaches everything: loads and checks all values; then, if none is refused, connects to all resources at once, under one
    /// deadline; and holds what was learnt against the rules. Either every resource is attached, or none is.
    ///
    /// Dropping the future closes what was open.
    ///
    /// # Errors
    /// [`AttachError`], with everything that is wrong at every field, in declaration order.
    #[cfg(feature = "net")]
    fn attach_from(source: &dyn Source) -> impl Future<Output = Result<Self, AttachError>> + Send {
        crate::attach::attach(source)
    }

    /// Every resource, those of nested structs too, in declaration order.
    fn resources(&self) -> Vec<&dyn AnyResource> {
        let mut resources = Vec::new();
        self.list(&mut resources);
        resources
    }

    /// Finishes what is in flight and closes everything, all resources at once, each within
    /// [`DETACH_DEADLINE`](crate::manual::defaults).
    #[cfg(feature = "net")]
    fn detach(self) -> impl Future<Output = ()> + Send
    where
        Self: Send + Sync,
    {
        let closing = self.resources().into_iter().map(AnyResource::close).collect();
        crate::attach::detach(closing)
    }
}
