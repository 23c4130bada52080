//! MariaDB: the account and its privileges, compared with the field's needs, on a real server.

use std::time::Duration;

use backing_services::{AttachError, BackingServices, Finding, MySql, Resource};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::mariadb::{DATABASE, MariaDb, Options, USER};
use backing_services_tests::pki::Authority;
use backing_services_tests::variables::{self, Variables};

/// No test here waits for a deadline.
const SOON: Duration = Duration::from_secs(10);

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    orders: Resource<MySql>,
}

macro_rules! needing {
    ($name:ident, $needs:literal) => {
        #[derive(BackingServices)]
        #[services(prefix = "SHOP", deadline = 20)]
        struct $name {
            #[service(needs = $needs)]
            orders: Resource<MySql>,
        }
    };
}

needing!(Few, "SELECT, INSERT ON orders");
needing!(Columns, "SELECT (id), UPDATE (id, Title) ON `Customers and \u{e4}`");
needing!(Database, "SELECT, UPDATE ON *; CREATE ROUTINE ON *");
needing!(
    Everything,
    "SELECT, INSERT ON orders;
    SELECT (id, \"Title\"), UPDATE (Title), DELETE ON `Customers and \u{e4}`;
    SELECT ON `select`, summary;
    CREATE TEMPORARY TABLES, LOCK TABLES ON *;
    SELECT, INSERT, SHOW VIEW ON archive_2.*;
    EXECUTE ON FUNCTION `Check out`; EXECUTE ON PROCEDURE archive_2.Finish"
);

/// The objects in the database. The tables are the administrator's.
const OBJECTS: &str = "CREATE TABLE IF NOT EXISTS orders (id int PRIMARY KEY);
    CREATE TABLE `Customers and \u{e4}` (id int, Title text, secret_note text);
    CREATE TABLE `select` (id int);
    CREATE VIEW summary AS SELECT 1 AS one;
    CREATE FUNCTION `Check out`(amount int) RETURNS int RETURN amount;
    CREATE DATABASE archive_2; CREATE TABLE archive_2.old_rows (id int);
    CREATE PROCEDURE archive_2.finish() SELECT 1;
    CREATE DATABASE archivex2; CREATE TABLE archivex2.old_rows (id int);
    CREATE DATABASE outside; CREATE TABLE outside.things (id int, title text);
    CREATE PROCEDURE outside.open() SELECT 1;";

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn variables(server: &MariaDb, account: &str, database: &str) -> Variables {
    variables::of(
        "SHOP_ORDERS",
        format!("mysql://{}@localhost:{}/{}", encoded(account), server.port, encoded(database)),
        PASSWORD,
        server.authority.pem(),
    )
}

/// Attaches, which has to fail with one finding of this rule.
async fn one<T: BackingServices>(
    server: &MariaDb,
    account: &str,
    database: &str,
    rule: &str,
    what: &str,
) -> Finding {
    let error: AttachError = refused::<T>(&variables(server, account, database), SOON).await;
    assert_eq!(problems(&error), [rule], "{what}: {error}");
    error.findings().find(|finding| finding.is_denied()).unwrap().clone()
}

async fn clean<T: BackingServices + Send + Sync>(
    server: &MariaDb,
    account: &str,
    database: &str,
    what: &str,
) {
    let services = match attach::<T>(&variables(server, account, database)).await {
        Ok(services) => services,
        Err(error) => panic!("{what}: {error}"),
    };
    for resource in services.resources() {
        // MariaDB supports nothing better that sqlx can use.
        assert_eq!(rules(&resource.posture().findings), ["weak_authentication"], "{what}");
    }
    let _ = services.detach().await;
}

/// Each route by which an account is, or becomes, an administrator: the statement, the text in the
/// report, and whether the report's help fixes it.
#[tokio::test]
async fn every_route_to_an_administrator_is_refused_and_named() {
    let server = MariaDb::start();
    server.script(DATABASE, OBJECTS);
    server.script(
        DATABASE,
        &format!(
            "CREATE USER clerk@'%' IDENTIFIED BY '{PASSWORD}';
             GRANT SELECT ON orders TO clerk@'%'; CREATE USER other@'%';
             CREATE ROLE team; CREATE ROLE `Big team`; GRANT team TO `Big team`;"
        ),
    );
    let mut routes: Vec<(String, String, bool)> = Vec::new();
    let mut route =
        |statement: &str, named: &str| routes.push((statement.to_owned(), named.to_owned(), true));
    for power in [
        "SELECT", "INSERT", "DROP", "DELETE HISTORY", "RELOAD", "SHUTDOWN", "PROCESS", "FILE",
        "SHOW DATABASES", "SUPER", "CREATE USER", "CREATE TABLESPACE", "SET USER",
        "FEDERATED ADMIN", "CONNECTION ADMIN", "READ_ONLY ADMIN", "REPLICATION SLAVE",
        "REPLICATION SLAVE ADMIN", "REPLICATION MASTER ADMIN", "BINLOG MONITOR", "BINLOG ADMIN",
        "BINLOG REPLAY", "SLAVE MONITOR",
    ] {
        route(&format!("GRANT {power} ON *.* TO clerk@'%'"), &format!("has {power} ON *.*"));
    }
    route(
        "GRANT SELECT ON outside.* TO clerk@'%' WITH GRANT OPTION",
        "GRANT OPTION ON TABLE outside.*",
    );
    route(
        "GRANT SELECT ON outside.things TO clerk@'%' WITH GRANT OPTION",
        "GRANT OPTION ON TABLE outside.things",
    );
    for schema in ["mysql", "sys", "performance_schema"] {
        route(
            &format!("GRANT SELECT ON {schema}.* TO clerk@'%'"),
            &format!("which reaches the schema `{schema}`"),
        );
    }
    route(
        "GRANT UPDATE ON mysql.global_priv TO clerk@'%'",
        "UPDATE ON TABLE mysql.global_priv, which reaches the schema `mysql`",
    );
    route(
        "GRANT SELECT ON `%`.* TO clerk@'%'",
        "SELECT ON TABLE `%`.*, whose name is a pattern, which reaches the schema `mysql`",
    );
    route("GRANT SELECT ON `my_q%`.* TO clerk@'%'", "which reaches the schema `mysql`");
    // By way of a role that has to be activated, of a default role, and of a role within another.
    route(
        "GRANT FILE ON *.* TO team; GRANT team TO clerk@'%'",
        "FILE ON *.*, by way of the role `team`",
    );
    route(
        "GRANT `Big team` TO clerk@'%'; SET DEFAULT ROLE `Big team` FOR clerk@'%'",
        "FILE ON *.*, by way of the role `team`",
    );
    route(
        "SET DEFAULT ROLE NONE FOR clerk@'%'; GRANT `Big team` TO clerk@'%'",
        "FILE ON *.*, by way of the role `team`",
    );
    route(
        "GRANT team TO clerk@'%', PUBLIC",
        "FILE ON *.*, as every account has, by way of the role `team`",
    );
    route(
        "REVOKE FILE ON *.* FROM team; GRANT team TO clerk@'%' WITH ADMIN OPTION",
        "ADMIN OPTION of the role `team`",
    );
    route("GRANT PROCESS ON *.* TO PUBLIC", "PROCESS ON *.*, as every account has");
    // An account that is not a proxy itself can neither grant PROXY nor revoke it.
    let proxy = "INSERT INTO mysql.proxies_priv (Host, User, Proxied_host, Proxied_user) \
         VALUES ('%', 'clerk', '%', 'other'); FLUSH PRIVILEGES";
    routes.push((proxy.to_owned(), "PROXY ON `other`@`%`".to_owned(), false));
    routes.push((
        "DELETE FROM mysql.proxies_priv; FLUSH PRIVILEGES; GRANT ALL PRIVILEGES ON *.* TO clerk@'%'"
            .to_owned(),
        "ALL PRIVILEGES ON *.*".to_owned(),
        false,
    ));

    clean::<Shop>(&server, "clerk", DATABASE, "nothing").await;
    for (statement, named, is_fixed) in &routes {
        server.script(DATABASE, statement);
        let finding = one::<Shop>(&server, "clerk", DATABASE, "superuser_account", statement).await;
        assert!(finding.message().contains(named.as_str()), "{statement}: {finding}");
        if *is_fixed {
            server.script(DATABASE, finding.help());
            clean::<Shop>(&server, "clerk", DATABASE, &format!("{statement}: {}", finding.help()))
                .await;
        }
    }
}

/// Runs the statements of `grants()` unchanged, does everything that is needed, and then tries one
/// more privilege and one less.
async fn round_trip(account: &str, database: &str, named: bool) {
    let server = MariaDb::start();
    server.script(DATABASE, &format!("CREATE DATABASE {}", quoted(database)));
    server.script(database, OBJECTS);
    let grants = Everything::MANIFEST.grants().remove(0).with_account(account).unwrap();
    let grants = if named { grants.with_database(database).unwrap() } else { grants };
    let text = grants.statements().unwrap();
    assert!(!text.contains(PASSWORD), "{text}");
    server.script(database, &text);

    let error = refused::<Everything>(&variables(&server, account, database), SOON).await;
    assert_eq!(problems(&error), ["authentication_failed"], "without a password, no login");
    let user = format!("{}@`%`", quoted(account));
    server
        .script(database, &format!("ALTER USER {user} IDENTIFIED BY '{PASSWORD}' ACCOUNT UNLOCK"));
    clean::<Everything>(&server, account, database, &text).await;

    let shop: Everything = attach(&variables(&server, account, database)).await.unwrap();
    let pool = shop.orders.client();
    for statement in [
        "INSERT INTO orders VALUES (1)",
        "SELECT * FROM orders",
        "SELECT id, Title FROM `Customers and \u{e4}`",
        "UPDATE `Customers and \u{e4}` SET Title = 'x'",
        "DELETE FROM `Customers and \u{e4}`",
        "SELECT * FROM `select`, summary",
        "CREATE TEMPORARY TABLE even (id int)",
        "LOCK TABLES orders READ; UNLOCK TABLES",
        "INSERT INTO archive_2.old_rows VALUES (1)",
        "SELECT * FROM archive_2.old_rows",
        "SELECT `Check out`(1)",
        "CALL archive_2.finish()",
    ] {
        let done = sqlx::raw_sql(statement).execute(&*pool).await;
        assert!(done.is_ok(), "{statement}: {done:?}");
    }
    for statement in [
        "UPDATE orders SET id = 2",
        "SELECT secret_note FROM `Customers and \u{e4}`",
        "SELECT * FROM archivex2.old_rows",
        "SELECT * FROM outside.things",
        "CREATE TABLE t (id int)",
    ] {
        assert!(sqlx::raw_sql(statement).execute(&*pool).await.is_err(), "{statement}");
    }
    drop(pool);
    let posture = shop.orders.posture();
    for privilege in [
        format!("SELECT ON TABLE {}.orders", shown(database)),
        format!("UPDATE (Title) ON TABLE {}.`Customers and \u{e4}`", shown(database)),
        format!("LOCK TABLES ON TABLE {}.*", shown(database)),
        "INSERT ON TABLE archive_2.*".to_owned(),
        "EXECUTE ON PROCEDURE archive_2.finish".to_owned(),
    ] {
        assert!(posture.privileges.contains(&privilege), "{privilege}: {:?}", posture.privileges);
    }
    let _ = shop.detach().await;

    let fill = |text: &str| text.replace("{user}", &user).replace("{db}", &shown(database));
    for (statement, named) in [
        ("GRANT UPDATE ON orders TO {user}", "UPDATE ON TABLE {db}.orders"),
        (
            "GRANT SELECT ON `Customers and \u{e4}` TO {user}",
            "SELECT ON TABLE {db}.`Customers and \u{e4}`",
        ),
        (
            "GRANT UPDATE (secret_note) ON `Customers and \u{e4}` TO {user}",
            "UPDATE (secret_note) ON TABLE {db}.`Customers and \u{e4}`",
        ),
        ("GRANT EXECUTE ON PROCEDURE outside.open TO {user}", "EXECUTE ON PROCEDURE outside.open"),
        (
            "GRANT ALTER ROUTINE ON FUNCTION `Check out` TO {user}",
            "ALTER ROUTINE ON FUNCTION {db}.`check out`",
        ),
        ("GRANT ALL ON outside.* TO {user}", "ALL PRIVILEGES ON TABLE outside.*"),
        ("GRANT ALL ON outside.things TO {user}", "ALL PRIVILEGES ON TABLE outside.things"),
        ("GRANT DELETE ON archive_2.old_rows TO {user}", "DELETE ON TABLE archive_2.old_rows"),
        ("GRANT SELECT ON outside.* TO PUBLIC", "SELECT ON TABLE outside.*, as every account has"),
        ("GRANT TRIGGER ON `archive\\_2`.* TO {user}", "TRIGGER ON TABLE archive_2.*"),
        // A common mistake: `_` stands for any character.
        (
            "GRANT SELECT ON archive_2.* TO {user}",
            "SELECT ON TABLE `archive_2`.*, whose name is a pattern",
        ),
        (
            "REVOKE SELECT ON `archive\\_2`.* FROM {user}; GRANT SELECT ON archive_2.* TO {user}",
            "SELECT ON TABLE `archive_2`.*, whose name is a pattern",
        ),
        (
            "CREATE ROLE `Readers!`; GRANT DELETE ON orders TO `Readers!`; \
             GRANT `Readers!` TO {user}",
            "DELETE ON TABLE {db}.orders, by way of the role `Readers!`",
        ),
        // The account still has the needed privilege after this.
        (
            "GRANT SELECT ON orders TO `Readers!`; REVOKE SELECT ON orders FROM {user};
             GRANT `Readers!` TO {user};
             SET DEFAULT ROLE `Readers!` FOR {user}",
            "DELETE ON TABLE {db}.orders, by way of the role `Readers!`",
        ),
    ] {
        let (statement, named) = (fill(statement), fill(named));
        server.script(database, &statement);
        let finding =
            one::<Everything>(&server, account, database, "excess_privileges", &statement).await;
        assert!(finding.message().contains(&named), "{statement}: {finding}");
        assert!(!finding.message().contains(';'), "one privilege, and one is named: {finding}");
        server.script(database, finding.help());
        clean::<Everything>(
            &server,
            account,
            database,
            &format!("{statement}: {}", finding.help()),
        )
        .await;
    }

    for (statement, named) in [
        ("REVOKE INSERT ON orders FROM {user}", "INSERT ON TABLE {db}.orders"),
        (
            "REVOKE UPDATE (Title) ON `Customers and \u{e4}` FROM {user}",
            "UPDATE (Title) ON TABLE {db}.`Customers and \u{e4}`",
        ),
        ("REVOKE SHOW VIEW ON `archive\\_2`.* FROM {user}", "SHOW VIEW ON TABLE archive_2.*"),
        (
            "REVOKE EXECUTE ON FUNCTION `Check out` FROM {user}",
            "EXECUTE ON FUNCTION {db}.`Check out`",
        ),
        (
            "REVOKE EXECUTE ON PROCEDURE archive_2.finish FROM {user}",
            "EXECUTE ON PROCEDURE archive_2.Finish",
        ),
        // A privilege that needs `SET ROLE` first is missing.
        (
            "REVOKE SELECT ON orders FROM {user}; SET DEFAULT ROLE NONE FOR {user};
             CREATE ROLE shift;
             GRANT SELECT ON orders TO shift; GRANT shift TO {user}",
            "SELECT ON TABLE {db}.orders",
        ),
    ] {
        let (statement, named) = (fill(statement), fill(named));
        server.script(database, &statement);
        let finding =
            one::<Everything>(&server, account, database, "missing_privileges", &statement).await;
        assert!(finding.message().ends_with(&format!("lacks {named}")), "{statement}: {finding}");
        server.script(database, finding.help());
        clean::<Everything>(
            &server,
            account,
            database,
            &format!("{statement}: {}", finding.help()),
        )
        .await;
    }
}

fn shown(database: &str) -> String {
    if database.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        database.to_owned()
    } else {
        quoted(database)
    }
}

