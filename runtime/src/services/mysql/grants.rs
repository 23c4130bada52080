//! What `SHOW GRANTS` says.
//!
//! Its lines are statements: ``GRANT SELECT, INSERT ON `shop`.* TO `u`@`%` ``. A line can hold a hash of the password, and is never repeated.

use std::collections::{BTreeMap, BTreeSet};

/// How many privileges are believed: more than ten thousand tables with the four that an application has.
const MOST_PRIVILEGES: usize = 50_000;

/// The longest name that is believed, in bytes: 64 characters are what both products allow, 128 in a role's name on MariaDB.
const LONGEST_NAME: usize = 512;

/// Schemas that hold the server's own: accounts, everybody's statements, and routines that administrators call.
const SYSTEM_SCHEMAS: [&str; 3] = ["mysql", "performance_schema", "sys"];

/// As both products write it where nothing is left out.
pub(super) const ALL: &str = "ALL PRIVILEGES";

/// The right to pass on what one has; whoever has it is an administrator of that.
pub(super) const GRANT_OPTION: &str = "GRANT OPTION";

/// The same, of a role.
pub(super) const ADMIN_OPTION: &str = "ADMIN OPTION";

/// Everybody, on MariaDB.
pub(super) const PUBLIC: &str = "PUBLIC";

/// Whose rows in `mysql.db` hold for everybody, and are told nobody.
const NAMELESS: &str = "``@`%`";

/// The schemas that everybody is shown: the first is no more than what one may see otherwise, and in the other the server decides by itself what that is.
const EVERYBODYS: [&str; 2] = ["information_schema", "performance_schema"];

/// The kind of object that a name is of where none is said.
pub(super) const TABLE: &str = "TABLE";

/// What both products mean by all privileges on a table. MariaDB has `DELETE HISTORY` beside them.
const OF_TABLES: &[&str] = &[
    "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "REFERENCES", "INDEX", "ALTER",
    "CREATE VIEW", "SHOW VIEW", "TRIGGER",
];

/// What it means on a database, beside those.
const OF_DATABASES: &[&str] = &[
    "CREATE TEMPORARY TABLES", "LOCK TABLES", "EXECUTE", "CREATE ROUTINE", "ALTER ROUTINE", "EVENT",
];

/// Which server it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Product {
    pub(super) is_mariadb: bool,
    /// As far as it can be read; 0.0 otherwise.
    version: (u32, u32),
}

impl Product {
    /// Reads `10.11.6-MariaDB-log`.
    pub(super) fn of(version: &str) -> Self {
        let is_mariadb = version.to_ascii_lowercase().contains("mariadb");
        // What MariaDB puts in front for the sake of old replicas.
        let mut numbers =
            version.strip_prefix("5.5.5-").unwrap_or(version).split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next().and_then(|number| number.parse().ok()).unwrap_or_default();
        Self { is_mariadb, version: (next(), next()) }
    }

    /// What the server means by all privileges on a place.
    pub(super) fn all_of(self, place: &Place) -> Vec<&'static str> {
        let is_database = matches!(place, Place::Database(_));
        let mut all = OF_TABLES.to_vec();
        if is_database {
            all.extend(OF_DATABASES);
        }
        if self.is_mariadb {
            all.push("DELETE HISTORY");
            if is_database && self.version >= (11, 3) {
                all.push("SHOW CREATE ROUTINE");
            }
        }
        all
    }
}

/// A database, a table, a routine, or what else there is something granted on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// `*.*`.
    Everywhere,
    /// `shop.*`.
    Database(Pattern),
    /// `shop.orders`, `PROCEDURE shop.settle`.
    Object { kind: &'static str, database: String, name: String },
    /// A role, to pass on.
    Role(String),
    /// Another account, to be.
    Proxy(String),
}

/// The name of a database as `GRANT` takes it: `_` is any character, and `%` any number of them, unless there is a backslash before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern(pub(super) String);

/// A privilege, or a column's share of it; where, and who holds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Granted {
    pub(super) place: Place,
    /// As a statement writes it: an account, a role, both quoted, or `PUBLIC`.
    pub(super) holder: String,
    pub(super) privilege: String,
    pub(super) column: Option<String>,
}

