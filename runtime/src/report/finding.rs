//! What can be wrong: findings, each of one rule, and failures, which no rule is about.

use std::borrow::Cow;
use std::fmt;

use backing_services_rules::{Level, Rule};

use crate::report::redact::redact;

/// One violation of one rule, at one field. It names variables, never values.
#[derive(Clone, Debug)]
#[must_use = "a finding that nobody reads is a violation that nobody sees"]
pub struct Finding(Box<Violation>);

/// What a finding holds: on the heap, for it is large, and every `Result` of a connection may hold one.
#[derive(Clone, Debug)]
struct Violation {
    rule: &'static Rule,
    place: Place,
    message: Cow<'static, str>,
    help: Option<Cow<'static, str>>,
    /// Warns, whatever the rule's level: what will be a violation soon.
    warns: bool,
    /// The reason of the waiver that covers it.
    waived: Option<&'static str>,
}

/// Where something is wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The field's path: `mail.relay`.
    pub(crate) field: String,
    /// The variable that is wrong, or missing.
    pub(crate) variable: Option<String>,
    /// Where the variable's value was, in words.
    pub(crate) origin: Option<Cow<'static, str>>,
}

/// What ends the names of a resource's variables beside its locator's.
const ENDINGS: [&str; 10] = [
    "_CA", "_PIN", "_USER", "_PASSWORD", "_CLIENT_CERT", "_CLIENT_KEY", "_ENDPOINT", "_HOST",
    "_PORT", "_DATABASE",
];

/// Whoever says what is wrong with a connection does not know which field it is of, and speaks of `` `_CA` ``. Where the field's variable is known, it is that field's: `` `SHOP_SESSIONS_CA` ``.
fn name_companions(text: &mut Cow<'static, str>, variable: Option<&str>) {
    // Most texts speak of none.
    if !text.contains("`_") {
        return;
    }
    let Some(base) = variable
        .filter(|variable| !variable.is_empty())
        .map(backing_services_rules::variable::base)
    else {
        return;
    };
    for ending in ENDINGS {
        let (ours, named) = (format!("`{ending}`"), format!("`{base}{ending}`"));
        if text.contains(&ours) {
            let whole = [
                format!("the resource's {ours} variable"),
                format!("the {ours} variable"),
                format!("the resource's {ours}"),
            ];
            let replaced =
                whole.iter().fold(text.to_string(), |text, whole| text.replace(whole, &named));
            *text = replaced.replace(&ours, &named).into();
        }
    }
}

impl Finding {
    /// A violation of `rule`. The message says what is wrong, in lower case and without a full stop; it holds no value.
    ///
    /// A message of a server's goes through [`printable`](crate::posture::printable) first. A password
    /// with which this process logs in is taken out in any case.
    pub fn new(rule: &'static Rule, message: impl Into<Cow<'static, str>>) -> Self {
        Self::of(rule, message.into())
    }

    /// There are hundreds of places that find something, and hardly one that does so twice: none has a copy of this.
    #[cold]
    #[inline(never)]
    fn of(rule: &'static Rule, mut message: Cow<'static, str>) -> Self {
        redact(&mut message);
        let place = Place::default();
        Self(Box::new(Violation { rule, place, message, help: None, warns: false, waived: None }))
    }

    /// What to write or do instead. Without it, the report prints the rule's own remedy.
    pub fn help(self, help: impl Into<Cow<'static, str>>) -> Self {
        self.with_help(help.into())
    }

    #[cold]
    #[inline(never)]
    fn with_help(mut self, mut help: Cow<'static, str>) -> Self {
        redact(&mut help);
        self.0.help = Some(help);
        self
    }

    /// Only warns, whatever the rule's level.
    pub fn warning(mut self) -> Self {
        self.0.warns = true;
        self
    }

    /// A waiver covers it, for this reason.
    pub(crate) fn waive(&mut self, because: &'static str) {
        self.0.waived = Some(because);
    }

    /// The variable it is about, where that is not the locator's.
    pub fn about(mut self, variable: impl Into<String>) -> Self {
        self.0.place.variable = Some(variable.into());
        self
    }

    pub(crate) fn at(mut self, field: &str, variable: &str) -> Self {
        for text in self.texts() {
            name_companions(text, Some(variable));
        }
        field.clone_into(&mut self.0.place.field);
        match &mut self.0.place.variable {
            None => self.0.place.variable = Some(variable.to_owned()),
            // Connection code names a companion by its ending alone.
            Some(own) if ENDINGS.contains(&own.as_str()) => {
                own.insert_str(0, backing_services_rules::variable::base(variable))
            }
            Some(_) => {}
        }
        self
    }

