//! The statements that create the account that a field needs.

use std::fmt;

use crate::needs::Needs;
use crate::report::malformed::Malformed;
use crate::service::erased::ServiceEntry;

/// The longest name of an account or of a database, in bytes: more than any product accepts.
const LONGEST_NAME: usize = 256;

/// The statements that create the account of one field, in the service's own language, for an
/// administrator to run.
///
/// They name the account and contain no password: the first line explains how the account gets one.
/// Running them a second time fails or changes nothing.
///
/// ```
/// # #[cfg(feature = "postgres")] {
/// use backing_services::{BackingServices, Postgres, Resource};
///
/// #[derive(BackingServices)]
/// #[services(prefix = "SHOP")]
/// struct Services {
///     #[service(needs = "SELECT, INSERT ON orders")]
///     orders: Resource<Postgres>,
/// }
///
/// for grants in Services::MANIFEST.grants() {
///     println!("{grants}"); // for the account `shop_orders`
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Grants {
    field: String,
    service: &'static ServiceEntry,
    needs: Needs,
    account: String,
    database: Option<String>,
}

impl Grants {
    pub(crate) fn of(
        needs: &'static str,
        service: &'static ServiceEntry,
        field: String,
        account: String,
    ) -> Option<Self> {
        // The derive has checked that `needs` can be parsed.
        let needs = Needs::parse(needs, service.name, service.privileges).ok()?;
        Some(Self { field, service, needs, account, database: None })
    }

    /// The same for a field that may have no `needs`: its account can then log in and has no other
    /// privilege.
    pub(crate) fn of_any(
        needs: Option<&'static str>,
        service: &'static ServiceEntry,
        field: &str,
        account: &str,
    ) -> Self {
        let (field, account) = (field.to_owned(), account.to_owned());
        let grants =
            needs.and_then(|needs| Self::of(needs, service, field.clone(), account.clone()));
        grants.unwrap_or(Self { field, service, needs: Needs::none(), account, database: None })
    }

    /// Sets the account's name, which is otherwise derived from the field.
    ///
    /// # Errors
    /// [`Malformed`] for an empty name, one of more than 256 bytes, or one with a control
    /// character.
    pub fn with_account(mut self, name: impl Into<String>) -> Result<Self, Malformed> {
        self.account = checked(name.into())?;
        Ok(self)
    }

    /// Sets the name of the database, of the virtual host, or of the object that the locator's path
    /// means for this service. Without it, the database is the one in which the statements are run,
    /// or the service's default.
    ///
    /// # Errors
    /// As [`Grants::with_account`].
    pub fn with_database(mut self, name: impl Into<String>) -> Result<Self, Malformed> {
        self.database = Some(checked(name.into())?);
        Ok(self)
    }

    /// The field's path: `mail.relay`.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The service's name.
    #[must_use]
    pub const fn service(&self) -> &'static str {
        self.service.name
    }

    /// The account's name, unquoted: the service quotes it.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The database's name, unquoted; `None` for the service's default.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// The privileges of the account.
    #[must_use]
    pub const fn needs(&self) -> &Needs {
        &self.needs
    }

    /// The statements, in the service's own language, with a line end after the last; `None` if the
    /// service has none.
    #[must_use]
    pub fn statements(&self) -> Option<String> {
        (self.service.grants)(self)
    }
}

fn checked(name: String) -> Result<String, Malformed> {
    if fault(&name).is_some() { Err(Malformed) } else { Ok(name) }
}

/// The reason why a name is invalid.
pub fn fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > LONGEST_NAME {
        Some("it has more than 256 bytes")
    } else if name.chars().any(|c| c.is_control() || crate::report::text::is_invisible(c)) {
        Some("it holds a control character, or one that cannot be seen")
    } else {
        None
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.statements().unwrap_or_default())
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grants({} of {}: {})", self.account, self.service(), self.field)
    }
}
