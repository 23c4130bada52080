//! Detaching: every resource finishes and is closed, and a resource that did not finish in time is
//! reported.

use std::fmt;

use crate::live::generation::Handle;
use crate::net::tasks::Tasks;

/// The result of a detach. Normally clean; otherwise it lists the resources that were closed
/// forcibly, by field. They are logged too.
///
/// ```text
/// 3 resources were detached; `control` was cut: 2 users were not done with it
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detached {
    resources: usize,
    cut: Vec<ForcedClose>,
}

/// A resource that was closed before all of its users had finished.
///
/// Work in flight is ended, as far as the driver has a way to do that: the module of each
/// service says what goes on. One example is a connection of sqlx that a caller holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForcedClose {
    pub(crate) field: String,
    pub(crate) users: usize,
    pub(crate) previous: usize,
    pub(crate) unfinished: bool,
}

impl Detached {
    pub(crate) fn one(cut: Option<ForcedClose>) -> Self {
        Self { resources: 1, cut: cut.into_iter().collect() }
    }

    /// True if everything finished in time.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.cut.is_empty()
    }

    /// The resources that were closed forcibly.
    #[must_use]
    pub fn cut(&self) -> &[ForcedClose] {
        &self.cut
    }
}

impl ForcedClose {
    /// The field's path: `mail.relay`.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The number of [guards](crate::resource::ClientGuard) on the client that were still held.
    #[must_use]
    pub const fn users(&self) -> usize {
        self.users
    }

    /// The number of former clients, replaced by a reattach, that were still in use.
    #[must_use]
    pub const fn previous(&self) -> usize {
        self.previous
    }
}

impl fmt::Display for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.resources {
            1 => f.write_str("1 resource was detached")?,
            count => write!(f, "{count} resources were detached")?,
        }
        self.cut.iter().try_for_each(|cut| write!(f, "; {cut}"))
    }
}

impl fmt::Display for ForcedClose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` was cut: ", self.field)?;
        match (self.users, self.previous) {
            (0, 0) => f.write_str("it did not finish what was in flight in time"),
            (0, previous) => write!(f, "{previous} of its former clients were still in use"),
            (1, _) => f.write_str("1 user was not done with it"),
            (users, _) => write!(f, "{users} users were not done with it"),
        }
    }
}

/// Closes everything, all resources at once.
pub(crate) async fn detach(resources: Vec<Handle>) -> Detached {
    // They finish in any order; the report is in declaration order.
    let mut cut: Vec<_> = resources.iter().map(|_| None).collect();
    let mut closing = Tasks::new();
    for (place, resource) in resources.into_iter().enumerate() {
        closing.spawn(async move { (place, resource.close().await) });
    }
    while let Some(joined) = closing.join_next().await {
        if let Ok((place, how)) = joined
            && let Some(cut) = cut.get_mut(place)
        {
            *cut = how;
        }
    }
    Detached { resources: cut.len(), cut: cut.into_iter().flatten().collect() }
}
