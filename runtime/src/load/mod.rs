//! The first half of attaching: loads every value and checks it against the rules, without opening
//! a connection.
//!
//! Every field is checked, whatever was found at earlier fields.

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backing_services_rules::rule::{
    AMBIENT_OVERRIDE, DUPLICATE_VARIABLE, MALFORMED_VALUE, MISSING_VALUE,
};
use backing_services_rules::{Date, variable};
use secrecy::ExposeSecret as _;

use crate::declare::manifest::{
    Category, Declaration, Leaf, Manifest, ResourceEntry, SecretEntry, SettingEntry, Slot,
};
use crate::net::thread::{NoResult, on_thread};
use crate::report::error::{AttachError, Problem, in_declaration_order};
use crate::report::finding::{Failure, FailureKind, Finding, Place};
use crate::report::waiver::Waiver;
pub(crate) use crate::report::waiver::today;
use crate::service::target::Target;
use crate::source::{Group, Source, environment};

mod claims;
pub(crate) mod credentials;
mod reader;
pub(crate) mod resource;
pub(crate) mod spec;

pub(crate) mod waiver;

use claims::Claims;
use reader::Kind;
pub(crate) use reader::{Fingerprint, Value, ValueReader};
pub(crate) use resource::ResourceLoader;
pub(crate) use resource::{check_login, is_user_name};

/// Loads and checks; the values are dropped again.
pub(crate) fn check(manifest: &'static Manifest, source: &dyn Source) -> Result<(), AttachError> {
    let loaded = read(manifest, source, None, Keep::Nothing, &Progress::default())
        .loaded
        .judged(manifest)?;
    report_warnings(&in_declaration_order(loaded.problems));
    Ok(())
}

/// The accepted fields of a struct, and of its nested structs, in declaration order; and the
/// problems of all fields.
pub(crate) struct Loaded {
    pub(crate) items: Vec<LoadedField>,
    /// Each with its field's ordinal in declaration order.
    pub(crate) problems: Vec<(usize, Problem)>,
    pub(crate) waivers: Vec<(String, &'static Waiver)>,
    /// The number of fields.
    pub(crate) fields: usize,
    pub(crate) today: Date,
}

/// An accepted field.
pub(crate) struct LoadedField {
    /// The field's ordinal in declaration order.
    pub(crate) ordinal: usize,
    /// The place of its values.
    pub(crate) place: Place,
    /// The fingerprint of its values.
    pub(crate) fingerprint: Fingerprint,
    pub(crate) declaration: &'static Declaration,
    pub(crate) content: Content,
}

/// The loaded content of a field.
pub(crate) enum Content {
    /// A secret or a setting: it is ready.
    Value(Slot),
    /// A resource, still to be connected to.
    Resource { entry: &'static ResourceEntry, target: Arc<Target> },
    /// An optional resource that is absent.
    Absent,
}

/// The result of loading.
pub(crate) struct Read {
    pub(crate) loaded: Loaded,
    /// The files that `NAME_FILE` variables named, readable or not: a change of one is a change of
    /// a value.
    pub(crate) files: Vec<PathBuf>,
    /// The fingerprint of all values.
    pub(crate) values: Fingerprint,
}

/// Loads some fields, by their paths, or all, within `deadline` from now on. It runs in a thread of
/// its own, because a source may block.
pub(crate) async fn load(
    manifest: &'static Manifest,
    source: Arc<dyn Source>,
    wanted: Option<Vec<String>>,
    deadline: Duration,
) -> Result<Read, Unread> {
    let progress = Arc::new(Progress::default());
    let (of_thread, of_fields) = (Arc::clone(&progress), wanted.clone());
    let work = move || read(manifest, &*source, of_fields.as_deref(), Keep::Everything, &of_thread);
    let why = match on_thread(deadline, work).await {
        Ok(read) => return Ok(read),
        Err(why) => why,
    };
    let (ordinal, place, fields) = progress.place(manifest, wanted.as_deref());
    Err(Unread {
        ordinal,
        problem: Problem::Failure(unread(why, deadline).in_place(&place)),
        fields,
    })
}

/// The reason why nothing was loaded, and the field at which loading ended.
pub(crate) struct Unread {
    ordinal: usize,
    problem: Problem,
    fields: usize,
}

impl Unread {
    pub(crate) fn into_error(self, manifest: &'static Manifest) -> AttachError {
        AttachError::new(manifest.struct_name(), self.fields, vec![self.problem])
    }

