//! What a service says of its locators: the login and the parameters.

/// What logging in to a service takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Login {
    /// There are no accounts.
    None,
    /// A user and a password, or a client certificate instead of the password.
    UserAndPassword,
    /// A password; a user where there is more than one account.
    Password,
    /// Nothing, or a password, or a user and a password: as the one service wants it.
    Optional,
}

/// A parameter that a locator may have.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) value: ParameterValue,
}

impl Parameter {
    /// One that asks for TLS in the product's own way. It is accepted where it asks for TLS, and has no effect: there is full
    /// verification anyway.
    #[must_use]
    pub const fn tls(name: &'static str) -> Self {
        Self { name, value: ParameterValue::Tls }
    }

    /// A text of printable ASCII characters, at most `longest` of them.
    #[must_use]
    pub const fn text(name: &'static str, longest: usize) -> Self {
        Self { name, value: ParameterValue::Text(longest) }
    }

    /// A whole number, from `least` to `most`.
    #[must_use]
    pub const fn number(name: &'static str, least: u64, most: u64) -> Self {
        Self { name, value: ParameterValue::Number(least, most) }
    }

    /// One of a few words.
    #[must_use]
    pub const fn choice(name: &'static str, words: &'static [&'static str]) -> Self {
        Self { name, value: ParameterValue::Choice(words) }
    }

    /// One that people write and that is refused; `help` says what to do instead.
    #[must_use]
    pub const fn refused(name: &'static str, help: &'static str) -> Self {
        Self { name, value: ParameterValue::Refused(help) }
    }

    /// What it is called, in a locator's query.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ParameterValue {
    Tls,
    Text(usize),
    Number(u64, u64),
    Choice(&'static [&'static str]),
    Refused(&'static str),
}