/// How the server compares names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Naming {
    /// Databases and tables are the same whatever their case (`lower_case_table_names`).
    pub(super) ignores_case: bool,
    /// Databases' names are no patterns (`partial_revokes`).
    pub(super) is_literal: bool,
}

/// Everything that an account is granted, and may be granted by taking on a role.
#[derive(Clone, Debug)]
pub(super) struct Grants {
    /// The account, as a statement writes it.
    pub(super) account: String,
    /// Whether it holds as soon as the account has logged in; else a role has to be taken on before.
    pub(super) list: BTreeMap<Granted, bool>,
    /// Who was granted which role, both quoted.
    pub(super) memberships: BTreeSet<(String, String)>,
    /// Everybody of whom there was a line.
    holders: BTreeSet<String>,
}

impl Grants {
    /// Nothing yet. `account` is what `CURRENT_USER()` says: `u@%`.
    pub(super) fn new(account: &str) -> Self {
        let (name, host) = account.rsplit_once('@').unwrap_or((account, "%"));
        let account = format!("{}@{}", quoted(name), quoted(host));
        Self {
            account,
            list: BTreeMap::new(),
            memberships: BTreeSet::new(),
            holders: BTreeSet::new(),
        }
    }

    /// Reads a line; `None` where it is none that is known, or one too many. `is_active` where what it grants holds without taking a role on.
    pub(super) fn read(&mut self, line: &str, is_active: bool) -> Option<()> {
        // MariaDB says which role is the default one; MySQL says what was taken away again of `*.*`, which an administrator has.
        if line.starts_with("SET DEFAULT ROLE ") || line.starts_with("REVOKE ") {
            return Some(());
        }
        let grant = line.strip_prefix("GRANT ")?;
        let (what, whom) = split(grant, " TO ")?;
        let (holder, options) = split(whom, " ").unwrap_or((whom, ""));
        let holder = if holder == PUBLIC { holder.to_owned() } else { requoted(holder)? };
        self.holders.insert(holder.clone());

        let Some((privileges, place)) = split(what, " ON ") else {
            // No place: these are roles.
            for role in list(what) {
                let role = requoted(role)?;
                if split(options, ADMIN_OPTION).is_some() {
                    self.add(Place::Role(role.clone()), &holder, ADMIN_OPTION, None, is_active)?;
                }
                self.memberships.insert((holder.clone(), role));
            }
            return (self.memberships.len() <= MOST_PRIVILEGES).then_some(());
        };
        let place = if privileges == "PROXY" {
            Place::Proxy(requoted(place)?)
        } else {
            Place::read(place)?
        };
        if split(options, GRANT_OPTION).is_some() {
            self.add(place.clone(), &holder, GRANT_OPTION, None, is_active)?;
        }
        for item in list(privileges) {
            let (privilege, columns) = match item.split_once(" (") {
                Some((privilege, columns)) => (privilege, list(columns.strip_suffix(')')?)),
                None => (item, Vec::new()),
            };
            if privilege == "USAGE" {
                continue;
            }
            // It becomes a part of a statement. What there is on `*.*` is an administrator's, whatever it is called.
            if place != Place::Everywhere && !is_words(privilege) {
                return None;
            }
            if columns.is_empty() {
                self.add(place.clone(), &holder, privilege, None, is_active)?;
            }
            for column in columns {
                self.add(place.clone(), &holder, privilege, Some(unquoted(column)?), is_active)?;
            }
        }
        Some(())
    }

    fn add(
        &mut self,
        place: Place,
        holder: &str,
        privilege: &str,
        column: Option<String>,
        is_active: bool,
    ) -> Option<()> {
        let granted =
            Granted { place, holder: holder.to_owned(), privilege: privilege.to_owned(), column };
        *self.list.entry(granted).or_default() |= is_active;
        (self.list.len() <= MOST_PRIVILEGES).then_some(())
    }

    /// The roles that the account may take on, quoted. What a role has of another one is told together with it, and cannot be taken on.
    pub(super) fn roles(&self) -> Vec<String> {
        self.memberships
            .iter()
            .filter(|(holder, _)| *holder == self.account)
            .map(|(_, role)| role.clone())
            .collect()
    }

