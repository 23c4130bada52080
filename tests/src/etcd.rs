//! A real etcd, with the user of the tests.

use backing_services_dev::program::Programs;
use backing_services_dev::server::etcd;

use crate::canary::{ADMIN_PASSWORD, PASSWORD};
use crate::certified::Certified;
use crate::pki::{Authority, Leaf};

/// The application's user. It may read the keys below [`PREFIX`], and do nothing else.
pub const USER: &str = "winkelier";

/// The prefix of the application's keys.
pub const PREFIX: &str = "/shop/";

/// The options of a server.
#[derive(Debug)]
pub struct Options {
    /// Its certificate. `None` is a server without TLS.
    pub leaf: Option<Leaf>,
    /// The authority of the client certificates that it demands. Its own certificate must be valid
    /// for a client too, because its gateway is one.
    pub client_ca: Option<String>,
    /// True if it has accounts.
    pub has_accounts: bool,
}

/// A server that can be stopped and started again.
pub type Etcd = Certified<etcd::Etcd>;

impl Etcd {
    /// A server with a valid certificate and accounts.
    #[must_use]
    pub fn start() -> Self {
        let authority = Authority::new("the tests' authority");
        let options =
            Options { leaf: Some(authority.server()), client_ca: None, has_accounts: true };
        Self::with(authority, &options)
    }

    /// A server with these options.
    #[must_use]
    pub fn with(authority: Authority, options: &Options) -> Self {
        let own = etcd::Options {
            leaf: options.leaf.clone().map(|leaf| (leaf, authority.pem())),
            client_ca: options.client_ca.clone(),
        };
        let server = etcd::Etcd::start(&Programs::installed(), &own).unwrap();
        let mut server = Self { server, authority };
        if options.has_accounts {
            server.control(&["role", "add", "shop"]);
            server.control(&["role", "grant-permission", "shop", "read", PREFIX, "--prefix"]);
            server.add_user(USER, PASSWORD).unwrap();
            server.control(&["user", "grant-role", USER, "shop"]);
            server.enable_accounts(ADMIN_PASSWORD).unwrap();
        }
        server
    }

    /// Starts the server with its data; restarts it if it runs.
    pub fn restart(&mut self) {
        self.server.restart().unwrap();
    }

    /// Deletes the data. The next start is another store.
    pub fn forget(&mut self) {
        self.server.forget().unwrap();
    }

    /// Runs `etcdctl` as the administrator, and returns its output.
    #[track_caller]
    pub fn control(&self, arguments: &[&str]) -> String {
        self.server.control(arguments).unwrap()
    }

    /// Writes one value below the prefix.
    pub fn put(&self, variable: &str, value: &str) {
        self.control(&["put", &format!("{PREFIX}{variable}"), "--", value]);
    }

    /// The revision of the store.
    #[must_use]
    pub fn revision(&self) -> u64 {
        let text = self.control(&["get", PREFIX, "--write-out=json"]);
        let rest = text.split_once("\"revision\":").expect("a revision").1;
        rest.split(|c: char| !c.is_ascii_digit())
            .next()
            .expect("a number")
            .parse()
            .expect("a number")
    }
}
