//! A real mail relay: Exim, with TLS from the first byte on. It delivers all mail to one file.

use std::ffi::OsString;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;

use crate::canary::PASSWORD;
use crate::folder::Folder;
use crate::pki::{Authority, Leaf};
use crate::port;
use crate::process::{Process, find};

/// The application's account.
pub const USER: &str = "winkelier";

/// A server that can be stopped and started again.
#[derive(Debug)]
pub struct Smtp {
    /// Stopped before its folder is removed.
    process: Option<Process>,
    folder: Folder,
    config: PathBuf,
    /// The port that it listens on.
    pub port: u16,
    /// The issuer of its certificate, if that is a valid authority.
    pub authority: Authority,
}

impl Smtp {
    /// A server with a valid certificate.
    #[must_use]
    pub fn start() -> Self {
        let authority = Authority::new("the tests' authority");
        let leaf = authority.server();
        Self::with(authority, Some(&leaf))
    }

    /// A server that requests a client certificate of its own authority, and continues without one.
    #[must_use]
    pub fn asking_for_certificates() -> Self {
        let authority = Authority::new("the tests' authority");
        let leaf = authority.server();
        Self::configured(authority, Some(&leaf), true)
    }

    /// A server with this certificate. `None` is a server without TLS.
    #[must_use]
    pub fn with(authority: Authority, leaf: Option<&Leaf>) -> Self {
        Self::configured(authority, leaf, false)
    }

    fn configured(authority: Authority, leaf: Option<&Leaf>, asks: bool) -> Self {
        let folder = Folder::new("smtp");
        let port = port::free();
        let at = folder.path().display();
        let account = fs::read_to_string("/etc/passwd").expect("the list of accounts");
        let (user, group) = crate::folder::account().unwrap_or_else(|| {
            use std::os::unix::fs::MetadataExt as _;
            fs::metadata("/proc/self").map(|own| (own.uid(), own.gid())).expect("an account")
        });
        assert!(account.contains(&format!(":{user}:")), "the account has a name");
        let tls = leaf.map_or_else(
            || "tls_advertise_hosts =\n".to_owned(),
            |leaf| {
                let certificate = folder.write("server.crt", &leaf.certificate);
                let key = folder.write("server.key", &leaf.key);
                format!(
                    "tls_advertise_hosts = *\ntls_certificate = {}\ntls_privatekey = {}\n\
                     tls_on_connect_ports = {port}\n",
                    certificate.display(),
                    key.display()
                )
            },
        );
        let asking = if asks {
            let clients = folder.write("clients.crt", &authority.pem());
            format!("tls_try_verify_hosts = *\ntls_verify_certificates = {}\n", clients.display())
        } else {
            String::new()
        };
        let config = format!(
            "exim_user = {user}\nexim_group = {group}\nprimary_hostname = post.example\n\
             keep_environment =\nnever_users =\n\
             spool_directory = {at}/spool\nlog_file_path = {at}/%slog\npid_file_path = {at}/pid\n\
             log_selector = +smtp_connection\n\
             {tls}{asking}daemon_smtp_ports = {port}\nlocal_interfaces = 127.0.0.1\n\
             auth_advertise_hosts = *\nqueue_only = false\n\
             smtp_accept_max = 100\nhost_lookup =\nrfc1413_hosts =\nmessage_size_limit = 1M\n\
             acl_smtp_rcpt = rcpt\nacl_smtp_data = accept\n\
             begin acl\nrcpt:\n  defer senders = later@post.example\n  deny senders = \
             never@post.example\n  accept authenticated = *\n  deny message = kanarie: relay not \
             permitted\n\
             begin routers\nall:\n  driver = accept\n  transport = file\n\
             begin transports\nfile:\n  driver = appendfile\n  file = {at}/mail\n  user = \
             {user}\n  group = {group}\n\
             begin authenticators\nplain:\n  driver = plaintext\n  public_name = PLAIN\n  \
             server_prompts = :\n\
             \x20 server_condition = ${{if \
             and{{{{eq{{$auth2}}{{{USER}}}}}{{eq{{$auth3}}{{{PASSWORD}}}}}}}}}\n  server_set_id = \
             $auth2\n"
        );
        let config = folder.write("exim.conf", &config);
        fs::create_dir(folder.path().join("spool")).expect("a spool");
        folder.own(&folder.path().join("spool"));
        let mut server = Self { process: None, folder, config, port, authority };
        server.restart();
        server
    }

    /// Starts the server; restarts it if it runs.
    pub fn restart(&mut self) {
        self.stop();
        let command: [OsString; 4] =
            [find("exim4", &[]).into(), "-C".into(), self.config.clone().into(), "-bdf".into()];
        let process = Process::start("exim4", "TERM", self.folder.path(), &[], command);
        process.wait_until(|| TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        self.process = Some(process);
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// The locator of the application's account.
    #[must_use]
    pub fn locator(&self) -> String {
        format!("smtps://{USER}@localhost:{}", self.port)
    }

    /// All delivered mail.
    #[must_use]
    pub fn mail(&self) -> String {
        fs::read_to_string(self.folder.path().join("mail")).unwrap_or_default()
    }

    /// Waits until a text is in a delivered mail.
    ///
    /// # Panics
    /// With the server's log, if that does not happen within some seconds.
    pub async fn assert_delivered(&self, text: &str) {
        for _ in 0..200 {
            if self.mail().contains(text) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{text} was not delivered:\n{}", self.log());
    }

    /// The number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        let own = format!(":{:04X} ", self.port);
        let table = fs::read_to_string("/proc/net/tcp").expect("the table of connections");
        // Column 2 is the local address, column 3 the remote one, and column 4 the state: 01 is an
        // established connection.
        table
            .lines()
            .filter(|line| {
                line.split_once(' ')
                    .is_some_and(|(_, rest)| rest.contains(&own) && is_established(rest, &own))
            })
            .count()
    }

    /// Waits until no connection is left.
    ///
    /// # Panics
    /// If one is left after some seconds.
    pub async fn assert_no_connection(&self) {
        for _ in 0..100 {
            if self.connections() == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("connections are left:\n{}", self.log());
    }

    /// The log of the server so far.
    #[must_use]
    pub fn log(&self) -> String {
        let read =
            |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        format!("{}{}{}", read("mainlog"), read("rejectlog"), read("log"))
    }
}

/// True if a line of `/proc/net/tcp` is an established connection whose local port is ours.
fn is_established(line: &str, own: &str) -> bool {
    let mut columns =
        line.split_whitespace().skip_while(|column| !column.contains(':') || column.ends_with(':'));
    let (local, _, state) = (columns.next(), columns.next(), columns.next());
    local.is_some_and(|local| format!("{local} ").ends_with(own)) && state == Some("01")
}
