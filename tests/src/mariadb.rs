//! A real MariaDB server, with the user and the table of the tests.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use backing_services_dev::program::Programs;
pub use backing_services_dev::server::mariadb::Options;
use backing_services_dev::server::{Account, mariadb};

use crate::canary::{ADMIN_PASSWORD, PASSWORD};
use crate::certified::Certified;
use crate::pki::Authority;

/// The application's user. It may read and write one table, and do nothing else.
pub const USER: &str = "winkelier";

/// The application's database.
pub const DATABASE: &str = "winkelgegevens";

/// An administrator who is not called `root`.
pub const ADMIN: &str = "opperbaas";

/// A running server.
pub type MariaDb = Certified<mariadb::MariaDb>;

impl MariaDb {
    /// A server with a valid certificate.
    #[must_use]
    pub fn start() -> Self {
        let authority = Authority::new("the tests' authority");
        let options = Options::tls(authority.server());
        Self::with(authority, &options)
    }

    /// A server with these options.
    #[must_use]
    pub fn with(authority: Authority, options: &Options) -> Self {
        Self { server: mariadb::MariaDb::start(&TEMPLATE, options).unwrap(), authority }
    }

    /// The locator of the application's user and database.
    #[must_use]
    pub fn locator(&self) -> String {
        format!("mysql://{USER}@localhost:{}/{DATABASE}", self.port)
    }

    /// Runs statements in the application's database as an administrator, and returns the rows,
    /// with a tab between columns.
    #[must_use]
    #[track_caller]
    pub fn sql(&self, statements: &str) -> String {
        self.server.sql(DATABASE, statements).unwrap()
    }

    /// Runs statements as an administrator in one database, as the client reads them from a file.
    #[track_caller]
    pub fn script(&self, database: &str, statements: &str) {
        self.server.script(database, statements).unwrap();
    }

    /// The number of connections of a user.
    #[must_use]
    pub fn connections_of(&self, user: &str) -> usize {
        self.sql(&format!(
            "SELECT count(*) FROM information_schema.processlist WHERE user = '{user}' AND id <> \
             CONNECTION_ID()"
        ))
        .parse()
        .expect("a count")
    }

    /// Waits until a user has no connection left. The server needs a moment to notice a closed
    /// connection.
    ///
    /// # Panics
    /// If one is left after some seconds.
    pub async fn assert_no_connection_of(&self, user: &str) {
        for _ in 0..100 {
            if self.connections_of(user) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "{} connections of {user} are left:\n{}",
            self.connections_of(user),
            self.sql("SHOW PROCESSLIST")
        );
    }
}

/// The data folder that every server begins with.
static TEMPLATE: LazyLock<Arc<mariadb::Template>> = LazyLock::new(|| {
    let administrator = Account::new(ADMIN, ADMIN_PASSWORD);
    let template = mariadb::Template::new(&Programs::installed(), administrator).unwrap();
    let statements = format!(
        "CREATE DATABASE {DATABASE};\n\
         CREATE TABLE {DATABASE}.orders (id int PRIMARY KEY);\n\
         CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n\
         GRANT SELECT, INSERT ON {DATABASE}.orders TO '{USER}'@'%';\n"
    );
    Arc::new(template.with_statements(&statements).unwrap())
});
