//! The first half of attaching: load every value, hold it against the rules, open no connection.
//!
//! Every field is looked at, whatever was found at the ones before it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use backing_services_rules::rule::{DUPLICATE_VARIABLE, MALFORMED_VALUE, MISSING_VALUE};
use backing_services_rules::{Date, variable};
use secrecy::ExposeSecret as _;

use crate::error::{AttachError, Problem};
use crate::finding::{Finding, Place};
use crate::manifest::{Category, Declaration, Leaf, Manifest, ResourceEntry, SecretEntry, SettingEntry, Slot, Waiver};
use crate::source::{Group, Source};
use crate::target::Target;

pub(crate) mod address;
pub(crate) mod credentials;
mod reader;
mod resource;
#[cfg(any(feature = "etcd", feature = "nats"))]
pub(crate) mod store;
pub(crate) mod waiver;

pub(crate) use reader::{Fingerprint, Reader, Value};
#[cfg(feature = "net")]
pub(crate) use resource::{is_user_name, login};

/// Loads and checks; the values are dropped again.
pub(crate) fn check(manifest: &'static Manifest, source: &dyn Source) -> Result<(), AttachError> {
    let loaded = load(manifest, source)?;
    let warnings: Vec<_> = loaded.problems.into_iter().map(|(_, problem)| problem).collect();
    report_warnings(&warnings);
    Ok(())
}

/// Every field of a struct that passed, and of the structs in it, in declaration order; and what is to be said about all of them.
pub(crate) struct Loaded {
    pub(crate) items: Vec<Item>,
    /// Each with its field's place in declaration order.
    pub(crate) problems: Vec<(usize, Problem)>,
    pub(crate) waivers: Vec<(String, &'static Waiver)>,
    /// How many fields there are.
    pub(crate) fields: usize,
    pub(crate) today: Date,
}

/// A field that passed.
pub(crate) struct Item {
    /// The field's place in declaration order.
    pub(crate) ordinal: usize,
    /// Where its values are.
    pub(crate) place: Place,
    /// Of its values.
    pub(crate) fingerprint: Fingerprint,
    pub(crate) declaration: &'static Declaration,
    pub(crate) content: Content,
}

/// What a field is, as far as loading goes.
pub(crate) enum Content {
    /// A secret or a setting: it is ready.
    Value(Slot),
    /// A resource, still to be connected to; `None` where it is optional and there is none.
    Resource { entry: &'static ResourceEntry, target: Option<Box<Target>> },
}

/// Loads everything. On error, all that is wrong.
pub(crate) fn load(manifest: &'static Manifest, source: &dyn Source) -> Result<Loaded, AttachError> {
    load_fields(manifest, source, None, manifest.deadline()).loaded.judged(manifest)
}

/// What came of loading.
pub(crate) struct Read {
    pub(crate) loaded: Loaded,
    /// The files that `NAME_FILE`s named, whatever came of it: a change of one is a change of a value.
    pub(crate) files: Vec<PathBuf>,
    /// Of all the values.
    pub(crate) values: Fingerprint,
}

/// Loads some fields, by their paths, or all; what is connected to has `deadline` from now on.
pub(crate) fn load_fields(
    manifest: &'static Manifest,
    source: &dyn Source,
    wanted: Option<&[String]>,
    deadline: Duration,
) -> Read {
    let mut loader = Loader {
        source,
        wanted,
        today: today(),
        deadline: Instant::now() + deadline,
        readers: HashMap::new(),
        fields: 0,
        items: Vec::with_capacity(manifest.fields().len()),
        problems: Vec::new(),
        files: Vec::new(),
        fingerprints: Vec::new(),
        waivers: Vec::new(),
    };
    manifest.walk(&mut |leaf| {
        if loader.wanted.is_none_or(|wanted| wanted.contains(&leaf.path)) {
            loader.fields += 1;
            loader.load_field(leaf);
        }
    });
    let Loader { items, problems, files, fingerprints, fields, waivers, today, .. } = loader;
    let values = Fingerprint::of_all(&fingerprints);
    Read { loaded: Loaded { items, problems, fields, waivers, today }, files, values }
}

impl Loaded {
    pub(crate) fn is_denied(&self) -> bool {
        self.problems.iter().any(|(_, problem)| problem.is_denied())
    }

