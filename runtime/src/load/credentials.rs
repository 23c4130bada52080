//! Credentials that are not secret: shipped with the product, guessable, or an unfilled
//! placeholder.

use backing_services_rules::rule::{
    DEFAULT_CREDENTIALS, MALFORMED_VALUE, PLACEHOLDER_VALUE, WEAK_PASSWORD,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::Value;
use crate::report::finding::Finding;
use crate::report::redact::Guarded;

/// The shortest accepted password. NIST SP 800-63B-4 requires 15 characters for a password alone,
/// ASVS 6.2.1 requires 8 and recommends 15. A machine's password is generated, and 12 random
/// characters are too many to try.
pub(crate) const SHORTEST_PASSWORD: usize = 12;

/// Accounts and passwords that products and their images ship with.
const SHIPPED: &[(&str, &str)] = &[
    ("postgres", "postgres"),
    ("postgres", "mysecretpassword"),
    ("guest", "guest"),
    ("root", ""),
    ("root", "root"),
    ("root", "my-secret-pw"),
    ("mysql", "mysql"),
    ("admin", "admin"),
    ("admin", "password"),
    ("default", "default"),
    ("default", "foobared"),
    ("redis", "redis"),
    ("rabbitmq", "rabbitmq"),
    ("user", "bitnami"),
    ("user", "user"),
    ("minioadmin", "minioadmin"),
    ("mongo", "mongo"),
    ("nats", "nats"),
    ("sa", "sa"),
    ("test", "test"),
];

/// Passwords of twelve characters and more that password lists begin with, and shorter ones that
/// are worth naming.
const WELL_KNOWN: &[&str] = &[
    "123456789012", "1234567890123", "passwordpassword", "password12345", "password123456",
    "password1234", "qwertyuiop123", "qwertyuiopasdf", "administrator", "mysecretpassword",
    "my-secret-pw", "my-secret-password", "supersecretpassword", "supersecret123",
    "correcthorsebatterystaple", "correct horse battery staple", "letmeinletmein", "iloveyou1234",
    "trustno1trustno1", "secretsecret", "verysecretpassword", "postgrespassword", "redispassword",
    "rabbitmqpassword",
];

/// Placeholder texts of values that were never filled in.
const PLACEHOLDERS: &[&str] = &[
    "changeme", "change_me", "change-me", "changeit", "replaceme", "replace_me", "replace-me",
    "fixme", "todo", "tbd", "placeholder", "your_password", "your-password", "yourpassword",
    "your_password_here", "your-password-here", "your_secret_here", "your_api_key_here",
    "your-api-key", "insert_password_here", "undefined", "null", "none", "nil", "xxx", "xxxx",
    "xxxxxxxx", "********", "<redacted>", "[redacted]", "redacted",
];

/// The schemes of secret stores: a value with one is a reference that was not resolved.
const REFERENCES: &[&str] = &[
    "vault:", "op://", "aws-sm://", "awssm://", "awsps://", "gcp-sm://", "gcpsm://", "azure-kv://",
    "azurekv://", "ref+", "sops:", "doppler://", "secret://", "arn:aws:secretsmanager:",
];

/// Checks a resource's password against the rules: one mistake, one finding.
pub(crate) fn check_password(
    user: Option<&str>,
    password: &SecretString,
    variable: &str,
) -> Option<Finding> {
    let text = password.expose_secret();
    if text.chars().any(char::is_control) {
        let message = "its password holds a control character, such as a line break, a tab or NUL";
        return Some(Finding::new(&MALFORMED_VALUE, message).with_variable(variable).with_help(
            "write the password, and nothing else: \
             protocols end a text at such a character, or begin a new line",
        ));
    }
    if let Some(what) = placeholder(text) {
        let message = format!("its password is {what}");
        return Some(Finding::new(&PLACEHOLDER_VALUE, message).with_variable(variable));
    }
    let user = user.unwrap_or("default");
    if SHIPPED
        .iter()
        .any(|(shipped, password)| shipped.eq_ignore_ascii_case(user) && *password == text)
    {
        let message = "its user and password are the ones that the product ships with";
        return Some(Finding::new(&DEFAULT_CREDENTIALS, message).with_variable(variable));
    }
    let weak = if text.eq_ignore_ascii_case(user) {
        "its password is the user's name"
    } else if text.chars().count() < SHORTEST_PASSWORD {
        "its password has fewer than 12 characters"
    } else if WELL_KNOWN.iter().any(|known| known.eq_ignore_ascii_case(text)) || is_monotonous(text)
    {
        "its password is a well-known one"
    } else {
        return None;
    };
    Some(Finding::new(&WEAK_PASSWORD, weak).with_variable(variable))
}

/// A password that no text shows, unless a product ships with it or it is the user's name: texts
/// contain those anyway.
pub(crate) fn guarded(user: Option<&str>, password: SecretString) -> Guarded {
    let text = password.expose_secret();
    let is = |known: &str| known.eq_ignore_ascii_case(text);
    if is(user.unwrap_or("default")) || SHIPPED.iter().any(|(_, shipped)| is(shipped)) {
        Guarded::well_known(password)
    } else {
        Guarded::new(password)
    }
}

/// Checks a secret that does not belong to a resource against the rules. Its service decides how
/// long it has to be.
pub(crate) fn check_secret(value: &Value) -> Option<Finding> {
    let what = placeholder(value.text.expose_secret())?;
    let message = format!("`{}` is {what}", value.variable);
    Some(Finding::new(&PLACEHOLDER_VALUE, message).with_variable(&*value.variable))
}

/// Describes an unfilled placeholder; `None` if the text is not one.
pub(crate) fn placeholder(text: &str) -> Option<&'static str> {
    let text = text.trim();
    let first = text.bytes().next().map(|first| first.to_ascii_lowercase());
    let begins = |beginning: &&str| {
        beginning.bytes().next() == first
            && text
                .as_bytes()
                .get(..beginning.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(beginning.as_bytes()))
    };
    let wrapped = |open: &str, close: &str| {
        text.len() > open.len() + close.len() && text.starts_with(open) && text.ends_with(close)
    };
    if REFERENCES.iter().any(begins) {
        Some("a reference to a secret store, which was not followed")
    } else if wrapped("${", "}")
        || wrapped("{{", "}}")
        || wrapped("__", "__")
        || wrapped("$(", ")")
        || wrapped("<", ">")
        || wrapped("%%", "%%")
    {
        Some("a template's placeholder, which was not filled in")
    } else if PLACEHOLDERS.iter().any(|placeholder| placeholder.eq_ignore_ascii_case(text)) {
        Some("a placeholder, which was not filled in")
    } else {
        None
    }
}

