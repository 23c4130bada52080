//! The public API of each published crate, as a listing to review, and what its package holds.
//!
//! `BLESS=1 cargo test -p backing-services-api-tests` writes the listings. Review the difference: a
//! line that is gone, or that changed, breaks the programs that use it. The listings have neither
//! blanket implementations nor auto traits nor derived ones, and no `#[doc(hidden)]` item.
//!
//! rustdoc writes its JSON below `target/doc`, from what `cargo clippy` and `cargo doc` with
//! `--workspace --all-features` have already built. That takes seconds; the first build of all
//! dependencies takes minutes.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot read what it compares has to stop, with a message"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// The toolchain of the listings. Another rustdoc writes another JSON, and names types differently.
const RUSTDOC: &str = "1.95";

/// The version of that JSON, which `public-api` reads.
const FORMAT: u64 = 57;

#[test]
fn the_public_api_of_each_crate_is_the_listed_one() {
    let version = printed(Command::new("rustdoc").arg("--version"));
    assert!(
        version.starts_with(&format!("rustdoc {RUSTDOC}.")),
        "the listings in tests/api were made with rustdoc {RUSTDOC}, and this is {}. Run `cargo \
         +{RUSTDOC} test -p backing-services-api-tests`; or set `RUSTDOC` and `FORMAT` in \
         tests/api/api.rs and `public-api` in Cargo.toml to the new version, and write the \
         listings with `BLESS=1`",
        version.trim()
    );
    let metadata = metadata();
    let documented = document(&metadata);
    let mut listed = BTreeSet::new();
    let mut changes = String::new();
    for package in published(&metadata) {
        let listing = here().join(format!("{}.txt", package.name));
        let now = api(&documented.join(format!("{}.json", package.name.replace('-', "_"))));
        listed.insert(listing.clone());
        if env::var_os("BLESS").is_some() {
            fs::write(&listing, now).unwrap();
        } else {
            let before = fs::read_to_string(&listing).unwrap_or_default();
            changes += &difference(&package.name, &before, &now);
        }
    }
    let files: BTreeSet<_> = fs::read_dir(here())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    assert_eq!(files, listed, "each published crate has a listing in tests/api, and no other");
    assert!(
        changes.is_empty(),
        "the public API has changed. Review it, and write it with `BLESS=1 cargo test -p \
         backing-services-api-tests`:\n{changes}"
    );
}

#[test]
fn each_package_has_its_licences_and_what_crates_io_shows() {
    let metadata = metadata();
    let mut missing = Vec::new();
    for package in published(&metadata) {
        let name = &package.name;
        for field in ["description", "license", "readme", "repository", "rust_version"] {
            if package.fields[field].as_str().is_none_or(str::is_empty) {
                missing.push(format!("{name}: `{field}` in its Cargo.toml"));
            }
        }
        if package.fields["documentation"] != format!("https://docs.rs/{name}") {
            missing.push(format!("{name}: `documentation = \"https://docs.rs/{name}\"`"));
        }
        let files =
            printed(cargo(&metadata).args(["package", "--list", "--allow-dirty", "-p", name]));
        for file in ["LICENSE-APACHE", "LICENSE-MIT", "README.md"] {
            if !files.lines().any(|line| line == file) {
                missing.push(format!("{name}: {file} in its package"));
            }
        }
    }
    assert_eq!(missing, [""; 0]);
}

/// A package of the workspace that is published.
struct Package<'a> {
    name: String,
    fields: &'a Value,
}

fn published(metadata: &Value) -> Vec<Package<'_>> {
    let packages: Vec<_> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|package| package["publish"].is_null())
        .map(|fields| Package { name: fields["name"].as_str().unwrap().to_owned(), fields })
        .collect();
    assert!(packages.len() > 10, "the workspace publishes more than {} crates", packages.len());
    packages
}

/// Writes the JSON of all crates and returns its folder.
///
/// It selects the whole workspace, as the other commands do: a selection of its own would have
/// other features of the dependencies, and would build them again.
fn document(metadata: &Value) -> PathBuf {
    let folder = Path::new(metadata["target_directory"].as_str().unwrap()).join("doc");
    for package in published(metadata) {
        // A file of an earlier run is not an answer.
        let file = folder.join(format!("{}.json", package.name.replace('-', "_")));
        if file.exists() {
            fs::remove_file(file).unwrap();
        }
    }
    printed(
        cargo(metadata)
            .args(["doc", "--locked", "--no-deps", "--workspace", "--all-features", "--lib"])
            .env("RUSTDOC", here().join("rustdoc"))
            .env("RUSTDOCFLAGS", "-Z unstable-options --output-format json"),
    );
    folder
}

/// One line per item, sorted.
fn api(json: &Path) -> String {
    let text = fs::read_to_string(json)
        .unwrap_or_else(|error| panic!("rustdoc did not write {}: {error}", json.display()));
    let format = serde_json::from_str::<Value>(&text).unwrap()["format_version"].as_u64();
    assert_eq!(format, Some(FORMAT), "the version of rustdoc's JSON, in {}", json.display());
    public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .unwrap()
        .to_string()
}

/// The lines that are gone and the lines that are new; empty if there is no difference.
fn difference(name: &str, before: &str, now: &str) -> String {
    if before == now {
        return String::new();
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (before, now) = (lines(before), lines(now));
    let gone = before.difference(&now).map(|line| format!("  - {line}\n"));
    let new = now.difference(&before).map(|line| format!("  + {line}\n"));
    format!("{name}:\n{}", gone.chain(new).collect::<String>())
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn metadata() -> Value {
    let printed = printed(
        Command::new(env!("CARGO"))
            .args(["metadata", "--locked", "--no-deps", "--format-version", "1"])
            .current_dir(here()),
    );
    serde_json::from_str(&printed).unwrap()
}

/// cargo in the workspace, without the variables that it sets for a test: build scripts that read
/// them would build their crates again.
fn cargo(metadata: &Value) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(metadata["workspace_root"].as_str().unwrap());
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    cargo
}

/// The output of the command.
///
/// # Panics
/// If it failed, with what it reported.
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let reported = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{reported}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
