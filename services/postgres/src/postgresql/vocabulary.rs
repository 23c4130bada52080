//! The privileges that PostgreSQL can grant, the names of objects in its statements, and the
//! statements that create an account.

use std::fmt::{self, Write as _};

use backing_services_runtime::grants::Grants;
use backing_services_runtime::needs::{Grantable, Identifier, Names, Need, Needs};

const OF_TABLES: &[&str] =
    &["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"];
const OF_SEQUENCES: &[&str] = &["USAGE", "SELECT", "UPDATE"];

/// The privileges that an account can be granted (PostgreSQL documentation, 5.8 and `GRANT`). A
/// view, a materialised view and a foreign table are a `TABLE`.
pub(crate) const PRIVILEGES: &[Grantable] = &[
    Grantable::new("TABLE", OF_TABLES, Names::Identifiers(2))
        .with_columns(&["SELECT", "INSERT", "UPDATE", "REFERENCES"]),
    Grantable::new("ALL TABLES IN SCHEMA", OF_TABLES, Names::Identifiers(1)),
    Grantable::new("SEQUENCE", OF_SEQUENCES, Names::Identifiers(2)),
    Grantable::new("ALL SEQUENCES IN SCHEMA", OF_SEQUENCES, Names::Identifiers(1)),
    Grantable::new("FUNCTION", &["EXECUTE"], Names::Routines(2)),
    Grantable::new("PROCEDURE", &["EXECUTE"], Names::Routines(2)),
    Grantable::new("SCHEMA", &["USAGE", "CREATE"], Names::Identifiers(1)),
    Grantable::new("DATABASE", &["CONNECT", "CREATE", "TEMPORARY"], Names::Identifiers(1)),
];

/// The schema of a name that is written without one. It does not depend on `search_path`, which
/// other users can set.
const SCHEMA: &str = "public";

/// The schemas of PostgreSQL itself. Their objects are granted to every role or to administrators,
/// so no field has to need them.
const OF_ITS_OWN: [&str; 2] = ["pg_catalog", "information_schema"];

/// An object that privileges are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    /// The kind, as PostgreSQL's statements write it: `TABLE`.
    pub(super) kind: &'static str,
    /// `None` for an object that is in no schema.
    pub(super) schema: Option<String>,
    /// `None` for all objects of this kind in the schema.
    pub(super) name: Option<String>,
    /// The types of a routine's arguments, separated by commas.
    pub(super) arguments: Option<String>,
    /// True if `name` is the whole name, as PostgreSQL's statements write it.
    pub(super) is_identified: bool,
}

impl Object {
    pub(super) fn schema_named(name: &str) -> Self {
        Self {
            kind: "SCHEMA",
            schema: None,
            name: Some(name.to_owned()),
            arguments: None,
            is_identified: false,
        }
    }

    fn needed_by(need: &Need) -> Self {
        let mut names = need.identifiers().into_iter().map(folded);
        let (first, second) = (names.next(), names.next());
        let all = match need.kind {
            "ALL TABLES IN SCHEMA" => Some("TABLE"),
            "ALL SEQUENCES IN SCHEMA" => Some("SEQUENCE"),
            _ => None,
        };
        if let Some(kind) = all {
            return Self { kind, schema: first, name: None, arguments: None, is_identified: false };
        }
        if matches!(need.kind, "SCHEMA" | "DATABASE") {
            return Self {
                kind: need.kind,
                schema: None,
                name: first,
                arguments: None,
                is_identified: false,
            };
        }
        let arguments =
            matches!(need.kind, "FUNCTION" | "PROCEDURE").then(|| need.arguments().join(", "));
        let (schema, name) =
            if second.is_some() { (first, second) } else { (Some(SCHEMA.to_owned()), first) };
        Self { kind: need.kind, schema, name, arguments, is_identified: false }
    }

    /// True if the other object is this one, or among all those that this one stands for.
    pub(super) fn holds(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.schema == other.schema
            && (self.name.is_none() || self.name == other.name && self.arguments == other.arguments)
    }

    /// The name alone, with every part between quotation marks.
    pub(super) fn name_in_sql(&self) -> String {
        if let (true, Some(name)) = (self.is_identified, &self.name) {
            return name.clone();
        }
        let parts: Vec<_> = self.schema.iter().chain(&self.name).map(|name| quoted(name)).collect();
        let arguments =
            self.arguments.as_ref().map(|arguments| format!("({arguments})")).unwrap_or_default();
        format!("{}{arguments}", parts.join("."))
    }

    /// The object as it is written behind `ON`, with every name between quotation marks.
    pub(super) fn in_sql(&self) -> String {
        let all = if self.name.is_none() {
            format!("ALL {}S IN SCHEMA", self.kind)
        } else {
            self.kind.to_owned()
        };
        format!("{all} {}", self.name_in_sql())
    }
}