    /// Where the variable's value was, in words.
    pub(crate) fn out_of(mut self, origin: Option<Cow<'static, str>>) -> Self {
        self.0.place.origin = origin;
        self
    }

    pub(crate) fn in_place(self, place: &Place) -> Self {
        self.at(&place.field, place.variable.as_deref().unwrap_or_default())
            .out_of(place.origin.clone())
    }

    /// What it says in words, but for those of its rule.
    pub(crate) fn texts(&mut self) -> impl Iterator<Item = &mut Cow<'static, str>> {
        let Violation { message, help, .. } = &mut *self.0;
        std::iter::once(message).chain(help)
    }

    /// The rule that is violated.
    #[must_use]
    pub fn rule(&self) -> &'static Rule {
        self.0.rule
    }

    /// Whether it ends the attempt, as the rule's level and the field's waivers have it.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        !self.0.warns && self.0.waived.is_none() && !matches!(self.0.rule.level, Level::Warn)
    }

    /// Whether it only warns, whatever the rule's level.
    pub(crate) fn warns(&self) -> bool {
        self.0.warns
    }

    /// The reason of the waiver that covers it; `None` where none does.
    #[must_use]
    pub fn waived_because(&self) -> Option<&'static str> {
        self.0.waived
    }

    /// The field's path, with a `.` before a nested field: `mail.relay`.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.0.place.field
    }

    /// The variable that is wrong, or missing.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        self.0.place.variable.as_deref()
    }

    /// Where the variable's value was: `the environment`; `None` where there is no value.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.0.place.origin.as_deref()
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &str {
        self.0.help.as_deref().unwrap_or(self.0.rule.remedy)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.0.message, self.0.rule.name)
    }
}

impl std::error::Error for Finding {}

/// What went wrong although no rule is violated: the service is away, does not let us in, or is not what it should be.
#[derive(Clone, Debug)]
#[must_use = "a failure that nobody reads is one that nobody mends"]
pub struct Failure(Box<Trouble>);

/// What a failure holds.
#[derive(Clone, Debug)]
struct Trouble {
    kind: FailureKind,
    place: Place,
    message: Cow<'static, str>,
    help: Cow<'static, str>,
}

/// Which kind of [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The host's name has no address.
    Unresolved,
    /// No connection: refused, unreachable, or the file is not there.
    Unreachable,
    /// The deadline passed.
    TimedOut,
    /// The service does not accept the user, the password or the client certificate.
    NotAdmitted,
    /// What the service sent is not its protocol, or more than it may send.
    Protocol,
    /// The service has no such database, or does not want to serve it now.
    Unavailable,
}

impl FailureKind {
    /// All of them, in the order of their declaration.
    #[cfg(feature = "cli")]
    pub(crate) const ALL: [Self; 6] = [
        Self::Unresolved,
        Self::Unreachable,
        Self::TimedOut,
        Self::NotAdmitted,
        Self::Protocol,
        Self::Unavailable,
    ];

