//! The advice of an error: in code, or on a command line.

/// The place where a user can change the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// The code that calls the builder.
    Code,
    /// The command line that starts the servers.
    CommandLine,
}

impl Advice {
    /// The advice to give a variable its value.
    pub(super) fn give(self, variable: &str) -> String {
        match self {
            Self::Code => format!("`.with_variable(\"{variable}\", \"…\")`"),
            Self::CommandLine => format!("set `{variable}` in the environment"),
        }
    }

    /// The advice to leave an optional resource out.
    pub(super) fn leave_out(self, field: &str) -> String {
        match self {
            Self::Code => format!("`.without(\"{field}\")`"),
            Self::CommandLine => format!("`--without {field}`"),
        }
    }

    /// The advice to make the tables of a field.
    pub(super) fn migrate(self, field: &str) -> String {
        match self {
            Self::Code => format!("`.with_script(\"{field}\", \"CREATE TABLE …\")`"),
            Self::CommandLine => "`--migrate 'sqlx migrate run'`".to_owned(),
        }
    }
}