    /// The memberships by which the account, or everybody, comes to what a role has.
    pub(super) fn ways(&self, holder: &str) -> Vec<&(String, String)> {
        let is_start = |start: &str| start == self.account || start == PUBLIC;
        self.memberships
            .iter()
            .filter(|(start, role)| is_start(start) && self.reached_from(role).contains(holder))
            .collect()
    }

    /// A role, and the roles that it has, and that those have.
    pub(super) fn reached_from<'a>(&'a self, role: &'a str) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::from([role]);
        let mut next = vec![role];
        while let Some(role) = next.pop() {
            let start = (role.to_owned(), String::new());
            for (_, inner) in
                self.memberships.range(start..).take_while(|(holder, _)| holder == role)
            {
                if reached.insert(inner) {
                    next.push(inner);
                }
            }
        }
        reached
    }

    /// Looks for what explains that the account is shown these schemas: it may do something there. Where no grant does, a row of `mysql.db` without a user does.
    pub(super) fn explain(&mut self, schemas: &[String], naming: Naming) -> Option<()> {
        let folded =
            |name: &str| if naming.ignores_case { name.to_lowercase() } else { name.to_owned() };
        let (mut names, mut patterns) = (BTreeSet::new(), BTreeSet::new());
        for granted in self.list.keys() {
            match &granted.place {
                Place::Everywhere => return Some(()),
                Place::Database(pattern) => match pattern.name(naming) {
                    Some(name) => drop(names.insert(folded(&name))),
                    None => drop(patterns.insert(pattern.clone())),
                },
                Place::Object { database, .. } => drop(names.insert(folded(database))),
                Place::Role(_) | Place::Proxy(_) => {}
            }
        }
        for schema in schemas {
            let is_everybodys =
                EVERYBODYS.iter().any(|everybodys| everybodys.eq_ignore_ascii_case(schema));
            if schema.len() > LONGEST_NAME {
                return None;
            }
            if !is_everybodys
                && !names.contains(&folded(schema))
                && !patterns.iter().any(|pattern| pattern.covers(schema, naming))
            {
                self.add(
                    Place::Database(Pattern::of(schema)),
                    NAMELESS,
                    "privileges that are not told",
                    None,
                    true,
                )?;
            }
        }
        Some(())
    }

    /// Whether there was a line of this holder: the account itself, or a role that is taken on already.
    pub(super) fn tells_of(&self, holder: &str) -> bool {
        self.holders.contains(holder)
    }

    /// Finds out which of its roles brings what. MySQL tells of the account together with its roles: `own` is without any, and each of the others with one.
    pub(super) fn attribute(&mut self, own: Self, with: Vec<(String, Self)>) {
        let together = std::mem::replace(&mut self.list, own.list);
        for (role, with) in with {
            for granted in with.list.into_keys() {
                let is_active = together.contains_key(&granted);
                if !self.list.contains_key(&granted) {
                    *self.list.entry(Granted { holder: role.clone(), ..granted }).or_default() |=
                        is_active;
                }
            }
        }
        // What nobody explains is the account's.
        let known: BTreeSet<_> = self
            .list
            .keys()
            .map(|granted| {
                (granted.place.clone(), granted.privilege.clone(), granted.column.clone())
            })
            .collect();
        let is_known = |granted: &Granted| {
            known.contains(&(
                granted.place.clone(),
                granted.privilege.clone(),
                granted.column.clone(),
            ))
        };
        self.list.extend(together.into_iter().filter(|(granted, _)| !is_known(granted)));
    }
}

impl Granted {
    /// Why it makes an administrator, beside what it is; `None` where it does not.
    pub(super) fn power(&self, naming: Naming) -> Option<String> {
        match &self.place {
            Place::Everywhere | Place::Role(_) | Place::Proxy(_) => Some(String::new()),
            _ if self.privilege == GRANT_OPTION => Some(String::new()),
            place => {
                let schema =
                    SYSTEM_SCHEMAS.into_iter().find(|schema| place.covers(schema, naming))?;
                Some(format!(", which reaches the schema `{schema}`"))
            }
        }
    }

    /// The privilege with its column, as `name` writes that.
    pub(super) fn with_column(&self, name: fn(&str) -> String) -> String {
        match &self.column {
            Some(column) => format!("{} ({})", self.privilege, name(column)),
            None => self.privilege.clone(),
        }
    }

