//! A waiver: an exception to a rule, with its reason.

use backing_services_rules::{Rule, date::Date};

/// `allow(rule, reason = "…", until = "YYYY-MM-DD", debug_only)`: an exception, with its reason.
#[derive(Debug)]
pub struct Waiver {
    rule: &'static Rule,
    reason: &'static str,
    until: Option<Date>,
    debug_only: bool,
}

impl Waiver {
    /// The derive has checked that the rule exists, that it can be waived, and that the date is
    /// valid.
    #[doc(hidden)]
    #[track_caller]
    #[must_use]
    pub const fn new(rule: &str, reason: &'static str, until: Option<&str>) -> Self {
        let Some(rule) = backing_services_rules::rule::look_up(rule) else {
            panic!("no such rule [unknown_attribute]")
        };
        let until = match until {
            None => None,
            Some(text) => match Date::parse(text) {
                Some(date) => Some(date),
                None => panic!("a date is written YYYY-MM-DD [malformed_value]"),
            },
        };
        Self { rule, reason, until, debug_only: false }
    }

    /// The same waiver, for builds with `debug_assertions` alone.
    #[doc(hidden)]
    #[must_use]
    pub const fn debug_only(mut self) -> Self {
        self.debug_only = true;
        self
    }

    /// The waived rule.
    #[must_use]
    pub const fn rule(&self) -> &'static Rule {
        self.rule
    }

    /// The reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// True if the waiver holds in this build, and has not ended before this day.
    pub(crate) fn is_in_force(&self, today: Date) -> bool {
        self.holds(today, cfg!(debug_assertions))
    }

    pub(crate) fn holds(&self, today: Date, is_debug_build: bool) -> bool {
        (is_debug_build || !self.debug_only) && self.until.is_none_or(|until| today <= until)
    }

    /// True if it holds in builds with `debug_assertions` alone. This crate's own setting counts: a
    /// profile can differ by package.
    #[must_use]
    pub const fn is_debug_only(&self) -> bool {
        self.debug_only
    }

    /// The last day on which the waiver holds; `None` if it has no end.
    #[must_use]
    pub const fn until(&self) -> Option<Date> {
        self.until
    }
}

/// The day by which a waiver ends, in UTC.
pub(crate) fn today() -> Date {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Date::from_unix_days(i64::try_from(since.as_secs() / 86_400).unwrap_or(i64::MAX))
}
