//! The account as the server reports it: its identity, its privileges, and the findings about them.

use backing_services_rules::rule::{SUPERUSER_ACCOUNT, UNVERIFIED_TLS};
use backing_services_runtime::Finding;
use backing_services_runtime::needs::Difference;
use backing_services_runtime::posture::{MOST_PRIVILEGES, printable};
use backing_services_runtime::service::{Refusal, Target};

use crate::postgresql::vocabulary::{Object, Want, Wants, literal, quoted, shown, with_columns};

/// The roles that managed services give to their master user instead of `SUPERUSER`, or keep for
/// themselves: Amazon's, Google's, Microsoft's, Neon's and Supabase's. PostgreSQL's own (its
/// documentation, 22.5) all begin with `pg_`, which PostgreSQL reserves, and every one of them
/// counts.
const MANAGED_ROLES: &[&str] = &[
    "rds_superuser", "rds_replication", "rds_password", "rdsadmin", "cloudsqlsuperuser",
    "cloudsqladmin", "alloydbsuperuser", "azure_pg_admin", "azure_superuser", "azuresu",
    "neon_superuser", "supabase_admin",
];

/// The most rows of an answer. An account with more privileges did not get them one by one.
const MOST_ROWS: usize = 2000;

/// The most administrator's powers that a finding names.
const MOST_NAMED: usize = 16;

/// The columns of an answer, all of type text.
pub(crate) const COLUMNS: [&str; 11] = [
    "fact", "mark", "privileges", "kind", "space", "name", "detail", "holder", "start", "way",
    "inherits",
];

/// A row of an answer.
pub(crate) type Row = [Option<String>; COLUMNS.len()];

/// The kinds of object that privileges are granted on.
const KINDS: [&str; 11] = [
    "TABLE", "SEQUENCE", "FUNCTION", "PROCEDURE", "SCHEMA", "DATABASE", "FOREIGN SERVER",
    "FOREIGN DATA WRAPPER", "LANGUAGE", "TABLESPACE", "PARAMETER",
];

/// The other kinds of object that have an owner, as `pg_identify_object` names them. They are read
/// only if they belong to the system, and named as PostgreSQL writes their identity.
const IDENTIFIED: [&str; 11] = [
    "TYPE", "OPERATOR", "OPERATOR CLASS", "OPERATOR FAMILY", "CONVERSION", "COLLATION",
    "TEXT SEARCH DICTIONARY", "TEXT SEARCH CONFIGURATION", "STATISTICS OBJECT", "EVENT TRIGGER",
    "EXTENSION",
];

/// The kinds that `ALTER DEFAULT PRIVILEGES` grants on: objects that a role will create in a
/// schema.
const FUTURE: [&str; 4] = ["FUTURE TABLES", "FUTURE SEQUENCES", "FUTURE FUNCTIONS", "FUTURE TYPES"];

/// The settings that fix the meaning of the query while it runs: `account.md` gives the reason for
/// each. PostgreSQL analyses the statements of one message one after the other, so the first ones
/// apply to the next. Compiling a statement that runs once takes ten times as long as running it,
/// and the order of the query's joins is already the best.
const SETTINGS: &str = "SET LOCAL search_path = pg_catalog, pg_temp; \
    SET LOCAL quote_all_identifiers = off; SET LOCAL jit = off; \
    SET LOCAL join_collapse_limit = 1; ";

/// The remark on an account that the server knows under another name. The report names the server's
/// account.
const RENAMED: &str = "the server has another name for the account than the locator: a pooler in \
    between logs in by an account of its own, and that one was checked";

/// The step before a grant on an object that is not there: the grant alone fails.
const MIGRATIONS: &str = "First run the migrations, which create it.";

/// The owner's privilege, which is in no access list: to change, to give away and to drop.
const OWNERSHIP: &str = "OWNERSHIP";

/// An SQL condition: true if the object of the row `held` is needed.
const IS_NEEDED: &str = "EXISTS (SELECT FROM needed AS w WHERE w.space = held.space \
    AND (w.name IS NULL OR w.name::pg_catalog.name = held.name))";

