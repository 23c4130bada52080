//! Parses the output of `SHOW GRANTS`.
//!
//! Its lines are statements: ``GRANT SELECT, INSERT ON `shop`.* TO `u`@`%` ``. A line can contain a
//! hash of the password, and is never repeated.

use std::collections::{BTreeMap, BTreeSet};

/// The limit of accepted privileges: more than ten thousand tables with the four privileges of an
/// application.
const MOST_PRIVILEGES: usize = 50_000;

/// The longest accepted name, in bytes. Both products allow 64 characters, and MariaDB 128 in a
/// role's name.
const LONGEST_NAME: usize = 512;

/// The server's own schemas: accounts, the statements of all accounts, and routines that
/// administrators call.
const SYSTEM_SCHEMAS: [&str; 3] = ["mysql", "performance_schema", "sys"];

/// All privileges, as both products write it.
pub(super) const ALL: &str = "ALL PRIVILEGES";

/// The right to grant one's own privileges. Its holder is an administrator of those.
pub(super) const GRANT_OPTION: &str = "GRANT OPTION";

/// The same for a role.
pub(super) const ADMIN_OPTION: &str = "ADMIN OPTION";

/// All accounts, on MariaDB.
pub(super) const PUBLIC: &str = "PUBLIC";

/// The account without a name. Its rows in `mysql.db` hold for all accounts, and no `SHOW GRANTS`
/// lists them.
const NAMELESS: &str = "``@`%`";

/// The schemas that every account sees. The first shows only what the account may see otherwise. In
/// the second, the server itself decides what the account sees.
const EVERYBODYS: [&str; 2] = ["information_schema", "performance_schema"];

/// The default kind of an object.
pub(super) const TABLE: &str = "TABLE";

/// The meaning of all privileges on a table, for both products. MariaDB adds `DELETE HISTORY`.
const OF_TABLES: &[&str] = &[
    "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "REFERENCES", "INDEX", "ALTER",
    "CREATE VIEW", "SHOW VIEW", "TRIGGER",
];

/// The additional privileges in all privileges on a database.
const OF_DATABASES: &[&str] = &[
    "CREATE TEMPORARY TABLES", "LOCK TABLES", "EXECUTE", "CREATE ROUTINE", "ALTER ROUTINE", "EVENT",
];

/// The product and its version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Product {
    pub(super) is_mariadb: bool,
    /// 0.0 if it cannot be parsed.
    version: (u32, u32),
}

impl Product {
    /// Reads `10.11.6-MariaDB-log`.
    pub(super) fn of(version: &str) -> Self {
        let is_mariadb = version.to_ascii_lowercase().contains("mariadb");
        // MariaDB prepends `5.5.5-` for old replicas.
        let mut numbers =
            version.strip_prefix("5.5.5-").unwrap_or(version).split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next().and_then(|number| number.parse().ok()).unwrap_or_default();
        Self { is_mariadb, version: (next(), next()) }
    }

    /// The privileges in `ALL PRIVILEGES` on a place.
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

/// The object of a grant: a database, a table, a routine, a role or an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// `*.*`.
    Everywhere,
    /// `shop.*`.
    Database(Pattern),
    /// `shop.orders`, `PROCEDURE shop.settle`.
    Object { kind: &'static str, database: String, name: String },
    /// A role that the holder may grant.
    Role(String),
    /// Another account that the holder may act as.
    Proxy(String),
}

/// A database name as `GRANT` reads it: `_` matches any character, and `%` any number of them,
/// unless a backslash precedes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern(pub(super) String);

/// A privilege, or one on a column, with its place and its holder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Granted {
    pub(super) place: Place,
    /// As a statement writes it: a quoted account, a quoted role, or `PUBLIC`.
    pub(super) holder: String,
    pub(super) privilege: String,
    pub(super) column: Option<String>,
}

/// The server's comparison of names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Naming {
    /// The case of databases' and tables' names is ignored (`lower_case_table_names`).
    pub(super) ignores_case: bool,
    /// Databases' names are not patterns (`partial_revokes`).
    pub(super) is_literal: bool,
}

/// All grants of an account, including those of roles that it can activate.
#[derive(Clone, Debug)]
pub(super) struct Grants {
    /// The account, as a statement writes it.
    pub(super) account: String,
    /// The grants. The value is true if the grant is active after login, and false if a role has to
    /// be activated first.
    pub(super) list: BTreeMap<Granted, bool>,
    /// The memberships: a holder and its role, both quoted.
    pub(super) memberships: BTreeSet<(String, String)>,
    /// The holders that a line named.
    holders: BTreeSet<String>,
}

impl Grants {
    /// An empty list of grants. `account` is the value of `CURRENT_USER()`: `u@%`.
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

