//! A server for a developer's own machine: Valkey's image. The supported releases of Redis change
//! every few months; a release of Valkey is supported for years.

use backing_services_runtime::grants::Grants;

use super::Container;

/// Starts the server. The hash of the account's password becomes the last word of the
/// configuration's last line, and the server reads all of it from standard input: the hash is in no
/// file, and in no list of processes.
const START: &str = "hash=$(printf %s \"$(cat /run/backing-services/password)\" | sha256sum)\n\
                     exec valkey-server - <<END\n\
                     $(cat /etc/backing-services/valkey.conf) #${hash%% *}\n\
                     END\n";

pub(super) fn container(grants: &Grants) -> Option<Container> {
    let statements = grants.statements()?;
    let user = statements.lines().find_map(|line| line.strip_prefix("ACL SETUSER "))?;
    let config = format!(
        "# TLS, and nothing else.\n\
         bind * -::*\n\
         port 0\n\
         tls-port 6379\n\
         tls-cert-file /run/backing-services/certificate.pem\n\
         tls-key-file /run/backing-services/key.pem\n\
         tls-ca-cert-file /run/backing-services/ca.pem\n\
         # The account has a password, and no certificate.\n\
         tls-auth-clients no\n\
         dir /data\n\
         # A client without a user name gets no account.\n\
         user default off\n\
         user {user}\n"
    );
    let container = Container::new("valkey/valkey:8.1", 6379)
        .with_user(999, 999)
        .with_command(["sh", "/etc/backing-services/start.sh"])
        .with_file("/etc/backing-services/valkey.conf", config)
        .with_file("/etc/backing-services/start.sh", START)
        // A healthy server answers that the client has to log in.
        .with_health([
            "CMD-SHELL",
            "valkey-cli -p 6379 --tls --cacert /run/backing-services/ca.pem ping | grep -q NOAUTH",
        ])
        .with_data("/data");
    Some(container)
}
