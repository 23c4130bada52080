//! What `SHOW GRANTS` says, as far as it makes an administrator.
//!
//! Its lines are statements: ``GRANT SELECT, INSERT ON `shop`.* TO `u`@`%` ``. A line can hold a hash of the password, and is never repeated.

use std::collections::BTreeSet;

use crate::posture::printable;

/// How many powers are named in a report: `root` has some seventy.
const MOST_NAMED: usize = 8;

#[derive(Default)]
pub(super) struct Grants {
    powers: BTreeSet<String>,
    /// The roles that the account may take on, quoted.
    pub(super) roles: Vec<String>,
}

impl Grants {
    /// Reads a line; `None` where it is none that is known.
    pub(super) fn read(&mut self, line: &str) -> Option<()> {
        // MariaDB says which role is the default one; MySQL says what was taken away again.
        if line.starts_with("SET DEFAULT ROLE ") || line.starts_with("REVOKE ") {
            return Some(());
        }
        let grant = line.strip_prefix("GRANT ")?;
        let (what, whom) = split(grant, " TO ")?;
        if split(whom, " WITH GRANT OPTION").is_some() || split(whom, " WITH ADMIN OPTION").is_some() {
            self.powers.insert("GRANT OPTION".to_owned());
        }
        let Some((privileges, place)) = split(what, " ON ") else {
            // No place: these are roles. What a role has of another one, or `PUBLIC`, is told together with it, and cannot be taken on; neither has a host.
            let roles = list(what).into_iter().map(requoted).collect::<Option<Vec<_>>>()?;
            if split(whom, "@").is_some() {
                self.roles.extend(roles);
            }
            return Some(());
        };
        if privileges == "USAGE" {
            return Some(());
        }
        // What kind of thing it is, where it is no table: ``PROCEDURE `shop`.`p` ``.
        let place = place.trim_start_matches(|c: char| c.is_ascii_uppercase() || c == ' ');
        if privileges == "PROXY" || place == "*.*" {
            self.powers.extend(list(privileges).into_iter().map(str::to_owned));
        } else if split(place, ".").is_some_and(|(schema, _)| holds_accounts(schema)) {
            self.powers.insert("privileges in the schema `mysql`".to_owned());
        }
        Some(())
    }

    /// What makes an administrator, in words; `None` where nothing does.
    pub(super) fn powers(&self) -> Option<String> {
        let named: Vec<_> = self.powers.iter().take(MOST_NAMED).map(|power| printable(power)).collect();
        match self.powers.len() {
            0 => None,
            count if count > MOST_NAMED => Some(format!("{} and {} more", named.join(", "), count - MOST_NAMED)),
            _ => Some(named.join(", ")),
        }
    }
}

/// Splits at the first `separator` that stands outside of quotes.
fn split<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            // A doubled quote closes, and opens again.
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if text[at..].starts_with(separator) => return Some((&text[..at], &text[at + separator.len()..])),
            None if matches!(c, '`' | '\'' | '"') => quote = Some(c),
            None => {}
        }
    }
    None
}

fn list(mut text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    while let Some((item, rest)) = split(text, ",") {
        items.push(item.trim());
        text = rest;
    }
    items.push(text.trim());
    items
}

/// A role's name, with its host where it has one, quoted anew; `None` where it is no name. A server's words become part of a statement here.
fn requoted(name: &str) -> Option<String> {
    let quoted = |part: &str| {
        let part = unquoted(part)?;
        (!part.is_empty() && part.len() <= 256).then(|| format!("`{}`", part.replace('`', "``")))
    };
    match split(name, "@") {
        Some((name, host)) => Some(format!("{}@{}", quoted(name)?, quoted(host)?)),
        None => quoted(name),
    }
}

/// What a name is without its quotes; `None` where they do not fit.
fn unquoted(name: &str) -> Option<String> {
    let Some(quote @ ('`' | '\'' | '"')) = name.chars().next() else {
        return name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then(|| name.to_owned());
    };
    let inner = name.strip_prefix(quote)?.strip_suffix(quote)?;
    let doubled = format!("{quote}{quote}");
    let plain = inner.replace(&doubled, "");
    (!plain.contains(quote)).then(|| inner.replace(&doubled, &quote.to_string()))
}

