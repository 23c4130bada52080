//! The account's privileges: tried on names that do not exist and, if the field has `needs`, on the
//! names in them.
//!
//! RabbitMQ checks a permission against a name, whether it is a queue's or an exchange's. So
//! everything is tried on queues. The calls change nothing, whatever the answer: they have an
//! invalid argument, or are about something that does not exist.

use std::fmt::Write as _;

use backing_services_rules::rule::{MISSING_PRIVILEGES, SUPERUSER_ACCOUNT};
use backing_services_runtime::grants::Grants;
use backing_services_runtime::needs::{Difference, Grantable, Names, Need, Needs};
use backing_services_runtime::posture::MOST_PRIVILEGES;
use backing_services_runtime::service::random_name::random_name;
use backing_services_runtime::service::{Refusal, Target};
use backing_services_runtime::{Failure, Finding};

use crate::asking::{Asking, Call, Question};

/// The privileges that an account can be granted.
pub(super) const PRIVILEGES: &[Grantable] = &[
    Grantable::new("QUEUE", &POWERS, Names::Patterns),
    Grantable::new("EXCHANGE", &POWERS, Names::Patterns),
    Grantable::new(PREFIX, &POWERS, Names::Patterns),
];

const POWERS: [&str; 3] = ["CONFIGURE", "WRITE", "READ"];

/// All names with this prefix.
const PREFIX: &str = "PREFIX";

/// The account as the answers show it.
pub(super) struct Account {
    pub(super) privileges: Vec<String>,
    pub(super) findings: Vec<Finding>,
}

/// The names to try, and the way to read the answers.
pub(super) struct Trial {
    nobodys: String,
    names: Vec<Name>,
}

impl Trial {
    pub(super) fn new(target: &Target) -> Result<Self, Refusal> {
        let nobodys = format!("probe.{}", random_name()?);
        let names = target.needs().map(|needs| names(needs, &nobodys)).unwrap_or_default();
        Ok(Self { nobodys, names })
    }

    /// The questions: first about everything in the virtual host, then about what the field needs,
    /// and about names near to that.
    pub(super) fn asking(&self, channels: u16) -> Asking {
        let question = |call: Call, queue: &str| Question { call, queue: queue.to_owned() };
        let mut questions: Vec<_> =
            [Call::Delete, Call::Bind, Call::Get].map(|call| question(call, &self.nobodys)).into();
        for name in &self.names {
            questions.extend(
                [Call::Declare, Call::Bind, Call::Consume].map(|call| question(call, &name.name)),
            );
        }
        Asking { questions, nobodys: self.nobodys.clone(), channels }
    }

    /// Maps the answers to the account's privileges and findings.
    pub(super) fn evaluate(&self, answers: &[bool], target: &Target) -> Result<Account, Refusal> {
        if answers.len() != POWERS.len() * (1 + self.names.len()) {
            return Err(Failure::protocol().into());
        }
        let (flat, answers) = answers.split_at(POWERS.len());
        let powers: Vec<_> = POWERS
            .iter()
            .zip(flat)
            .filter(|(_, may)| **may)
            .map(|(power, _)| power.to_ascii_lowercase())
            .collect();
        let mut account = Account { privileges: Vec::new(), findings: Vec::new() };
        let statement = target
            .needs()
            .map(|needs| permissions(target.user(), host(target.locator().path()), needs));
        if !powers.is_empty() {
            let message = format!(
                "the account is an administrator's: in its virtual host it may {} everything",
                powers.join(", ")
            );
            let help = statement.clone().unwrap_or_else(|| {
                r"rabbitmqctl set_permissions -p <host> <user> '^shop\.' '^shop\.' '^shop\.'"
                    .to_owned()
            });
            account.findings.push(
                Finding::new(&SUPERUSER_ACCOUNT, message)
                    .with_help(format!("`{help}`: only what begins with the application's name")),
            );
            return Ok(account);
        }
        if let (Some(needs), Some(statement)) = (target.needs(), statement) {
            compare(needs, &self.names, answers, &statement, &mut account);
        }
        Ok(account)
    }
}

/// The account at a broker that was not asked. The calls above change nothing on RabbitMQ; their
/// effect elsewhere is unknown.
pub(super) fn unseen(target: &Target) -> Account {
    let finding = target.needs().map(|_| {
        Finding::new(
            &MISSING_PRIVILEGES,
            "the broker is not RabbitMQ: the account's permissions cannot be compared with `needs`",
        )
        .with_help(
            "remove `needs`, or waive the rule with a reason, and check the permissions in the \
             broker itself",
        )
    });
    Account { privileges: Vec::new(), findings: finding.into_iter().collect() }
}

/// A name on which all permissions are tried.
struct Name {
    name: String,
    /// The name in a report: `QUEUE orders`.
    label: String,
    /// True if the account needs a permission on it. False if it is only near to such a name.
    is_needed: bool,
}

