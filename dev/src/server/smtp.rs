//! A real mail relay: Exim, with TLS from the first byte on. It delivers all mail to one file.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::DevError;
use crate::authority::Leaf;
use crate::folder::{self, Folder};
use crate::port;
use crate::process::Process;
use crate::program::Programs;
use crate::server::Account;

/// The options of a server.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Its certificate. `None` is a server without TLS.
    pub leaf: Option<Leaf>,
    /// The authority of the client certificates that it requests. It continues without one.
    pub client_ca: Option<String>,
    /// The accounts that may log in. No other client may send.
    pub accounts: Vec<Account>,
    /// Lines of the access control list of each recipient, before the one that accepts all mail of
    /// these accounts.
    pub acl: String,
}

/// A server that can be stopped and started again.
#[derive(Debug)]
pub struct Smtp {
    /// Stopped before its folder is removed.
    process: Option<Process>,
    folder: Folder,
    config: PathBuf,
    programs: Programs,
    /// The number of starts.
    starts: usize,
    /// The port that it listens on.
    pub port: u16,
}

impl Smtp {
    /// Starts a server with these options.
    ///
    /// # Errors
    /// If Exim is not installed, or if it does not start.
    pub fn start(programs: &Programs, options: &Options) -> Result<Self, DevError> {
        let folder = Folder::new("smtp")?;
        let port = port::free()?;
        folder.folder("spool")?;
        let config = folder.write("exim.conf", &configuration(&folder, port, options)?)?;
        let programs = programs.clone();
        let mut server = Self { process: None, folder, config, programs, starts: 0, port };
        server.restart()?;
        Ok(server)
    }

    /// Starts the server; restarts it if it runs.
    ///
    /// # Errors
    /// If the server does not start.
    pub fn restart(&mut self) -> Result<(), DevError> {
        self.stop();
        let exim = self.programs.find("exim4")?;
        let command: [OsString; 4] =
            [exim.into(), "-C".into(), self.config.clone().into(), "-bdf".into()];
        let process = Process::start("exim4", "TERM", self.folder.path(), &[], command)?;
        self.starts += 1;
        // Another program on that port would also admit a connection. The log is appended to that
        // of the earlier start.
        process.wait_until(|| process.log().matches("listening for").count() == self.starts)?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// All delivered mail.
    #[must_use]
    pub fn mail(&self) -> String {
        self.read("mail")
    }

    /// The log of the server so far.
    #[must_use]
    pub fn log(&self) -> String {
        ["mainlog", "rejectlog", "log"].map(|name| self.read(name)).concat()
    }

    fn read(&self, name: &str) -> String {
        folder::read(&self.folder.path().join(name)).unwrap_or_default()
    }
}

/// The configuration of Exim.
fn configuration(folder: &Folder, port: u16, options: &Options) -> Result<String, DevError> {
    let at = folder.path().display();
    let own = || (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let (user, group) = folder::account().unwrap_or_else(own);
    let tls = match &options.leaf {
        None => "tls_advertise_hosts =\n".to_owned(),
        Some(leaf) => {
            let [certificate, key] = leaf.write(folder)?;
            format!(
                "tls_advertise_hosts = *\ntls_certificate = {}\ntls_privatekey = {}\n\
                 tls_on_connect_ports = {port}\n",
                certificate, key
            )
        }
    };
    let asking = match &options.client_ca {
        None => String::new(),
        Some(authority) => format!(
            "tls_try_verify_hosts = *\ntls_verify_certificates = {}\n",
            folder.write("clients.crt", authority)?.display()
        ),
    };
    // Exim looks passwords up in a file: then no character of theirs means anything to it.
    let mut accounts = String::new();
    for account in &options.accounts {
        accounts.push_str(&format!("{}: {}\n", account.name(), account.password()));
    }
    let accounts = folder.write("accounts", &accounts)?;
    let acl = &options.acl;
    Ok(format!(
        "exim_user = {user}\nexim_group = {group}\nprimary_hostname = post.example\n\
         keep_environment =\nnever_users =\n\
         spool_directory = {at}/spool\nlog_file_path = {at}/%slog\npid_file_path = {at}/pid\n\
         log_selector = +smtp_connection\n\
         {tls}{asking}daemon_smtp_ports = {port}\nlocal_interfaces = 127.0.0.1\n\
         daemon_startup_retries = 0\n\
         auth_advertise_hosts = *\nqueue_only = false\n\
         smtp_accept_max = 100\nhost_lookup =\nrfc1413_hosts =\nmessage_size_limit = 1M\n\
         acl_smtp_rcpt = rcpt\nacl_smtp_data = accept\n\
         begin acl\nrcpt:\n{acl}  accept authenticated = *\n  deny message = relay not permitted\n\
         begin routers\nall:\n  driver = accept\n  transport = file\n\
         begin transports\nfile:\n  driver = appendfile\n  file = {at}/mail\n  \
         user = {user}\n  group = {group}\n\
         begin authenticators\nplain:\n  driver = plaintext\n  public_name = PLAIN\n  \
         server_prompts = :\n  \
         server_condition = ${{if and{{{{!eq{{$auth3}}{{}}}}\
         {{eq{{$auth3}}{{${{lookup{{$auth2}}lsearch{{{}}}}}}}}}}}}}\n  server_set_id = $auth2\n",
        accounts.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_on_its_port_is_not_taken_for_the_relay() {
        let mut server = Smtp::start(&Programs::installed(), &Options::default()).unwrap();
        server.restart().unwrap();
        server.stop();
        let _other = std::net::TcpListener::bind(("127.0.0.1", server.port)).unwrap();
        let error = server.restart().unwrap_err().to_string();
        assert!(error.starts_with("exim4 has ended "), "{error}");
    }
}
