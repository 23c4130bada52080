//! The vocabulary of `needs`, in the words of `GRANT`; its comparison with grants; and the
//! statements that create an account.
//!
//! Privileges: MySQL Reference Manual, 8.2.2; MariaDB Knowledge Base, "GRANT".

use std::fmt::{self, Write as _};

use backing_services_runtime::grants::Grants;
use backing_services_runtime::needs::{Grantable, Names, Need, Needs};

use crate::grants::{ALL, Granted, Naming, Pattern, Place, TABLE, quoted, same_word, shown};

/// The privileges that an account can be granted. Privileges on all databases at once make an
/// administrator, and cannot be needed.
pub(super) const PRIVILEGES: &[Grantable] = &[
    Grantable::new(
        TABLE,
        &[
            "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "REFERENCES", "INDEX",
            "ALTER", "CREATE VIEW", "SHOW VIEW", "TRIGGER", "DELETE HISTORY",
            "CREATE TEMPORARY TABLES", "LOCK TABLES", "EVENT", CREATE_ROUTINE, "ALTER ROUTINE",
            "EXECUTE", "SHOW CREATE ROUTINE",
        ],
        Names::Wildcards(2),
    )
    .with_columns(&["SELECT", "INSERT", "UPDATE", "REFERENCES"])
    .with_all(&[
        "CREATE TEMPORARY TABLES", "LOCK TABLES", "EVENT", CREATE_ROUTINE, "ALTER ROUTINE",
        "EXECUTE", "SHOW CREATE ROUTINE",
    ]),
    Grantable::new("PROCEDURE", OF_ROUTINES, Names::Identifiers(2)),
    Grantable::new("FUNCTION", OF_ROUTINES, Names::Identifiers(2)),
    Grantable::new("PACKAGE", OF_ROUTINES, Names::Identifiers(2)),
    Grantable::new("PACKAGE BODY", OF_ROUTINES, Names::Identifiers(2)),
];

const OF_ROUTINES: &[&str] = &["EXECUTE", "ALTER ROUTINE"];
const CREATE_ROUTINE: &str = "CREATE ROUTINE";

/// One privilege that a field needs.
#[derive(Clone, Debug)]
pub(super) struct Want {
    pub(super) privilege: &'static str,
    /// Empty for all columns.
    pub(super) columns: Vec<String>,
    /// Empty if neither `needs` nor the locator names one.
    database: String,
    /// The object's kind and name; `None` for all objects of the database.
    object: Option<(&'static str, String)>,
}

/// Returns true if an object is named without its database, so that the locator has to name one.
pub(super) fn needs_a_database(needs: &Needs) -> bool {
    needs.iter().any(|need| parts(need).0.is_none())
}

/// The database, if it is named, and the object, if it is not `*`.
fn parts(need: &Need) -> (Option<String>, Option<String>) {
    let mut names = need.identifiers();
    // A quoted `*` is a name.
    let object = names
        .pop()
        .filter(|object| object.is_quoted || object.name != "*")
        .map(|object| object.name);
    (names.pop().map(|database| database.name), object)
}

impl Want {
    /// True for a privilege on one table, view or routine.
    pub(super) const fn is_of_an_object(&self) -> bool {
        self.object.is_some()
    }

    /// All that is needed. `database` completes names without a database.
    pub(super) fn all(needs: &Needs, database: &str) -> Vec<Self> {
        let want = |need: &Need| {
            let (named, object) = parts(need);
            Self {
                privilege: need.privilege,
                columns: need.columns.iter().map(|column| column.name.clone()).collect(),
                database: named.unwrap_or_else(|| database.to_owned()),
                object: object.map(|name| (need.kind, name)),
            }
        };
        needs.iter().map(want).collect()
    }