/// The query for the account, in one round trip: its identity, the roles that it can become, their
/// privileges, and the needed objects that exist. Every name is qualified, and [`SETTINGS`] fixes
/// what qualified names cannot. It is sent as text only, so that nothing has to be prepared.
///
/// A new connection first has to load the system catalogs that the query refers to. That takes
/// longer than reading their rows. So the parts for needed objects are only in the query if there
/// are any.
///
/// `release` is the server's, as reported when it admitted us. A server that did not report it is
/// treated as a new one, and an older one then refuses the query.
pub(crate) fn question(target: &Target, release: Option<u32>) -> String {
    let managed: Vec<_> = MANAGED_ROLES.iter().map(|role| literal(role)).collect();
    let wants = target.needs().map(Wants::of).filter(|wants| !wants.objects.is_empty());
    let needs = |sql: &str| if wants.is_some() { sql.to_owned() } else { String::new() };
    let question = include_str!("account.sql")
        .replace("{managed}", &managed.join(", "))
        .replace("{most}", &(MOST_ROWS + 1).to_string())
        .replace(
            "{parameters}",
            if release.is_none_or(|release| release >= 15) {
                include_str!("parameters.sql")
            } else {
                ""
            },
        )
        .replace(
            "{or_needed_name}",
            &needs(" OR p.proname IN (SELECT name::pg_catalog.name FROM needed)"),
        )
        .replace("{or_needed}", &needs(&format!(" OR {IS_NEEDED}")))
        .replace(
            "{rank}",
            &if wants.is_some() {
                format!("CASE WHEN {IS_NEEDED} THEN 3 ELSE 4 END")
            } else {
                "4".to_owned()
            },
        )
        .replace("{found}", &needs(include_str!("found.sql")))
        // Last, because its text contains names.
        .replace(
            "{needed}",
            &needs(
                &include_str!("needed.sql")
                    .replace("{wanted}", &wants.as_ref().map(Wants::in_sql).unwrap_or_default()),
            ),
        );
    format!("{SETTINGS}{question}")
}

/// The account as the server reports it.
pub(crate) struct Account {
    pub(crate) user: String,
    pub(crate) version: String,
    /// The server process of the connection.
    #[cfg_attr(not(feature = "sqlx"), allow(dead_code, reason = "the other service uses it"))]
    pub(crate) process: i32,
    /// True if the server limits the time of the connection's statements.
    pub(crate) is_bounded: bool,
    /// The role that logged in. `user` is the role that it became at once.
    session: String,
    database: String,
    /// True if the server reports TLS for this connection. `None` if the server does not show that,
    /// which is the case for an account that became another role at login.
    is_tls: Option<bool>,
    powers: Vec<Power>,
    held: Vec<Held>,
    /// The needed privileges, with the arguments' types as the server writes them.
    wants: Option<Wants>,
    /// The names of the existing objects, for each needed object.
    found: Vec<Vec<String>>,
    /// True if the answer had more rows than the limit.
    is_cut: bool,
}

/// A role whose privileges the account has, and the way in which the account has them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    role: String,
    /// The role that logs in, or the one that it becomes at login.
    start: String,
    /// The role that `start` is a direct member of, on the way to `role`. `None` if `start` is
    /// `role`.
    way: Option<String>,
    /// True if the account has the role's privileges without `SET ROLE`.
    inherits: bool,
}

/// An attribute or a membership that makes its holder an administrator.
struct Power {
    name: String,
    is_attribute: bool,
    holder: Holder,
}

/// The privileges of a holder on an object.
struct Held {
    object: Object,
    column: Option<String>,
    /// Each privilege, with true if it has the grant option.
    privileges: Vec<(String, bool)>,
    /// `None` for `PUBLIC`.
    holder: Option<Holder>,
    mark: Mark,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    /// `PUBLIC` has it, because PostgreSQL or an extension grants it to `PUBLIC`.
    Usual,
    /// PostgreSQL or an extension reserves it for administrators.
    Restricted,
    /// The object is in a system schema, and PostgreSQL did not create it.
    Planted,
    /// A routine in a system schema that runs with the privileges of its owner.
    Elevated,
    /// A routine that runs with the privileges of its owner.
    Definer,
    /// A table under row-level security, which does not hold for its owner.
    Policies,
    /// The same, but it holds for the owner until the owner switches it off.
    Forced,
    /// A sequence that belongs to a table's column.
    Part,
}

impl Account {
    /// Reads the rows. Fails closed: a missing value or an unexpected word is refused.
    pub(crate) fn read(
        rows: impl IntoIterator<Item = Row>,
        target: &Target,
    ) -> Result<Self, Refusal> {
        let wants = target.needs().map(Wants::of);
        read(rows, wants).ok_or_else(no_answer)
    }