    /// Converts it for a preflight: no items, and this problem.
    pub(crate) fn into_loaded(self) -> Loaded {
        let Self { ordinal, problem, fields } = self;
        Loaded {
            items: Vec::new(),
            problems: vec![(ordinal, problem)],
            waivers: Vec::new(),
            fields,
            today: today(),
        }
    }
}

/// The failure for a source that gave no values.
pub(crate) fn unread(why: NoResult, deadline: Duration) -> Failure {
    match why {
        NoResult::Late => {
            let message = format!("its values were not read within {} s", deadline.as_secs());
            let help = "check the source, and the file system of the files that it names: \
                        one on a network may be away";
            Failure::new(FailureKind::TimedOut, message, help)
        }
        NoResult::Broken => {
            let help = "check what the source's code does; \
                        if it is one of this crate's, report this as a bug";
            Failure::new(
                FailureKind::Protocol,
                "the source panicked while its values were read",
                help,
            )
        }
    }
}

/// The number of fields whose loading has started.
#[derive(Default)]
struct Progress(AtomicUsize);

impl Progress {
    /// The field that is being loaded, by its ordinal and its name; and the number of fields to
    /// load.
    fn place(
        &self,
        manifest: &'static Manifest,
        wanted: Option<&[String]>,
    ) -> (usize, Place, usize) {
        let mut leaves = leaves(manifest, wanted);
        let (begun, fields) = (self.0.load(Ordering::Acquire).max(1), leaves.len());
        let place = (begun <= fields).then(|| place(leaves.swap_remove(begun - 1)));
        (begun, place.unwrap_or_default(), fields)
    }
}

/// The fields that are not nested structs, in declaration order: those with these paths, or all.
fn leaves(manifest: &'static Manifest, wanted: Option<&[String]>) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    manifest.walk(&mut |leaf| {
        if wanted.is_none_or(|wanted| wanted.iter().any(|wanted| *wanted == leaf.path)) {
            leaves.push(leaf);
        }
    });
    leaves
}

/// The place of a field whose values have no known origin.
fn place(leaf: Leaf) -> Place {
    Place { field: leaf.path.into_owned(), variable: Some(leaf.variable), origin: None }
}

/// Selects whether the loaded content is kept, or only checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Everything,
    Nothing,
}

fn read(
    manifest: &'static Manifest,
    source: &dyn Source,
    wanted: Option<&[String]>,
    keep: Keep,
    progress: &Progress,
) -> Read {
    let mut loader = Loader {
        source,
        keep,
        today: today(),
        claims: Claims::default(),
        fields: 0,
        items: Vec::new(),
        problems: Vec::new(),
        files: Vec::new(),
        fingerprints: Vec::new(),
        waivers: Vec::new(),
    };
    for leaf in leaves(manifest, wanted) {
        loader.fields += 1;
        progress.0.store(loader.fields, Ordering::Release);
        // The source, `check` of the service and the type of a value are foreign code. A task
        // that follows a source reads it here, and must not end because of a panic.
        if panic::catch_unwind(AssertUnwindSafe(|| loader.load_field(&leaf))).is_err() {
            loader.problems.push((loader.fields, panicked(leaf)));
        }
    }
    let Loader { items, problems, files, fingerprints, fields, waivers, today, .. } = loader;
    let values = Fingerprint::of_all(&fingerprints);
    Read { loaded: Loaded { items, problems, fields, waivers, today }, files, values }
}

/// The failure of a field whose reading panicked.
fn panicked(leaf: Leaf) -> Problem {
    let message = "reading it panicked: in the source, in `check` of its service, \
                   or in the type of the field";
    let help = "read the message of the panic on standard error, \
                and report it to the authors of what panicked";
    let failure = Failure::new(FailureKind::Protocol, message, help);
    Problem::Failure(failure.in_place(&place(leaf)))
}

