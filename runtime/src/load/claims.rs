//! Which field reads which variable: no two fields read the same one.
//!
//! The derive checks this within a struct. This code checks nested structs, and names that only the
//! types determine.

use std::collections::BTreeMap;

use backing_services_rules::variable::{self, RESOURCE_ENDINGS};

use crate::declare::manifest::{Category, Leaf, Manifest};
use crate::source::environment::hash_of_base;
use crate::source::split;

/// The variables that fields have claimed so far. The claiming field is only searched for if there
/// is a conflict to report.
pub(super) struct Claims<'a> {
    manifest: &'static Manifest,
    wanted: Option<&'a [String]>,
    /// By the hash of the base name: a resource's eleven variables are one entry.
    taken: BTreeMap<u64, Endings>,
}

/// A set of endings: a bit for each of [`RESOURCE_ENDINGS`], and one for a name without an ending.
type Endings = u16;

const NO_ENDING: Endings = 1 << RESOURCE_ENDINGS.len();
const EVERY_ENDING: Endings = NO_ENDING - 1;

impl<'a> Claims<'a> {
    pub(super) const fn new(manifest: &'static Manifest, wanted: Option<&'a [String]>) -> Self {
        Self { manifest, wanted, taken: BTreeMap::new() }
    }

    /// Notes that a field reads a variable, and its companions if it is a resource. If one of them
    /// is taken, returns that variable and the field that reads it.
    ///
    /// `hash` is the variable's [`hash_of_base`].
    pub(super) fn claim(
        &mut self,
        variable: &str,
        hash: u64,
        is_resource: bool,
        path: &str,
    ) -> Option<(String, String)> {
        let mut taken = None;
        for (i, (base, endings)) in parts(variable, is_resource).enumerate() {
            let hash =
                if i == 0 { hash } else { hash_of_base(&[base, RESOURCE_ENDINGS[0]].concat()) };
            let earlier = self.taken.entry(hash).or_default();
            if *earlier & endings != 0 && taken.is_none() {
                taken = earlier_claim(self.manifest, self.wanted, path, base, endings);
            }
            *earlier |= endings;
        }
        taken
    }
}

/// The earlier field that has claimed one of these variables; `None` if only the hashes are equal.
fn earlier_claim(
    manifest: &'static Manifest,
    wanted: Option<&[String]>,
    path: &str,
    base: &str,
    endings: Endings,
) -> Option<(String, String)> {
    let mut found = None;
    let mut is_earlier = true;
    manifest.walk(&mut |leaf: Leaf| {
        is_earlier &= leaf.path != path;
        if !is_earlier
            || found.is_some()
            || wanted.is_some_and(|wanted| wanted.iter().all(|wanted| *wanted != leaf.path))
        {
            return;
        }
        let is_resource = matches!(leaf.field.category(), Category::Resource(_));
        for (claimed, of) in parts(&leaf.variable, is_resource) {
            if claimed == base && of & endings != 0 {
                let ending =
                    RESOURCE_ENDINGS.get((of & endings).trailing_zeros() as usize).unwrap_or(&"");
                found = Some((format!("{base}{ending}"), leaf.path.to_string()));
            }
        }
    });
    found
}

/// The variables of a field: base names, and the endings of each.
fn parts(variable: &str, is_resource: bool) -> impl Iterator<Item = (&str, Endings)> {
    // `X` and `X_FILE` are two ways to the same value.
    let (base, ending) = split_off(variable.strip_suffix("_FILE").unwrap_or(variable));
    let of_companions = variable::base(variable);
    let (own, companions) = match is_resource {
        false => (ending, None),
        true if base == of_companions && ending == 1 => (EVERY_ENDING, None),
        // Its locator's variable has no known ending: `REDIS`, with `REDIS_PASSWORD` beside it.
        true => (ending, Some((of_companions, EVERY_ENDING & !1))),
    };
    std::iter::once((base, own)).chain(companions)
}

fn split_off(name: &str) -> (&str, Endings) {
    let ending = split(name).and_then(|(base, ending)| {
        Some((base, RESOURCE_ENDINGS.iter().position(|one| *one == ending)?))
    });
    ending.map_or((name, NO_ENDING), |(base, at)| (base, 1 << at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::manifest::{Declaration, Field};
    use crate::declare::setting::Setting;

    #[test]
    fn every_variable_of_a_field_is_a_part() {
        let parts = |variable, is_resource| parts(variable, is_resource).collect::<Vec<_>>();
        assert_eq!(parts("SHOP_ORDERS_URL", true), [("SHOP_ORDERS", EVERY_ENDING)]);
        assert_eq!(parts("REDIS", true), [("REDIS", NO_ENDING), ("REDIS", EVERY_ENDING & !1)]);
        assert_eq!(parts("CACHE_HOST", true), [("CACHE", 2), ("CACHE_HOST", EVERY_ENDING & !1)]);
        assert_eq!(parts("SHOP_ORDERS_USER_FILE", false), [("SHOP_ORDERS", 1 << 4)]);
        assert_eq!(parts("SHOP_PORT_LIMIT", false), [("SHOP_PORT_LIMIT", NO_ENDING)]);
        assert_eq!(parts("_URL", false), [("_URL", NO_ENDING)]);
    }

    #[test]
    fn no_variable_is_read_twice() {
        const fn number(name: &'static str, key: &'static str) -> Field {
            Field::new(Declaration::new(name, key), <u16 as Setting>::CATEGORY)
        }
        static INNER: Manifest =
            Manifest::new("Inner", const { &[number("user", "USER"), number("port", "PORT")] });
        static OUTER: Manifest = Manifest::new(
            "Outer",
            const {
                &[
                    number("mail_user", "MAIL_USER"),
                    Field::new(Declaration::new("mail", "MAIL"), Category::Nested(&INNER)),
                    number("mail_port_file", "MAIL_PORT_FILE"),
                ]
            },
        );
        let mut claims = Claims::new(&OUTER, None);
        let mut said = Vec::new();
        OUTER.walk(&mut |leaf| {
            said.push(claims.claim(&leaf.variable, hash_of_base(&leaf.variable), false, &leaf.path))
        });
        let taken = |variable: &str, by: &str| Some((variable.to_owned(), by.to_owned()));
        assert_eq!(
            said,
            [None, taken("MAIL_USER", "mail_user"), None, taken("MAIL_PORT", "mail.port")]
        );
        // A field that is not wanted claims nothing.
        let wanted = ["mail.user".to_owned()];
        let mut claims = Claims::new(&OUTER, Some(&wanted));
        assert_eq!(claims.claim("MAIL_USER", hash_of_base("MAIL_USER"), false, "mail.user"), None);
    }
}