    pub(crate) fn findings(&self, target: &Target) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.is_tls == Some(false) && !target.is_plaintext() {
            // Our end of the connection is verified TLS. A proxy or a pooler ends it, and its
            // operator is responsible for the rest of the way.
            findings.push(
                Finding::new(
                    &UNVERIFIED_TLS,
                    "the server says that the connection reached it without TLS: something in \
                     between ends it",
                )
                .with_help(
                    "ask who runs the proxy or the pooler how the way from it to the server is \
                     protected",
                )
                .into_warning(),
            );
        }
        findings.extend(self.administrator());
        // An account that can become an administrator lacks no privilege and has all of them in
        // excess. The administrator's finding covers that.
        if let (Some(wants), true) = (&self.wants, self.powers.is_empty()) {
            if !self.is_cut {
                findings.extend(Finding::missing_privileges(&self.missing(wants)));
            }
            findings.extend(Finding::excess_privileges(&self.excess(wants)));
        }
        findings
    }

    /// A remark for the posture, if the server knows the login under another name.
    pub(crate) fn remark(&self, target: &Target) -> Option<&'static str> {
        (self.session != crate::postgresql::user(target)).then_some(RENAMED)
    }

    /// The account's privileges, in the syntax of `needs`.
    pub(crate) fn privileges(&self) -> Vec<String> {
        let powers = self.powers.iter().map(|power| printable(&power.name));
        let held = self.held.iter().filter(|held| held.mark != Mark::Usual);
        let held = held.flat_map(|held| {
            held.privileges.iter().map(|(privilege, _)| printable(&held.shown(privilege)))
        });
        powers.chain(held).take(MOST_PRIVILEGES).collect()
    }

    /// The finding for an administrator's account.
    fn administrator(&self) -> Option<Finding> {
        let mut powers: Vec<Difference> = self.powers.iter().map(Power::difference).collect();
        powers.extend(self.held.iter().flat_map(|held| {
            held.powers().map(|(privilege, power)| self.taken(held, privilege, &power))
        }));
        if powers.is_empty() {
            return None;
        }
        let named = &powers[..powers.len().min(MOST_NAMED)];
        let mut names =
            named.iter().map(|power| power.privilege.as_str()).collect::<Vec<_>>().join("; ");
        if powers.len() > MOST_NAMED {
            names.push_str(&format!("; and {} more", powers.len() - MOST_NAMED));
        }
        // The initial superuser and a provider's own roles keep their powers: an application needs
        // another account.
        let is_born = |power: &Power| {
            power.holder.way.is_none() && (power.name == "SUPERUSER" || !power.is_attribute)
        };
        let help = if self.powers.iter().any(is_born) {
            "`CREATE ROLE … LOGIN`, `GRANT` it what the application does, and log in as that role"
                .to_owned()
        } else {
            backing_services_runtime::needs::statements(named)
        };
        Some(
            Finding::new(
                &SUPERUSER_ACCOUNT,
                format!("the account is an administrator's: it has {names}"),
            )
            .with_help(help),
        )
    }

    /// The needed privileges that the account lacks.
    fn missing(&self, wants: &Wants) -> Vec<Difference> {
        let (mut missing, mut any_is_absent) = (Vec::new(), false);
        for schema in wants.schemas() {
            let schema = Object::schema_named(schema);
            if !self.has(&schema, None, "USAGE", |_, _| true) {
                missing.push(self.lacking("USAGE", &[], &schema, ""));
            }
        }
        for want in &wants.list {
            let Some(object) = wants.objects.get(want.object) else { continue };
            let found = self.found.get(want.object).map(Vec::as_slice).unwrap_or_default();
            if found.is_empty() && object.name.is_some() {
                let absent =
                    self.lacking(want.privilege, &want.columns, object, ", which is not there");
                missing.push(if any_is_absent {
                    absent
                } else {
                    absent.with_step_before(MIGRATIONS)
                });
                any_is_absent = true;
            }
            for name in found {
                let object = Object { name: Some(name.clone()), ..object.clone() };
                let columns = self.lacking_columns(want, &object, |_, _| true);
                if let Some(columns) = columns {
                    missing.push(self.lacking(want.privilege, &columns, &object, ""));
                }
            }
        }
        missing
    }

    fn lacking(
        &self,
        privilege: &str,
        columns: &[String],
        object: &Object,
        remark: &str,
    ) -> Difference {
        Difference::new(
            format!("{} ON {object}{remark}", with_columns(privilege, columns, shown)),
            format!(
                "GRANT {} ON {} TO {};",
                with_columns(privilege, columns, quoted),
                object.in_sql(),
                quoted(&self.user)
            ),
        )
    }

    /// The needed columns that the account lacks. Empty if no column is named and the account lacks
    /// the privilege on the object; `None` if it lacks nothing. Only the privileges that `counts`
    /// accepts count.
    fn lacking_columns(
        &self,
        want: &Want,
        object: &Object,
        counts: impl Fn(&Held, &str) -> bool,
    ) -> Option<Vec<String>> {
        if want.columns.is_empty() {
            return (!self.has(object, None, want.privilege, &counts)).then(Vec::new);
        }
        let lacks = |column: &&String| !self.has(object, Some(column), want.privilege, &counts);
        let columns: Vec<_> = want.columns.iter().filter(lacks).cloned().collect();
        (!columns.is_empty()).then_some(columns)
    }

    /// True if the account can use a privilege directly, without `SET ROLE`.
    fn has(
        &self,
        object: &Object,
        column: Option<&str>,
        privilege: &str,
        counts: impl Fn(&Held, &str) -> bool,
    ) -> bool {
        self.held.iter().any(|held| {
            held.object == *object
                && (held.column.is_none() || held.column.as_deref() == column)
                && held.holder.as_ref().is_none_or(|holder| holder.inherits)
                && held
                    .privileges
                    .iter()
                    .any(|(has, _)| (has == privilege || has == OWNERSHIP) && counts(held, has))
        })
    }

    /// The privileges that the account has and does not need, except those of an administrator:
    /// these have a finding of their own.
    fn excess(&self, wants: &Wants) -> Vec<Difference> {
        let mut excess = Vec::new();
        for held in self.held.iter().filter(|held| !matches!(held.mark, Mark::Usual | Mark::Part)) {
            for (privilege, is_grantable) in &held.privileges {
                if held.powers().any(|(power, _)| power == privilege) {
                    continue;
                }
                let shown = held.shown(privilege);
                if !self.is_needed(wants, held, privilege) {
                    excess.push(self.taken(held, privilege, &shown));
                } else if let (true, Some(holder)) = (is_grantable, &held.holder) {
                    let statement = holder.membership().unwrap_or_else(|| {
                        format!(
                            "REVOKE GRANT OPTION FOR {} FROM {};",
                            held.in_sql(privilege),
                            quoted(&holder.role)
                        )
                    });
                    excess.push(Difference::new(format!("the grant option of {shown}"), statement));
                }
            }
        }
        if self.is_cut {
            let help = "Log in as an account that `Manifest::grants` makes.";
            excess.push(Difference::new(
                format!("more than {MOST_ROWS} privileges in all, too many to compare"),
                help,
            ));
        }
        excess
    }

    fn is_needed(&self, wants: &Wants, held: &Held, privilege: &str) -> bool {
        match (held.object.kind, privilege) {
            ("SCHEMA", "USAGE")
                if wants.schemas().contains(&held.object.name.as_deref().unwrap_or_default()) =>
            {
                return true;
            }
            // Attaching requires it.
            ("DATABASE", "CONNECT") if held.object.name.as_ref() == Some(&self.database) => {
                return true;
            }
            _ => {}
        }
        wants.list.iter().any(|want| {
            want.privilege == privilege
                && wants.objects.get(want.object).is_some_and(|object| object.holds(&held.object))
                && (want.columns.is_empty()
                    || held.column.as_ref().is_some_and(|column| want.columns.contains(column)))
        })
    }

    /// A privilege in excess, with the statements that revoke it and keep the needed ones.
    fn taken(&self, held: &Held, privilege: &str, shown: &str) -> Difference {
        let mut shown = shown.to_owned();
        let mut statement = match &held.holder {
            None => {
                shown.push_str(", as every account has");
                held.revoked(privilege, "PUBLIC")
            }
            Some(holder) => {
                if holder.role != holder.start {
                    shown.push_str(&format!(", by way of the role {}", quoted(&holder.role)));
                }
                match (privilege, held.mark) {
                    // Under another owner, every user's statements would still find it.
                    (OWNERSHIP, Mark::Planted) => held.removed(),
                    _ => holder.membership().unwrap_or_else(|| match privilege {
                        // `CURRENT_USER` is the administrator that runs the statement.
                        OWNERSHIP => format!("ALTER {} OWNER TO CURRENT_USER;", held.altered()),
                        _ => held.revoked(privilege, &quoted(&holder.role)),
                    }),
                }
            }
        };
        let stays = |other: &Held, has: &str| !held.goes_with(privilege, other, has);
        let Some(wants) = &self.wants else { return Difference::new(shown, statement) };
        for want in &wants.list {
            let Some(object) = wants.objects.get(want.object) else { continue };
            for name in self.found.get(want.object).into_iter().flatten() {
                let object = Object { name: Some(name.clone()), ..object.clone() };
                // A privilege that is already missing belongs to the other finding.
                let lacks_now = self.lacking_columns(want, &object, |_, _| true);
                let lacks_then = self.lacking_columns(want, &object, stays);
                if let (None, Some(columns)) = (lacks_now, lacks_then) {
                    statement.push(' ');
                    statement
                        .push_str(&self.lacking(want.privilege, &columns, &object, "").statement);
                }
            }
        }
        Difference::new(shown, statement)
    }
}

