//! A waiver: an exception to a rule, with its reason.

use backing_services_rules::{Rule, date::Date};

/// `allow(rule, reason = "…", until = "YYYY-MM-DD")`: an exception, with its reason.
#[derive(Debug)]
pub struct Waiver {
    rule: &'static Rule,
    reason: &'static str,
    until: Option<Date>,
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
        Self { rule, reason, until }
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

    /// The last day on which the waiver holds; `None` if it has no end.
    #[must_use]
    pub const fn until(&self) -> Option<Date> {
        self.until
    }
}
