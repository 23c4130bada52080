//! The grants of a whole struct.

use crate::declare::manifest::{Category, Leaf, Manifest};
use crate::service::grants::Grants;

impl Manifest {
    /// The grants that create the accounts of this struct: one for each resource that has `needs`,
    /// including those of nested structs, in declaration order.
    ///
    /// Each account is named after its field, with the prefix before it: `shop_mail_orders`.
    #[must_use]
    pub fn grants(&'static self) -> Vec<Grants> {
        let mut grants = Vec::new();
        self.walk(&mut |leaf| {
            let Category::Resource(entry) = leaf.field.category() else { return };
            let account = self.account_of(&leaf.path);
            let Some(needs) = leaf.field.declaration().needed_privileges() else { return };
            grants.extend(Grants::of(needs, entry.service, leaf.path.into_owned(), account));
        });
        grants
    }
}

impl Leaf {
    /// The grants that create the field's account with this name. If the field has no `needs`, the
    /// account can log in and has no other privilege. `None` if the field is not a resource.
    #[must_use]
    pub fn grants(&self, account: &str) -> Option<Grants> {
        let Category::Resource(entry) = self.field.category() else { return None };
        let needs = self.field.declaration().needed_privileges();
        Some(Grants::of_any(needs, entry.service, &self.path, account))
    }
}