impl Holder {
    /// The statement that ends the membership which gives the role to the account. `None` if the
    /// role is the account's own.
    fn membership(&self) -> Option<String> {
        self.way.as_ref().map(|way| format!("REVOKE {} FROM {};", quoted(way), quoted(&self.start)))
    }
}

impl Power {
    fn difference(&self) -> Difference {
        let holder = &self.holder;
        let statement = holder.membership().unwrap_or_else(|| match self.is_attribute {
            true => format!("ALTER ROLE {} NO{};", quoted(&holder.role), self.name),
            false => String::new(),
        });
        let is_own = holder.role == holder.start || holder.role == self.name;
        let way = if is_own {
            String::new()
        } else {
            format!(", by way of the role {}", quoted(&holder.role))
        };
        let through = match &holder.way {
            Some(way) if !self.is_attribute && *way != holder.role => {
                format!(", by way of the role {}", quoted(way))
            }
            _ => way,
        };
        Difference::new(format!("{}{through}", self.name), statement)
    }
}

impl Held {
    /// The privilege as `needs` may write it.
    fn shown(&self, privilege: &str) -> String {
        format!("{} ON {}", with_columns(privilege, self.column.as_slice(), shown), self.object)
    }

    fn in_sql(&self, privilege: &str) -> String {
        format!(
            "{} ON {}",
            with_columns(privilege, self.column.as_slice(), quoted),
            self.object.in_sql()
        )
    }

