//! A real PostgreSQL server, with the role and the table of the tests.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

pub use backing_services_dev::server::postgres::Options;
use backing_services_dev::server::{Account, postgres};

use crate::canary::{ADMIN_PASSWORD, PASSWORD};
use crate::certified::Certified;
use crate::pki::{Authority, Leaf};
use crate::process;

/// The application's role. It may read one table and insert into it, and do nothing else.
pub const USER: &str = "winkelier";

/// The application's database.
pub const DATABASE: &str = "winkelgegevens";

/// A superuser.
pub const ADMIN: &str = "opperbaas";

/// A running server.
pub type Postgres = Certified<postgres::Postgres>;

impl Postgres {
    /// A server with a valid certificate and SCRAM.
    #[must_use]
    pub fn start() -> Self {
        let authority = Authority::new("the tests' authority");
        let options = Options::tls(authority.server());
        Self::with(authority, &options)
    }

    /// A server with these options.
    #[must_use]
    pub fn with(authority: Authority, options: &Options) -> Self {
        Self { server: postgres::Postgres::start(&TEMPLATE, options).unwrap(), authority }
    }

    /// The locator of the application's role and database.
    #[must_use]
    pub fn locator(&self) -> String {
        format!("postgres://{USER}@localhost:{}/{DATABASE}", self.port)
    }

    /// Runs statements in the application's database as the superuser, past every rule about
    /// connections, and returns the rows, with a `|` between columns.
    #[track_caller]
    pub fn sql(&self, statements: &str) -> String {
        self.server.sql(DATABASE, statements).unwrap()
    }

    /// Runs a file of statements in a database, one after the other, as an administrator would.
    #[track_caller]
    pub fn script(&self, database: &str, text: &str) {
        self.server.script(database, text).unwrap();
    }

    /// The number of connections of this role, without those of [`Postgres::sql`].
    #[must_use]
    pub fn connections_of(&self, role: &str) -> usize {
        self.sql(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}' AND backend_type = \
             'client backend'
             AND application_name <> 'psql'"
        ))
        .parse()
        .expect("a count")
    }

    /// Waits until a role has no connection left. The server needs a moment to notice a closed
    /// connection.
    ///
    /// # Panics
    /// If one is left after some seconds.
    pub async fn assert_no_connection_of(&self, role: &str) {
        for _ in 0..100 {
            if self.connections_of(role) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "{} connections of {role} are left:\n{}",
            self.connections_of(role),
            self.sql("TABLE pg_stat_activity")
        );
    }
}

/// The data folder that every server begins with.
static TEMPLATE: LazyLock<Arc<postgres::Template>> = LazyLock::new(|| {
    let administrator = Account::new(ADMIN, ADMIN_PASSWORD);
    let template = postgres::Template::new(&process::programs(), administrator).unwrap();
    let account = format!(
        "CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'\n\
         CREATE DATABASE {DATABASE} OWNER {ADMIN}\n"
    );
    let table = format!(
        "CREATE TABLE orders (id int PRIMARY KEY)\nGRANT SELECT, INSERT ON orders TO {USER}\n"
    );
    let template = template.with_statements("postgres", &account).unwrap();
    Arc::new(template.with_statements(DATABASE, &table).unwrap())
});

/// A program of PostgreSQL, of the newest release that is installed.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    process::find(name)
}

/// A certificate for the application's role, by the authority of the client certificates.
#[must_use]
pub fn client_certificate(authority: &Authority) -> Leaf {
    authority.client(USER)
}
