//! The account that the server reports, its privileges, and the findings about them.

use backing_services_rules::rule::{SUPERUSER_ACCOUNT, UNVERIFIED_TLS};
use backing_services_runtime::Finding;
use backing_services_runtime::needs::Difference;
use backing_services_runtime::posture::{MOST_PRIVILEGES, printable};
use backing_services_runtime::service::Target;

use crate::grants::{ALL, Granted, Grants, Naming, PUBLIC, Product};
use crate::relay::login::Plugin;
use crate::vocabulary::Want;

/// The limit of an administrator's privileges that a finding names: `root` has some seventy.
const MOST_NAMED: usize = 8;

/// The limit of excess privileges that get a statement: a finding names no more.
const MOST_MENDED: usize = 32;

/// The step before a grant on one object. An account cannot see whether an object is there on which
/// it has no privilege; if it is not, the grant fails.
const MIGRATIONS: &str = "If it is not there yet, first run the migrations.";

/// The account, as the server reports it.
pub(super) struct Account {
    /// The account whose privileges count: `CURRENT_USER()`.
    pub(super) user: String,
    /// The user name of the login, with the client's host: `USER()`.
    pub(super) login: String,
    pub(super) version: String,
    pub(super) product: Product,
    pub(super) naming: Naming,
    pub(super) grants: Grants,
    /// True if the server reports this connection as TLS.
    pub(super) is_tls: bool,
    /// The TLS version that the server reports: `TLSv1.3`.
    pub(super) tls_version: String,
    pub(super) took_roles: bool,
}

impl Account {
    /// Returns true if the server reports another name than the requested one, as the login or as
    /// the account: a pooler logs in under another name, or the server maps the login to another
    /// account.
    pub(super) fn is_renamed(&self, asked: &str) -> bool {
        [&self.login, &self.user].into_iter().any(|reported| name(reported) != asked)
    }

    /// The account's privileges, in the words of `needs`.
    pub(super) fn privileges(&self) -> Vec<String> {
        let mut privileges: Vec<String> = Vec::new();
        for granted in self.grants.list.keys() {
            let shown = printable(&granted.shown(self.naming));
            if !privileges.contains(&shown) {
                privileges.push(shown);
            }
            if privileges.len() == MOST_PRIVILEGES {
                break;
            }
        }
        privileges
    }

    pub(super) fn findings(
        &self,
        target: &Target,
        plugin: Plugin,
        tls: Option<&str>,
    ) -> Vec<Finding> {
        let mut findings: Vec<_> = plugin.weakness(self.product.is_mariadb).into_iter().collect();
        // Our end of the connection is verified TLS. If the other end differs, a proxy terminates
        // TLS, and its operator protects the rest of the path.
        let other_end = match tls {
            Some(_) if !self.is_tls => Some("without TLS".to_owned()),
            Some(tls)
                if !self.tls_version.is_empty()
                    && self.tls_version.replace("TLSv", "TLS ") != tls =>
            {
                Some(format!("by {}, and it left by {tls}", printable(&self.tls_version)))
            }
            _ => None,
        };
        if let Some(other_end) = other_end {
            let message = format!(
                "the server says that the connection reached it {other_end}: something in between \
                 ends it"
            );
            findings.push(
                Finding::new(&UNVERIFIED_TLS, message)
                    .with_help(
                        "ask who runs the proxy how the way from it to the server is protected",
                    )
                    .into_warning(),
            );
        }
        let wants = target.needs().map(|needs| Want::all(needs, target.locator().path()));
        // An administrator has everything needed and everything in excess: only `superuser_account`
        // is reported.
        match (self.administrator(wants.as_deref().unwrap_or_default()), wants) {
            (Some(finding), _) => findings.push(finding),
            (None, Some(wants)) => {
                findings.extend(Finding::missing_privileges(&self.missing(&wants)));
                findings.extend(Finding::excess_privileges(&self.excess(&wants)));
            }
            (None, None) => {}
        }
        findings
    }