    /// The object as `ALTER` and `DROP` name it.
    fn altered(&self) -> String {
        let kind = match self.object.kind {
            // One word for functions, aggregates and procedures.
            "FUNCTION" | "PROCEDURE" => "ROUTINE",
            "STATISTICS OBJECT" => "STATISTICS",
            kind => kind,
        };
        format!("{kind} {}", self.object.name_in_sql())
    }

    /// The statement that revokes a privilege.
    fn revoked(&self, privilege: &str, from: &str) -> String {
        let object = &self.object;
        if self.mark == Mark::Elevated {
            return format!("ALTER {} SECURITY INVOKER;", self.altered());
        }
        if let Some(kind) = object.kind.strip_prefix("FUTURE ") {
            let [schema, role] = [&object.schema, &object.name]
                .map(|name| quoted(name.as_deref().unwrap_or_default()));
            return format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {role} IN SCHEMA {schema} REVOKE {privilege} \
                 ON {kind} FROM {from};"
            );
        }
        format!("REVOKE {} FROM {from};", self.in_sql(privilege))
    }

    /// The statement that removes the object from a system schema. An object that may hold rows is
    /// not dropped.
    fn removed(&self) -> String {
        match self.object.kind {
            "TABLE" | "SEQUENCE" => format!("ALTER {} SET SCHEMA \"public\";", self.altered()),
            _ => format!("DROP {};", self.altered()),
        }
    }

    /// The privileges that make the account an administrator, each with a description.
    fn powers(&self) -> impl Iterator<Item = (&str, String)> {
        self.privileges.iter().filter_map(|(privilege, _)| {
            let object = &self.object;
            let is_public = object.kind == "SCHEMA" && object.name.as_deref() == Some("public");
            let reason = match (privilege.as_str(), object.kind, self.mark) {
                (OWNERSHIP, "DATABASE", _) => "",
                (OWNERSHIP, "TABLE", Mark::Policies) => {
                    ", whose row-level security does not hold for its owner"
                }
                (OWNERSHIP, "TABLE", Mark::Forced) => {
                    ", whose row-level security its owner can switch off"
                }
                // Every user's statements find the objects in there.
                (OWNERSHIP | "CREATE", "SCHEMA", _) if is_public => "",
                (_, _, Mark::Restricted) => ", which is an administrator's",
                (_, _, Mark::Planted) => ", which is in a system schema and is not PostgreSQL's",
                (_, _, Mark::Elevated) => {
                    ", which is in a system schema and runs with its owner's privileges"
                }
                _ => return None,
            };
            Some((privilege.as_str(), format!("{}{reason}", self.shown(privilege))))
        })
    }

    /// True if revoking one of these privileges also revokes another.
    fn goes_with(&self, privilege: &str, other: &Self, has: &str) -> bool {
        let (Some(holder), Some(others)) = (&self.holder, &other.holder) else {
            // Revoking from `PUBLIC` keeps the privileges of each role.
            return self.holder.is_none()
                && other.holder.is_none()
                && self.object == other.object
                && has == privilege;
        };
        match (&holder.way, &others.way) {
            (Some(way), Some(other)) => way == other,
            (Some(_), None) | (None, Some(_)) => false,
            // Revoking a privilege on a table also revokes it on the columns, but not the reverse.
            (None, None) => {
                self.object == other.object
                    && holder.role == others.role
                    && has == privilege
                    && (self.column.is_none() || self.column == other.column)
            }
        }
    }
}

