//! Reads the variables of one field: `NAME`, or the file that `NAME_FILE` names. Also notes where
//! each of them was.

use std::borrow::Cow;
use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use backing_services_rules::rule::{
    DUPLICATE_VARIABLE, MALFORMED_VALUE, READABLE_SECRET_FILE, STATIC_MOUNT,
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::report::finding::Finding;
use crate::service::credentials::AnyCredentials;
use crate::source::file::OWN_IT;
use crate::source::{Group, Notice, Scope, Source, Unreadable, file};

/// A value, and the variable that it came from: `NAME` or `NAME_FILE`.
pub(crate) struct Value {
    /// It may be a secret.
    pub(crate) text: SecretString,
    pub(crate) variable: String,
    /// True if only the operator who deploys the program on this machine can have set it.
    pub(crate) is_of_this_machine: bool,
}

/// The secrecy of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Secret,
    /// Others may read the file that holds it. They may not write it: a list of trusted authorities
    /// is public, but it has to be authentic.
    Public,
}

/// The endings of a resource's variables that hold nothing secret.
const PUBLIC: [&str; 7] =
    ["_HOST", "_PORT", "_DATABASE", "_CA", "_CLIENT_CERT", "_PIN", "_ENDPOINT"];

/// The most ranks within ranks.
const MOST_PARTS: usize = 8;

/// The fingerprint of the values of one field: a different one means that they have changed. It is
/// keyed with a random key of this process, so it is useless elsewhere and reveals nothing of the
/// values.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of several fields.
    pub(crate) fn of_all(fields: &[Self]) -> Self {
        Self(KEY.hash_one(fields))
    }
}

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Reads the variables of one field, and remembers where they were.
pub(crate) struct ValueReader<'a> {
    source: &'a dyn Source,
    /// The provider of the resource's credentials, if they are fetched.
    credentials: Option<AnyCredentials>,
    /// Each variable that was asked for and found, and its place.
    pub(super) origins: Vec<(String, Cow<'static, str>)>,
    /// The files that `NAME_FILE` variables named.
    files: Vec<PathBuf>,
    /// The space for a variable's name.
    name: String,
    /// The hash of all values read so far, if a fingerprint is wanted.
    values: Option<DefaultHasher>,
}

impl<'a> ValueReader<'a> {
    pub(crate) const fn new(source: &'a dyn Source) -> Self {
        Self {
            source,
            credentials: None,
            origins: Vec::new(),
            files: Vec::new(),
            name: String::new(),
            values: None,
        }
    }

    /// Computes the fingerprint of what it reads.
    pub(crate) fn with_fingerprint(self) -> Self {
        Self { values: Some(KEY.build_hasher()), ..self }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint(self.values.as_ref().map_or(0, DefaultHasher::finish))
    }

    /// Restricts the reader to one part of the source for variables that belong together, if the
    /// source has parts.
    pub(crate) fn keep_to_part(&mut self, group: Group<'_>, findings: &mut Vec<Finding>) {
        // Parts may have parts. The limit keeps a source with endless parts from hanging the
        // reader.
        for _ in 0..MOST_PARTS {
            // Ask a wrapping source before the wrapped one.
            self.credentials = self.credentials.take().or_else(|| self.source.credentials(&group));
            let Some(part) = self.source.part(&group) else { return };
            let (source, passed_over) = part.into_parts();
            for (variable, place) in passed_over {
                let base = group.name();
                let message = format!(
                    "it is in {place}, and not read: what belongs to `{base}` is read from {}",
                    source.name()
                );
                let finding = Finding::new(&DUPLICATE_VARIABLE, message)
                    .with_variable(variable)
                    .into_warning();
                findings.push(finding.with_help(
                    "keep a resource's variables in one place, or read both places as one rank",
                ));
            }
            self.source = source;
        }
    }

    /// Takes the provider of the credentials, if there is one.
    pub(crate) const fn take_credentials(&mut self) -> Option<AnyCredentials> {
        self.credentials.take()
    }

