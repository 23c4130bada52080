//! A server together with the issuer of its certificate.

use std::ops::{Deref, DerefMut};

use crate::pki::Authority;

/// A server of the crate for development, which it derefs to.
#[derive(Debug)]
pub struct Certified<T> {
    pub(crate) server: T,
    /// The issuer of its certificate, if that is a valid authority.
    pub authority: Authority,
}

impl<T> Deref for Certified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.server
    }
}

impl<T> DerefMut for Certified<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.server
    }
}
