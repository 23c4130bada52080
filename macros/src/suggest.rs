//! Suggestions: "did you mean".

use backing_services_rules::spelling::distance;

/// The entry of `known` that `typed` was probably meant to be.
pub(crate) fn nearest<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // rustc's own threshold: a third of the letters may differ, but at least one.
    let threshold = (typed.len() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(typed.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|(distance, _)| *distance <= threshold)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_intended_name() {
        let known = ["env", "scheme", "default", "needs", "hosts", "allow"];
        for (typed, meant) in [
            ("shceme", Some("scheme")),
            ("Scheme", Some("scheme")),
            ("deafult", Some("default")),
            ("host", Some("hosts")),
            ("need", Some("needs")),
            ("evn", Some("env")),
            ("x", None),
            ("", None),
            ("password", None),
            ("größe", None),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
        let rules = backing_services_rules::RULES.iter().map(|rule| rule.name);
        assert_eq!(nearest("superuser_acount", rules), Some("superuser_account"));
    }
}
