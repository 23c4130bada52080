//! The account's privileges, compared with the field's needs, and written as configuration of the
//! server.

use backing_services_runtime::Finding;
use backing_services_runtime::grants::Grants;
use backing_services_runtime::needs::{Difference, Grantable, Names, Needs};
use backing_services_runtime::posture::MOST_PRIVILEGES;

/// The privileges that an account can be granted.
pub(super) const PRIVILEGES: &[Grantable] =
    &[Grantable::new("SUBJECT", &[PUBLISH, SUBSCRIBE], Names::Patterns)];

const PUBLISH: &str = "PUBLISH";
const SUBSCRIBE: &str = "SUBSCRIBE";

/// Subjects that give power over more than the application's own messages.
const POWERS: [&str; 2] = ["$SYS.>", "$JS.API.>"];

/// The questions of a probe.
pub(super) struct Questions {
    list: Vec<Question>,
    random_name: String,
}

struct Question {
    privilege: &'static str,
    /// The subject to try. To subscribe, it may have wildcards.
    subject: String,
    /// The subject in a report.
    stands_for: String,
}

impl Questions {
    pub(super) fn new(needs: Option<&Needs>, random_name: &str) -> Self {
        let mut list: Vec<Question> = Vec::new();
        let mut add = |privilege, subject: String, stands_for: String| {
            if list.iter().all(|other| other.privilege != privilege || other.subject != subject) {
                list.push(Question { privilege, subject, stands_for });
            }
        };
        for power in POWERS {
            add(PUBLISH, sample(power, random_name), power.to_owned());
            add(SUBSCRIBE, power.to_owned(), power.to_owned());
        }
        for subject in
            needs.iter().flat_map(|needs| needs.iter()).filter_map(|need| need.object.as_deref())
        {
            add(PUBLISH, sample(subject, random_name), subject.to_owned());
            add(SUBSCRIBE, subject.to_owned(), subject.to_owned());
            // The wider subject: of `orders.eu.>`, `orders.>`.
            let tokens: Vec<_> = subject.split('.').collect();
            let around =
                tokens.len().saturating_sub(if tokens.last() == Some(&">") { 2 } else { 1 });
            if around > 0 {
                let around = format!("{}.>", tokens[..around].join("."));
                add(PUBLISH, sample(&around, random_name), around.clone());
                add(SUBSCRIBE, sample(&around, random_name), around);
            }
        }
        Self { list, random_name: random_name.to_owned() }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The questions as lines of the protocol. Each message asks for a reply to `_R_.…`, which only
    /// servers may use. The server refuses that after it has checked the permission to publish, so
    /// the message reaches no subscriber.
    pub(super) fn lines(&self) -> String {
        let mut lines = String::new();
        for (index, Question { privilege, subject, .. }) in self.list.iter().enumerate() {
            lines.push_str(&if *privilege == PUBLISH {
                format!("PUB {subject} _R_.{}.{index} 0\r\n\r\n", self.random_name)
            } else {
                let id = index + 100;
                format!("SUB {subject} {id}\r\nUNSUB {id}\r\n")
            });
        }
        lines
    }

    /// True if the account has the permission, given the server's refusals. A message whose reply
    /// subject was refused has passed the check of the permission to publish.
    fn may(&self, index: usize, denied: &[String]) -> bool {
        let Question { privilege, subject, .. } = &self.list[index];
        let subject = format!("\"{}\"", subject.to_lowercase());
        if *privilege == PUBLISH {
            let reply = format!("\"_r_.{}.{index}\"", self.random_name);
            denied.iter().any(|text| text.contains("reply") && text.contains(&reply))
        } else {
            !denied.iter().any(|text| text.contains("subscription") && text.contains(&subject))
        }
    }

    /// The administrator's permissions that the account has, and the field does not need.
    pub(super) fn powers(&self, needs: Option<&Needs>, denied: &[String]) -> Vec<String> {
        let mut powers = Vec::new();
        for (index, question) in self.list.iter().enumerate() {
            if POWERS.contains(&question.stands_for.as_str())
                && question.privilege == PUBLISH
                && self.may(index, denied)
                && !is_needed(needs, question)
            {
                powers.push(format!("publish to `{}`", question.stands_for));
            }
        }
        powers
    }

    /// Compares the account with the field's needs. Returns its privileges, and findings for
    /// missing and for excess ones.
    pub(super) fn compare(
        &self,
        needs: &Needs,
        user: Option<&str>,
        denied: &[String],
    ) -> (Vec<String>, Vec<Finding>) {
        let statement = permissions(needs);
        let statement =
            format!("give the user {} its `permissions: {statement}`", user.unwrap_or_default());
        let (mut lacking, mut excess, mut privileges) = (Vec::new(), Vec::new(), Vec::new());
        for (index, question) in self.list.iter().enumerate() {
            let label = format!("{} ON {}", question.privilege, question.stands_for);
            let is_named = needs.iter().any(|need| {
                need.privilege == question.privilege
                    && need.object.as_deref() == Some(question.stands_for.as_str())
            });
            match (self.may(index, denied), is_needed(Some(needs), question)) {
                (false, _) if is_named => lacking.push(Difference::new(label, &statement)),
                (true, false) => {
                    privileges.push(label.clone());
                    excess.push(Difference::new(label, &statement));
                }
                (true, true) if is_named => privileges.push(label),
                _ => {}
            }
        }
        privileges.truncate(MOST_PRIVILEGES);
        let findings = Finding::missing_privileges(&lacking)
            .into_iter()
            .chain(Finding::excess_privileges(&excess))
            .collect();
        (privileges, findings)
    }
}

fn is_needed(needs: Option<&Needs>, question: &Question) -> bool {
    needs.iter().flat_map(|needs| needs.iter()).any(|need| {
        need.privilege == question.privilege
            && need.object.as_deref().is_some_and(|subject| covers(subject, &question.subject))
    })
}

/// A subject that the pattern matches.
fn sample(pattern: &str, random_name: &str) -> String {
    pattern
        .split('.')
        .map(|token| {
            if matches!(token, "*" | ">") {
                format!("_probe{random_name}")
            } else {
                token.to_owned()
            }
        })
        .collect::<Vec<_>>()
        .join(".")
}

/// True if a pattern matches a subject, or everything that another pattern matches.
fn covers(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for token in pattern.split('.') {
        match (token, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(other)) if other != ">" => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// A block of the server's configuration.
pub(super) fn grants(grants: &Grants) -> String {
    let variable = variable(grants);
    format!(
        "# the server takes the password, or its bcrypt hash, from its environment: \
         it does not start without {variable}\n\
         authorization: {{\n  users: [\n    \
         {{ user: {}, password: ${variable}, permissions: {} }}\n  ]\n}}\n",
        quoted(grants.account()),
        permissions(grants.needs())
    )
}

/// The environment variable of the server that has the account's password.
fn variable(grants: &Grants) -> String {
    let account = grants
        .account()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    format!("NATS_{}_PASSWORD", account.collect::<String>())
}

/// Both sides are written: if one is left out, everything is permitted.
fn permissions(needs: &Needs) -> String {
    let side = |privilege: &str, more: &[&str]| {
        let needed = needs
            .iter()
            .filter(|need| need.privilege == privilege)
            .filter_map(|need| need.object.as_deref());
        let subjects: Vec<_> = needed.chain(more.iter().copied()).map(quoted).collect();
        if subjects.is_empty() {
            "{ deny: [\">\"] }".to_owned()
        } else {
            format!("{{ allow: [{}] }}", subjects.join(", "))
        }
    };
    format!("{{ publish: {}, subscribe: {} }}", side(PUBLISH, &[]), side(SUBSCRIBE, &["_INBOX.>"]))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_as_in_the_server() {
        for (pattern, subject, expected) in [
            (">", "a.b", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("a.*", "a.>", false),
            ("a.>", "a.>", true),
            ("a.b", "a.b", true),
            ("a.b", "a.*", false),
        ] {
            assert_eq!(covers(pattern, subject), expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn both_sides_are_written() {
        let needs = Needs::parse("SUBSCRIBE ON orders.>", "NATS", PRIVILEGES).unwrap();
        assert_eq!(
            permissions(&needs),
            r#"{ publish: { deny: [">"] }, subscribe: { allow: ["orders.>", "_INBOX.>"] } }"#
        );
        assert!(
            Needs::parse("PUBLSH ON a", "NATS", PRIVILEGES)
                .unwrap_err()
                .contains("write `PUBLISH`")
        );
    }
}
