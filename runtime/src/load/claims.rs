//! Which field reads which variable: no two fields read the same one.
//!
//! The derive checks this within a struct. This code checks nested structs, and names that only the
//! types determine.

use std::collections::BTreeMap;

use backing_services_rules::variable::{self, RESOURCE_ENDINGS};

/// The variables that fields have claimed so far, without `_FILE`.
#[derive(Default)]
pub(super) struct Claims {
    /// The paths of the fields, in declaration order.
    fields: Vec<String>,
    /// By base name: each ending, and the index of the first field that claims that variable.
    taken: BTreeMap<String, Vec<(&'static str, usize)>>,
}

impl Claims {
    /// Notes that a field reads a variable, and its companions if it is a resource. If other fields
    /// read some of them already, returns one: the variable, and the first field that reads it.
    pub(super) fn claim(
        &mut self,
        variable: &str,
        is_resource: bool,
        path: &str,
    ) -> Option<(String, String)> {
        let mut first: Option<(String, usize)> = None;
        for (base, endings) in variables(variable, is_resource) {
            let taken = self
                .taken
                .entry(base.to_owned())
                .or_insert_with(|| Vec::with_capacity(RESOURCE_ENDINGS.len()));
            for ending in endings {
                match taken.iter().find(|(earlier, _)| earlier == ending) {
                    None => taken.push((*ending, self.fields.len())),
                    Some((_, by)) if first.as_ref().is_none_or(|(_, earlier)| by < earlier) => {
                        first = Some(([base, ending].concat(), *by));
                    }
                    Some(_) => {}
                }
            }
        }
        self.fields.push(path.to_owned());
        first.map(|(name, by)| (name, self.fields[by].clone()))
    }
}

/// The variables of a field: its own, and the companions of a resource. Each is a base name and an
/// ending, which is empty for a name without one.
fn variables(
    variable: &str,
    is_resource: bool,
) -> impl Iterator<Item = (&str, &'static [&'static str])> {
    // `X` and `X_FILE` are two ways to the same value.
    let own = variable.strip_suffix("_FILE").unwrap_or(variable);
    let is_its = |ending: &&&str| own.len() > ending.len() && own.ends_with(**ending);
    let ending = RESOURCE_ENDINGS.iter().find(is_its).unwrap_or(&"");
    let companions = (variable::base(variable), &RESOURCE_ENDINGS[1..]);
    std::iter::once((&own[..own.len() - ending.len()], std::slice::from_ref(ending)))
        .chain(is_resource.then_some(companions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::manifest::{Category, Declaration, Field, Manifest};
    use crate::declare::setting::Setting;

    #[test]
    fn a_field_claims_its_variable_and_the_companions_of_a_resource() {
        let names = |variable, is_resource| {
            let variables = variables(variable, is_resource);
            let names = variables.flat_map(|(base, endings)| {
                endings.iter().map(move |ending| [base, "|", ending].concat())
            });
            names.collect::<Vec<_>>()
        };
        let orders = names("SHOP_ORDERS_URL", true);
        assert_eq!(orders[..2], ["SHOP_ORDERS|_URL", "SHOP_ORDERS|_HOST"]);
        assert_eq!(orders.len(), RESOURCE_ENDINGS.len());
        assert_eq!(names("REDIS", true)[..2], ["REDIS|", "REDIS|_HOST"]);
        assert_eq!(names("CACHE_HOST", true)[..2], ["CACHE|_HOST", "CACHE_HOST|_HOST"]);
        assert_eq!(names("SHOP_ORDERS_USER_FILE", false), ["SHOP_ORDERS|_USER"]);
        assert_eq!(names("SHOP_PORT_LIMIT", false), ["SHOP_PORT_LIMIT|"]);
        assert_eq!(names("_URL", false), ["_URL|"]);
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
        let mut claims = Claims::default();
        let mut said = Vec::new();
        OUTER.walk(&mut |leaf| said.push(claims.claim(&leaf.variable, false, &leaf.path)));
        let taken = |variable: &str, by: &str| Some((variable.to_owned(), by.to_owned()));
        assert_eq!(
            said,
            [None, taken("MAIL_USER", "mail_user"), None, taken("MAIL_PORT", "mail.port")]
        );
        // A resource that reads variables of two earlier fields: the report names the first.
        assert_eq!(claims.claim("MAIL_URL", true, "relay"), taken("MAIL_USER", "mail_user"));
        assert_eq!(claims.claim("MAIL_CA_FILE", false, "ca"), taken("MAIL_CA", "relay"));
        assert_eq!(claims.claim("X_HOST", false, "host"), None);
        assert_eq!(claims.claim("X_PORT", false, "port"), None);
        assert_eq!(claims.claim("X_URL", true, "x"), taken("X_HOST", "host"));
        // Of several variables of one field, the first.
        assert_eq!(claims.claim("Y_URL", true, "y"), None);
        assert_eq!(claims.claim("Y_URL", true, "same"), taken("Y_URL", "y"));
    }
}