pub(crate) fn no_answer() -> Refusal {
    Finding::new(&SUPERUSER_ACCOUNT, "the server does not report the account's privileges")
        .with_help("check what answers: a PostgreSQL server reports to every role who it is")
        .into()
}

fn read(rows: impl IntoIterator<Item = Row>, mut wants: Option<Wants>) -> Option<Account> {
    let mut known = None;
    let (mut powers, mut held) = (Vec::new(), Vec::new());
    let mut found = vec![Vec::new(); wants.as_ref().map_or(0, |wants| wants.objects.len())];
    let mut is_cut = false;
    for (count, row) in rows.into_iter().enumerate() {
        if count > MOST_ROWS {
            return None;
        }
        if count == MOST_ROWS {
            is_cut = true;
            continue;
        }
        let [fact, ..] = &row;
        match fact.as_deref()? {
            "self" if known.is_some() => return None,
            "self" => known = Some(login(row)?),
            "power" => powers.push(power(row)?),
            "found" => {
                let (at, name, detail) = found_name(row)?;
                found.get_mut(at)?.push(name);
                let object = wants.as_mut()?.objects.get_mut(at)?;
                if object.arguments.is_some() {
                    object.arguments = Some(arguments(detail?)?);
                }
            }
            "held" => held.push(self::held(row)?),
            _ => return None,
        }
    }
    let Login { user, session, version, database, is_tls, process, is_bounded } = known?;
    Some(Account {
        user,
        version,
        process,
        is_bounded,
        session,
        database,
        is_tls,
        powers,
        held,
        wants,
        found,
        is_cut,
    })
}

/// The account's identity, as [`Account`] has it.
struct Login {
    user: String,
    session: String,
    version: String,
    database: String,
    is_tls: Option<bool>,
    process: i32,
    is_bounded: bool,
}

fn login(row: Row) -> Option<Login> {
    let [_, mark, version, is_tls, database, user, session, process, ..] = row;
    let (user, session) = (user?, session?);
    let roles = if user == session { "1" } else { "2" };
    let is_tls = is_tls.map(|is_tls| is_tls == "true");
    if mark? != roles || is_tls.is_none() && user == session {
        return None;
    }
    let process = process?;
    let (process, timeout) = process.split_once(' ')?;
    let (process, is_bounded) = (process.parse().ok()?, timeout != "0");
    Some(Login {
        user,
        session,
        version: version?,
        database: database?,
        is_tls,
        process,
        is_bounded,
    })
}

fn power(row: Row) -> Option<Power> {
    let [_, mark, name, _, _, _, _, holder, start, way, inherits] = row;
    Some(Power {
        name: name?,
        is_attribute: mark? == "attribute",
        holder: self::holder(holder?, start?, way, inherits?)?,
    })
}