fn names(needs: &Needs, nobodys: &str) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    let mut add = |name: String, label: String, is_needed: bool| {
        if names.iter().all(|other| other.name != name) {
            names.push(Name { name, label, is_needed });
        }
    };
    for need in needs.iter() {
        let Some(object) = need.object.as_deref() else { continue };
        if need.kind == PREFIX {
            add(format!("{object}{nobodys}"), format!("{PREFIX} {object}"), true);
            add(
                format!("{nobodys}{object}{nobodys}"),
                format!("every name that contains {object}"),
                false,
            );
        } else {
            add(object.to_owned(), format!("{} {object}", need.kind), true);
            // A pattern of RabbitMQ matches anywhere in a name unless it is anchored.
            add(format!("{object}{nobodys}"), format!("{PREFIX} {object}"), false);
            add(format!("{nobodys}{object}"), format!("every name that ends in {object}"), false);
        }
    }
    names
}

fn covers(need: &Need, power: &str, name: &str) -> bool {
    let object = need.object.as_deref().unwrap_or_default();
    need.privilege == power
        && if need.kind == PREFIX { name.starts_with(object) } else { name == object }
}

fn compare(
    needs: &Needs,
    names: &[Name],
    answers: &[bool],
    statement: &str,
    account: &mut Account,
) {
    let (mut lacking, mut excess) = (Vec::new(), Vec::new());
    for (name, may) in names.iter().zip(answers.chunks(POWERS.len())) {
        for (power, may) in POWERS.iter().zip(may) {
            let is_needed = needs.iter().any(|need| covers(need, power, &name.name));
            let difference = || Difference::new(format!("{power} ON {}", name.label), statement);
            match (*may, is_needed) {
                (false, true) if name.is_needed => lacking.push(difference()),
                (true, false) => excess.push(difference()),
                _ => {}
            }
            if *may && (name.is_needed || !is_needed) && account.privileges.len() < MOST_PRIVILEGES
            {
                account.privileges.push(format!("{power} ON {}", name.label));
            }
        }
    }
    account.findings.extend(Finding::missing_privileges(&lacking));
    account.findings.extend(Finding::excess_privileges(&excess));
}

// --- Statements ---------------------------------------------------------------------------------

/// The name of a virtual host, from a locator's path.
fn host(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

/// Lines for a shell.
pub(super) fn grants(grants: &Grants) -> String {
    let user = quoted(grants.account());
    format!(
        "# no client can log in as {} before it has a password: \
         rabbitmqctl change_password -- {user}\nrabbitmqctl add_user -- {user} ''\n{}\n",
        grants.account(),
        permissions(Some(grants.account()), grants.database().unwrap_or("/"), grants.needs())
    )
}

/// The command that sets all of an account's permissions in a virtual host.
fn permissions(user: Option<&str>, host: &str, needs: &Needs) -> String {
    let mut line = format!(
        "rabbitmqctl set_permissions -p {} -- {}",
        quoted(host),
        user.map_or("<user>".to_owned(), quoted)
    );
    for power in POWERS {
        let mut alternatives: Vec<String> = Vec::new();
        for need in needs.iter().filter(|need| need.privilege == power) {
            let object = escaped(need.object.as_deref().unwrap_or_default());
            let alternative =
                if need.kind == PREFIX { format!("^{object}") } else { format!("^{object}$") };
            if !alternatives.contains(&alternative) {
                alternatives.push(alternative);
            }
        }
        let pattern =
            if alternatives.is_empty() { "^$".to_owned() } else { alternatives.join("|") };
        // Writing to a `String` does not fail.
        let _ = write!(line, " {}", quoted(&pattern));
    }
    line
}

/// A regular expression that matches this and nothing else.
fn escaped(name: &str) -> String {
    let mut escaped = String::new();
    for c in name.chars() {
        if c.is_ascii_punctuation() && !matches!(c, '_' | '-' | '/' | ':' | '@' | ',') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A word, quoted for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_match_what_is_needed_and_nothing_else() {
        let needs = Needs::parse(
            "CONFIGURE, READ ON QUEUE orders, 'a b'; READ ON PREFIX shop.; \
             WRITE ON EXCHANGE amq.default",
            "AMQP",
            PRIVILEGES,
        );
        assert_eq!(
            permissions(Some("it's"), "a/b", &needs.unwrap()),
            concat!(
                r"rabbitmqctl set_permissions -p 'a/b' -- 'it'\''s' ",
                r"'^orders$|^a b$' '^amq\.default$' '^orders$|^a b$|^shop\.'",
            )
        );
        let needs = Needs::parse("READ ON x", "AMQP", PRIVILEGES).unwrap();
        assert!(permissions(None, "/", &needs).ends_with(" -- <user> '^$' '^$' '^x$'"));
    }

    #[test]
    fn a_mistyped_privilege_is_reported() {
        let mistake = Needs::parse("RAED ON orders", "AMQP", PRIVILEGES).unwrap_err();
        assert!(mistake.contains("write `READ`"), "{mistake}");
        assert!(Needs::parse("READ", "AMQP", PRIVILEGES).is_err(), "the name is missing");
    }
}
