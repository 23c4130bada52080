//! The common part of sources that are stores on the network: a snapshot of their values, which a
//! task of its own replaces.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use backing_services_rules::variable::is_valid;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::net::tasks;
use crate::report::finding::{Failure, FailureKind};
use crate::source::{ChangeSignal, Changes, MAX_VALUE, Unreadable};

/// The limit of values below a prefix: enough for a hundred resources with ten variables each.
pub const MOST_VALUES: usize = 1000;

/// The values of a store at one moment. Only keys that are named as a variable are kept.
#[derive(Clone, Default)]
pub struct Snapshot(BTreeMap<String, Result<SecretString, &'static str>>);

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Snapshot {
    /// Keeps a value, if its name is a variable's.
    ///
    /// # Errors
    /// A [`Failure`], if the store holds more than [`MOST_VALUES`].
    pub fn insert(&mut self, name: &str, value: &[u8]) -> Result<(), Failure> {
        if !is_valid(name) {
            return Ok(());
        }
        if self.0.len() == MOST_VALUES && !self.0.contains_key(name) {
            return Err(too_many());
        }
        let value = if value.len() > MAX_VALUE {
            Err("is longer than 1 MiB")
        } else {
            str::from_utf8(value).map(SecretString::from).map_err(|_| "is not UTF-8")
        };
        self.0.insert(name.to_owned(), value);
        Ok(())
    }

    /// Drops a value.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    fn is(&self, other: &Self) -> bool {
        let same = |one: &Result<SecretString, _>, two: &Result<SecretString, _>| match (one, two) {
            (Ok(one), Ok(two)) => one.expose_secret() == two.expose_secret(),
            (Err(one), Err(two)) => one == two,
            _ => false,
        };
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|(one, two)| one.0 == two.0 && same(one.1, two.1))
    }
}

/// The failure of a store that holds too much.
pub fn too_many() -> Failure {
    let message = format!(
        "the store holds more than {MOST_VALUES} values, or more than they may have together"
    );
    Failure::new(
        FailureKind::Protocol,
        message,
        "give the application a prefix or a bucket of its own",
    )
}

/// The last snapshot, and the signal for the next one.
#[derive(Clone, Debug)]
pub struct Published {
    snapshot: Arc<ArcSwap<Snapshot>>,
    signal: ChangeSignal,
}

impl Published {
    /// Publishes the first snapshot.
    pub fn new(snapshot: Snapshot) -> Self {
        Self { snapshot: Arc::new(ArcSwap::from_pointee(snapshot)), signal: ChangeSignal::new() }
    }

    /// Replaces the snapshot, and then signals the change. Does nothing if both snapshots are
    /// equal.
    pub fn replace(&self, snapshot: Snapshot) {
        if !self.snapshot.load().is(&snapshot) {
            self.snapshot.store(Arc::new(snapshot));
            self.signal.send();
        }
    }

    /// The value of a variable, as [`Source::get`](crate::Source::get) returns it.
    ///
    /// # Errors
    /// [`Unreadable`], if the value is too long or is not UTF-8.
    pub fn get(&self, variable: &str) -> Result<Option<SecretString>, Unreadable> {
        match self.snapshot.load().0.get(variable) {
            Some(Ok(value)) => {
                Ok(Some(value.clone()).filter(|value| !value.expose_secret().is_empty()))
            }
            Some(Err(why)) => Err(Unreadable::new(*why)),
            None => Ok(None),
        }
    }

    /// Reports each new snapshot.
    pub fn changes(&self) -> Changes {
        Changes::signalled(&self.signal)
    }
}

/// A task that ends with its owner.
#[derive(Debug)]
pub struct Owned(AbortHandle);

impl Owned {
    /// Spawns the task on the current runtime.
    pub fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tasks::spawn(&Handle::current(), task).abort_handle())
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(values: &[(&str, &[u8])]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (name, value) in values {
            snapshot.insert(name, value).unwrap();
        }
        snapshot
    }

    #[test]
    fn a_change_is_signalled_once_and_only_if_there_is_one() {
        let published = Published::new(snapshot(&[
            ("A", b"1"),
            ("../B", b"2"),
            ("a", b"3"),
            ("L", b"\xff"),
            ("E", b""),
        ]));
        let mut signal = published.changes().signals()[0].clone();
        let text = |variable| {
            published.get(variable).unwrap().map(|value| value.expose_secret().to_owned())
        };
        assert_eq!(
            (text("A"), text("../B"), text("a"), text("E")),
            (Some("1".to_owned()), None, None, None)
        );
        assert_eq!(published.get("L").unwrap_err().to_string(), "is not UTF-8");
        published.replace(snapshot(&[("A", b"1"), ("L", b"\xff"), ("E", b"")]));
        assert!(!signal.has_changed());
        for changed in [
            snapshot(&[("A", b"2")]),
            snapshot(&[("B", b"2")]),
            snapshot(&[("B", b"\xff")]),
            snapshot(&[]),
        ] {
            published.replace(changed);
            assert!(signal.has_changed());
            signal.mark_unchanged();
        }
        assert_eq!(text("A"), None);
    }

    #[test]
    fn the_values_of_a_store_are_bounded() {
        let mut full = Snapshot::default();
        for i in 0..MOST_VALUES {
            full.insert(&format!("V_{i}"), b"x").unwrap();
        }
        assert!(full.insert("ONE_MORE", b"x").is_err());
        full.insert("V_1", &vec![b'x'; MAX_VALUE + 1]).unwrap();
        assert_eq!(
            Published::new(full).get("V_1").unwrap_err().to_string(),
            "is longer than 1 MiB"
        );
    }
}
