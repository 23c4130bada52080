//! A server for a developer's own machine: RabbitMQ's image.

use backing_services_runtime::grants::Grants;

use super::Container;
use crate::quoted;

const CONFIG: &str = "\
                      # TLS, and nothing else. For what the image says of this before, the last \
                      word counts.\n\
                      listeners.tcp = none\n\
                      listeners.ssl.default = 5671\n\
                      ssl_options.certfile = /run/backing-services/certificate.pem\n\
                      ssl_options.keyfile = /run/backing-services/key.pem\n\
                      ssl_options.cacertfile = /run/backing-services/ca.pem\n\
                      ssl_options.versions.1 = tlsv1.3\n\
                      ssl_options.versions.2 = tlsv1.2\n\
                      # The account has a password, and no certificate.\n\
                      ssl_options.verify = verify_none\n\
                      ssl_options.fail_if_no_peer_cert = false\n\
                      auth_mechanisms.1 = PLAIN\n\
                      # The image counts messages, and reports their number to clients \
                      on this machine alone.\n\
                      prometheus.tcp.ip = 127.0.0.1\n\
                      # Until `guest` is deleted, it cannot log in.\n\
                      loopback_users.guest = true\n\
                      default_permissions.configure = ^$\n\
                      default_permissions.read = ^$\n\
                      default_permissions.write = ^$\n";

const START: &str = "rm -f /tmp/account-is-there\n\
                     sh /etc/backing-services/account.sh &\n\
                     exec rabbitmq-server\n";

pub(super) fn container(grants: &Grants) -> Option<Container> {
    let statements = grants.statements()?;
    let account = format!(
        "# The server makes the cookie by which it knows who controls it.\n\
         until [ -s \"$HOME/.erlang.cookie\" ] \
         && rabbitmqctl --quiet await_startup 2>/dev/null; do\n    \
             # If the server has ended, there is nothing to wait for.\n    \
             kill -0 \"$PPID\" && sleep 1 || exit 1\n\
         done\n\
         # If it has been started before, the account is there already.\n\
         {statements}\
         rabbitmqctl change_password -- {} </run/backing-services/password \
         && touch /tmp/account-is-there\n\
         rabbitmqctl delete_user -- guest\n",
        quoted::for_shell(grants.account())
    );
    let container = Container::new("rabbitmq:4", 5671)
        .with_user(999, 999)
        .with_command(["sh", "/etc/backing-services/start.sh"])
        // Its data have the node's name, which would otherwise change with the container.
        .with_variable("RABBITMQ_NODENAME", "rabbit@localhost")
        // Erlang's nodes talk to each other without TLS. There is one node, which talks only to
        // itself.
        .with_variable("ERL_EPMD_ADDRESS", "127.0.0.1")
        .with_variable(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1}",
        )
        .with_file("/etc/rabbitmq/conf.d/90-backing-services.conf", CONFIG)
        .with_file("/etc/backing-services/start.sh", START)
        .with_file("/etc/backing-services/account.sh", account)
        .with_health([
            "CMD-SHELL",
            "test -e /tmp/account-is-there \
             && rabbitmq-diagnostics --quiet check_port_listener 5671",
        ])
        .with_data("/var/lib/rabbitmq");
    Some(container)
}