#[tokio::test]
async fn the_grants_are_exactly_the_needs() {
    round_trip("sh`op '\\ er\" --$$", "Shop_ `data`% \\'\"", false).await;
}

#[tokio::test]
async fn the_grants_are_exactly_the_needs_in_a_named_database() {
    round_trip("select", "ORDER_", true).await;
}

/// Other quotation marks in the server's answers, no backslash escapes in its input, and names
/// without a case.
#[tokio::test]
async fn the_grants_are_exactly_the_needs_in_every_mode() {
    for mode in ["--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "--lower-case-table-names=1"] {
        let authority = Authority::new("the tests' authority");
        let mut options = Options::tls(authority.server());
        options.arguments = vec![mode.to_owned()];
        let server = MariaDb::with(authority, &options);
        let (account, database) = ("sh\"o`p\\'", "Shop_\\\"data");
        server.script(DATABASE, &format!("CREATE DATABASE {}", quoted(database)));
        server.script(database, OBJECTS);
        let grants = Everything::MANIFEST.grants().remove(0).with_account(account).unwrap();
        server.script(database, &grants.to_string());
        let user = format!("{}@`%`", quoted(account));
        server.script(
            database,
            &format!("ALTER USER {user} IDENTIFIED BY '{PASSWORD}' ACCOUNT UNLOCK"),
        );
        clean::<Everything>(&server, account, database, mode).await;
        for statement in [
            "GRANT UPDATE (secret_note) ON `Customers and \u{e4}` TO {user}",
            "GRANT SELECT ON ARCHIVE_2.* TO {user}",
        ] {
            server.script(database, &statement.replace("{user}", &user));
            let finding =
                one::<Everything>(&server, account, database, "excess_privileges", statement).await;
            assert!(!finding.message().contains(';'), "one privilege, and one is named: {finding}");
            server.script(database, finding.help());
            clean::<Everything>(&server, account, database, finding.help()).await;
        }
    }
}

