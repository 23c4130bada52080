//! The handle and its life: generations, reattach, renewal, re-check of the posture, follow,
//! detach.

pub(crate) mod attach;
pub(crate) mod backing_services;
pub(crate) mod detach;
pub(crate) mod field;
#[cfg(feature = "follow")]
pub(crate) mod follow;
pub(crate) mod generation;
pub(crate) mod reattach;
pub(crate) mod recheck;
pub(crate) mod renew;
pub(crate) mod resource;