impl Loaded {
    pub(crate) fn is_denied(&self) -> bool {
        self.problems.iter().any(|(_, problem)| problem.is_denied())
    }

    /// Returns itself if nothing is denied; else the report of all problems.
    pub(crate) fn judged(self, manifest: &'static Manifest) -> Result<Self, AttachError> {
        if !self.is_denied() {
            return Ok(self);
        }
        Err(AttachError::new(
            manifest.struct_name(),
            self.fields,
            in_declaration_order(self.problems),
        ))
    }
}

/// Logs the problems that did not end the attempt.
pub(crate) fn report_warnings(problems: &[Problem]) {
    for problem in problems {
        let Problem::Finding(finding) = problem else { continue };
        let (field, variable, rule, message) = (
            finding.field(),
            finding.variable().unwrap_or_default(),
            finding.rule().name,
            finding.message(),
        );
        match finding.waived_because() {
            Some(reason) => tracing::warn!(field, variable, rule, reason, "waived: {message}"),
            None => tracing::warn!(field, variable, rule, "{message}"),
        }
    }
}

struct Loader<'a> {
    source: &'a dyn Source,
    keep: Keep,
    today: Date,
    claims: Claims,
    /// The number of fields.
    fields: usize,
    items: Vec<LoadedField>,
    problems: Vec<(usize, Problem)>,
    files: Vec<PathBuf>,
    fingerprints: Vec<Fingerprint>,
    /// The waivers in force, with the paths of their fields.
    waivers: Vec<(String, &'static Waiver)>,
}

impl Loader<'_> {
    fn load_field(&mut self, leaf: &Leaf) {
        let Leaf { path, variable, field } = leaf;
        let declaration = field.declaration();
        let mut findings = Vec::new();
        let is_resource = matches!(field.category(), Category::Resource(_));
        if let Some((taken, by)) = self.claims.claim(variable, is_resource, path) {
            let finding =
                Finding::new(&DUPLICATE_VARIABLE, format!("`{by}` reads this variable too"));
            findings.push(
                finding
                    .with_variable(taken)
                    .with_help("give one of the two another name with `env = \"…\"`"),
            );
        }
        let mut reader = ValueReader::new(self.source);
        if self.keep == Keep::Everything {
            reader = reader.with_fingerprint();
        }
        let content = self.content(leaf, &mut reader, &mut findings);
        waiver::apply(&mut findings, declaration.waived_rules(), self.today);
        waiver::expiring(&mut findings, declaration.waived_rules(), self.today);
        self.waivers.extend(
            waiver::in_force(declaration.waived_rules(), self.today)
                .map(|waiver| (path.to_string(), waiver)),
        );
        if self.keep == Keep::Everything {
            let fingerprint = reader.fingerprint();
            self.fingerprints.push(fingerprint);
            if let Some(content) = content
                && !findings.iter().any(Finding::is_denied)
            {
                let place = Place {
                    field: path.to_string(),
                    variable: Some(variable.clone()),
                    origin: reader.origin_of_resource(variable),
                };
                let ordinal = self.fields;
                self.items.push(LoadedField { ordinal, place, fingerprint, declaration, content });
            }
        }
        self.problems.extend(findings.into_iter().map(|finding| {
            let finding = finding.at(path, variable);
            // Such a variable is one of the process, whatever the source is.
            let origin = if finding.rule() == &AMBIENT_OVERRIDE {
                Some(environment::NAME.into())
            } else {
                finding.variable().and_then(|variable| reader.origin(variable))
            };
            (self.fields, Problem::Finding(finding.out_of(origin)))
        }));
        self.files.extend(reader.into_files());
    }

    /// The content of a field; `None` if something is wrong, and then there is a finding.
    fn content(
        &self,
        Leaf { variable, field, .. }: &Leaf,
        reader: &mut ValueReader<'_>,
        findings: &mut Vec<Finding>,
    ) -> Option<Content> {
        let declaration = field.declaration();
        match field.category() {
            Category::Resource(entry) => {
                // The beginning that all of the resource's variables share.
                let base = variable::base(variable);
                reader.keep_to_part(Group::of_resource(variable, base), findings);
                let loader = ResourceLoader {
                    reader,
                    entry,
                    declaration,
                    variable,
                    base,
                    today: self.today,
                    findings,
                };
                let resource = |target| Content::Resource { entry, target: Arc::new(target) };
                loader.load().ok().map(|target| target.map_or(Content::Absent, resource))
            }
            Category::Secret(entry) => {
                secret(reader, entry, variable, findings).map(Content::Value)
            }
            Category::Setting(entry) => {
                setting(reader, entry, declaration, variable, findings).map(Content::Value)
            }
            Category::Nested(_) => None,
        }
    }
}