    /// The finding `superuser_account`, if the account is an administrator's.
    fn administrator(&self, wants: &[Want]) -> Option<Finding> {
        let new_account = "create an account for the application with `CREATE USER`, `GRANT` it \
                           the privileges that the application uses in its own database, and log \
                           in as that user";
        let name = name(&self.user);
        if name.is_empty() || name.eq_ignore_ascii_case("root") {
            let message = if name.is_empty() {
                "the account has no name: every client can use it"
            } else {
                "the account is `root`"
            };
            return Some(Finding::new(&SUPERUSER_ACCOUNT, message).with_help(new_account));
        }
        let powers: Vec<_> = self
            .grants
            .list
            .keys()
            .filter_map(|granted| Some((granted, granted.power(self.naming)?)))
            .collect();
        if powers.is_empty() {
            return None;
        }
        let differences: Vec<_> = powers
            .iter()
            .take(MOST_NAMED)
            .map(|(granted, why)| {
                self.taken(
                    granted,
                    &granted.privilege,
                    &format!("{}{why}", granted.shown(self.naming)),
                    wants,
                )
            })
            .collect();
        let mut names =
            differences.iter().map(|power| power.privilege.as_str()).collect::<Vec<_>>().join("; ");
        if powers.len() > MOST_NAMED {
            names.push_str(&format!("; and {} more", powers.len() - MOST_NAMED));
        }
        // An account that was created as an administrator is not reduced to an application's: the
        // help proposes a new account.
        let is_born = powers.len() > MOST_NAMED
            || powers.iter().any(|(granted, _)| {
                granted.privilege == ALL && granted.holder == self.grants.account
            })
            || differences.iter().any(|difference| difference.statement.is_empty());
        let help = if is_born {
            new_account.to_owned()
        } else {
            backing_services_runtime::needs::statements(&differences)
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
    fn missing(&self, wants: &[Want]) -> Vec<Difference> {
        let mut names_an_object = false;
        let difference = |want: Want| {
            let missing = Difference::new(want.to_string(), want.statement(&self.grants.account));
            let is_first = want.is_of_an_object() && !names_an_object;
            names_an_object |= want.is_of_an_object();
            if is_first { missing.with_step_before(MIGRATIONS) } else { missing }
        };
        wants.iter().filter_map(|want| self.lacking(want, |_| true)).map(difference).collect()
    }

    /// The part of a needed privilege that the account lacks before it activates a role, if only
    /// the grants that satisfy `stays` count.
    fn lacking(&self, want: &Want, stays: impl Fn(&Granted) -> bool) -> Option<Want> {
        let has = |column: Option<&str>| {
            let mut active = self.grants.list.iter().filter(|(_, is_active)| **is_active);
            active.any(|(held, _)| want.is_given_by(held, column, self.naming) && stays(held))
        };
        if want.columns.is_empty() {
            return (!has(None)).then(|| want.clone());
        }
        let columns: Vec<_> =
            want.columns.iter().filter(|column| !has(Some(column))).cloned().collect();
        (!columns.is_empty()).then(|| want.of(columns))
    }

    /// The account's privileges that are not needed.
    fn excess(&self, wants: &[Want]) -> Vec<Difference> {
        let mut excess = Vec::new();
        for held in self.grants.list.keys() {
            let is_needed =
                |privilege: &str| wants.iter().any(|want| want.needs(held, privilege, self.naming));
            let mut taken = vec![held.privilege.as_str()];
            if held.privilege == ALL {
                let all = self.product.all_of(&held.place);
                let rest: Vec<_> =
                    all.iter().copied().filter(|privilege| !is_needed(privilege)).collect();
                // If only a part is needed, the rest is listed privilege by privilege.
                if rest.len() < all.len() {
                    taken = rest;
                }
            } else if is_needed(&held.privilege) {
                continue;
            }
            for privilege in taken {
                let part = Granted { privilege: privilege.to_owned(), ..held.clone() };
                let shown = part.shown(self.naming);
                excess.push(if excess.len() < MOST_MENDED {
                    self.taken(&part, privilege, &shown, wants)
                } else {
                    Difference::new(shown, "")
                });
            }
        }
        excess
    }

    /// The difference for a privilege to remove. Its statement revokes the privilege, and grants
    /// again what is needed and would be lost.
    fn taken(&self, held: &Granted, privilege: &str, shown: &str, wants: &[Want]) -> Difference {
        let grants = &self.grants;
        let mut shown = shown.to_owned();
        let ways = grants.ways(&held.holder);
        if held.is_everybodys() || ways.iter().any(|(start, _)| start == PUBLIC) {
            shown.push_str(", as every account has");
        }
        if held.holder != grants.account && !held.is_everybodys() {
            shown.push_str(&format!(", by way of the role {}", held.holder));
        }
        let mut statement = if ways.is_empty() {
            held.revoked(self.product).unwrap_or_default()
        } else {
            let memberships =
                ways.iter().map(|(start, role)| format!("REVOKE {role} FROM {start};"));
            memberships.collect::<Vec<_>>().join(" ")
        };
        if statement.is_empty() {
            return Difference::new(shown, statement);
        }
        // The roles that are still reached once those memberships are revoked.
        let is_way = |membership: &(String, String)| ways.contains(&membership);
        let starts = grants.memberships.iter().filter(|membership| {
            !is_way(membership) && (membership.0 == grants.account || membership.0 == PUBLIC)
        });
        let reached: std::collections::BTreeSet<_> =
            starts.flat_map(|(_, role)| grants.reached_from(role)).collect();
        for want in wants {
            let stays = |other: &Granted| {
                if !ways.is_empty() {
                    return other.holder == grants.account
                        || other.holder == PUBLIC
                        || reached.contains(other.holder.as_str());
                }
                // Revoking a privilege on a table revokes it on the table's columns too.
                let goes = other.place == held.place
                    && other.holder == held.holder
                    && (privilege == ALL || privilege == want.privilege)
                    && (held.column.is_none() || held.column == other.column);
                !goes
            };
            // Privileges that are missing already belong to `missing_privileges`.
            if let (None, Some(lacking)) = (self.lacking(want, |_| true), self.lacking(want, stays))
            {
                statement.push(' ');
                statement.push_str(&lacking.statement(&grants.account));
            }
        }
        Difference::new(shown, statement)
    }
}

/// The name in `name@host`; a host has no `@`.
fn name(account: &str) -> &str {
    account.rsplit_once('@').map_or(account, |(name, _)| name)
}
