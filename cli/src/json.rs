//! The report as JSON, and the printing of JSON documents.

use std::io::Write as _;
use std::time::UNIX_EPOCH;

use backing_services_runtime::problem::{Problem, Severity};
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use super::ExitReason;
use crate::output::{Output, broken};
use crate::report::{FieldReport, FieldState, Report};

/// The URL of the schema in the repository.
const SCHEMA_ID: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/raw/main/cli/schemas/report.json");

/// Prints a document, indented.
pub(super) fn print(document: &impl Serialize, out: &mut Output) -> Result<(), ExitReason> {
    // Every map has strings as keys, and no value fails to serialize. So only the output can fail.
    let text = serde_json::to_string_pretty(document)
        .map_err(|_| Box::new("the report cannot be written as JSON") as ExitReason)?;
    writeln!(out, "{text}").map_err(broken)
}

impl Serialize for Report {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        let mut fields = serializer.serialize_struct("Report", 15)?;
        fields.serialize_field("$schema", SCHEMA_ID)?;
        fields.serialize_field("version", env!("CARGO_PKG_VERSION"))?;
        fields.serialize_field("program", &self.program)?;
        fields.serialize_field("command", self.command.name())?;
        fields.serialize_field("command_line", &self.line)?;
        fields.serialize_field("env_file", &self.env_file)?;
        fields.serialize_field("only", &self.only)?;
        fields.serialize_field("struct", self.manifest.struct_name())?;
        fields.serialize_field("docs", self.manifest.doc_comment())?;
        fields.serialize_field("declared", &self.declared)?;
        fields.serialize_field("passed", &self.has_passed())?;
        fields.serialize_field(
            "taken_at",
            &self.taken_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        )?;
        fields.serialize_field("took_ms", &self.took.as_millis())?;
        fields.serialize_field("counts", &Counts(self))?;
        fields.serialize_field("fields", &self.rows.iter().map(Entry).collect::<Vec<_>>())?;
        fields.end()
    }
}

/// The number of fields by state, and of problems by severity.
struct Counts<'a>(&'a Report);

impl Serialize for Counts<'_> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        let Self(report) = self;
        let mut fields =
            serializer.serialize_struct("Counts", FieldState::ALL.len() + Severity::ALL.len())?;
        for state in FieldState::ALL {
            fields.serialize_field(
                state.name(),
                &report.rows.iter().filter(|row| row.state == state).count(),
            )?;
        }
        for severity in Severity::ALL {
            fields.serialize_field(severity.plural(), &report.count(severity))?;
        }
        fields.end()
    }
}

/// A field, as its JSON.
struct Entry<'a>(&'a FieldReport);

impl Serialize for Entry<'_> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        let field = self.0;
        let failures: Vec<_> = field
            .problems
            .iter()
            .filter_map(|problem| match problem {
                Problem::Failure(failure) => Some(failure),
                _ => None,
            })
            .collect();
        let findings: Vec<_> = field
            .problems
            .iter()
            .filter_map(|problem| match problem {
                Problem::Finding(finding) => Some(finding),
                _ => None,
            })
            .collect();
        let mut fields = serializer.serialize_struct("FieldReport", 13)?;
        fields.serialize_field("name", &field.path)?;
        fields.serialize_field("variable", &field.variable)?;
        fields.serialize_field("category", field.field.category().name())?;
        fields.serialize_field("kind", field.kind())?;
        fields.serialize_field("docs", field.field.doc_comment())?;
        fields.serialize_field("state", field.state.name())?;
        fields.serialize_field("origin", &field.origin)?;
        fields.serialize_field("endpoint", &field.endpoint)?;
        fields.serialize_field("posture", &field.posture)?;
        fields.serialize_field("findings", &findings)?;
        fields.serialize_field("failures", &failures)?;
        fields.serialize_field("waivers", field.field.declaration().waived_rules())?;
        fields.serialize_field("took_ms", &field.took.map(|took| took.as_millis()))?;
        fields.end()
    }
}