    /// As the report names it: `SELECT ON TABLE shop.orders`.
    pub(super) fn shown(&self, naming: Naming) -> String {
        let privilege = self.with_column(shown);
        match &self.place {
            Place::Everywhere => format!("{privilege} ON *.*"),
            Place::Role(role) => format!("{privilege} of the role {role}"),
            Place::Proxy(account) => format!("{privilege} ON {account}"),
            Place::Database(pattern) => match pattern.name(naming) {
                Some(name) => format!("{privilege} ON TABLE {}.*", shown(&name)),
                None => format!(
                    "{privilege} ON TABLE {}.*, whose name is a pattern",
                    quoted(&pattern.0)
                ),
            },
            Place::Object { kind, database, name } => {
                format!("{privilege} ON {kind} {}.{}", shown(database), shown(name))
            }
        }
    }

    /// Whether it is everybody's.
    pub(super) fn is_everybodys(&self) -> bool {
        self.holder == PUBLIC || self.holder == NAMELESS
    }

    /// What takes it from somebody; `None` where its name is not one that a statement could hold.
    pub(super) fn revoked(&self, product: Product) -> Option<String> {
        if self.holder == NAMELESS {
            return Some("DELETE FROM mysql.db WHERE User = ''; FLUSH PRIVILEGES;".to_owned());
        }
        if !is_words(&self.privilege) {
            return None;
        }
        let (privilege, holder) = (self.with_column(quoted), &self.holder);
        Some(match &self.place {
            Place::Role(role) if product.is_mariadb => {
                format!("REVOKE ADMIN OPTION FOR {role} FROM {holder};")
            }
            Place::Role(role) => format!("REVOKE {role} FROM {holder}; GRANT {role} TO {holder};"),
            Place::Proxy(account) => format!("REVOKE PROXY ON {account} FROM {holder};"),
            place => format!("REVOKE {privilege} ON {} FROM {holder};", place.in_sql()),
        })
    }
}

impl Place {
    fn read(text: &str) -> Option<Self> {
        // The longer words first.
        let kinds = ["PACKAGE BODY", "PACKAGE", "PROCEDURE", "FUNCTION"];
        let named = kinds
            .into_iter()
            .find_map(|kind| Some((kind, text.strip_prefix(kind)?.strip_prefix(' ')?)));
        let (kind, text) = named.unwrap_or((TABLE, text));
        let (database, name) = split(text, ".")?;
        Some(match (database, name) {
            ("*", "*") => Self::Everywhere,
            (database, "*") => Self::Database(Pattern(unquoted(database)?)),
            (database, name) => {
                Self::Object { kind, database: unquoted(database)?, name: unquoted(name)? }
            }
        })
    }

    /// Whether it is in this database, or all of it.
    fn covers(&self, name: &str, naming: Naming) -> bool {
        match self {
            Self::Everywhere | Self::Role(_) | Self::Proxy(_) => false,
            Self::Database(pattern) => pattern.covers(name, naming),
            Self::Object { database, .. } => naming.is_same(database, name),
        }
    }

    /// As a statement writes it.
    pub(super) fn in_sql(&self) -> String {
        match self {
            Self::Everywhere => "*.*".to_owned(),
            Self::Database(pattern) => format!("{}.*", quoted(&pattern.0)),
            Self::Object { kind: TABLE, database, name } => {
                format!("{}.{}", quoted(database), quoted(name))
            }
            Self::Object { kind, database, name } => {
                format!("{kind} {}.{}", quoted(database), quoted(name))
            }
            Self::Role(name) | Self::Proxy(name) => name.clone(),
        }
    }
}

impl Pattern {
    /// The one name that it stands for; `None` where it stands for more.
    pub(super) fn name(&self, naming: Naming) -> Option<String> {
        let mut name = String::new();
        let mut pattern = self.0.chars();
        while let Some(c) = pattern.next() {
            match c {
                '%' | '_' if !naming.is_literal => return None,
                // One at the end stands for itself.
                '\\' => name.push(pattern.next().unwrap_or('\\')),
                c => name.push(c),
            }
        }
        Some(name)
    }