    /// Returns true if a grant includes this privilege: for one of its columns, or as a whole.
    pub(super) fn is_given_by(&self, held: &Granted, column: Option<&str>, naming: Naming) -> bool {
        let takes_column = match (&held.column, column) {
            (None, _) => true,
            (Some(held), Some(column)) => same_word(held, column),
            (Some(_), None) => false,
        };
        (held.privilege == self.privilege || held.privilege == ALL)
            && takes_column
            && match &held.place {
                Place::Everywhere => true,
                Place::Database(pattern) => pattern.covers(&self.database, naming),
                place => self.is_at(place, naming),
            }
    }

    /// Returns true if this privilege of a grant is needed at its place, and exceeds the need in
    /// nothing.
    pub(super) fn needs(&self, held: &Granted, privilege: &str, naming: Naming) -> bool {
        let takes_columns = self.columns.is_empty()
            || held
                .column
                .as_ref()
                .is_some_and(|held| self.columns.iter().any(|c| same_word(c, held)));
        match &held.place {
            Place::Database(pattern) => {
                let is_it = self.object.is_none()
                    && pattern
                        .name(naming)
                        .is_some_and(|name| naming.is_same(&name, &self.database));
                self.privilege == privilege && takes_columns && is_it
            }
            Place::Object { kind, database, .. } if naming.is_same(database, &self.database) => {
                // The server grants both to the creator of a routine (`automatic_sp_privileges`).
                let is_made = self.privilege == CREATE_ROUTINE
                    && *kind != TABLE
                    && OF_ROUTINES.contains(&privilege);
                let is_it = self.object.is_none() || self.is_at(&held.place, naming);
                is_made || self.privilege == privilege && takes_columns && is_it
            }
            _ => false,
        }
    }

    fn is_at(&self, place: &Place, naming: Naming) -> bool {
        let (Place::Object { kind, database, name }, Some((wanted, object))) =
            (place, &self.object)
        else {
            return false;
        };
        let is_same =
            if *kind == TABLE { naming.is_same(name, object) } else { same_word(name, object) };
        kind == wanted && is_same && naming.is_same(database, &self.database)
    }

    /// The same privilege for these columns only.
    pub(super) fn of(&self, columns: Vec<String>) -> Self {
        Self { columns, ..self.clone() }
    }

    /// The statement that grants it to an account.
    pub(super) fn statement(&self, account: &str) -> String {
        format!("GRANT {} ON {} TO {account};", self.with_columns(quoted), self.place().in_sql())
    }

    fn with_columns(&self, name: fn(&str) -> String) -> String {
        let columns: Vec<_> = self.columns.iter().map(|column| name(column)).collect();
        if columns.is_empty() {
            self.privilege.to_owned()
        } else {
            format!("{} ({})", self.privilege, columns.join(", "))
        }
    }

    fn place(&self) -> Place {
        match &self.object {
            None => Place::Database(Pattern::of(&self.database)),
            Some((kind, name)) => {
                Place::Object { kind, database: self.database.clone(), name: name.clone() }
            }
        }
    }

    /// The place in a statement that runs in the selected database, whichever that is.
    fn unqualified(&self) -> String {
        match &self.object {
            None => "*".to_owned(),
            Some((TABLE, name)) => quoted(name),
            Some((kind, name)) => format!("{kind} {}", quoted(name)),
        }
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, object) = self
            .object
            .as_ref()
            .map_or((TABLE, "*".to_owned()), |(kind, name)| (*kind, shown(name)));
        write!(f, "{} ON {kind} {}.{object}", self.with_columns(shown), shown(&self.database))
    }
}

