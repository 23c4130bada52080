//! Maps a platform's name for a service to the base name of its variables.

/// The names that a program has given. Other services use the platform's own name.
#[derive(Clone, Debug)]
pub(super) struct BaseNames(Vec<(String, String)>);

impl BaseNames {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Gives a service of the platform another base name than its own. It may have several.
    pub(super) fn add(&mut self, name: String, base: String) {
        self.0.push((name, base));
    }

    /// Returns true if a service of the platform has the values of a base name.
    pub(super) fn is_of(&self, name: &str, base: &str) -> bool {
        let mut given = self.0.iter().filter(|(named, _)| named == name).peekable();
        if given.peek().is_some() {
            given.any(|(_, given)| given == base)
        } else {
            own(name).eq(base.chars())
        }
    }
}

/// The base name for a name: `shop-orders` gives `SHOP_ORDERS`.
fn own(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
}
