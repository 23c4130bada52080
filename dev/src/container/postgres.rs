//! A server for a developer's own machine: the image of PostgreSQL's community.

use backing_services_runtime::grants::Grants;

use super::Container;
use crate::quoted;

/// The server's `pg_hba.conf`. The Unix socket asks for the password too: the image's scripts have
/// it.
const HBA: &str = "# No login without a password, and over the network none without TLS.\n\
                   local all all scram-sha-256\n\
                   hostssl all all all scram-sha-256\n";

/// The image sources this script in its own shell if there is no data yet. If the script runs
/// again, psql reports that the role exists already.
const SCRIPT: &str = "(\n    \
                          PGPASSWORD=$(cat /run/backing-services/admin-password)\n    \
                          export PGPASSWORD\n    \
                          psql --no-psqlrc --quiet --username postgres --dbname \"$POSTGRES_DB\" \
                          --file /etc/backing-services/account.sql\n\
                      )\n";

/// The account's database has the same name as the account.
pub(super) fn container(grants: &Grants) -> Option<Container> {
    let database = grants.account().to_owned();
    let statements = grants.clone().with_database(&database).ok()?.statements()?;
    let account = format!(
        "{statements}\
         -- A statement that fails is logged, unless it is this one. psql reads the \
         password: it is in no list of processes.\n\
         SET log_min_error_statement = panic;\n\
         \\set password `cat /run/backing-services/password`\n\
         ALTER ROLE {} PASSWORD :'password';\n",
        quoted::for_postgres(&database)
    );
    let options = [
        "ssl=on",
        "ssl_cert_file=/run/backing-services/certificate.pem",
        "ssl_key_file=/run/backing-services/key.pem",
        "hba_file=/etc/backing-services/pg_hba.conf",
    ];
    let command =
        ["postgres"].into_iter().chain(options.into_iter().flat_map(|option| ["-c", option]));
    let container = Container::new("postgres:18-trixie", 5432)
        .with_user(999, 999)
        .with_administrator()
        .with_command(command)
        .with_variable("POSTGRES_PASSWORD_FILE", "/run/backing-services/admin-password")
        .with_variable("POSTGRES_DB", database.as_str())
        .with_file("/etc/backing-services/pg_hba.conf", HBA)
        .with_file("/etc/backing-services/account.sql", account)
        .with_file("/docker-entrypoint-initdb.d/account.sh", SCRIPT)
        .with_regrant_command("sh /docker-entrypoint-initdb.d/account.sh")
        // Over TCP: the server that the image starts to create the account listens on its socket
        // alone.
        .with_health([
            "CMD", "pg_isready", "--quiet", "--host=127.0.0.1", "--port=5432",
            "--username=postgres",
        ])
        // The image has a folder for each release below it.
        .with_data("/var/lib/postgresql")
        .with_path(database);
    Some(container)
}
