//! For the author of a store: a source that is a service itself. It is attached by all rules before
//! it is read.
//!
//! A store's crate loads its target with [`load`], keeps a [`Snapshot`] of the values, and
//! publishes each new one.

mod load;
mod snapshot;

pub use load::{StoreTarget, load};
pub use snapshot::{MOST_VALUES, Owned, Published, Snapshot, too_many};

#[cfg(feature = "json")]
pub use crate::source::json::Wiped;
