//! A server for a developer's own machine: the image of NATS, with JetStream.

use backing_services_runtime::grants::Grants;

use super::Container;

pub(super) fn container(grants: &Grants) -> Option<Container> {
    let statements = grants.statements()?;
    let variable = variable(&statements)?;
    let config = format!(
        "listen: \"0.0.0.0:4222\"\n\
         # For the container itself, which asks there whether the server is well.\n\
         http: \"127.0.0.1:8222\"\n\
         tls: {{\n  \
           cert_file: \"/run/backing-services/certificate.pem\"\n  \
           key_file: \"/run/backing-services/key.pem\"\n\
         }}\n\
         jetstream: {{ store_dir: \"/data\" }}\n\
         {statements}"
    );
    let start = format!(
        "# In quotation marks, the server takes it for a text whatever it looks like.\n\
         {variable}=\"\\\"$(cat /run/backing-services/password)\\\"\"\n\
         export {variable}\n\
         exec nats-server --config /etc/backing-services/nats.conf\n"
    );
    // The server runs as root, which owns the folder of a new volume, and without capabilities.
    let container = Container::new("nats:2-alpine", 4222)
        .with_command(["sh", "/etc/backing-services/start.sh"])
        .with_file("/etc/backing-services/nats.conf", config)
        .with_file("/etc/backing-services/start.sh", start)
        .with_health(["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8222/healthz"])
        .with_data("/data");
    Some(container)
}

/// The environment variable from which the server takes the account's password. The first line of
/// the statements, a comment, ends with it.
pub(crate) fn variable(statements: &str) -> Option<&str> {
    statements.lines().next()?.rsplit(' ').next()
}