    /// Whether it stands for this name, among others or not.
    pub(super) fn covers(&self, name: &str, naming: Naming) -> bool {
        if let Some(only) = self.name(naming) {
            return naming.is_same(&only, name);
        }
        let fold =
            |text: &str| if naming.ignores_case { text.to_lowercase() } else { text.to_owned() };
        let (pattern, name): (Vec<_>, Vec<_>) =
            (fold(&self.0).chars().collect(), fold(name).chars().collect());
        // How many characters of the name the pattern up to here may stand for.
        let mut reached = vec![false; name.len() + 1];
        reached[0] = true;
        let mut at = 0;
        while at < pattern.len() {
            let mut next = vec![false; name.len() + 1];
            match pattern[at] {
                '%' => {
                    let first = reached.iter().position(|reached| *reached).unwrap_or(next.len());
                    next[first..].fill(true);
                }
                c => {
                    let is_escape = c == '\\' && at + 1 < pattern.len();
                    at += usize::from(is_escape);
                    let wanted = (c != '_').then_some(pattern[at]);
                    for (i, found) in name.iter().enumerate() {
                        next[i + 1] = reached[i] && wanted.is_none_or(|wanted| wanted == *found);
                    }
                }
            }
            reached = next;
            at += 1;
        }
        reached[name.len()]
    }

    /// The pattern that stands for one name, and no other.
    pub(super) fn of(name: &str) -> Self {
        Self(
            name.chars()
                .flat_map(|c| matches!(c, '\\' | '_' | '%').then_some('\\').into_iter().chain([c]))
                .collect(),
        )
    }
}

impl Naming {
    /// Whether two names are the same database's, or the same table's.
    pub(super) fn is_same(self, one: &str, other: &str) -> bool {
        one == other || self.ignores_case && same_word(one, other)
    }
}

/// Whether two names are the same column's, or the same routine's: these never have a case.
pub(super) fn same_word(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// An identifier as one would write it: between quotation marks only where it has to be.
pub(super) fn shown(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$'));
    if is_plain { name.to_owned() } else { quoted(name) }
}

/// An identifier, as a statement writes it.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn is_words(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '_' | ' '))
}

/// Splits at the first `separator` that stands outside of quotes.
fn split<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            // A doubled quote closes, and opens again.
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if text[at..].starts_with(separator) => {
                return Some((&text[..at], &text[at + separator.len()..]));
            }
            None if matches!(c, '`' | '\'' | '"') => quote = Some(c),
            None => {}
        }
    }
    None
}

/// What stands between commas, outside of quotes and parentheses.
fn list(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let (mut quote, mut depth, mut start) = (None, 0_usize, 0);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '`' | '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                items.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(text[start..].trim());
    items
}

/// An account's or a role's name, with its host where it has one, quoted anew; `None` where it is no name. A server's words become part of a statement here.
fn requoted(name: &str) -> Option<String> {
    match split(name, "@") {
        // An account may have no name.
        Some((name, host)) => Some(format!(
            "{}@{}",
            quoted(&unquoted_or_empty(name)?),
            quoted(&unquoted_or_empty(host)?)
        )),
        None => Some(quoted(&unquoted(name)?)),
    }
}

/// What a name is without its quotes; `None` where they do not fit, or there is nothing between them.
fn unquoted(name: &str) -> Option<String> {
    unquoted_or_empty(name).filter(|name| !name.is_empty())
}