/// Returns true if reading has already reported why there is no value.
fn is_explained(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| !finding.warns())
}

fn missing(source: &dyn Source, variable: &str) -> Finding {
    Finding::new(&MISSING_VALUE, format!("`{variable}` is not set, or empty, in {}", source.name()))
        .with_help(format!(
            "set `{variable}`, or `{variable}_FILE` to the path of a file that holds it"
        ))
}

fn secret(
    reader: &mut ValueReader<'_>,
    entry: &SecretEntry,
    variable: &str,
    findings: &mut Vec<Finding>,
) -> Option<Slot> {
    reader.keep_to_part(Group::of_value(variable), findings);
    let value = reader.read(variable, Kind::Secret, findings);
    if value.is_none() && !entry.optional && !is_explained(findings) {
        findings.push(missing(reader.source(), variable));
    }
    if let Some(value) = &value {
        findings.extend(credentials::check_secret(value));
    }
    if value.is_none() && is_explained(findings) {
        return None;
    }
    let read = (entry.read)(value.as_ref().map(|value| value.text.expose_secret()));
    if read.is_err() {
        findings.push(
            Finding::new(
                &MALFORMED_VALUE,
                format!("`{variable}` is not what this field's type holds"),
            )
            .with_help(format!("write {}", entry.expects)),
        );
    }
    read.ok()
}

