//! The classification of settings by name. The table is `names.txt`.

use std::collections::BTreeSet;

use backing_services_rules::name::suggests_secret;

const TABLE: &str = include_str!("names.txt");

/// The names of a section.
fn section(title: &str) -> Vec<&'static str> {
    let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let section = lines.skip_while(move |line| *line != title).skip(1);
    section.take_while(|line| !line.starts_with('[')).collect()
}

#[test]
fn only_names_that_suggest_a_secret_are_suspected() {
    let (secret, public) = (section("[secret]"), section("[public]"));
    let missed: Vec<_> = secret.iter().filter(|name| !suggests_secret(name)).collect();
    let suspected: Vec<_> = public.iter().filter(|name| suggests_secret(name)).collect();
    assert!(
        missed.is_empty() && suspected.is_empty(),
        "missed: {missed:?}\nsuspected: {suspected:?}"
    );
}

#[test]
fn the_table_has_300_names_in_each_direction_each_once() {
    let (secret, public) = (section("[secret]"), section("[public]"));
    assert!(secret.len() >= 300 && public.len() >= 300, "{} and {}", secret.len(), public.len());
    let all: BTreeSet<_> = secret.iter().chain(&public).collect();
    assert_eq!(all.len(), secret.len() + public.len(), "a name is listed twice");
    assert!(all.iter().all(|name| **name == name.trim()), "a name has blanks around it");
}