#[tokio::test]
async fn without_needs_the_posture_reports_and_nothing_is_compared() {
    let server = MariaDb::start();
    server.script(
        DATABASE,
        &format!("CREATE DATABASE ownthings; GRANT ALL ON ownthings.* TO {USER}@'%'"),
    );
    let shop: Shop = attach(&variables(&server, USER, DATABASE)).await.unwrap();
    let posture = shop.orders.posture();
    assert_eq!(rules(&posture.findings), ["weak_authentication"]);
    assert_eq!(
        posture.privileges,
        [
            "ALL PRIVILEGES ON TABLE ownthings.*".to_owned(),
            format!("INSERT ON TABLE {DATABASE}.orders"),
            format!("SELECT ON TABLE {DATABASE}.orders")
        ]
    );
    let _ = shop.detach().await;
}

#[tokio::test]
async fn missing_and_excess_are_two_findings_and_every_missing_one_is_named() {
    let server = MariaDb::start();
    server.script(DATABASE, OBJECTS);
    server.script(
        DATABASE,
        &format!(
            "REVOKE ALL ON orders FROM {USER}@'%'; GRANT DELETE, DROP ON orders TO {USER}@'%'"
        ),
    );
    let error = refused::<Few>(&variables(&server, USER, DATABASE), SOON).await;
    assert_eq!(problems(&error), ["missing_privileges", "excess_privileges"], "{error}");
    let text = error.to_string();
    for part in [
        "/* If it is not there yet, first run the migrations. */ GRANT SELECT".to_owned(),
        format!(
            "the account lacks SELECT ON TABLE {DATABASE}.orders; INSERT ON TABLE {DATABASE}.orders"
        ),
        format!(
            "GRANT SELECT ON `{DATABASE}`.`orders` TO `{USER}`@`%`; \
             GRANT INSERT ON `{DATABASE}`.`orders` TO `{USER}`@`%`;"
        ),
        format!("DELETE ON TABLE {DATABASE}.orders; DROP ON TABLE {DATABASE}.orders"),
        format!("REVOKE DELETE ON `{DATABASE}`.`orders` FROM `{USER}`@`%`;"),
    ] {
        assert!(text.contains(&part), "{part} is not in:\n{text}");
    }
    // An administrator has every privilege too many. That is reported once.
    server.script(DATABASE, &format!("GRANT PROCESS ON *.* TO {USER}@'%'"));
    let finding =
        one::<Few>(&server, USER, DATABASE, "superuser_account", "an administrator").await;
    assert!(finding.message().ends_with("has PROCESS ON *.*"), "{finding}");
    // Tables in `needs` without a database are in the locator's database. Without one the locator
    // is refused.
    let error = refused::<Few>(&variables(&server, USER, ""), SOON).await;
    assert_eq!(problems(&error), ["malformed_locator"], "{error}");
}