    /// What does not hold, in half a line: as a rule's summary, it says what is demanded.
    #[cfg(feature = "cli")]
    pub(crate) const fn summary(self) -> &'static str {
        match self {
            Self::Unresolved => "the host's name has an address",
            Self::Unreachable => "the service can be connected to",
            Self::TimedOut => "the service answers before the deadline",
            Self::NotAdmitted => "the service accepts the user and its credentials",
            Self::Protocol => "the service speaks its protocol, within its bounds",
            Self::Unavailable => "the service serves what the locator names",
        }
    }

    /// What it means, as a rule's rationale does for a rule.
    #[cfg(feature = "cli")]
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Unresolved => {
                "The resolver of this machine knows no address for the host in the locator, or cannot be asked."
            }
            Self::Unreachable => {
                "The host has an address, and no connection to its port came about: it was refused, there is no way to it, or the file is not there."
            }
            Self::TimedOut => {
                "The other end took longer than it may: than the deadline for everything (`#[services(deadline = …)]`, `--deadline`), or than the locator's `connect_timeout`, which is 10 s unless it is there, for one connection."
            }
            Self::NotAdmitted => {
                "The service was reached and verified, and does not let us in: it knows another user, another password or another client certificate."
            }
            Self::Protocol => {
                "What answers is not the service that the locator's scheme says, or it sends more than it may, or it breaks its own protocol."
            }
            Self::Unavailable => {
                "The service was reached and lets us in, and does not serve what the locator names: there is no such database, bucket or virtual host, or it is starting, stopping or overloaded."
            }
        }
    }

    /// What to look at, where nothing closer is known.
    #[cfg(feature = "cli")]
    pub(crate) const fn remedy(self) -> &'static str {
        match self {
            Self::Unresolved => {
                "Look at how the host is written in the locator, and whether this machine resolves it (`getent hosts NAME`)."
            }
            Self::Unreachable => {
                "Look at the host and the port, whether the service runs and listens there, and at firewalls and network policies on the way."
            }
            Self::TimedOut => {
                "Look at the service's load, and at a firewall that drops instead of refusing. Where the service is slow for a reason, write `connect_timeout=SECONDS` into the locator, and a deadline that is longer than that."
            }
            Self::NotAdmitted => {
                "Look at the variables with the user, the password and the client certificate, whether the account exists and is not locked, and from where it may log in."
            }
            Self::Protocol => {
                "Look at what listens on the port, such as a proxy, a load balancer or another product. If it is the right service, report it as a bug."
            }
            Self::Unavailable => {
                "Look at the locator's path, whether what it names exists, and at the service's own log."
            }
        }
    }

    /// The kind's name in reports, `snake_case`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unresolved => "unresolved",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::NotAdmitted => "not_admitted",
            Self::Protocol => "protocol",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Failure {
    /// What went wrong, in lower case and without a full stop, and what to look at. Neither holds a value.
    pub fn new(
        kind: FailureKind,
        message: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::of(kind, message.into(), help.into())
    }

    #[cold]
    #[inline(never)]
    fn of(kind: FailureKind, mut message: Cow<'static, str>, mut help: Cow<'static, str>) -> Self {
        redact(&mut message);
        redact(&mut help);
        Self(Box::new(Trouble { kind, place: Place::default(), message, help }))
    }

    pub(crate) fn in_place(mut self, place: &Place) -> Self {
        for text in self.texts() {
            name_companions(text, place.variable.as_deref());
        }
        self.0.place = place.clone();
        self
    }

    /// What to look at beside that.
    pub(crate) fn also(mut self, what: &str) -> Self {
        self.0.help = format!("{}{what}", self.0.help).into();
        self
    }

    /// What it says in words.
    pub(crate) fn texts(&mut self) -> impl Iterator<Item = &mut Cow<'static, str>> {
        let Trouble { message, help, .. } = &mut *self.0;
        [message, help].into_iter()
    }

    /// Which kind.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.0.kind
    }

    /// The field's path, with a `.` before a nested field: `mail.relay`.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.0.place.field
    }

    /// The variable that leads to the service.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        self.0.place.variable.as_deref()
    }

    /// Where the variable's value was: `the environment`; `None` where there is no value.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.0.place.origin.as_deref()
    }

    /// What went wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to look at.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.0.help
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.0.message, self.0.kind.name())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use backing_services_rules::rule::UNVERIFIED_TLS;

    use super::*;

    #[test]
    fn a_companion_is_named_once_it_is_known_whose_it_is() {
        let place = Place {
            field: "sessions".to_owned(),
            variable: Some("SHOP_SESSIONS_URL".to_owned()),
            origin: None,
        };
        let finding = Finding::new(&UNVERIFIED_TLS, "not from the authority in the `_CA` variable")
            .help("write it into the resource's `_CA` variable, or its digest into `_PIN`")
            .in_place(&place);
        assert_eq!(finding.message(), "not from the authority in `SHOP_SESSIONS_CA`");
        assert_eq!(
            finding.remedy(),
            "write it into `SHOP_SESSIONS_CA`, or its digest into `SHOP_SESSIONS_PIN`"
        );
        let failure =
            Failure::new(FailureKind::NotAdmitted, "no", "set `_CLIENT_CERT` and `_CLIENT_KEY`")
                .in_place(&place);
        assert_eq!(
            failure.remedy(),
            "set `SHOP_SESSIONS_CLIENT_CERT` and `SHOP_SESSIONS_CLIENT_KEY`"
        );
        // Without a resource there is nothing to name, and what is named is not named again.
        assert_eq!(Finding::new(&UNVERIFIED_TLS, "`_CA`").at("", "").message(), "`_CA`");
        assert_eq!(Finding::new(&UNVERIFIED_TLS, "`A_CA`").at("b", "B_URL").message(), "`A_CA`");
    }
}