/// The place of a needed object, the name of an object that exists, and its arguments' types.
fn found_name(row: Row) -> Option<(usize, String, Option<String>)> {
    let [_, at, _, _, _, name, detail, ..] = row;
    Some((at?.parse().ok()?, name?, detail))
}

fn held(row: Row) -> Option<Held> {
    let [_, mark, privileges, kind, space, name, detail, holder, start, way, inherits] = row;
    let kind = kind?;
    let (kind, column) =
        if kind == "COLUMN" { ("TABLE", Some(detail.clone()?)) } else { (kind.as_str(), None) };
    let (kind, is_identified) = self::kind(kind)?;
    // The columns of the type `name` are too short for an identity.
    let name = if is_identified { identity(detail.clone()?)? } else { name? };
    let arguments = match kind {
        "FUNCTION" | "PROCEDURE" => Some(arguments(detail?)?),
        _ => None,
    };
    let holder = match holder {
        Some(role) => Some(self::holder(role, start?, way, inherits?)?),
        None => None,
    };
    Some(Held {
        object: Object { kind, schema: space, name: Some(name), arguments, is_identified },
        column,
        privileges: self::privileges(&privileges?)?,
        holder,
        mark: self::mark(mark.as_deref())?,
    })
}

fn holder(role: String, start: String, way: Option<String>, inherits: String) -> Option<Holder> {
    let inherits = match inherits.as_str() {
        "true" => true,
        "false" => false,
        _ => return None,
    };
    Some(Holder { role, start, way, inherits })
}

/// The kind of object, and true if it is named by its identity.
fn kind(kind: &str) -> Option<(&'static str, bool)> {
    if let Some(known) = KINDS.iter().chain(&FUTURE).find(|known| **known == kind) {
        return Some((known, false));
    }
    // PostgreSQL names these kinds in lower case.
    IDENTIFIED.iter().find(|known| known.to_ascii_lowercase() == kind).map(|known| (*known, true))
}

fn mark(mark: Option<&str>) -> Option<Mark> {
    Some(match mark {
        None => Mark::None,
        Some("usual") => Mark::Usual,
        Some("restricted") => Mark::Restricted,
        Some("planted") => Mark::Planted,
        Some("elevated") => Mark::Elevated,
        Some("definer") => Mark::Definer,
        Some("policies") => Mark::Policies,
        Some("forced") => Mark::Forced,
        Some("part") => Mark::Part,
        Some(_) => return None,
    })
}

/// The privileges, each once. If two roles granted the same privilege, the answer has it twice, and
/// only one of the two may have the grant option.
fn privileges(text: &str) -> Option<Vec<(String, bool)>> {
    let mut privileges: Vec<(String, bool)> = Vec::new();
    for item in text.split(',') {
        let (name, is_grantable) = privilege(item)?;
        match privileges.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known |= is_grantable,
            None => privileges.push((name, is_grantable)),
        }
    }
    Some(privileges)
}

/// A privilege becomes part of a statement, so it has to consist of words.
fn privilege(text: &str) -> Option<(String, bool)> {
    let (name, is_grantable) = text.strip_suffix('*').map_or((text, false), |name| (name, true));
    let is_word = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == ' ');
    is_word.then(|| (name.to_owned(), is_grantable))
}

/// An identity becomes part of a statement too. PostgreSQL has quoted the names in it, unless they
/// are plain. The text outside of the quotation marks may only have the characters of operators,
/// types and their lists, and no comment may begin there.
fn identity(text: String) -> Option<String> {
    let mut is_quoted = false;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_$ ,.()[]+-*/<>=~!@#%^&|`?".contains(c);
    let are_safe = text.chars().all(|c| {
        is_quoted ^= c == '"';
        is_quoted || c == '"' || is_plain(c)
    });
    let outside = text.split('"').step_by(2);
    let has_comment = outside.into_iter().any(|part| part.contains("--") || part.contains("/*"));
    (are_safe && !is_quoted && !has_comment).then_some(text)
}

