//! Tests of the derive's compile errors: what it refuses, with which message, and what it must
//! accept.
//!
//! `TRYBUILD=overwrite cargo test -p backing-services-ui-tests` writes the `.stderr` files. Review
//! them: each mistake is reported once, at the narrowest token, with the text to write instead and
//! the name of its rule.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its own files has to stop")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use backing_services_rules::{Phase, RULES};

/// The themes, which are the names of directories.
const THEMES: &[&str] = &[
    "attribute", "literal", "raw_secret", "scheme", "secret", "service", "setting", "shape",
    "together", "variable", "waiver",
];

#[test]
fn compiler_says() {
    let cases = trybuild::TestCases::new();
    for theme in THEMES {
        cases.compile_fail(format!("{theme}/*.rs"));
    }
    cases.pass("pass/*.rs");
}

/// Every rule that the compiler checks has a case that violates it.
#[test]
fn every_rule_of_the_compiler_has_a_case() {
    let said: String =
        files("stderr").iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let without: Vec<_> = RULES
        .iter()
        .filter(|rule| {
            rule.phases.contains(&Phase::Compile) && !said.contains(&format!("[{}]", rule.name))
        })
        .map(|rule| rule.name)
        .collect();
    assert_eq!(
        without, [""; 0],
        "these rules are checked by the compiler, and no case breaks them"
    );
}

/// Every rule that a compile error names exists, and has the phase `Compile`.
#[test]
fn every_name_in_brackets_is_a_rule_of_the_compiler() {
    for file in files("stderr") {
        let said = fs::read_to_string(&file).unwrap();
        for name in said
            .lines()
            .filter_map(|line| line.strip_suffix(']')?.rsplit_once(" [").map(|(_, name)| name))
        {
            let rule = backing_services_rules::rule::look_up(name)
                .unwrap_or_else(|| panic!("{}: no rule `{name}`", file.display()));
            assert!(
                rule.phases.contains(&Phase::Compile),
                "{}: `{name}` is not checked by the compiler",
                file.display()
            );
        }
    }
}

/// Each case is in a theme, each refused case has its `.stderr`, and each `.stderr` has its case.
#[test]
fn no_file_is_an_orphan() {
    let stem = |file: PathBuf| file.with_extension("");
    let (passing, refused): (BTreeSet<_>, BTreeSet<_>) = files("rs")
        .into_iter()
        .filter(|file| file.parent() != Some(root()))
        .map(stem)
        .partition(|case| theme(case) == "pass");
    let said: BTreeSet<_> = files("stderr").into_iter().map(stem).collect();
    let none = Vec::<&PathBuf>::new();
    assert_eq!(
        refused.iter().filter(|case| !THEMES.contains(&theme(case))).collect::<Vec<_>>(),
        none,
        "in no theme"
    );
    assert_eq!(refused.difference(&said).collect::<Vec<_>>(), none, "without a `.stderr`");
    assert_eq!(said.difference(&refused).collect::<Vec<_>>(), none, "without a case");
    assert!(!passing.is_empty());
    assert!(refused.len() >= 60, "{} cases", refused.len());
}

/// The name of the case's directory.
fn theme(case: &Path) -> &str {
    case.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![root().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    files
}