#[tokio::test]
async fn columns_are_compared_one_by_one() {
    let server = MariaDb::start();
    server.script(DATABASE, OBJECTS);
    let made = Columns::MANIFEST.grants().remove(0);
    assert_eq!(made.account(), "shop_orders");
    server.script(DATABASE, &made.to_string());
    server.script(
        DATABASE,
        &format!("ALTER USER shop_orders IDENTIFIED BY '{PASSWORD}' ACCOUNT UNLOCK"),
    );
    clean::<Columns>(&server, "shop_orders", DATABASE, "grants").await;
    server.script(DATABASE, "REVOKE UPDATE (Title) ON `Customers and \u{e4}` FROM shop_orders");
    let finding =
        one::<Columns>(&server, "shop_orders", DATABASE, "missing_privileges", "a column less")
            .await;
    let lacks = format!("lacks UPDATE (Title) ON TABLE {DATABASE}.`Customers and \u{e4}`");
    assert!(finding.message().ends_with(&lacks), "{finding}");
    // A privilege on the whole table includes the needed columns, and more. Revoking it revokes the
    // columns' privileges as well.
    server.script(DATABASE, "GRANT UPDATE ON `Customers and \u{e4}` TO shop_orders");
    let finding =
        one::<Columns>(&server, "shop_orders", DATABASE, "excess_privileges", "a table more").await;
    server.script(DATABASE, finding.help());
    clean::<Columns>(&server, "shop_orders", DATABASE, finding.help()).await;
}

