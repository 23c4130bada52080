//! A server for a developer's own machine: MariaDB's image.

use backing_services_runtime::grants::Grants;

use super::Container;
use crate::quoted;

/// Creates the account. The image sources this script into its own shell if there is no data yet. A
/// later run reports that the account exists already.
///
/// `--force`: a grant that fails now prevents neither the other grants nor the start of the server.
/// A shell's `printf` is not a process, so its arguments are not in the list of processes.
const SCRIPT: &str = "(\n    \
                          MYSQL_PWD=$(cat /run/backing-services/admin-password)\n    \
                          export MYSQL_PWD\n    \
                          {\n        \
                              printf \"SET @password = '%s';\\n\" \
                                  \"$(cat /run/backing-services/password)\"\n        \
                              cat /etc/backing-services/account.sql\n    \
                          } | mariadb --user=root --database=\"$MARIADB_DATABASE\" --force\n\
                      ) || :\n";

/// The account's own database has the account's name.
pub(super) fn container(grants: &Grants) -> Option<Container> {
    let database = grants.account().to_owned();
    let statements = grants.clone().with_database(&database).ok()?.statements()?;
    let account = format!("{}@`%`", quoted::for_mysql(&database));
    let before = quoted::literal_for_mysql(&format!("ALTER USER {account} IDENTIFIED BY "));
    let statements = format!(
        "{statements}EXECUTE IMMEDIATE CONCAT({before}, QUOTE(@password), ' ACCOUNT UNLOCK');\n"
    );
    let command = [
        "mariadbd",
        "--ssl-cert=/run/backing-services/certificate.pem",
        "--ssl-key=/run/backing-services/key.pem",
        "--require-secure-transport=ON",
        "--tls-version=TLSv1.2,TLSv1.3",
    ];
    // Over TCP: the image's temporary server, which creates the account, listens only on its
    // socket.
    let health = format!(
        "MYSQL_PWD=$(cat /run/backing-services/password) mariadb-admin --user='{}' \
         --protocol=tcp --host=localhost --port=3306 \
         --ssl-ca=/run/backing-services/ca.pem --ssl-verify-server-cert --silent ping",
        database.replace('\'', r"'\''")
    );
    let container = Container::new("mariadb:11.4", 3306)
        .with_user(999, 999)
        .with_administrator()
        .with_command(command)
        .with_variable("MARIADB_ROOT_PASSWORD_FILE", "/run/backing-services/admin-password")
        .with_variable("MARIADB_ROOT_HOST", "localhost")
        .with_variable("MARIADB_DATABASE", database.as_str())
        .with_file("/etc/backing-services/account.sql", statements)
        .with_file("/docker-entrypoint-initdb.d/account.sh", SCRIPT)
        .with_regrant_command("sh /docker-entrypoint-initdb.d/account.sh")
        .with_health(["CMD-SHELL", &health])
        .with_data("/var/lib/mysql");
    // An account cannot use a database in which it has no privileges.
    let needs_nothing = grants.needs().iter().next().is_none();
    Some(if needs_nothing { container } else { container.with_path(database) })
}
