//! Waivers: which findings they cover, and when they end.

use std::fmt::Write as _;

use backing_services_rules::rule::EXPIRED_WAIVER;
use backing_services_rules::{Date, Level};

use crate::report::finding::Finding;
use crate::report::waiver::Waiver;

/// The number of days before its end at which a waiver starts to warn: a month, which is enough
/// time to fix the cause.
const NOTICE_DAYS: i64 = 31;

/// Marks the findings that a waiver covers.
pub(crate) fn apply(findings: &mut [Finding], waivers: &'static [Waiver], today: Date) {
    apply_in(findings, waivers, today, cfg!(debug_assertions));
}

fn apply_in(
    findings: &mut [Finding],
    waivers: &'static [Waiver],
    today: Date,
    is_debug_build: bool,
) {
    for finding in findings {
        if !finding.is_denied() || finding.rule().level != Level::Deny {
            continue;
        }
        let of_rule = || waivers.iter().filter(|waiver| waiver.rule() == finding.rule());
        if let Some(waiver) = of_rule().find(|waiver| waiver.holds(today, is_debug_build)) {
            finding.waive(waiver.reason());
        } else if of_rule().any(|waiver| waiver.holds(today, true)) {
            finding.add("its waiver holds in builds with `debug_assertions` alone");
        }
    }
}

/// The waivers in force today.
pub(crate) fn in_force(
    waivers: &'static [Waiver],
    today: Date,
) -> impl Iterator<Item = &'static Waiver> {
    waivers.iter().filter(move |waiver| waiver.is_in_force(today))
}

/// Logs the waivers in force, all in one warning: a rule that is not enforced is a property of the
/// deploy.
pub(crate) fn report(waivers: &[(String, &'static Waiver)]) {
    if waivers.is_empty() {
        return;
    }
    let mut list = String::new();
    for (field, waiver) in waivers {
        let until = waiver.until().map(|until| format!(", until {until}")).unwrap_or_default();
        let build = if waiver.is_debug_only() { ", in debug builds only" } else { "" };
        // Writing to a `String` does not fail.
        let _ =
            write!(list, "; {field}: {} ({}{until}{build})", waiver.rule().name, waiver.reason());
    }
    tracing::warn!(waivers = waivers.len(), "rules are waived{}", list.replacen(';', ":", 1));
}

/// The reason why a rule is waived today, if it is.
pub(crate) fn reason(waivers: &'static [Waiver], rule: &str, today: Date) -> Option<&'static str> {
    in_force(waivers, today).find(|waiver| waiver.rule().name == rule).map(Waiver::reason)
}

/// Warns of waivers that have ended, and of those that end soon.
pub(crate) fn expiring(findings: &mut Vec<Finding>, waivers: &'static [Waiver], today: Date) {
    for waiver in waivers {
        let Some(until) = waiver.until() else { continue };
        let rule = waiver.rule().name;
        let left = until.to_unix_days() - today.to_unix_days();
        if left < 0 {
            findings.push(Finding::new(
                &EXPIRED_WAIVER,
                format!("the waiver of `{rule}` ended on {until}, and the rule holds again"),
            ));
        } else if left <= NOTICE_DAYS {
            findings.push(Finding::new(
                &EXPIRED_WAIVER,
                format!("the waiver of `{rule}` ends on {until}"),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backing_services_rules::rule::{MALFORMED_LOCATOR, SUPERUSER_ACCOUNT};

    static WAIVERS: &[Waiver] =
        &[Waiver::new("superuser_account", "one account", Some("2027-03-01"))];

    fn covered(today: &str) -> (bool, Vec<String>) {
        let today = Date::parse(today).unwrap();
        let mut findings = vec![
            Finding::new(&SUPERUSER_ACCOUNT, "is one"),
            Finding::new(&MALFORMED_LOCATOR, "is it"),
        ];
        apply(&mut findings, WAIVERS, today);
        assert!(findings[1].is_denied(), "nothing waives what forbids");
        let covered = !findings[0].is_denied();
        findings.clear();
        expiring(&mut findings, WAIVERS, today);
        (covered, findings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_waiver_for_debug_builds_does_not_hold_in_a_release_build() {
        static DEBUG: &[Waiver] =
            &[Waiver::new("superuser_account", "mine", Some("2027-03-01")).debug_only()];
        let (before, after) =
            (Date::parse("2027-03-01").unwrap(), Date::parse("2027-03-02").unwrap());
        assert!(DEBUG[0].holds(before, true) && WAIVERS[0].holds(before, false));
        assert!(!DEBUG[0].holds(before, false), "a release build has the rule");
        assert!(!DEBUG[0].holds(after, true), "it ends like any other");
        assert_eq!(DEBUG[0].is_in_force(before), cfg!(debug_assertions));

        let refused = |is_debug_build| {
            let mut findings = [Finding::new(&SUPERUSER_ACCOUNT, "is one")];
            apply_in(&mut findings, DEBUG, before, is_debug_build);
            findings[0].is_denied().then(|| findings[0].to_string())
        };
        assert_eq!(refused(true), None);
        assert_eq!(
            refused(false).as_deref(),
            Some(
                "is one; its waiver holds in builds with `debug_assertions` alone \
                 [superuser_account]"
            )
        );
    }

    #[test]
    fn a_waiver_is_about_what_its_own_rule_denies() {
        let last = Date::parse("2027-03-01").unwrap();
        assert_eq!(reason(WAIVERS, "superuser_account", last), Some("one account"));
        assert_eq!(reason(WAIVERS, "plaintext_scheme", last), None);
        let after = Date::parse("2027-03-02").unwrap();
        assert_eq!(reason(WAIVERS, "superuser_account", after), None);
        let mut warning = [Finding::new(&SUPERUSER_ACCOUNT, "is one").into_warning()];
        apply(&mut warning, WAIVERS, last);
        assert_eq!(warning[0].waived_because(), None);
    }

    #[test]
    fn a_waiver_ends_after_its_last_day() {
        assert_eq!(covered("2026-11-23"), (true, vec![]));
        assert_eq!(
            covered("2027-02-01"),
            (
                true,
                vec![
                    "the waiver of `superuser_account` ends on 2027-03-01 [expired_waiver]"
                        .to_owned()
                ]
            )
        );
        // A month before, and not a day sooner.
        let days_before = |days| {
            Date::from_unix_days(Date::parse("2027-03-01").unwrap().to_unix_days() - days)
                .to_string()
        };
        assert_eq!(covered(&days_before(32)), (true, vec![]));
        assert_eq!(covered(&days_before(31)).1.len(), 1);
        assert_eq!(covered("2027-03-01").1, covered("2027-02-01").1, "it ends, and has not ended");
        assert!(covered("2027-03-01").0);
        assert_eq!(
            covered("2027-03-02"),
            (
                false,
                vec![
                    "the waiver of `superuser_account` ended on 2027-03-01, \
                     and the rule holds again [expired_waiver]"
                        .to_owned()
                ]
            )
        );
    }
}
