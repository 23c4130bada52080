//! The plan for a struct: its values, and its servers.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use backing_services_rules::Scheme;
use backing_services_runtime::Manifest;
use backing_services_runtime::manifest::{Category, Leaf, ResourceEntry};

use super::advice::Advice;
use super::resource::{self, Wanted};
use super::{Builder, random};
use crate::DevError;
use crate::kept::Kept;

/// The longest beginning of an account's name that is kept. A number follows it. MySQL has the
/// shortest names: 32 characters (its manual, 8.2.1).
const LONGEST_NAME: usize = 24;

/// The values that need no server, and the servers that are needed.
pub(super) struct Plan {
    pub(super) variables: BTreeMap<String, String>,
    pub(super) wanted: Vec<(Leaf, Wanted)>,
}

/// Finds a value or a server for each field, or reports all fields that have neither.
pub(super) fn plan(mut builder: Builder, kept: Option<&Kept>) -> Result<Plan, DevError> {
    let mut leaves = Vec::new();
    builder.manifest.walk(&mut |leaf| leaves.push(leaf));
    let mut problems = unknown(&builder, &leaves);
    let mut wanted = Vec::new();
    for leaf in leaves {
        let left_out = builder.left_out.remove(&*leaf.path);
        if left_out && leaf.is_required() {
            problems.push(format!("`without` names `{}`, which is not optional", leaf.path));
        }
        if left_out || is_given(&builder, &leaf) {
            continue;
        }
        match leaf.field.category() {
            Category::Resource(entry) => match server(&mut builder, kept, &leaf, entry) {
                Ok(server) => wanted.push((leaf, server)),
                // The command line lists it as absent.
                Err(_) if builder.advice == Advice::CommandLine && entry.is_optional() => {}
                Err(problem) => problems.push(problem),
            },
            Category::Secret(_) if leaf.is_required() => {
                // Kept data may be encrypted or signed with it.
                let secret = match kept {
                    Some(kept) => kept.secret(&leaf.variable, random)?,
                    None => random()?,
                };
                builder.variables.insert(leaf.variable, secret);
            }
            Category::Setting(_) if leaf.is_required() => problems.push(format!(
                "`{}` has no default: give it a value: {}",
                leaf.path,
                builder.advice.give(&leaf.variable)
            )),
            _ => {}
        }
    }
    let no_server = |field| {
        format!("`with_script` names `{field}`, which is not a resource that gets a server")
    };
    problems.extend(builder.scripts.keys().map(no_server));
    let no_field = |field| format!("`without` names `{field}`, which is not a field");
    problems.extend(builder.left_out.iter().map(no_field));
    let has_database = |(_, wanted): &(_, Wanted)| resource::has_database(wanted.grants.service());
    if builder.migration.is_some() && !wanted.iter().any(has_database) {
        problems.push("no resource has a database here that migrations could change".to_owned());
    }
    if !problems.is_empty() {
        return Err(DevError::new(problems.join("\n")));
    }
    Ok(Plan { variables: builder.variables, wanted })
}

/// The given variables that no field reads.
fn unknown(builder: &Builder, leaves: &[Leaf]) -> Vec<String> {
    let known: HashSet<_> =
        leaves.iter().flat_map(Leaf::variables).map(|variable| variable.name).collect();
    let is_known = |name: &str| known.contains(name.strip_suffix("_FILE").unwrap_or(name));
    let names = builder.variables.keys().filter(|name| !is_known(name));
    names.map(|name| format!("no field reads `{name}`, which `with_variable` gives")).collect()
}

/// True if a variable of the field is given.
fn is_given(builder: &Builder, leaf: &Leaf) -> bool {
    leaf.variables().iter().any(|variable| {
        builder.variables.contains_key(&variable.name)
            || builder.variables.contains_key(&format!("{}_FILE", variable.name))
    })
}

/// The server that a resource needs, or the reason why there is none.
fn server(
    builder: &mut Builder,
    kept: Option<&Kept>,
    leaf: &Leaf,
    entry: &ResourceEntry,
) -> Result<Wanted, String> {
    let (path, variable, service) = (&leaf.path, &leaf.variable, entry.service());
    let script = builder.scripts.remove(&**path);
    let declaration = leaf.field.declaration();
    let advice = builder.advice;
    let mut give = format!("give its locator: {}", advice.give(variable));
    if entry.is_optional() {
        give.push_str(&format!("; or leave it out: {}", advice.leave_out(path)));
    }
    let hosts = declaration.listed_hosts();
    if !hosts.is_empty() && !hosts.contains(&"localhost") {
        let hosts = hosts.join(", ");
        return Err(format!("`{path}` leads to {hosts} alone, and a server here is none: {give}"));
    }
    if !resource::is_known(service) {
        return Err(format!("there is no server for {service}, the service of `{path}`: {give}"));
    }
    if script.is_some() && !resource::has_scripts(service) {
        return Err(format!("`with_script` names `{path}`, and {service} runs no SQL of it here"));
    }
    let accepted = |scheme: &&Scheme| declaration.only_scheme().is_none_or(|only| scheme.is(only));
    let scheme = entry.schemes().iter().find(accepted).map_or("", |scheme| scheme.name());
    let grants = leaf
        .grants(&account(builder.manifest, path, kept.is_some()))
        .ok_or_else(|| format!("`{path}` is not a resource"))?;
    let (field, programs) = (path.to_string(), builder.programs.clone());
    let is_optional = entry.is_optional();
    let kept = kept.cloned();
    Ok(Wanted { field, scheme, grants, script, programs, kept, advice, is_optional })
}

/// A name for the account and the database of a resource, which no other `Dev` of the process has.
/// If data are kept, it is the same in each run.
fn account(manifest: &Manifest, path: &str, is_kept: bool) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let name = manifest.account_of(path);
    let plain = name.chars().map(|c| if is_plain(c) { c } else { '_' });
    let begin: String = plain.take(LONGEST_NAME).collect();
    if !is_kept {
        return another(&format!("{begin}_"));
    }
    if begin == name {
        return name;
    }
    // Two long names may begin in the same way.
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let digits = digest.as_ref().iter().take(3).map(|byte| format!("{byte:02x}"));
    format!("{begin}_{}", digits.collect::<String>())
}

/// Another name that begins as this one does, up to its last underscore.
pub(super) fn another(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let begin = name.rsplit_once('_').map_or(name, |(begin, _)| begin);
    format!("{begin}_{}", COUNT.fetch_add(1, Ordering::Relaxed))
}