    /// The message that two variables exclude each other. It names their places if these differ.
    pub(crate) fn both(&self, one: &str, other: &str) -> String {
        match (self.origin(one), self.origin(other)) {
            (Some(of_one), Some(of_other)) if of_one != of_other => {
                format!("`{one}` is in {of_one}, and `{other}` in {of_other}")
            }
            _ => format!("`{one}` and `{other}` are both set"),
        }
    }

    pub(crate) const fn source(&self) -> &'a dyn Source {
        self.source
    }

    /// The place of a variable's value; `None` if there was no value.
    pub(crate) fn origin(&self, variable: &str) -> Option<Cow<'static, str>> {
        self.origins.iter().find(|(name, _)| name == variable).map(|(_, origin)| origin.clone())
    }

    /// The place of a whole resource: of its locator, or else of the first value found.
    pub(crate) fn origin_of_resource(&self, variable: &str) -> Option<Cow<'static, str>> {
        let first = || self.origins.first().map(|(_, origin)| origin.clone());
        self.origin(variable).or_else(|| self.origin(&format!("{variable}_FILE"))).or_else(first)
    }

    /// The files that `NAME_FILE` variables named, read or not.
    pub(crate) fn into_files(self) -> Vec<PathBuf> {
        self.files
    }

    /// Reads `NAME`, or the file that `NAME_FILE` names. Returns `None` if neither is there, or if
    /// one of them is wrong: then there is a finding.
    pub(crate) fn read(
        &mut self,
        name: &str,
        kind: Kind,
        findings: &mut Vec<Finding>,
    ) -> Option<Value> {
        self.read_joined(name, "", kind, findings)
    }

    /// The same for the name `base` + `ending`.
    pub(crate) fn read_companion(
        &mut self,
        base: &str,
        ending: &str,
        findings: &mut Vec<Finding>,
    ) -> Option<Value> {
        let kind = if PUBLIC.contains(&ending) { Kind::Public } else { Kind::Secret };
        self.read_joined(base, ending, kind, findings)
    }

    fn read_joined(
        &mut self,
        base: &str,
        ending: &str,
        kind: Kind,
        findings: &mut Vec<Finding>,
    ) -> Option<Value> {
        let mut name_of_file = std::mem::take(&mut self.name);
        name_of_file.clear();
        name_of_file.extend([base, ending, "_FILE"]);
        let name = &name_of_file[..base.len() + ending.len()];
        let direct = self.get(name, kind, findings);
        let file = self.get(&name_of_file, kind, findings);
        let value = match (direct, file) {
            (Some(_), Some(_)) => {
                findings.push(
                    Finding::new(&DUPLICATE_VARIABLE, self.both(name, &name_of_file))
                        .with_variable(name)
                        .with_help("unset one of the two"),
                );
                None
            }
            (Some(value), None) => Some(value),
            (None, Some(path)) => self.read_file(path, kind, findings),
            (None, None) => None,
        };
        if let (Some(value), Some(values)) = (&value, &mut self.values) {
            // Hash the name, not the variable that was found: a value that moved into a file has
            // not changed.
            (name, value.text.expose_secret()).hash(values);
        }
        self.name = name_of_file;
        value
    }

    /// Reads the file that a value names.
    fn read_file(&mut self, path: Value, kind: Kind, findings: &mut Vec<Finding>) -> Option<Value> {
        let Value { text, variable, is_of_this_machine } = path;
        if !is_of_this_machine {
            findings.push(self.names_a_file(&variable));
            return None;
        }
        let path = Path::new(text.expose_secret());
        let unusable = |what: String| {
            let finding = Finding::new(&MALFORMED_VALUE, format!("`{variable}` {what}"))
                .with_variable(&*variable);
            finding.with_help("write the path of a file that this process can read")
        };
        if !path.is_absolute() {
            // The path is not repeated: it may be a secret that was put into the wrong variable.
            let why = "is not an absolute path: \
                       what it names would depend on where the process was started";
            findings.push(unusable(why.to_owned()));
            return None;
        }
        self.files.push(path.to_owned());
        match file::read(path) {
            Ok(value) => {
                findings.extend(
                    value.notices.into_iter().filter_map(|notice| finding(notice, kind, &variable)),
                );
                // A credential that could not be fetched leaves an empty file behind. It counts as
                // absent.
                value.text.map(|text| Value { text, variable, is_of_this_machine })
            }
            Err(fault) => {
                findings.push(unusable(format!("names a file that {fault}")));
                None
            }
        }
    }

    /// The finding that a value may not name a file of this machine, because a foreign author may
    /// have written it.
    fn names_a_file(&self, variable: &str) -> Finding {
        let place = self.origin(variable).unwrap_or_else(|| self.source.name().into_owned().into());
        let message = format!(
            "`{variable}` names a file of this machine, and is in {place}, which may not name one"
        );
        let value = variable.strip_suffix("_FILE").unwrap_or(variable);
        let help = format!(
            "write the value itself there, as `{value}`; \
             or set `{variable}` in the environment of the process"
        );
        Finding::new(&MALFORMED_VALUE, message).with_variable(variable).with_help(help)
    }

    /// Asks the source for a variable.
    fn get(&mut self, variable: &str, kind: Kind, findings: &mut Vec<Finding>) -> Option<Value> {
        let value = match self.source.get(variable) {
            Ok(value) => value?,
            Err(unreadable) => {
                findings.extend(refused(&unreadable, variable, findings));
                return None;
            }
        };
        let (variable, is_of_this_machine) = (variable.to_owned(), value.is_of_this_machine());
        let (text, place, notices) = value.into_parts();
        findings.extend(notices.into_iter().filter_map(|notice| finding(notice, kind, &variable)));
        self.origins.push((variable.clone(), place));
        Some(Value { text, variable, is_of_this_machine })
    }
}