fn unquoted_or_empty(name: &str) -> Option<String> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    let Some(quote @ ('`' | '\'' | '"')) = name.chars().next() else {
        return name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$'))
            .then(|| name.to_owned());
    };
    let inner = name.strip_prefix(quote)?.strip_suffix(quote)?;
    let doubled = format!("{quote}{quote}");
    let plain = inner.replace(&doubled, "");
    (!plain.contains(quote)).then(|| inner.replace(&doubled, &quote.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Grants {
        let mut grants = Grants::new("u@%");
        lines.iter().for_each(|line| grants.read(line, true).unwrap_or_else(|| panic!("{line}")));
        grants
    }

    fn powers(line: &str) -> Vec<String> {
        let naming = Naming::default();
        let grants = read(&[line]);
        let powers = grants
            .list
            .keys()
            .filter_map(|granted| Some(granted.shown(naming) + &granted.power(naming)?));
        powers.collect()
    }

    #[test]
    fn what_an_application_needs_makes_no_administrator() {
        for line in [
            "GRANT USAGE ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19'",
            "GRANT USAGE ON *.* TO `u`@`%` REQUIRE X509",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON `shop`.* TO `u`@`%`",
            "GRANT ALL PRIVILEGES ON `shop`.* TO `u`@`%`",
            "GRANT SELECT (`id`, ` ON *.* TO `), INSERT ON `shop`.`orders` TO `u`@`%`",
            "GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `u`@`%`",
            "GRANT SELECT ON `mysqlshop`.* TO `u`@`%`",
            "GRANT SELECT ON `my\\_shop`.* TO `u`@`%`",
            "SET DEFAULT ROLE `r` FOR `u`@`%`",
            "REVOKE SELECT ON `mysql`.* FROM `u`@`%`",
        ] {
            assert_eq!(powers(line), [""; 0], "{line}");
        }
    }

    #[test]
    fn what_makes_an_administrator() {
        let reaches = ", which reaches the schema `mysql`";
        for (line, named) in [
            (
                "GRANT ALL PRIVILEGES ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*24' WITH GRANT OPTION MAX_QUERIES_PER_HOUR 10",
                vec!["ALL PRIVILEGES ON *.*", "GRANT OPTION ON *.*"],
            ),
            ("GRANT PROCESS, FILE ON *.* TO `u`@`%`", vec!["FILE ON *.*", "PROCESS ON *.*"]),
            (
                "GRANT SYSTEM_USER,ROLE_ADMIN ON *.* TO `u`@`%`",
                vec!["ROLE_ADMIN ON *.*", "SYSTEM_USER ON *.*"],
            ),
            (
                "GRANT PROXY ON ''@'%' TO 'u'@'%' WITH GRANT OPTION",
                vec!["GRANT OPTION ON ``@`%`", "PROXY ON ``@`%`"],
            ),
            (
                "GRANT SELECT ON `shop`.* TO \"u\"@\"%\" WITH GRANT OPTION",
                vec!["GRANT OPTION ON TABLE shop.*"],
            ),
            ("GRANT `r` TO `u`@`%` WITH ADMIN OPTION", vec!["ADMIN OPTION of the role `r`"]),
            ("GRANT SELECT ON `MYSQL`.* TO `u`@`%`", vec![]),
            ("GRANT SELECT ON `mysql`.* TO `u`@`%`", vec!["SELECT ON TABLE mysql.*"]),
            (
                "GRANT SELECT (`a`) ON `mysql`.`user` TO `u`@`%`",
                vec!["SELECT (a) ON TABLE mysql.user"],
            ),
            (
                "GRANT SELECT ON `my%`.* TO `u`@`%`",
                vec!["SELECT ON TABLE `my%`.*, whose name is a pattern"],
            ),
            (
                "GRANT SELECT ON `m_sq_`.* TO `u`@`%`",
                vec!["SELECT ON TABLE `m_sq_`.*, whose name is a pattern"],
            ),
        ] {
            let expected: Vec<_> = named
                .iter()
                .map(|name| {
                    if name.contains("SELECT") {
                        format!("{name}{reaches}")
                    } else {
                        (*name).to_owned()
                    }
                })
                .collect();
            assert_eq!(powers(line), expected, "{line}");
        }
        // Where names have no case, this is the same schema.
        let granted =
            read(&["GRANT SELECT ON `MYSQL`.* TO `u`@`%`"]).list.into_keys().next().unwrap();
        assert!(granted.power(Naming { ignores_case: true, is_literal: false }).is_some());
    }

    #[test]
    fn what_cannot_be_read_is_no_answer() {
        for line in [
            "",
            "GRANT",
            "GRANT SELECT ON *.*",
            "DROP TABLE x",
            "GRANT `r`; DROP TABLE x TO `u`",
            "GRANT `a`b` TO `u`",
            "GRANT SELECT; DROP ON `a`.* TO `u`@`%`",
            "GRANT select ON `a`.* TO `u`@`%`",
            "GRANT SELECT (`a` ON `a`.`b` TO `u`@`%`",
            "GRANT SELECT ON `a` TO `u`@`%`",
            "GRANT SELECT ON ``.`b` TO `u`@`%`",
        ] {
            assert!(Grants::new("u@%").read(line, true).is_none(), "{line}");
        }
    }

    #[test]
    fn what_is_read_is_what_takes_it_away() {
        let mariadb = Product::of("5.5.5-10.11.6-MariaDB-log");
        for (line, statement) in [
            (
                "GRANT SELECT, SELECT (`id`) ON `shop`.`or``ders` TO `u`@`%`",
                "REVOKE SELECT ON `shop`.`or``ders` FROM `u`@`%`;",
            ),
            (
                "GRANT EXECUTE ON PACKAGE BODY `a`.`b` TO PUBLIC",
                "REVOKE EXECUTE ON PACKAGE BODY `a`.`b` FROM PUBLIC;",
            ),
            (
                "GRANT LOCK TABLES ON `my\\_shop`.* TO `r`",
                "REVOKE LOCK TABLES ON `my\\_shop`.* FROM `r`;",
            ),
            ("GRANT PROCESS ON *.* TO `u`@`%`", "REVOKE PROCESS ON *.* FROM `u`@`%`;"),
            ("GRANT `r` TO `u`@`%` WITH ADMIN OPTION", "REVOKE ADMIN OPTION FOR `r` FROM `u`@`%`;"),
            ("GRANT PROXY ON 'a'@'b' TO 'u'@'%'", "REVOKE PROXY ON `a`@`b` FROM `u`@`%`;"),
        ] {
            let granted = read(&[line]).list.into_keys().next().unwrap();
            assert_eq!(granted.revoked(mariadb).as_deref(), Some(statement), "{line}");
        }
        // Its name is shown, and nobody is told to run it.
        let granted =
            read(&["GRANT \u{1b}; DROP ON *.* TO `u`@`%`"]).list.into_keys().next().unwrap();
        assert_eq!(granted.revoked(mariadb), None);
    }

    #[test]
    fn a_role_is_reached_by_way_of_others() {
        let grants = read(&[
            "GRANT `r`@`%`,`s``x`@`localhost` TO `u`@`%`",
            "GRANT `inner` TO `r`@`%`",
            "GRANT `innermost` TO `inner`",
            "GRANT `r`@`%` TO `innermost`",
            "GRANT `inner` TO PUBLIC",
            "GRANT reader TO `v`@`%`",
        ]);
        assert_eq!(grants.roles(), ["`r`@`%`", "`s``x`@`localhost`"]);
        let ways: Vec<_> = grants
            .ways("`innermost`")
            .into_iter()
            .map(|(start, role)| format!("{start} {role}"))
            .collect();
        assert_eq!(ways, ["PUBLIC `inner`", "`u`@`%` `r`@`%`"]);
        assert!(grants.ways("`reader`").is_empty());
    }

    #[test]
    fn a_pattern_stands_for_what_the_server_says_it_does() {
        let pattern = |text: &str| Pattern(text.to_owned());
        for (text, name, covers) in [
            ("shop", "shop", true),
            ("shop", "shops", false),
            ("sh_p", "shop", true),
            ("sh\\_p", "shop", false),
            ("sh\\_p", "sh_p", true),
            ("%", "", true),
            ("%op", "shop", true),
            ("s%p%", "shop", true),
            ("s%x%", "shop", false),
            ("_", "\u{e4}", true),
            ("shop\\", "shop\\", true),
        ] {
            assert_eq!(pattern(text).covers(name, Naming::default()), covers, "{text} {name}");
        }
        for name in ["shop", "my_shop", "50%", "a\\b", "a\\_b"] {
            assert_eq!(Pattern::of(name).name(Naming::default()).as_deref(), Some(name));
        }
        assert_eq!(pattern("my_shop").name(Naming::default()), None);
        assert_eq!(
            pattern("my_shop").name(Naming { ignores_case: false, is_literal: true }).as_deref(),
            Some("my_shop")
        );
    }

    #[test]
    fn what_all_stands_for_depends_on_the_product() {
        let place = Place::Database(Pattern::of("shop"));
        for (version, has, count) in [
            ("8.0.36", "EVENT", 18),
            ("10.11.6-MariaDB", "DELETE HISTORY", 19),
            ("11.4.2-MariaDB", "SHOW CREATE ROUTINE", 20),
        ] {
            let all = Product::of(version).all_of(&place);
            assert!(all.contains(&has) && all.len() == count, "{version}: {all:?}");
        }
    }
}
