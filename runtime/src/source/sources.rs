//! Several sources in an order that is stated once.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::{Changes, Group, Part, Source, Unreadable, Value};
use crate::service::credentials::AnyCredentials;

/// Several sources, in ranks.
/// **An earlier rank wins over a later one; within a rank, nothing wins.**
///
/// - [`then`](Self::then) adds a source as a rank of its own, behind the existing ones. A variable
///   of an earlier rank is not searched for in a later one, so `NAME_FILE` of an earlier rank wins
///   over `NAME` of a later one.
/// - [`beside`](Self::beside) adds a source to the last rank. A value that two sources of a rank
///   both have is an error that names both: `NAME` in each, `NAME` and `NAME_FILE`, `…_URL` and
///   `…_HOST`.
/// - **A resource comes from one rank.** Its locator and all its companions are read from the first
///   rank that has any of them, and from no other. Otherwise a left-over `SHOP_ORDERS_URL` of one
///   rank would be sent the password of another, to whichever host it names. A variable that only a
///   later rank has is a warning (`duplicate_variable`), which names both. A locator in the
///   environment with its password in a credential is one rank: `beside`.
/// - A value that exists and cannot be read is not replaced by a later rank. A source that cannot
///   be read at all is an error of every field that reaches it.
///
/// ```
/// use backing_services::source::{
///     Environment, ServiceBindings, Source, Sources, SystemdCredentials,
/// };
///
/// let sources = Sources::new()
///     .then(Environment::process())
///     .beside(SystemdCredentials::process())
///     .then(ServiceBindings::process());
/// assert_eq!(
///     sources.name(),
///     "the environment and the systemd credentials, then the service bindings"
/// );
/// ```
#[derive(Clone, Default)]
pub struct Sources {
    ranks: Vec<Rank>,
}

impl Sources {
    /// No source yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranks: Vec::new() }
    }

    /// Adds a source behind all others: it provides the values that none of them has.
    #[must_use]
    pub fn then(mut self, source: impl Source + 'static) -> Self {
        self.ranks.push(Rank { members: vec![Arc::new(source)] });
        self
    }

    /// Adds a source to the last rank: a value that both have is an error.
    #[must_use]
    pub fn beside(mut self, source: impl Source + 'static) -> Self {
        match self.ranks.last_mut() {
            Some(rank) => rank.members.push(Arc::new(source)),
            None => return self.then(source),
        }
        self
    }
}

/// Sources of which none wins over another.
#[derive(Clone)]
struct Rank {
    members: Vec<Arc<dyn Source>>,
}

fn has(source: &dyn Source, variable: &str) -> bool {
    !matches!(source.get(variable), Ok(None))
}

/// `NAME` and `NAME_FILE` are two ways to one value.
fn stem(variable: &str) -> &str {
    variable.strip_suffix("_FILE").unwrap_or(variable)
}

impl Source for Rank {
    fn name(&self) -> Cow<'_, str> {
        let names: Vec<_> = self.members.iter().map(|member| member.name()).collect();
        names.join(" and ").into()
    }

    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
        let mut found: Option<Value> = None;
        for member in &self.members {
            let Some(value) = member.get(variable)? else { continue };
            if let Some(earlier) = &found {
                return Err(Unreadable::twice(earlier.place(), value.place()));
            }
            found = Some(value);
        }
        Ok(found)
    }

    fn part(&self, group: &Group<'_>) -> Option<Part<'_>> {
        // One member may have ranks of its own. They apply if no other member has any of the
        // variables.
        let mut holders = self
            .members
            .iter()
            .filter(|member| group.variables().any(|variable| has(member.as_ref(), &variable)));
        match (holders.next(), holders.next()) {
            (Some(only), None) => only.part(group),
            _ => None,
        }
    }

    fn credentials(&self, group: &Group<'_>) -> Option<AnyCredentials> {
        self.members.iter().find_map(|member| member.credentials(group))
    }

    fn changes(&self) -> Changes {
        self.members.iter().fold(Changes::none(), |changes, member| changes.and(member.changes()))
    }
}

