//! The table of rules: the only definition of each rule's name, meaning and references.

/// The strictness of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// A violation is reported; attaching goes on.
    Warn,
    /// A violation ends the attempt, unless the field waives the rule with a reason.
    Deny,
    /// A violation ends the attempt. There is no waiver.
    Forbid,
}

impl Level {
    /// The level's name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Deny => "deny",
            Self::Forbid => "forbid",
        }
    }
}

/// The point in time at which a rule is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// By the derive, or by rustc in a constant: the program does not build.
    Compile,
    /// When values are loaded, before any connection.
    Load,
    /// While a resource is attached.
    Attach,
    /// While it stays attached, on each re-check of its posture. Findings are reported, and end
    /// nothing.
    Watch,
}

impl Phase {
    /// The phase's name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compile => "compile",
            Self::Load => "load",
            Self::Attach => "attach",
            Self::Watch => "watch",
        }
    }
}

/// One named security requirement.
#[derive(Debug)]
#[non_exhaustive]
pub struct Rule {
    /// Its identity everywhere: in waivers, reports, logs and docs. `snake_case`, like a lint.
    pub name: &'static str,
    /// The requirement, in one line.
    pub summary: &'static str,
    /// The reason for it.
    pub rationale: &'static str,
    /// The way to fix a violation.
    pub help: &'static str,
    /// The phases in which it is checked.
    pub phases: &'static [Phase],
    /// Its strictness.
    pub level: Level,
    /// The requirements of the OWASP Application Security Verification Standard 5.0 that it
    /// addresses. Empty if the standard has no such requirement.
    pub asvs: &'static [&'static str],
    /// The number of its weakness in the Common Weakness Enumeration.
    pub cwe: u16,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Rule {}

/// Finds a rule by its exact name.
#[must_use]
pub const fn look_up(name: &str) -> Option<&'static Rule> {
    let mut i = 0;
    while i < RULES.len() {
        let candidate = RULES[i].name.as_bytes();
        let name = name.as_bytes();
        // Case matters: a lint's name has one spelling.
        if candidate.len() == name.len() {
            let mut j = 0;
            while j < name.len() && candidate[j] == name[j] {
                j += 1;
            }
            if j == name.len() {
                return Some(RULES[i]);
            }
        }
        i += 1;
    }
    None
}

macro_rules! rules {
    ($($constant:ident = $name:literal [$level:ident: $($phase:ident),+]
    asvs($($asvs:literal),*) cwe($cwe:literal) {
        $summary:literal
        why: $why:literal
        help: $help:literal
    })*) => {
        $(
            #[doc = $summary]
            pub static $constant: Rule = Rule {
                name: $name,
                summary: $summary,
                rationale: $why,
                help: $help,
                phases: &[$(Phase::$phase),+],
                level: Level::$level,
                asvs: &[$($asvs),*],
                cwe: $cwe,
            };
        )*
        /// Every rule, in the order of the docs.
        pub static RULES: &[&Rule] = &[$(&$constant),*];
    };
}