/// Privileges that no grant shows, and that every account has.
#[tokio::test]
async fn the_privileges_of_a_row_without_a_user_count() {
    let server = MariaDb::start();
    server.script(DATABASE, OBJECTS);
    clean::<Few>(&server, USER, DATABASE, "nothing").await;
    let row = "INSERT INTO mysql.db (Host, Db, User, Select_priv) \
         VALUES ('%', '{}', '', 'Y'); FLUSH PRIVILEGES";
    for (pattern, rule, named) in [
        (
            "outs%",
            "excess_privileges",
            "privileges that are not told ON TABLE outside.*, as every account has",
        ),
        (
            "mysql",
            "superuser_account",
            "ON TABLE mysql.*, which reaches the schema `mysql`, as every account has",
        ),
    ] {
        server.script(DATABASE, &row.replace("{}", pattern));
        let finding = one::<Few>(&server, USER, DATABASE, rule, pattern).await;
        assert!(finding.message().ends_with(named), "{finding}");
        server.script(DATABASE, finding.help());
        clean::<Few>(&server, USER, DATABASE, finding.help()).await;
    }
}

/// `ALL PRIVILEGES` is split into its parts, and the needed ones stay.
#[tokio::test]
async fn all_privileges_are_compared_one_by_one() {
    let server = MariaDb::start();
    server.script(DATABASE, OBJECTS);
    server.script(DATABASE, &Database::MANIFEST.grants().remove(0).to_string());
    server.script(
        DATABASE,
        &format!("ALTER USER shop_orders IDENTIFIED BY '{PASSWORD}' ACCOUNT UNLOCK"),
    );
    clean::<Database>(&server, "shop_orders", DATABASE, "grants").await;
    server.script(DATABASE, &format!("GRANT ALL ON {DATABASE}.* TO shop_orders"));
    let finding =
        one::<Database>(&server, "shop_orders", DATABASE, "excess_privileges", "all").await;
    assert!(finding.message().contains(&format!("; DROP ON TABLE {DATABASE}.*; ")), "{finding}");
    assert!(!finding.message().contains("UPDATE"), "{finding}");
    server.script(DATABASE, finding.help());
    clean::<Database>(&server, "shop_orders", DATABASE, finding.help()).await;

    // The creator of a routine gets its privileges. If a database is needed as a whole, so are its
    // tables.
    server.script(
        DATABASE,
        "CREATE PROCEDURE ownthings() SELECT 1;
         GRANT EXECUTE, ALTER ROUTINE ON PROCEDURE ownthings TO shop_orders;
         GRANT UPDATE ON orders TO shop_orders",
    );
    clean::<Database>(&server, "shop_orders", DATABASE, "a routine of its own").await;
}