impl Source for Sources {
    fn name(&self) -> Cow<'_, str> {
        if self.ranks.is_empty() {
            return "no source at all".into();
        }
        let names: Vec<_> = self.ranks.iter().map(Source::name).collect();
        names.join(", then ").into()
    }

    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
        for rank in &self.ranks {
            if let Some(value) = rank.get(variable)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn part(&self, group: &Group<'_>) -> Option<Part<'_>> {
        let position = self
            .ranks
            .iter()
            .position(|rank| group.variables().any(|variable| has(rank, &variable)))?;
        let (rank, later) = (&self.ranks[position], &self.ranks[position + 1..]);
        let held: Vec<_> = group.variables().filter(|variable| has(rank, variable)).collect();
        let mut part = Part::new(rank);
        for variable in group
            .variables()
            .filter(|variable| !held.iter().any(|held| stem(held) == stem(variable)))
        {
            let place =
                later.iter().find_map(|rank| Some(rank.get(&variable).ok()??.place().to_owned()));
            if let Some(place) = place {
                part = part.with_shadowed(variable, place);
            }
        }
        Some(part)
    }

    fn changes(&self) -> Changes {
        self.ranks.iter().fold(Changes::none(), |changes, rank| changes.and(rank.changes()))
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sources({})", self.name())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::source::Environment;

    fn holding(variables: &[(&str, &str)]) -> Environment {
        variables.iter().copied().collect()
    }

    fn text(source: &dyn Source, variable: &str) -> Option<String> {
        source.get(variable).unwrap().map(|value| value.text().expose_secret().to_owned())
    }

    /// The names that a group reads from its part, and the variables that are passed over.
    fn parted(source: &dyn Source, group: Group<'_>) -> (Vec<String>, Vec<String>) {
        let (mut source, mut passed) = (source, Vec::new());
        while let Some(part) = source.part(&group) {
            let (next, passed_over) = part.into_parts();
            passed.extend(passed_over.into_iter().map(|(variable, _)| variable));
            source = next;
        }
        (group.variables().filter(|variable| has(source, variable)).collect(), passed)
    }

    #[test]
    fn an_earlier_rank_wins() {
        let sources = Sources::new()
            .then(holding(&[("A", "1")]))
            .then(Arc::new(holding(&[("A", "2"), ("B", "2")])));
        assert_eq!(
            (text(&sources, "A").as_deref(), text(&sources, "B").as_deref(), text(&sources, "C")),
            (Some("1"), Some("2"), None)
        );
        assert_eq!(sources.name(), "the environment, then the environment");
        // A first `beside` is a rank, too.
        assert_eq!(text(&Sources::new().beside(holding(&[("A", "1")])), "A").as_deref(), Some("1"));
        let twice = Sources::new().then(holding(&[("A", "1")])).beside(holding(&[("A", "1")]));
        assert_eq!(
            twice.get("A").unwrap_err().to_string(),
            "is in the environment and in the environment"
        );
    }

    #[test]
    fn the_variables_of_a_field_come_from_one_rank() {
        let resource = Group::of_resource("X_URL", "X");
        let ranks = || {
            Sources::new()
                .then(holding(&[("X_PASSWORD_FILE", "p")]))
                .then(holding(&[("X_URL", "u"), ("X_PASSWORD", "p")]))
        };
        let expected = (vec!["X_PASSWORD_FILE".to_owned()], vec!["X_URL".to_owned()]);
        assert_eq!(parted(&ranks(), resource), expected);
        // Ranks within a rank apply if no source beside them has any of the variables.
        assert_eq!(
            parted(&Sources::new().then(holding(&[("Y", "y")])).beside(ranks()), resource),
            expected
        );
        assert_eq!(parted(&Sources::new().then(ranks()).then(holding(&[])), resource), expected);
        assert_eq!(parted(&Arc::new(ranks()), resource), expected);
        let none: (Vec<String>, Vec<String>) = (vec![], vec![]);
        assert_eq!(parted(&ranks(), Group::of_value("Z")), none);
        // A value that exists and is unreadable counts as present.
        let broken = holding(&[("X_URL", "1"), ("X_URL", "2")]);
        assert_eq!(
            parted(&Sources::new().then(broken).then(ranks()), resource),
            (vec!["X_URL".to_owned()], vec!["X_PASSWORD_FILE".to_owned(), "X_PASSWORD".to_owned()])
        );
    }
}