rules! {
    PLAINTEXT_SCHEME = "plaintext_scheme" [Deny: Compile, Load]
    asvs("V12.3.1", "V12.3.3") cwe(319) {
        "a locator's scheme and parameters mean a connection that TLS protects"
        why: "On a plaintext connection an attacker on the path reads every credential and every \
              row, and answers in the service's name. A private network is a path too."
        help: "Write the encrypted scheme: `rediss` for `redis`, `amqps` for `amqp`, `smtps` for \
              `smtp`, `https` for `http`, `tls` for `nats`. Remove `sslmode=disable`. If a mesh \
              encrypts the path, waive the rule on that field and name the mesh as the reason."
    }
    OPPORTUNISTIC_TLS = "opportunistic_tls" [Forbid: Compile, Load, Attach, Watch]
    asvs("V12.3.1") cwe(757) {
        "TLS does not depend on what the server, or an attacker in between, answers"
        why: "A client that continues in the clear when TLS is refused is a client without TLS: \
              refusing takes one byte."
        help: "Remove the parameter (`sslmode=prefer`, `tls=opportunistic`): verification is full \
              without it. If the server has no TLS, switch it on there."
    }
    UNVERIFIED_TLS = "unverified_tls" [Forbid: Compile, Load, Attach, Watch]
    asvs("V12.3.2", "V12.3.4") cwe(295) {
        "the server's certificate is verified: its chain to a root, its dates, and the name that \
         was dialled"
        why: "TLS without verification encrypts to whoever answered."
        help: "Give the resource its certificate authority in its `_CA` variable (PEM), and write \
              the host as the certificate names it. Remove parameters that switch verification off."
    }
    OBSOLETE_TLS = "obsolete_tls" [Forbid: Attach, Watch] asvs("V12.1.1", "V12.1.2") cwe(327) {
        "the connection speaks TLS 1.2 or 1.3"
        why: "TLS 1.0 and 1.1 are deprecated (RFC 8996), and their ciphers are broken."
        help: "Enable TLS 1.2 or 1.3 on the server."
    }
    STARTTLS = "starttls" [Deny: Load] asvs("V12.3.1") cwe(757) {
        "TLS begins with the connection, not in the middle of a plaintext conversation"
        why: "What was said before the switch can be forged and carried over it: STARTTLS \
              implementations have failed this way again and again."
        help: "Use the port with implicit TLS: `smtps` on 465 (RFC 8314), `ldaps` on 636."
    }
    CERTIFICATE_EXPIRY = "certificate_expiry" [Forbid: Load, Attach, Watch]
    asvs("V12.3.2") cwe(298) {
        "the server's certificate, and each one in `_CA`, is in its period of validity; less than \
         14 days left of the server's, or 30 of one in `_CA`, is a warning"
        why: "An expired certificate's key may have been lost or sold, and an expired certificate \
              is not revoked. The warning is for the outage that it would be."
        help: "Renew the certificate; check the clock of this machine."
    }
    WEAK_CERTIFICATE = "weak_certificate" [Forbid: Attach, Watch]
    asvs("V11.4.3", "V11.6.1") cwe(326) {
        "the certificate's key and signature are strong: RSA of 2048 bits or more, or an elliptic \
         curve; SHA-256 or better"
        why: "A key that can be factored, or a signature that can be forged, identifies no server."
        help: "Issue a certificate with ECDSA P-256, or RSA of 2048 bits or more, signed with \
              SHA-256 or better."
    }
    RAW_SECRET = "raw_secret" [Deny: Compile, Attach] asvs("V16.2.5") cwe(532) {
        "a secret's type keeps it from being printed, and wipes it; and no driver is let near it \
         that would log it"
        why: "A `String` is printed by `Debug`, by a panic, by a log of the whole configuration; \
              and it stays in freed memory."
        help: "A locator: `Resource<…>`. A secret: `SecretString`. A public value with an unlucky \
              name: `#[setting(public, reason = \"…\")]`."
    }
    SECRET_DEFAULT = "secret_default" [Forbid: Compile] asvs("V13.3.1") cwe(798) {
        "a secret has no default"
        why: "A default is in the source, in every build and in every clone; and nothing \
              reports that the real value is missing."
        help: "Remove the default. A secret that may be missing is an `Option<SecretString>`."
    }
    EMBEDDED_CREDENTIALS = "embedded_credentials" [Forbid: Compile] asvs("V13.3.1") cwe(798) {
        "no user, password or token in the source"
        why: "Every reader of the repository or the binary has them, for ever."
        help: "Leave the user and the password out of the literal; they come from the environment."
    }
    SECRET_IN_PARAMETER = "secret_in_parameter" [Forbid: Compile, Load] asvs("V14.2.1") cwe(598) {
        "no secret in a locator's parameters"
        why: "Parameters are what drivers log, and what reads like a plain setting is treated like \
              one."
        help: "Move it to the resource's `_PASSWORD` variable, or to the user part of the locator."
    }
    DEFAULT_CREDENTIALS = "default_credentials" [Deny: Load] asvs("V13.2.3") cwe(1392) {
        "the account and the password are not the ones that the product ships with"
        why: "`guest:guest` and `postgres:postgres` are the first thing that is tried."
        help: "Create an account for this application, with a password that is generated."
    }
    WEAK_PASSWORD = "weak_password" [Deny: Load] asvs("V6.2.1", "V6.2.4") cwe(1391) {
        "a password has 12 characters or more, is not the user's name, and is not a well-known one"
        why: "What can be guessed will be: a service has no lockout that would help."
        help: "Generate one: `openssl rand -base64 24`."
    }
    MISSING_CREDENTIALS = "missing_credentials" [Deny: Load] asvs("V13.2.1") cwe(306) {
        "the application authenticates, with an account of its own"
        why: "A service without authentication lets every attacker in."
        help: "Write the user into the locator and the password into the resource's `_PASSWORD` \
              variable (or both into the locator)."
    }
    PLACEHOLDER_VALUE = "placeholder_value" [Deny: Load] asvs("V13.2.3") cwe(1188) {
        "a value was really filled in"
        why: "`changeme` and `vault://…` are what is left when a template or a secret store did \
              not do its work."
        help: "Fill the value in, or fix the tool that should have."
    }
    READABLE_SECRET_FILE = "readable_secret_file" [Deny: Load, Attach, Watch]
    asvs("V13.3.2") cwe(732) {
        "a file with a value or a database, and each folder and link on its path, is root's or the \
         process's own user's, and no other user can write it; a secret that every user can read \
         is a warning"
        why: "A user who can write the file, or put another in its place, chooses the secret, or \
              its receiver. A user who can read it has it; but in a container there may be no \
              other user, and platforms make such files."
        help: "List who owns each part of the path, and who can write it: `namei -l PATH`. `chown` \
              what is another user's, `chmod go-w` what others can write, and `chmod 600` a file \
              with a secret (440 with a group of its own)."
    }
    STATIC_MOUNT = "static_mount" [Warn: Load] asvs("V13.3.4") cwe(324) {
        "a file with a secret is in a mount that follows a rotation"
        why: "Kubernetes never updates a `subPath` mount: the process goes on with the old secret, \
              and fails when it is revoked."
        help: "Mount the volume as a folder, without `subPath`, and read the file in it."
    }
    STALE_VALUE = "stale_value" [Warn: Watch] asvs("V13.3.4") cwe(324) {
        "what the process holds is what its source has"
        why: "A secret that was rotated is of use to a thief of the old one for as long as a \
              server accepts it."
        help: "Start the process again: secrets, settings, and whether there is an optional \
              resource, are read when it starts."
    }
    SUPERUSER_ACCOUNT = "superuser_account" [Deny: Attach, Watch] asvs("V13.2.2") cwe(250) {
        "the account is not an administrator's"
        why: "One injected statement then owns the server, not one table."
        help: "Create a role that may do what the application does, and nothing else."
    }
    EXCESS_PRIVILEGES = "excess_privileges" [Deny: Attach, Watch] asvs("V13.2.2") cwe(250) {
        "the account may do no more than the field says that it needs"
        why: "Every privilege that is not needed is one that only an attacker uses."
        help: "Revoke what the report names."
    }
    MISSING_PRIVILEGES = "missing_privileges" [Deny: Attach, Watch] asvs("V13.2.2") cwe(280) {
        "the account may do what the field says that it needs"
        why: "Found at the start it is a message; found at night it is an incident, and is fixed \
              with a grant of everything."
        help: "Grant what the report names."
    }
    WEAK_AUTHENTICATION = "weak_authentication" [Deny: Attach, Watch]
    asvs("V12.3.5", "V13.2.1") cwe(1390) {
        "the server proves that it knows the password, or asks for the client certificate and gets \
         it: no cleartext password, no MD5, no login without any proof"
        why: "A cleartext password or an MD5 hash is the credential itself, handed to the peer \
              that answered; a server that asks for nothing has let every client in."
        help: "PostgreSQL: `password_encryption = scram-sha-256`, set the password again, and \
              `scram-sha-256` in pg_hba.conf."
    }
    FORBIDDEN_ADDRESS = "forbidden_address" [Forbid: Load, Attach, Watch] asvs("V1.3.6") cwe(918) {
        "a locator does not lead to a cloud's metadata service, a link-local, site-local, \
         unspecified, reserved, broadcast or multicast address, in any spelling"
        why: "Those answer requests with the machine's own credentials, or are not one machine at \
              all."
        help: "Write the host name of the service. If a name leads there, check who controls that \
              name."
    }
    UNLISTED_HOST = "unlisted_host" [Forbid: Load] asvs("V1.3.6", "V13.2.4", "V13.2.5") cwe(918) {
        "a resource that lists its hosts leads to one of them; one whose locator, `_CA` or `_PIN` \
         is from a store, and whose password is not, lists its hosts"
        why: "The author of one variable could otherwise have the application log in somewhere \
              else."
        help: "Correct the locator, or add the host to `hosts = \"…\"` on the field."
    }
    MALFORMED_LOCATOR = "malformed_locator" [Forbid: Compile, Load]
    asvs("V1.5.3", "V2.2.1") cwe(1286) {
        "a locator is `scheme://user:password@host:port/path?parameters`, and each part is \
         well-formed"
        why: "Two parsers that repair the same broken address differently disagree about whom it \
              names."
        help: "Write each part out. Percent-encode what is not a letter, a digit or one of `-._~` \
              in a user, a password or a path."
    }
    AMBIGUOUS_LOCATOR = "ambiguous_locator" [Forbid: Compile, Load] asvs("V1.5.3") cwe(436) {
        "a locator can be read in one way only: one `@`, no fragment, no parameter twice, no \
         backslash, no control character, nothing said twice"
        why: "What the check reads must be what the driver reads."
        help: "Say it once, and percent-encode `@`, `#`, `?` and `/` where they belong to a \
              password (`%40`, `%23`, `%3F`, `%2F`)."
    }
    UNKNOWN_PARAMETER = "unknown_parameter" [Forbid: Load] asvs("V2.2.1") cwe(236) {
        "a locator has no parameter that the service does not know"
        why: "A misspelt demand that is ignored is a demand that is not met."
        help: "Remove or correct the parameter; the service's docs list those it reads."
    }
    UNKNOWN_SCHEME = "unknown_scheme" [Forbid: Compile, Load] asvs("V1.3.6", "V2.2.1") cwe(232) {
        "a locator's scheme is one that the service accepts"
        why: "A driver that guesses what an unknown scheme means guesses plaintext."
        help: "Write one of the schemes that the message lists."
    }
    AMBIENT_OVERRIDE = "ambient_override" [Forbid: Load] asvs("V13.2.6") cwe(15) {
        "no variable of the process steers the driver behind the locator's back"
        why: "`PGOPTIONS` and its like change what a checked connection does, and their author \
              may not be the author of the locator."
        help: "Unset the variable for this process."
    }
    MISSING_VALUE = "missing_value" [Forbid: Load] asvs("V16.5.3") cwe(455) {
        "every value that is not optional is there, and not empty"
        why: "An application that starts without it fails later, in the middle of something."
        help: "Set the variable. What may be missing is an `Option`; a plain setting may have a \
              default."
    }
    MALFORMED_VALUE = "malformed_value" [Forbid: Compile, Load] asvs("V2.2.1") cwe(1287) {
        "a value can be read as the type of its field"
        why: "A value that is guessed is a value that an attacker may have chosen."
        help: "Write it as the message says."
    }
    DUPLICATE_VARIABLE = "duplicate_variable" [Forbid: Compile, Load] asvs() cwe(694) {
        "a variable belongs to one field, and a value comes from one place"
        why: "Two readers of one variable give one secret two lives; two sources of one value \
              leave open which one is meant."
        help: "Give one of the fields another name with `env = \"…\"`; unset one of the two \
              variables."
    }
    UNKNOWN_ATTRIBUTE = "unknown_attribute" [Forbid: Compile] asvs() cwe(236) {
        "an attribute is one that exists, on a field that it fits"
        why: "A misspelt demand that is ignored is a demand that is not met."
        help: "Correct it; the message lists what there is."
    }
    WAIVER_WITHOUT_REASON = "waiver_without_reason" [Forbid: Compile] asvs() cwe(1059) {
        "a waiver gives its reason, of a rule that can be waived"
        why: "An exception without an explanation is never removed."
        help: "`allow(rule, reason = \"…\")`, and `until = \"YYYY-MM-DD\"` if it can end."
    }
    EXPIRED_WAIVER = "expired_waiver" [Warn: Load] asvs() cwe(1059) {
        "a waiver is not past its date; past it the rule holds again, and a month before there is \
         a warning"
        why: "The date was the promise that the exception ends."
        help: "Fix what was waived and remove the waiver, or give it a new date."
    }
    UNSUPPORTED_SERVER = "unsupported_server" [Warn: Attach, Watch] asvs("V15.2.1") cwe(1104) {
        "the server's release still gets security fixes"
        why: "A hole that is found after its end of life stays open."
        help: "Upgrade the server."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (i, rule) in RULES.iter().enumerate() {
            assert!(
                rule.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{}",
                rule.name
            );
            assert!(!RULES[..i].contains(rule), "{} twice", rule.name);
            assert_eq!(look_up(rule.name), Some(*rule));
            assert!(!rule.phases.is_empty());
            assert!(
                !rule.summary.ends_with('.')
                    && rule.rationale.ends_with(['.', '!'])
                    && rule.help.ends_with('.'),
                "{}",
                rule.name
            );
        }
        assert_eq!(look_up("Plaintext_Scheme"), None);
    }

    #[test]
    fn levels_and_phases_have_their_names() {
        let levels = [Level::Warn, Level::Deny, Level::Forbid].map(Level::name);
        assert_eq!(levels, ["warn", "deny", "forbid"]);
        let phases = [Phase::Compile, Phase::Load, Phase::Attach, Phase::Watch].map(Phase::name);
        assert_eq!(phases, ["compile", "load", "attach", "watch"]);
    }
}