fn setting(
    reader: &mut ValueReader<'_>,
    entry: &SettingEntry,
    declaration: &Declaration,
    variable: &str,
    findings: &mut Vec<Finding>,
) -> Option<Slot> {
    reader.keep_to_part(Group::of_value(variable), findings);
    let value = reader.read(variable, Kind::Public, findings);
    if is_explained(findings) {
        return None;
    }
    let text =
        value.as_ref().map(|value| value.text.expose_secret()).or(declaration.default_text());
    if text.is_none() && !entry.optional {
        findings.push(missing(reader.source(), variable));
        return None;
    }
    let read = (entry.read)(text);
    if read.is_err() {
        let message = match value {
            Some(value) => Finding::new(
                &MALFORMED_VALUE,
                format!("`{}` is not {}", value.variable, entry.expects),
            )
            .with_variable(&*value.variable),
            None => Finding::new(
                &MALFORMED_VALUE,
                format!("the default of this field is not {}", entry.expects),
            ),
        };
        findings.push(message.with_help(format!("write {}", entry.expects)));
    }
    read.ok()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::fmt::{self, Write as _};
    use std::hash::{BuildHasher as _, RandomState};
    use std::sync::{LazyLock, Mutex};

    use backing_services_rules::rule::{STATIC_MOUNT, SUPERUSER_ACCOUNT};

    use super::*;
    use crate::declare::manifest::Field;
    use crate::declare::setting::Setting;
    use crate::live::field::Attached;
    use crate::live::resource::Resource;
    use crate::report::posture::Posture;
    use crate::report::refusal::Refusal;
    use crate::rules::Scheme;
    use crate::service::target::{Attempt, Target};
    use crate::service::{Attachment, Service};
    use crate::source::{
        Environment, Notice, Sources, Unreadable, Value as SourceValue, WithCredentials,
    };

    struct Gophers;

    impl Service for Gophers {
        type Client = ();
        type Guard = crate::resource::ClientGuard<Self>;
        const NAME: &'static str = "Gopher";
        const SCHEMES: &'static [Scheme] = &[Scheme::tls("gophers").with_port(7070)];

        async fn connect(target: &Target, _: Attempt) -> Result<Attachment<()>, Refusal> {
            Ok(Attachment::new((), Posture::of::<Self>(target)))
        }

        async fn health((): &()) -> Result<(), Refusal> {
            Ok(())
        }

        async fn close((): &()) {}
    }

    static MANIFEST: Manifest = Manifest::new(
        "Services",
        const {
            &[
                Field::new(
                    Declaration::new("orders", "ORDERS"),
                    <Resource<Gophers> as Attached>::CATEGORY,
                ),
                Field::new(
                    Declaration::new("cache", "CACHE").env("CACHE"),
                    <Option<Resource<Gophers>> as Attached>::CATEGORY,
                ),
                Field::new(
                    Declaration::new("key", "KEY"),
                    <Option<secrecy::SecretString> as Attached>::CATEGORY,
                ),
                Field::new(
                    Declaration::new("port", "PORT_FILE"),
                    <Option<u16> as Setting>::CATEGORY,
                ),
            ]
        },
    )
    .prefix("SHOP");

    /// A source that records the names that it is asked for.
    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    impl Source for Recorder {
        fn name(&self) -> Cow<'_, str> {
            "the recorder".into()
        }

        fn get(&self, variable: &str) -> Result<Option<SourceValue>, Unreadable> {
            self.0.lock().unwrap().push(variable.to_owned());
            Ok(None)
        }
    }

    #[test]
    fn a_source_is_asked_for_each_variable_of_each_field_once() {
        let recorder = Recorder::default();
        check(&MANIFEST, &recorder).unwrap_err();
        let mut asked = recorder.0.into_inner().unwrap();
        asked.sort();
        let groups = [
            Group::of_resource("SHOP_ORDERS_URL", "SHOP_ORDERS"),
            Group::of_resource("CACHE", "CACHE"),
            Group::of_value("SHOP_KEY"),
            Group::of_value("SHOP_PORT_FILE"),
        ];
        let mut expected: Vec<_> = groups.iter().flat_map(Group::variables).collect();
        expected.sort();
        assert_eq!(asked, expected);
    }

    #[test]
    fn the_place_of_a_delay_is_the_field_whose_loading_has_started() {
        let place = |begun, wanted: Option<&[&str]>| {
            let wanted =
                wanted.map(|wanted| wanted.iter().map(|path| (*path).to_owned()).collect());
            let wanted: Option<Vec<String>> = wanted;
            let progress = Progress(AtomicUsize::new(begun));
            let (ordinal, place, fields) = progress.place(&MANIFEST, wanted.as_deref());
            (ordinal, place.field, place.variable.unwrap_or_default(), fields)
        };
        let expect = |ordinal, field: &str, variable: &str, fields| {
            (ordinal, field.to_owned(), variable.to_owned(), fields)
        };
        assert_eq!(place(0, None), expect(1, "orders", "SHOP_ORDERS_URL", 4));
        assert_eq!(place(2, None), expect(2, "cache", "CACHE", 4));
        assert_eq!(place(4, None), expect(4, "port", "SHOP_PORT_FILE", 4));
        assert_eq!(place(5, None), expect(5, "", "", 4));
        assert_eq!(place(1, Some(&["key", "cache"])), expect(1, "cache", "CACHE", 2));
        assert_eq!(place(1, Some(&[])), expect(1, "", "", 0));
    }

    #[test]
    fn fields_have_their_ordinals_and_places() {
        let source = Environment::from_iter([
            ("SHOP_ORDERS_URL", "gophers://ada@db.example.com/"),
            ("SHOP_ORDERS_PASSWORD", "kX3-vR9_wQ1z"),
            ("SHOP_KEY", "kX3-vR9_wQ1z"),
            ("SHOP_PORT_FILE", "eighty"),
        ]);
        let read = read(&MANIFEST, &source, None, Keep::Everything, &Progress::default());
        let items: Vec<_> = read
            .loaded
            .items
            .iter()
            .map(|item| (item.ordinal, &*item.place.field, item.place.variable.as_deref()))
            .collect();
        assert_eq!(
            items,
            [
                (1, "orders", Some("SHOP_ORDERS_URL")),
                (2, "cache", Some("CACHE")),
                (3, "key", Some("SHOP_KEY"))
            ]
        );
        assert!(matches!(read.loaded.items[1].content, Content::Absent));
        let problems: Vec<_> =
            read.loaded.problems.iter().map(|(ordinal, problem)| (*ordinal, problem)).collect();
        let [(4, Problem::Finding(finding))] = problems[..] else { panic!("{}", problems.len()) };
        assert_eq!((finding.field(), finding.rule()), ("port", &MALFORMED_VALUE));
        assert_eq!(read.loaded.fields, 4);
    }

    /// Records the message and the fields of each event.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);

    impl tracing::Subscriber for Log {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            let mut text = event.metadata().level().to_string();
            event.record(&mut |field: &tracing::field::Field, value: &dyn fmt::Debug| {
                // Writing to a `String` does not fail.
                let _ = write!(text, " {field}={value:?}");
            });
            self.0.lock().unwrap().push(text);
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[test]
    fn what_does_not_end_the_attempt_is_logged() {
        static WAIVERS: &[Waiver] = &[
            Waiver::new("superuser_account", "one account", Some("2027-03-01")),
            Waiver::new("weak_password", "a test", None).debug_only(),
        ];
        let mut waived = Finding::new(&SUPERUSER_ACCOUNT, "the account is one").at("orders", "X");
        waived.waive("one account");
        let warning = Finding::new(&STATIC_MOUNT, "the file is a mount").at("cache", "Y");
        let log = Log::default();
        tracing::subscriber::with_default(log.clone(), || {
            report_warnings(&[waived, warning].map(Problem::Finding));
            waiver::report(&[]);
            waiver::report(&[("orders".to_owned(), &WAIVERS[0]), ("key".to_owned(), &WAIVERS[1])]);
        });
        assert_eq!(
            *log.0.lock().unwrap(),
            [
                "WARN message=waived: the account is one field=\"orders\" variable=\"X\" \
                 rule=\"superuser_account\" reason=\"one account\"",
                "WARN message=the file is a mount field=\"cache\" variable=\"Y\" \
                 rule=\"static_mount\"",
                "WARN message=rules are waived: orders: superuser_account (one account, until \
                 2027-03-01); key: weak_password (a test, in debug builds only) waivers=2",
            ]
        );
    }

    #[test]
    fn an_optional_secret_may_be_absent() {
        let source = Environment::from_iter([
            ("SHOP_ORDERS_URL", "gophers://ada@db.example.com/"),
            ("SHOP_ORDERS_PASSWORD", "kX3-vR9_wQ1z"),
        ]);
        let loaded = read(&MANIFEST, &source, None, Keep::Everything, &Progress::default()).loaded;
        assert_eq!((loaded.items.len(), loaded.problems.len()), (4, 0));
        assert_eq!(loaded.items[0].place.origin.as_deref(), Some("the environment"));
        assert_eq!(loaded.items[2].place.origin, None);
    }

    #[test]
    fn a_fingerprint_changes_with_the_values_and_not_with_their_places() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "kX3-vR9_wQ1z").unwrap();
        let of = |variable: &str, value: &str| {
            let variables = [
                ("SHOP_ORDERS_URL", "gophers://ada@db.example.com/"),
                ("SHOP_ORDERS_PASSWORD", "kX3-vR9_wQ1z"),
                (variable, value),
            ];
            let source = Environment::from_iter(variables);
            let read = read(&MANIFEST, &source, None, Keep::Everything, &Progress::default());
            (read.values, read.files)
        };
        let key = of("SHOP_KEY", "kX3-vR9_wQ1z");
        assert!(key == of("SHOP_KEY", "kX3-vR9_wQ1z") && key.1.is_empty());
        assert!(key.0 != of("SHOP_KEY", "another-83-text").0);
        let of_file = of("SHOP_KEY_FILE", file.to_str().unwrap());
        assert!(key.0 == of_file.0);
        assert_eq!(of_file.1, [file]);
    }

    /// A source with a value whose file every user can read.
    struct Readable;

    impl Source for Readable {
        fn name(&self) -> Cow<'_, str> {
            "the folder".into()
        }

        fn get(&self, variable: &str) -> Result<Option<SourceValue>, Unreadable> {
            let texts = [
                ("SHOP_ORDERS_URL", "gophers://ada@db.example.com/"),
                ("SHOP_ORDERS_PASSWORD", "kX3-vR9_wQ1z"),
                ("SHOP_PORT_FILE", "8080"),
            ];
            let found = texts.iter().find(|(name, _)| *name == variable);
            let value = |text| SourceValue::new(text, "the folder").of_this_machine();
            Ok(found.map(|(_, text)| value(*text).with_notices([Notice::OthersRead])))
        }
    }

    #[test]
    fn every_user_may_read_the_file_of_a_public_value() {
        let read = read(&MANIFEST, &Readable, None, Keep::Everything, &Progress::default());
        let findings = read.loaded.problems.iter().map(|(_, problem)| match problem {
            Problem::Finding(finding) => {
                assert_eq!(finding.rule().name, "readable_secret_file");
                finding.variable().unwrap_or_default()
            }
            _ => "a failure",
        });
        assert_eq!(findings.collect::<Vec<_>>(), ["SHOP_ORDERS_URL", "SHOP_ORDERS_PASSWORD"]);
        assert!(!read.loaded.is_denied());
    }

    #[test]
    fn two_variables_that_exclude_each_other_are_named_with_places_that_differ() {
        let both = |one, other| {
            let mut reader = ValueReader::new(&Readable);
            reader.origins = vec![("X_URL".to_owned(), one), ("X_HOST".to_owned(), other)];
            reader.both("X_URL", "X_HOST")
        };
        assert_eq!(both("a".into(), "a".into()), "`X_URL` and `X_HOST` are both set");
        assert_eq!(both("a".into(), "b".into()), "`X_URL` is in a, and `X_HOST` in b");
    }

    /// The report of a check, and the place and the fingerprint of each accepted field.
    fn everything(source: &dyn Source) -> (Option<String>, String) {
        let read = read(&MANIFEST, source, None, Keep::Everything, &Progress::default());
        let items = read.loaded.items.iter().map(|item| {
            let Place { field, variable, origin } = item.place.clone();
            (field, variable, origin, KEY.hash_one(item.fingerprint))
        });
        let report = check(&MANIFEST, source).err().map(|error| error.to_string());
        (report, format!("{:?} {}", items.collect::<Vec<_>>(), KEY.hash_one(read.values)))
    }

    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

    #[test]
    fn a_wrapped_source_is_read_as_the_source_itself() {
        const LOCATOR: &str = "gophers://ada:kX3-vR9_wQ1z@db.example.com/";
        const NAMES: [&str; 12] = [
            "SHOP_ORDERS_URL", "SHOP_ORDERS_URL_FILE", "SHOP_ORDERS_USER", "SHOP_ORDERS_PASSWORD",
            "SHOP_ORDERS_HOST", "SHOP_ORDERS_CA_FILE", "CACHE", "CACHE_PASSWORD", "CACHE_URL",
            "SHOP_KEY", "SHOP_PORT_FILE", "SHOP_PORT_FILE_FILE",
        ];
        let mut refused = 0;
        for set in 0..1 << NAMES.len() {
            for value in [LOCATOR, "8080", ""] {
                let variables: Vec<_> = NAMES
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| set >> i & 1 == 1)
                    .map(|(_, name)| (*name, value))
                    .collect();
                let source = Environment::from_iter(variables.clone());
                let itself = everything(&source);
                refused += usize::from(itself.0.is_some());
                let wrapped = Sources::new().then(Arc::new(WithCredentials::new(source)));
                assert_eq!(everything(&wrapped), itself, "{variables:?}");
            }
        }
        assert!(refused > 0 && refused < 3 << NAMES.len());
    }
}