/// The object as `needs` may write it.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            None => write!(f, "ALL {}S IN SCHEMA ", self.kind)?,
            Some(name) if self.is_identified => return write!(f, "{} {name}", self.kind),
            Some(role) if self.kind.starts_with("FUTURE ") => {
                let schema = self.schema.as_deref().unwrap_or_default();
                return write!(f, "{} OF {} IN SCHEMA {}", self.kind, shown(role), shown(schema));
            }
            Some(_) => write!(f, "{} ", self.kind)?,
        }
        let parts: Vec<_> = self.schema.iter().chain(&self.name).map(|name| shown(name)).collect();
        f.write_str(&parts.join("."))?;
        self.arguments.as_ref().map_or(Ok(()), |arguments| write!(f, "({arguments})"))
    }
}

/// One privilege on one object, or on some of its columns.
#[derive(Clone, Debug)]
pub(super) struct Want {
    pub(super) privilege: &'static str,
    pub(super) columns: Vec<String>,
    /// The index of the object in [`Wants::objects`].
    pub(super) object: usize,
}

/// The privileges that a field needs, in PostgreSQL's terms: names are folded, and the schema is
/// always set.
#[derive(Clone, Debug, Default)]
pub(super) struct Wants {
    pub(super) objects: Vec<Object>,
    pub(super) list: Vec<Want>,
}

impl Wants {
    pub(super) fn of(needs: &Needs) -> Self {
        let mut wants = Self::default();
        for need in needs.iter() {
            let object = Object::needed_by(need);
            if object.schema.as_deref().is_some_and(|schema| OF_ITS_OWN.contains(&schema)) {
                continue;
            }
            let at = wants.objects.iter().position(|known| *known == object).unwrap_or_else(|| {
                wants.objects.push(object);
                wants.objects.len() - 1
            });
            let columns = need.columns.iter().cloned().map(folded).collect();
            wants.list.push(Want { privilege: need.privilege, columns, object: at });
        }
        wants
    }

    /// The schemas of the needed objects: an object cannot be used without `USAGE` on its schema.
    pub(super) fn schemas(&self) -> Vec<&str> {
        let mut schemas: Vec<&str> = Vec::new();
        for schema in self.objects.iter().filter_map(|object| object.schema.as_deref()) {
            if !schemas.contains(&schema) {
                schemas.push(schema);
            }
        }
        schemas
    }

    pub(super) fn on(&self, object: usize) -> impl Iterator<Item = &Want> {
        self.list.iter().filter(move |want| want.object == object)
    }

    /// The rows of the query, in the order of [`Wants::objects`].
    pub(super) fn in_sql(&self) -> String {
        let rows: Vec<_> =
            self.objects.iter().enumerate().map(|(at, object)| row(at, object)).collect();
        if rows.is_empty() {
            let columns = ["int4", "text", "text", "text", "text"]
                .map(|kind| format!("NULL::pg_catalog.{kind}"));
            return format!("SELECT {} WHERE false", columns.join(", "));
        }
        format!("VALUES {}", rows.join(", "))
    }
}

fn row(at: usize, object: &Object) -> String {
    let text = |text: &Option<String>| {
        text.as_deref().map_or_else(|| "NULL::pg_catalog.text".to_owned(), literal)
    };
    let arguments = object.arguments.as_ref().map_or_else(
        || "NULL::pg_catalog.text".to_owned(),
        |arguments| {
            let types = arguments.split(", ").filter(|kind| !kind.is_empty());
            let types: Vec<_> = types.map(oid_of_type).collect();
            if types.is_empty() {
                "''::pg_catalog.text".to_owned()
            } else {
                types.join(" || ' '::pg_catalog.text || ")
            }
        },
    );
    format!(
        "({at}, {}, {}, {}, {arguments})",
        literal(object.kind),
        text(&object.schema),
        text(&object.name)
    )
}

/// The oid of a type, as a text. As for every needed object, a type without a schema is
/// PostgreSQL's own or in `public`. A type that does not exist has to keep its position.
fn oid_of_type(kind: &str) -> String {
    let oid = |kind: &str| {
        format!("pg_catalog.to_regtype({}::pg_catalog.text)::pg_catalog.oid", literal(kind))
    };
    let in_public = if kind.contains([' ', '.']) {
        String::new()
    } else {
        format!(", {}", oid(&format!("{SCHEMA}.{kind}")))
    };
    format!("COALESCE({}{in_public}, '0')::pg_catalog.text", oid(kind))
}

/// An identifier as PostgreSQL stores it: in lower case, unless it is quoted (documentation,
/// 4.1.1).
fn folded(identifier: Identifier) -> String {
    if identifier.is_quoted { identifier.name } else { identifier.name.to_ascii_lowercase() }
}