/// The types of a routine's arguments, which PostgreSQL has quoted already. They become part of a
/// statement too, so they have to be names.
fn arguments(text: String) -> Option<String> {
    let is_safe =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | ' ' | ',' | '.' | '[' | ']' | '"');
    (text.chars().all(is_safe) && text.matches('"').count().is_multiple_of(2)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgresql::vocabulary::PRIVILEGES;
    use backing_services_runtime::needs::Needs;

    fn row(values: [&str; COLUMNS.len()]) -> Row {
        values.map(|value| (!value.is_empty()).then(|| value.to_owned()))
    }

    fn me() -> Row {
        row(["self", "1", "16.2", "true", "shop", "app", "app", "4711 30s", "", "", ""])
    }

    fn wants(needs: &str) -> Option<Wants> {
        Some(Wants::of(&Needs::parse(needs, "PostgreSQL", PRIVILEGES).unwrap()))
    }

    #[test]
    fn parts_of_statements_are_validated() {
        for types in
            ["", "integer, text[]", "timestamp with time zone", "public.\"My type\"[]", "\"char\""]
        {
            assert_eq!(arguments(types.to_owned()).as_deref(), Some(types));
        }
        for types in ["integer); DROP TABLE x; --", "integer'", "\"char", "a\nb", "a-b"] {
            assert_eq!(arguments(types.to_owned()), None, "{types}");
        }
        assert_eq!(privilege("SELECT*"), Some(("SELECT".to_owned(), true)));
        let once = [("INSERT".to_owned(), false), ("SELECT".to_owned(), true)];
        assert_eq!(privileges("INSERT,SELECT,SELECT*").as_deref(), Some(&once[..]));
        for privileges in ["", "*", "select", "SELECT ON x TO y; DROP", "SELECT--"] {
            assert_eq!(privilege(privileges), None, "{privileges}");
        }
    }

    #[test]
    fn an_identity_stays_one_name() {
        for name in [
            "pg_catalog.int4",
            "pg_catalog.=(pg_catalog.oid,pg_catalog.oid)",
            "pg_catalog.|/(NONE,\"My -- kind\")",
            "information_schema.\"Cla\"\"ss; '\" USING btree",
            "\"a\u{e4}\"",
        ] {
            assert_eq!(identity(name.to_owned()).as_deref(), Some(name));
        }
        for name in [
            "x; DROP TABLE y", "x -- y", "x /* y", "'x'", "\"x", "\"x\"\"", "x\ny", "\u{e4}", "x\\",
        ] {
            assert_eq!(identity(name.to_owned()), None, "{name}");
        }
    }

    #[test]
    fn postgresql_11_reads_the_question() {
        for sql in [
            include_str!("account.sql"),
            include_str!("needed.sql"),
            include_str!("found.sql"),
            include_str!("parameters.sql"),
        ] {
            assert!(!sql.contains("MATERIALIZED"), "that came with PostgreSQL 12");
            assert!(!sql.contains('\\'), "a backslash means what settings say that it means");
        }
    }

    #[test]
    fn names_from_the_server_are_quoted() {
        let held = row([
            "held", "", "INSERT", "TABLE", "pub\"lic", "x\"; DROP TABLE y; --\u{1b}[2J", "", "app",
            "app", "", "true",
        ]);
        let account = read([me(), held], wants("SELECT ON orders")).unwrap();
        let [excess] = &account.excess(account.wants.as_ref().unwrap())[..] else { panic!("one") };
        assert_eq!(
            excess.statement,
            "REVOKE INSERT ON TABLE \"pub\"\"lic\".\"x\"\"; DROP TABLE y; --\\u{1b}[2J\" FROM \
             \"app\";"
        );
    }

    #[test]
    fn too_many_rows_are_excess_or_refused() {
        let held =
            row(["held", "", "SELECT", "TABLE", "public", "orders", "", "app", "app", "", "true"]);
        let usage = row(["held", "usual", "USAGE", "SCHEMA", "", "public", "", "", "", "", ""]);
        let found = row(["found", "0", "", "", "", "orders", "", "", "", "", ""]);
        let rows = |count: usize| {
            [me(), found.clone(), usage.clone()].into_iter().chain(vec![held.clone(); count - 3])
        };
        for (count, excess) in
            [(4, Some(0)), (MOST_ROWS, Some(0)), (MOST_ROWS + 1, Some(1)), (MOST_ROWS + 2, None)]
        {
            let account = read(rows(count), wants("SELECT ON orders"));
            let found = account.as_ref().map(|account| {
                let wants = account.wants.as_ref().unwrap();
                assert!(account.missing(wants).is_empty());
                account.excess(wants).len()
            });
            assert_eq!(found, excess, "{count} rows");
        }
    }
}