/// The finding for a source's notice; `None` if it is harmless for such a value.
fn finding(notice: Notice, kind: Kind, variable: &str) -> Option<Finding> {
    if let Some(why) = notice.why_not_ours() {
        let finding =
            Finding::new(&READABLE_SECRET_FILE, format!("the value is in a file of which {why}"));
        return Some(finding.with_variable(variable).with_help(OWN_IT));
    }
    match notice {
        Notice::OthersRead if kind == Kind::Public => None,
        // In a container there may be no other user, so this warns, and does not end the attempt.
        Notice::OthersRead => Some(
            Finding::new(&READABLE_SECRET_FILE, "every user of this machine can read the file")
                .with_variable(variable)
                .into_warning(),
        ),
        Notice::NeverUpdated => Some(
            Finding::new(
                &STATIC_MOUNT,
                "the file is a mount of its own, which a rotation does not reach",
            )
            .with_variable(variable),
        ),
        Notice::OthersWrite
        | Notice::OtherOwner
        | Notice::PathOthersWrite
        | Notice::PathOtherOwner => None,
    }
}

/// The finding for an unreadable value. A problem of the whole source is reported once.
fn refused(unreadable: &Unreadable, variable: &str, findings: &[Finding]) -> Option<Finding> {
    let of_value =
        |rule| Finding::new(rule, format!("`{variable}` {unreadable}")).with_variable(variable);
    match unreadable.scope() {
        Scope::Whole => {
            let message = unreadable.to_string();
            let is_said = findings.iter().any(|finding| finding.message() == message);
            let finding =
                || Finding::new(&MALFORMED_VALUE, message.clone()).with_variable(variable);
            (!is_said).then(|| finding().with_help("fix the source, or do not read it"))
        }
        Scope::Twice => Some(
            of_value(&DUPLICATE_VARIABLE)
                .with_help("unset one of the two, or give one of the sources a rank of its own"),
        ),
        Scope::Value => Some(
            of_value(&MALFORMED_VALUE)
                .with_help("write the value as UTF-8 text, once, where this process can read it"),
        ),
    }
}
