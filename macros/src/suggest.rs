//! Suggestions: "did you mean".

/// The entry of `known` that `typed` was probably meant to be.
pub(crate) fn nearest<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let typed = typed.to_ascii_lowercase();
    // rustc's own threshold: a third of the letters may differ, but at least one.
    let threshold = (typed.len() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(&typed, candidate), candidate))
        .filter(|(distance, _)| *distance <= threshold)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The edit distance: letters inserted, removed, replaced or swapped with their neighbour (optimal
/// string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut cost = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cost = cost.min(before[j - 2] + 1);
            }
            row.push(cost);
        }
        before = last;
        last = row;
    }
    last[b.len()]
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