/// `aaaaaaaaaaaa`: fewer than four different characters.
fn is_monotonous(text: &str) -> bool {
    let mut different = ['\0'; 3];
    let mut found = 0;
    for c in text.chars() {
        if !different[..found].contains(&c) {
            match different.get_mut(found) {
                Some(free) => *free = c,
                None => return false,
            }
            found += 1;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule_of(user: Option<&str>, password: &str) -> Option<&'static str> {
        let finding = check_password(user, &password.into(), "X_PASSWORD")?;
        assert!(!finding.to_string().contains(password) || password.len() < 5, "{finding}");
        Some(finding.rule().name)
    }

    /// A development server with the password `postgres`, waived. PostgreSQL reports the names of
    /// its accounts, and each report names the product.
    #[test]
    fn what_texts_hold_anyway_is_no_gap_in_them() {
        let of = |user: Option<&str>, password: &str| guarded(user, password.into());
        let _shipped =
            [of(Some("app"), "postgres"), of(Some("orders-service-79"), "orders-service-79")];
        for text in ["PostgreSQL 16.2, as postgres", "session_authorization=orders-service-79"] {
            assert_eq!(crate::posture::printable(text), text);
        }
        let _own = of(Some("app"), "orders-secret-83");
        assert_eq!(crate::posture::printable("no orders-secret-83"), "no (the password)");
    }

    #[test]
    fn weak_and_unfilled_passwords_are_recognised() {
        assert_eq!(rule_of(Some("guest"), "guest"), Some("default_credentials"));
        assert_eq!(rule_of(None, "foobared"), Some("default_credentials"));
        assert_eq!(rule_of(Some("shop"), "SHOP"), Some("weak_password"));
        assert_eq!(rule_of(Some("shop"), "elevenchars"), Some("weak_password"));
        assert_eq!(rule_of(Some("shop"), "passwordpassword"), Some("weak_password"));
        assert_eq!(rule_of(Some("shop"), "abababababababab"), Some("weak_password"));
        for placeholder in [
            "changeme", "__GENERATE__", "vault://secret/db", "${DB_PASSWORD}", "{{ password }}",
            "<password>", "TODO", "op://vault/item",
        ] {
            assert_eq!(
                rule_of(Some("shop"), placeholder),
                Some("placeholder_value"),
                "{placeholder}"
            );
        }
        assert_eq!(rule_of(Some("shop"), "kX3-vR9_wQ1z"), None);
        for control in ["\0", "\n", "\r\n", "\t", "\u{1b}[2J", "\u{7f}", "\u{85}"] {
            for password in [
                format!("kX3-vR9{control}_wQ1z"),
                format!("kX3-vR9_wQ1z{control}"),
                format!("{control}kX3-vR9_wQ1z"),
            ] {
                assert_eq!(
                    rule_of(Some("shop"), &password),
                    Some("malformed_value"),
                    "{password:?}"
                );
                assert_eq!(rule_of(None, &password), Some("malformed_value"), "{password:?}");
            }
        }
        assert_eq!(rule_of(Some("shop"), "motdepassé-æøå"), None);
        assert_eq!(rule_of(Some("postgres"), "kX3-vR9_wQ1z"), None);
    }

    #[test]
    fn a_shipped_password_is_weak_for_every_other_account() {
        for (user, password) in SHIPPED {
            for (user, rule) in [(*user, &DEFAULT_CREDENTIALS), ("shop", &WEAK_PASSWORD)] {
                let finding = check_password(Some(user), &(*password).into(), "X_PASSWORD");
                assert_eq!(finding.unwrap().rule(), rule, "{user} {password}");
            }
        }
    }

    #[test]
    fn a_placeholder_has_something_between_its_marks() {
        for text in
            ["${A}", " {{ a }} ", "__A__", "$(pass db)", "<a>", "%%A%%", "VAULT:a", "Null", "ref+a"]
        {
            assert!(placeholder(text).is_some(), "{text}");
            let value = Value {
                text: text.into(),
                variable: "SHOP_KEY".to_owned(),
                is_of_this_machine: true,
            };
            let finding = check_secret(&value).unwrap();
            assert_eq!(finding.rule(), &PLACEHOLDER_VALUE);
            assert_eq!(finding.variable(), Some("SHOP_KEY"));
        }
        for text in ["${}", "____", "<>", "${a", "a}", "<a", "a>", "a__", "__a", "vault", "nulls"] {
            assert_eq!(placeholder(text), None, "{text}");
        }
    }
}