/// A string literal, independent of `sql_mode`: in some modes a backslash is an escape.
fn literal(text: &str) -> String {
    if text.contains('\\') {
        let digits: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
        return format!("CONVERT(X'{digits}' USING utf8mb4)");
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// The account, for logins from any host.
fn account(grants: &Grants) -> String {
    format!("{}@`%`", quoted(grants.account()))
}

/// The statements that create an account.
pub(super) fn grants(grants: &Grants) -> String {
    let account = account(grants);
    let mut text = format!(
        "-- It is locked until it has a password: \
         ALTER USER {account} IDENTIFIED BY '…' ACCOUNT UNLOCK;\n\
         CREATE USER {account} REQUIRE SSL ACCOUNT LOCK;\n"
    );
    let mut places: Vec<(String, Vec<String>)> = Vec::new();
    for want in Want::all(grants.needs(), grants.database().unwrap_or_default()) {
        let place =
            if want.database.is_empty() { want.unqualified() } else { want.place().in_sql() };
        let privilege = want.with_columns(quoted);
        match places.iter_mut().find(|(other, _)| *other == place) {
            Some((_, privileges)) => privileges.push(privilege),
            None => places.push((place, vec![privilege])),
        }
    }
    for (place, privileges) in places {
        let privileges = privileges.join(", ");
        // Writing to a `String` does not fail.
        let _ = if place == "*" {
            // `ON *` reads the database's name as a pattern: only a statement that is built in the
            // server can escape the name.
            let escape = |name: &str, c: char, before: &str| {
                format!("REPLACE({name}, '{c}', CONCAT({before}, '{c}'))")
            };
            let backslash = "CHAR(92 USING utf8mb4)";
            let name =
                format!("REPLACE(DATABASE(), {backslash}, CONCAT({backslash}, {backslash}))");
            let name = escape(&escape(&escape(&name, '_', backslash), '%', backslash), '`', "'`'");
            let (before, after) = (
                literal(&format!("GRANT {privileges} ON `")),
                literal(&format!("`.* TO {account}")),
            );
            writeln!(
                text,
                "SET @backing_services = CONCAT({before}, {name}, {after});\n\
                 PREPARE backing_services FROM @backing_services; EXECUTE backing_services; \
                 DEALLOCATE PREPARE backing_services;"
            )
        } else {
            writeln!(text, "GRANT {privileges} ON {place} TO {account};")
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(needs: &str) -> Vec<Want> {
        Want::all(&Needs::parse(needs, "MySQL", PRIVILEGES).unwrap(), "my_shop")
    }

    #[test]
    fn names_are_shown_and_quoted() {
        for (needs, shown, sql) in [
            (
                "SELECT ON Orders",
                "SELECT ON TABLE my_shop.Orders",
                "GRANT SELECT ON `my_shop`.`Orders` TO u;",
            ),
            ("EVENT ON *", "EVENT ON TABLE my_shop.*", "GRANT EVENT ON `my\\_shop`.* TO u;"),
            ("SELECT ON `a%b`.*", "SELECT ON TABLE `a%b`.*", "GRANT SELECT ON `a\\%b`.* TO u;"),
            ("SELECT ON shop.`*`", "SELECT ON TABLE shop.`*`", "GRANT SELECT ON `shop`.`*` TO u;"),
            (
                "UPDATE (id, \"na am\") ON a.b",
                "UPDATE (id, `na am`) ON TABLE a.b",
                "GRANT UPDATE (`id`, `na am`) ON `a`.`b` TO u;",
            ),
            (
                "EXECUTE ON PACKAGE BODY p",
                "EXECUTE ON PACKAGE BODY my_shop.p",
                "GRANT EXECUTE ON PACKAGE BODY `my_shop`.`p` TO u;",
            ),
        ] {
            let want = wants(needs).remove(0);
            assert_eq!((want.to_string().as_str(), want.statement("u").as_str()), (shown, sql));
        }
    }

    #[test]
    fn a_name_without_a_database_needs_the_locators() {
        let needs = |text| Needs::parse(text, "MySQL", PRIVILEGES).unwrap();
        assert!(needs_a_database(&needs("SELECT ON a.b, c")));
        assert!(needs_a_database(&needs("EVENT ON *")));
        assert!(!needs_a_database(&needs("SELECT ON a.b; EVENT ON a.*")));
    }

    #[test]
    fn quoting_prevents_injection() {
        assert_eq!(quoted("a`; DROP USER x; --"), "`a``; DROP USER x; --`");
        assert_eq!(literal("a'; DROP USER x; --"), "'a''; DROP USER x; --'");
        assert_eq!(literal("\\'"), "CONVERT(X'5C27' USING utf8mb4)");
    }
}