/// Whether a schema is, or as a pattern covers, the one that holds the accounts.
fn holds_accounts(schema: &str) -> bool {
    // What cannot be read may be anything.
    let Some(pattern) = unquoted(schema) else { return true };
    let pattern = pattern.to_ascii_lowercase();
    let mut name = "mysql".chars();
    let mut wanted = pattern.chars();
    while let Some(c) = wanted.next() {
        let fits = match c {
            '%' => return true,
            '_' => name.next().is_some(),
            '\\' => name.next() == wanted.next(),
            c => name.next() == Some(c),
        };
        if !fits {
            return false;
        }
    }
    name.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn powers(lines: &[&str]) -> Option<String> {
        let mut grants = Grants::default();
        lines.iter().for_each(|line| grants.read(line).unwrap());
        grants.powers()
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
            assert_eq!(powers(&[line]), None, "{line}");
        }
    }

    #[test]
    fn what_makes_an_administrator() {
        for (line, named) in [
            (
                "GRANT ALL PRIVILEGES ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*24' WITH GRANT OPTION",
                "ALL PRIVILEGES, GRANT OPTION",
            ),
            ("GRANT SELECT, PROCESS, FILE ON *.* TO `u`@`%`", "FILE, PROCESS, SELECT"),
            ("GRANT SYSTEM_USER,ROLE_ADMIN ON *.* TO `u`@`%`", "ROLE_ADMIN, SYSTEM_USER"),
            ("GRANT PROXY ON ''@'%' TO 'u'@'%' WITH GRANT OPTION", "GRANT OPTION, PROXY"),
            ("GRANT SELECT ON `shop`.* TO `u`@`%` WITH GRANT OPTION", "GRANT OPTION"),
            ("GRANT `r` TO `u`@`%` WITH ADMIN OPTION", "GRANT OPTION"),
            ("GRANT SELECT ON `mysql`.* TO `u`@`%`", "privileges in the schema `mysql`"),
            ("GRANT SELECT ON `mysql`.`user` TO `u`@`%`", "privileges in the schema `mysql`"),
            ("GRANT SELECT ON `%`.* TO `u`@`%`", "privileges in the schema `mysql`"),
            ("GRANT SELECT ON `my%`.* TO `u`@`%`", "privileges in the schema `mysql`"),
            ("GRANT SELECT ON `m_sql`.* TO `u`@`%`", "privileges in the schema `mysql`"),
        ] {
            assert_eq!(powers(&[line]).as_deref(), Some(named), "{line}");
        }
        let many: Vec<_> = (0..70).map(|i| format!("POWER{i:02}")).collect();
        let named = powers(&[&format!("GRANT {} ON *.* TO `u`@`%`", many.join(", "))]).unwrap();
        assert!(named.ends_with("POWER07 and 62 more"), "{named}");
        assert!(!powers(&["GRANT \u{1b}[2J ON *.* TO `u`@`%`"]).unwrap().contains('\u{1b}'));
    }

    #[test]
    fn what_cannot_be_read_is_no_answer() {
        for line in ["", "GRANT", "GRANT SELECT ON *.*", "DROP TABLE x", "GRANT `r`; DROP TABLE x TO `u`", "GRANT `a`b` TO `u`"] {
            assert!(Grants::default().read(line).is_none(), "{line}");
        }
    }

    #[test]
    fn roles_are_quoted_anew() {
        let mut grants = Grants::default();
        grants.read("GRANT `r`@`%`,`s``x`@`localhost` TO `u`@`%`").unwrap();
        grants.read("GRANT reader TO `u`@`%`").unwrap();
        grants.read("GRANT `inner@role` TO `s@x`").unwrap();
        grants.read("GRANT `r4` TO PUBLIC").unwrap();
        assert_eq!(grants.roles, ["`r`@`%`", "`s``x`@`localhost`", "`reader`"]);
    }
}