    /// The same where nothing is denied; else the report of all that is wrong.
    pub(crate) fn judged(self, manifest: &'static Manifest) -> Result<Self, AttachError> {
        if !self.is_denied() {
            return Ok(self);
        }
        let problems = self.problems.into_iter().map(|(_, problem)| problem).collect();
        Err(AttachError::new(manifest.struct_name(), self.fields, problems))
    }
}

/// Says in the log what did not end the attempt.
pub(crate) fn report_warnings(problems: &[Problem]) {
    for problem in problems {
        let Problem::Finding(finding) = problem else { continue };
        let (field, variable, rule, message) =
            (finding.field(), finding.variable().unwrap_or_default(), finding.rule().name, finding.message());
        match finding.waived_because() {
            Some(reason) => tracing::warn!(field, variable, rule, reason, "waived: {message}"),
            None => tracing::warn!(field, variable, rule, "{message}"),
        }
    }
}

pub(crate) fn today() -> Date {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Date::from_unix_days(i64::try_from(since.as_secs() / 86_400).unwrap_or(i64::MAX))
}

struct Loader<'a> {
    source: &'a dyn Source,
    /// The paths of the fields that are looked at; `None` for all.
    wanted: Option<&'a [String]>,
    today: Date,
    deadline: Instant,
    /// Which field reads a variable.
    readers: HashMap<String, String>,
    /// How many fields there are.
    fields: usize,
    items: Vec<Item>,
    problems: Vec<(usize, Problem)>,
    files: Vec<PathBuf>,
    fingerprints: Vec<Fingerprint>,
    /// The waivers that hold, with the paths of their fields.
    waivers: Vec<(String, &'static Waiver)>,
}

impl Loader<'_> {
    fn load_field(&mut self, leaf: Leaf) {
        let variable = leaf.variable();
        let Leaf { path, field, .. } = leaf;
        let declaration = field.declaration();
        let mut findings = Vec::new();
        let mut reader = Reader::new(self.source);
        let content = match field.category() {
            Category::Resource(entry) => {
                let base = variable::base(&variable).to_owned();
                self.claim(&variable, &path, &mut findings);
                for ending in &variable::RESOURCE_ENDINGS[1..] {
                    self.claim(&format!("{base}{ending}"), &path, &mut findings);
                }
                reader.keep_to_part(Group::of_resource(&variable, &base), &mut findings);
                let target =
                    resource::load(&mut reader, entry, declaration, &variable, &base, self.deadline, self.today, &mut findings);
                target.map(|target| Content::Resource { entry, target: target.map(Box::new) })
            }
            Category::Secret(entry) => {
                self.claim(&variable, &path, &mut findings);
                reader.keep_to_part(Group::of_value(&variable), &mut findings);
                secret(&mut reader, entry, &variable, &mut findings).map(Content::Value)
            }
            Category::Setting(entry) => {
                self.claim(&variable, &path, &mut findings);
                reader.keep_to_part(Group::of_value(&variable), &mut findings);
                setting(&mut reader, entry, declaration, &variable, &mut findings).map(Content::Value)
            }
            Category::Nested(_) => None,
        };
        waiver::apply(&mut findings, declaration.waived_rules(), self.today);
        waiver::expiring(&mut findings, declaration.waived_rules(), self.today);
        self.waivers.extend(waiver::in_force(declaration.waived_rules(), self.today).map(|waiver| (path.clone(), waiver)));
        if findings.iter().all(|finding| !finding.is_denied())
            && let Some(content) = content
        {
            let place =
                Place { field: path.clone(), variable: Some(variable.clone()), origin: reader.origin_of_resource(&variable) };
            let fingerprint = reader.fingerprint();
            self.items.push(Item { ordinal: self.fields, place, fingerprint, declaration, content });
        }
        self.problems.extend(findings.into_iter().map(|finding| {
            let finding = finding.at(&path, &variable);
            let origin = finding.variable().and_then(|variable| reader.origin(variable));
            (self.fields, Problem::Finding(finding.out_of(origin)))
        }));
        self.fingerprints.push(reader.fingerprint());
        self.files.extend(reader.into_files());
    }

    /// Notes that a field reads a variable. The derive has seen to it within a struct; this is for structs within structs, and for what only
    /// the types tell.
    fn claim(&mut self, variable: &str, path: &str, findings: &mut Vec<Finding>) {
        // `X` and `X_FILE` are two ways to the same value.
        let name = variable.strip_suffix("_FILE").unwrap_or(variable);
        if let Some(earlier) = self.readers.insert(name.to_owned(), path.to_owned())
            && earlier != path
        {
            findings.push(
                Finding::new(&DUPLICATE_VARIABLE, format!("`{earlier}` reads this variable too"))
                    .about(variable)
                    .help("give one of the two another name with `env = \"…\"`"),
            );
        }
    }
}

/// Whether reading has already said why there is no value.
fn is_explained(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| !finding.warning)
}

fn missing(source: &dyn Source, variable: &str) -> Finding {
    Finding::new(&MISSING_VALUE, format!("`{variable}` is not set, or empty, in {}", source.name()))
        .help(format!("set `{variable}`, or `{variable}_FILE` to the path of a file that holds it"))
}

fn secret(reader: &mut Reader<'_>, entry: &SecretEntry, variable: &str, findings: &mut Vec<Finding>) -> Option<Slot> {
    let value = reader.read(variable, findings);
    if value.is_none() && !entry.optional && !is_explained(findings) {
        findings.push(missing(reader.source(), variable));
    }
    if let Some(value) = &value {
        credentials::check_secret(value, findings);
    }
    if value.is_none() && (!entry.optional || is_explained(findings)) {
        return None;
    }
    let read = (entry.read)(value.as_ref().map(|value| value.text.expose_secret()));
    if read.is_err() {
        findings.push(
            Finding::new(&MALFORMED_VALUE, format!("`{variable}` is not what this field's type holds"))
                .help("write it as the field's type asks"),
        );
    }
    read.ok()
}

fn setting(
    reader: &mut Reader<'_>,
    entry: &SettingEntry,
    declaration: &Declaration,
    variable: &str,
    findings: &mut Vec<Finding>,
) -> Option<Slot> {
    let value = reader.read(variable, findings);
    if is_explained(findings) {
        return None;
    }
    let text = value.as_ref().map(|value| value.text.expose_secret()).or(declaration.default_text());
    if text.is_none() && !entry.optional {
        findings.push(missing(reader.source(), variable));
        return None;
    }
    let read = (entry.read)(text);
    if read.is_err() {
        let message = match value {
            Some(value) => {
                Finding::new(&MALFORMED_VALUE, format!("`{}` is not {}", value.variable, entry.expects)).about(value.variable)
            }
            None => Finding::new(&MALFORMED_VALUE, format!("the default of this field is not {}", entry.expects)),
        };
        findings.push(message.help(format!("write {}", entry.expects)));
    }
    read.ok()
}
