//! What a platform calls a service, and the base name of the variables that this stands for.

/// The names that a program has given. What has none is called after the platform's own name.
#[derive(Clone, Debug)]
pub(super) struct BaseNames(Vec<(String, String)>);

impl BaseNames {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Gives a service of the platform's another base name than its own. It may have several.
    pub(super) fn add(&mut self, name: String, base: String) {
        self.0.push((name, base));
    }

    /// Whether a service of the platform's has the values of a base name.
    pub(super) fn is_of(&self, name: &str, base: &str) -> bool {
        let mut given = self.0.iter().filter(|(named, _)| named == name).peekable();
        if given.peek().is_some() {
            given.any(|(_, given)| given == base)
        } else {
            own(name).eq(base.chars())
        }
    }
}

/// The base name that a name stands for: `shop-orders` is `SHOP_ORDERS`.
fn own(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
}