/// An identifier, between quotation marks.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An identifier with quotation marks only if it needs them.
pub(super) fn shown(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '$');
    if is_plain { name.to_owned() } else { quoted(name) }
}

/// A text between apostrophes. It reads the same for each value of `standard_conforming_strings`.
pub(super) fn literal(text: &str) -> String {
    let escape = if text.contains('\\') { "E" } else { "" };
    format!("{escape}'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A privilege, with its columns as `name` writes them.
pub(super) fn with_columns(
    privilege: &str,
    columns: &[String],
    name: fn(&str) -> String,
) -> String {
    if columns.is_empty() {
        return privilege.to_owned();
    }
    format!(
        "{privilege} ({})",
        columns.iter().map(|column| name(column)).collect::<Vec<_>>().join(", ")
    )
}

/// The statements that create an account.
pub(crate) fn grants(grants: &Grants) -> String {
    let wants = Wants::of(grants.needs());
    let account = quoted(grants.account());
    let mut text = format!(
        "-- It has no password, and cannot log in by one before it gets it: `\\password \
         {account}` in psql.\n\
         -- Before PostgreSQL 15, every account may create objects in \"public\". Once in each \
         database: REVOKE CREATE ON SCHEMA public FROM PUBLIC;\n\
         CREATE ROLE {account} LOGIN;\n"
    );
    let connect = match grants.database() {
        Some(database) => format!("GRANT CONNECT ON DATABASE {} TO {account};", quoted(database)),
        // The database that the statements run in: only a statement that is put together there can
        // name it.
        None => {
            let statement = format!(
                "BEGIN EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I', \
                 pg_catalog.current_database(), {}); END",
                literal(grants.account())
            );
            format!("DO {};", literal(&statement))
        }
    };
    // Writing to a `String` does not fail.
    let _ = writeln!(text, "{connect}");
    for schema in wants.schemas() {
        let _ = writeln!(text, "GRANT USAGE ON SCHEMA {} TO {account};", quoted(schema));
    }
    for (at, object) in wants.objects.iter().enumerate() {
        let privileges: Vec<_> =
            wants.on(at).map(|want| with_columns(want.privilege, &want.columns, quoted)).collect();
        let _ =
            writeln!(text, "GRANT {} ON {} TO {account};", privileges.join(", "), object.in_sql());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(needs: &str) -> Wants {
        Wants::of(&Needs::parse(needs, "PostgreSQL", PRIVILEGES).unwrap())
    }

    #[test]
    fn names_are_folded_as_in_postgresql() {
        for (needs, shown, sql) in [
            ("SELECT ON Orders", "TABLE public.orders", "TABLE \"public\".\"orders\""),
            (
                "SELECT ON billing.\"Or\u{e4} ders\"",
                "TABLE billing.\"Or\u{e4} ders\"",
                "TABLE \"billing\".\"Or\u{e4} ders\"",
            ),
            ("SELECT ON \"select\"", "TABLE public.select", "TABLE \"public\".\"select\""),
            (
                "SELECT ON ALL TABLES IN SCHEMA shop",
                "ALL TABLES IN SCHEMA shop",
                "ALL TABLES IN SCHEMA \"shop\"",
            ),
            ("USAGE ON SCHEMA \"S\"", "SCHEMA \"S\"", "SCHEMA \"S\""),
            (
                "EXECUTE ON FUNCTION settle( int,text )",
                "FUNCTION public.settle(int, text)",
                "FUNCTION \"public\".\"settle\"(int, text)",
            ),
        ] {
            let wants = wants(needs);
            assert_eq!(wants.objects[0].to_string(), shown);
            assert_eq!(wants.objects[0].in_sql(), sql);
        }
    }

    #[test]
    fn quoted_text_stays_one_token() {
        assert_eq!(quoted("a\"; DROP ROLE x; --"), "\"a\"\"; DROP ROLE x; --\"");
        assert_eq!(literal("a'; DROP ROLE x; --"), "'a''; DROP ROLE x; --'");
        assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
        assert_eq!(shown("a b"), "\"a b\"");
    }

    #[test]
    fn system_objects_are_not_needed() {
        assert!(
            wants(
                "SELECT ON pg_catalog.pg_class; EXECUTE ON FUNCTION pg_catalog.pg_read_file(text)"
            )
            .objects
            .is_empty()
        );
    }

    #[test]
    fn columns_of_one_object_are_one_object() {
        let wants = wants("SELECT (id, \"Name\"), INSERT ON orders; DELETE ON public.orders");
        assert_eq!(wants.objects.len(), 1);
        let list: Vec<_> =
            wants.on(0).map(|want| with_columns(want.privilege, &want.columns, shown)).collect();
        assert_eq!(list, ["SELECT (id, \"Name\")", "INSERT", "DELETE"]);
    }
}