    /// Reads a line. `None` if the line is unknown or exceeds a limit. `is_active` is true if the
    /// grant is active without activating a role.
    pub(super) fn read(&mut self, line: &str, is_active: bool) -> Option<()> {
        // MariaDB lists the default role. MySQL lists the partial revokes from `*.*`, which only an
        // administrator has.
        if line.starts_with("SET DEFAULT ROLE ") || line.starts_with("REVOKE ") {
            return Some(());
        }
        let grant = line.strip_prefix("GRANT ")?;
        let (what, whom) = split(grant, " TO ")?;
        let (holder, options) = split(whom, " ").unwrap_or((whom, ""));
        let holder = if holder == PUBLIC { holder.to_owned() } else { requoted(holder)? };
        self.holders.insert(holder.clone());

        let Some((privileges, place)) = split(what, " ON ") else {
            // Without a place, these are roles.
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
            // The privilege becomes a part of a statement. Any privilege on `*.*` is an
            // administrator's, whatever its name, and is accepted.
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

    /// The roles that the account can activate, quoted. The grants of a role include those of its
    /// own roles, which the account cannot activate.
    pub(super) fn roles(&self) -> Vec<String> {
        self.memberships
            .iter()
            .filter(|(holder, _)| *holder == self.account)
            .map(|(_, role)| role.clone())
            .collect()
    }

    /// The memberships by which the account, or all accounts (`PUBLIC`), reach a role's privileges.
    pub(super) fn ways(&self, holder: &str) -> Vec<&(String, String)> {
        let is_start = |start: &str| start == self.account || start == PUBLIC;
        self.memberships
            .iter()
            .filter(|(start, role)| is_start(start) && self.reached_from(role).contains(holder))
            .collect()
    }

    /// A role, and all roles that it has, directly or not.
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

    /// Checks that a grant explains each schema that the account sees. If none does, a row of
    /// `mysql.db` without a user does, and a grant to all accounts is added.
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

    /// Returns true if a line named this holder: the account itself, or a role that is active
    /// already.
    pub(super) fn tells_of(&self, holder: &str) -> bool {
        self.holders.contains(holder)
    }

    /// Attributes the grants to the roles that bring them. MySQL lists an account's grants together
    /// with those of its roles: `own` is the list without roles, and each of `with` the list with
    /// one role.
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
        // Grants that no role explains are the account's.
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
    /// The reason why the grant makes an administrator, in addition to its text; `None` if it does
    /// not.
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

    /// The privilege with its column, which `name` formats.
    pub(super) fn with_column(&self, name: fn(&str) -> String) -> String {
        match &self.column {
            Some(column) => format!("{} ({})", self.privilege, name(column)),
            None => self.privilege.clone(),
        }
    }

    /// The text for reports: `SELECT ON TABLE shop.orders`.
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

    /// Returns true if all accounts have it.
    pub(super) fn is_everybodys(&self) -> bool {
        self.holder == PUBLIC || self.holder == NAMELESS
    }

    /// The statement that revokes it; `None` if its name cannot be part of a statement.
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
        // The longer keywords come first.
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

    /// Returns true if the place is this database, or in it.
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
    /// The only name that the pattern matches; `None` if it matches more.
    pub(super) fn name(&self, naming: Naming) -> Option<String> {
        let mut name = String::new();
        let mut pattern = self.0.chars();
        while let Some(c) = pattern.next() {
            match c {
                '%' | '_' if !naming.is_literal => return None,
                // A backslash at the end is literal.
                '\\' => name.push(pattern.next().unwrap_or('\\')),
                c => name.push(c),
            }
        }
        Some(name)
    }

    /// Returns true if the pattern matches this name.
    pub(super) fn covers(&self, name: &str, naming: Naming) -> bool {
        if let Some(only) = self.name(naming) {
            return naming.is_same(&only, name);
        }
        let fold =
            |text: &str| if naming.ignores_case { text.to_lowercase() } else { text.to_owned() };
        let (pattern, name): (Vec<_>, Vec<_>) =
            (fold(&self.0).chars().collect(), fold(name).chars().collect());
        // `reached[n]`: the pattern up to here matches the first `n` characters of the name.
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

    /// The pattern that matches only this name.
    pub(super) fn of(name: &str) -> Self {
        Self(
            name.chars()
                .flat_map(|c| matches!(c, '\\' | '_' | '%').then_some('\\').into_iter().chain([c]))
                .collect(),
        )
    }
}

impl Naming {
    /// Returns true if two names denote the same database, or the same table.
    pub(super) fn is_same(self, one: &str, other: &str) -> bool {
        one == other || self.ignores_case && same_word(one, other)
    }
}

/// Returns true if two names denote the same column, or the same routine: their case never matters.
pub(super) fn same_word(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// An identifier, quoted only if necessary.
pub(super) fn shown(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$'));
    if is_plain { name.to_owned() } else { quoted(name) }
}

/// A quoted identifier.
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

/// Splits at the first `separator` outside of quotes.
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

/// Splits at commas outside of quotes and parentheses.
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

/// Parses and quotes an account's or a role's name, with its host if it has one; `None` if it is
/// not a name. The server's text becomes part of a statement here.
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

/// A name without its quotes; `None` if the quotes do not match, or if the name is empty.
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
    fn an_application_is_not_an_administrator() {
        for line in [
            "GRANT USAGE ON *.* TO `u`@`%` \
             IDENTIFIED BY PASSWORD '*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19'",
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
    fn an_administrator_is_recognised() {
        let reaches = ", which reaches the schema `mysql`";
        for (line, named) in [
            (
                "GRANT ALL PRIVILEGES ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*24' \
                 WITH GRANT OPTION MAX_QUERIES_PER_HOUR 10",
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
        // If names have no case, this is the same schema.
        let granted =
            read(&["GRANT SELECT ON `MYSQL`.* TO `u`@`%`"]).list.into_keys().next().unwrap();
        assert!(granted.power(Naming { ignores_case: true, is_literal: false }).is_some());
    }

    #[test]
    fn malformed_lines_are_refused() {
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
    fn a_grant_is_revoked_as_it_was_read() {
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
        // The privilege's name is shown, but no statement is proposed.
        let granted =
            read(&["GRANT \u{1b}; DROP ON *.* TO `u`@`%`"]).list.into_keys().next().unwrap();
        assert_eq!(granted.revoked(mariadb), None);
    }

    #[test]
    fn a_role_is_reached_through_other_roles() {
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
    fn patterns_match_as_on_the_server() {
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
    fn all_privileges_depend_on_the_product() {
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
