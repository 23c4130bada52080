//! The statements that create exactly the account that a field needs.

use std::fmt;

use crate::needs::Needs;
use crate::report::malformed::Malformed;
use crate::service::erased::ServiceEntry;

/// The longest name of an account or of a database, in bytes: more than any product accepts.
const LONGEST_NAME: usize = 256;

/// What creates the account of one field: its service's own statements, for an administrator to run.
///
/// They name the account, and hold no password: each service's first line says how the account gets one. Where they are run twice, the second time fails
/// or changes nothing.
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
        // The derive has seen to it that it can be read.
        let needs = Needs::parse(needs, service.name, service.privileges).ok()?;
        Some(Self { field, service, needs, account, database: None })
    }

    /// Those of a field that may not say what it needs: then an account that logs in, and may do no more.
    #[cfg(feature = "cli")]
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

    /// What starts a server that has the account; `None` where the service has no such server.
    #[cfg(feature = "cli")]
    pub(crate) fn container(&self) -> Option<crate::service::container::Container> {
        (self.service.container)(self)
    }

    /// The account is called so, instead of after its field.
    ///
    /// # Errors
    /// [`Malformed`] for no name, one of more than 256 bytes, or one with a control character.
    pub fn for_account(mut self, name: impl Into<String>) -> Result<Self, Malformed> {
        self.account = checked(name.into())?;
        Ok(self)
    }

    /// The database, the virtual host, or what else a locator's path means, is called so. Otherwise it is the one in which the statements are run, or the
    /// service's own default.
    ///
    /// # Errors
    /// As [`Grants::for_account`].
    pub fn in_database(mut self, name: impl Into<String>) -> Result<Self, Malformed> {
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

    /// The account's name, as it is: a service quotes it.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The database's name, as it is; `None` for the service's default.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// What the account is to be able to do.
    #[must_use]
    pub const fn needs(&self) -> &Needs {
        &self.needs
    }

    /// The statements, in the service's own language, with a line end after the last; `None` where the service has none.
    #[must_use]
    pub fn statements(&self) -> Option<String> {
        (self.service.grants)(self)
    }
}

fn checked(name: String) -> Result<String, Malformed> {
    if fault(&name).is_some() { Err(Malformed) } else { Ok(name) }
}

/// Why nothing can be called so.
pub(crate) fn fault(name: &str) -> Option<&'static str> {
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
