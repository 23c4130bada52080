//! MariaDB: who the account is, and what it may do, held against what the field needs. A real server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::time::Duration;

use backing_services::{AttachError, BackingServices, Finding, MySql, Resource};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::mariadb::{DATABASE, MariaDb, Options, USER};
use backing_services_tests::pki::Authority;

/// Nothing here waits for a deadline.
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
needing!(Columns, "SELECT (id), UPDATE (id, Naam) ON `Klanten en \u{e4}`");
needing!(Database, "SELECT, UPDATE ON *; CREATE ROUTINE ON *");
needing!(
    Everything,
    "SELECT, INSERT ON orders;
    SELECT (id, \"Naam\"), UPDATE (Naam), DELETE ON `Klanten en \u{e4}`; SELECT ON `select`, overzicht;
    CREATE TEMPORARY TABLES, LOCK TABLES ON *;
    SELECT, INSERT, SHOW VIEW ON archief_2.*;
    EXECUTE ON FUNCTION `Af rekenen`; EXECUTE ON PROCEDURE archief_2.Sluit"
);

/// What there is in the database. The tables are the administrator's.
const OBJECTS: &str = "CREATE TABLE IF NOT EXISTS orders (id int PRIMARY KEY);
    CREATE TABLE `Klanten en \u{e4}` (id int, Naam text, geheim text); CREATE TABLE `select` (id int);
    CREATE VIEW overzicht AS SELECT 1 AS een;
    CREATE FUNCTION `Af rekenen`(bedrag int) RETURNS int RETURN bedrag;
    CREATE DATABASE archief_2; CREATE TABLE archief_2.oud (id int); CREATE PROCEDURE archief_2.sluit() SELECT 1;
    CREATE DATABASE archiefx2; CREATE TABLE archiefx2.oud (id int);
    CREATE DATABASE buiten; CREATE TABLE buiten.tafel (id int, naam text); CREATE PROCEDURE buiten.open() SELECT 1;";

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

fn variables(server: &MariaDb, account: &str, database: &str) -> Vec<(&'static str, String)> {
    vec![
        (
            "SHOP_ORDERS_URL",
            format!("mysql://{}@localhost:{}/{}", encoded(account), server.port, encoded(database)),
        ),
        ("SHOP_ORDERS_PASSWORD", PASSWORD.to_owned()),
        ("SHOP_ORDERS_CA", server.authority.pem()),
    ]
}

fn pairs<'a>(variables: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    variables.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Attaches in vain, with one finding of this rule.
async fn one<T: BackingServices>(
    server: &MariaDb,
    account: &str,
    database: &str,
    rule: &str,
    what: &str,
) -> Finding {
    let error: AttachError =
        refused::<T>(&pairs(&variables(server, account, database)), SOON).await;
    assert_eq!(problems(&error), [rule], "{what}: {error}");
    error.findings().find(|finding| finding.is_denied()).unwrap().clone()
}

async fn clean<T: BackingServices + Send + Sync>(
    server: &MariaDb,
    account: &str,
    database: &str,
    what: &str,
) {
    let services = match attach::<T>(&pairs(&variables(server, account, database))).await {
        Ok(services) => services,
        Err(error) => panic!("{what}: {error}"),
    };
    for resource in services.resources() {
        // MariaDB has nothing better that sqlx speaks.
        assert_eq!(rules(&resource.posture().findings), ["weak_authentication"], "{what}");
    }
    let _ = services.detach().await;
}

/// Each route by which an account is, or becomes, an administrator: what leads to it, what the report names, and whether what the report says mends it.
#[tokio::test]
async fn every_route_to_an_administrator_is_refused_and_named() {
    let server = MariaDb::start();
    server.script(DATABASE, OBJECTS);
    server.script(
        DATABASE,
        &format!(
            "CREATE USER los@'%' IDENTIFIED BY '{PASSWORD}'; GRANT SELECT ON orders TO los@'%'; CREATE USER ander@'%';
             CREATE ROLE groep; CREATE ROLE `Boven groep`; GRANT groep TO `Boven groep`;"
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
        route(&format!("GRANT {power} ON *.* TO los@'%'"), &format!("has {power} ON *.*"));
    }
    route(
        "GRANT SELECT ON buiten.* TO los@'%' WITH GRANT OPTION",
        "GRANT OPTION ON TABLE buiten.*",
    );
    route(
        "GRANT SELECT ON buiten.tafel TO los@'%' WITH GRANT OPTION",
        "GRANT OPTION ON TABLE buiten.tafel",
    );
    for schema in ["mysql", "sys", "performance_schema"] {
        route(
            &format!("GRANT SELECT ON {schema}.* TO los@'%'"),
            &format!("which reaches the schema `{schema}`"),
        );
    }
    route(
        "GRANT UPDATE ON mysql.global_priv TO los@'%'",
        "UPDATE ON TABLE mysql.global_priv, which reaches the schema `mysql`",
    );
    route(
        "GRANT SELECT ON `%`.* TO los@'%'",
        "SELECT ON TABLE `%`.*, whose name is a pattern, which reaches the schema `mysql`",
    );
    route("GRANT SELECT ON `my_q%`.* TO los@'%'", "which reaches the schema `mysql`");
    // By way of a role that has to be taken on, of one that is taken on at once, and of one that is further away.
    route(
        "GRANT FILE ON *.* TO groep; GRANT groep TO los@'%'",
        "FILE ON *.*, by way of the role `groep`",
    );
    route(
        "GRANT `Boven groep` TO los@'%'; SET DEFAULT ROLE `Boven groep` FOR los@'%'",
        "FILE ON *.*, by way of the role `groep`",
    );
    route(
        "SET DEFAULT ROLE NONE FOR los@'%'; GRANT `Boven groep` TO los@'%'",
        "FILE ON *.*, by way of the role `groep`",
    );
    route(
        "GRANT groep TO los@'%', PUBLIC",
        "FILE ON *.*, as everybody has, by way of the role `groep`",
    );
    route(
        "REVOKE FILE ON *.* FROM groep; GRANT groep TO los@'%' WITH ADMIN OPTION",
        "ADMIN OPTION of the role `groep`",
    );
    route("GRANT PROCESS ON *.* TO PUBLIC", "PROCESS ON *.*, as everybody has");
    // Who is not a proxy can neither make one nor end it.
    let proxy = "INSERT INTO mysql.proxies_priv (Host, User, Proxied_host, Proxied_user) VALUES ('%', 'los', '%', 'ander'); FLUSH PRIVILEGES";
    routes.push((proxy.to_owned(), "PROXY ON `ander`@`%`".to_owned(), false));
    routes.push((
        "DELETE FROM mysql.proxies_priv; FLUSH PRIVILEGES; GRANT ALL PRIVILEGES ON *.* TO los@'%'"
            .to_owned(),
        "ALL PRIVILEGES ON *.*".to_owned(),
        false,
    ));

    clean::<Shop>(&server, "los", DATABASE, "nothing").await;
    for (statement, named, is_mended) in &routes {
        server.script(DATABASE, statement);
        let finding = one::<Shop>(&server, "los", DATABASE, "superuser_account", statement).await;
        assert!(finding.message().contains(named.as_str()), "{statement}: {finding}");
        if *is_mended {
            server.script(DATABASE, finding.remedy());
            clean::<Shop>(&server, "los", DATABASE, &format!("{statement}: {}", finding.remedy()))
                .await;
        }
    }
}

/// The statements of `grants()`, run as they are; every thing that is needed, done; one more privilege, and one less.
async fn round_trip(account: &str, database: &str, named: bool) {
    let server = MariaDb::start();
    server.script(DATABASE, &format!("CREATE DATABASE {}", quoted(database)));
    server.script(database, OBJECTS);
    let grants = Everything::MANIFEST.grants().remove(0).for_account(account).unwrap();
    let grants = if named { grants.in_database(database).unwrap() } else { grants };
    let text = grants.statements().unwrap();
    assert!(!text.contains(PASSWORD), "{text}");
    server.script(database, &text);

    let error = refused::<Everything>(&pairs(&variables(&server, account, database)), SOON).await;
    assert_eq!(problems(&error), ["not_admitted"], "without a password, nobody logs in");
    let user = format!("{}@`%`", quoted(account));
    server
        .script(database, &format!("ALTER USER {user} IDENTIFIED BY '{PASSWORD}' ACCOUNT UNLOCK"));
    clean::<Everything>(&server, account, database, &text).await;

    let shop: Everything = attach(&pairs(&variables(&server, account, database))).await.unwrap();
    let pool = shop.orders.client();
    for statement in [
        "INSERT INTO orders VALUES (1)",
        "SELECT * FROM orders",
        "SELECT id, Naam FROM `Klanten en \u{e4}`",
        "UPDATE `Klanten en \u{e4}` SET Naam = 'x'",
        "DELETE FROM `Klanten en \u{e4}`",
        "SELECT * FROM `select`, overzicht",
        "CREATE TEMPORARY TABLE even (id int)",
        "LOCK TABLES orders READ; UNLOCK TABLES",
        "INSERT INTO archief_2.oud VALUES (1)",
        "SELECT * FROM archief_2.oud",
        "SELECT `Af rekenen`(1)",
        "CALL archief_2.sluit()",
    ] {
        let done = sqlx::raw_sql(statement).execute(&*pool).await;
        assert!(done.is_ok(), "{statement}: {done:?}");
    }
    for statement in [
        "UPDATE orders SET id = 2",
        "SELECT geheim FROM `Klanten en \u{e4}`",
        "SELECT * FROM archiefx2.oud",
        "SELECT * FROM buiten.tafel",
        "CREATE TABLE t (id int)",
    ] {
        assert!(sqlx::raw_sql(statement).execute(&*pool).await.is_err(), "{statement}");
    }
    drop(pool);
    let posture = shop.orders.posture();
    for privilege in [
        format!("SELECT ON TABLE {}.orders", shown(database)),
        format!("UPDATE (Naam) ON TABLE {}.`Klanten en \u{e4}`", shown(database)),
        format!("LOCK TABLES ON TABLE {}.*", shown(database)),
        "INSERT ON TABLE archief_2.*".to_owned(),
        "EXECUTE ON PROCEDURE archief_2.sluit".to_owned(),
    ] {
        assert!(posture.privileges.contains(&privilege), "{privilege}: {:?}", posture.privileges);
    }
    let _ = shop.detach().await;

    let fill = |text: &str| text.replace("{user}", &user).replace("{db}", &shown(database));
    for (statement, named) in [
        ("GRANT UPDATE ON orders TO {user}", "UPDATE ON TABLE {db}.orders"),
        ("GRANT SELECT ON `Klanten en \u{e4}` TO {user}", "SELECT ON TABLE {db}.`Klanten en \u{e4}`"),
        ("GRANT UPDATE (geheim) ON `Klanten en \u{e4}` TO {user}", "UPDATE (geheim) ON TABLE {db}.`Klanten en \u{e4}`"),
        ("GRANT EXECUTE ON PROCEDURE buiten.open TO {user}", "EXECUTE ON PROCEDURE buiten.open"),
        ("GRANT ALTER ROUTINE ON FUNCTION `Af rekenen` TO {user}", "ALTER ROUTINE ON FUNCTION {db}.`af rekenen`"),
        ("GRANT ALL ON buiten.* TO {user}", "ALL PRIVILEGES ON TABLE buiten.*"),
        ("GRANT ALL ON buiten.tafel TO {user}", "ALL PRIVILEGES ON TABLE buiten.tafel"),
        ("GRANT DELETE ON archief_2.oud TO {user}", "DELETE ON TABLE archief_2.oud"),
        ("GRANT SELECT ON buiten.* TO PUBLIC", "SELECT ON TABLE buiten.*, as everybody has"),
        ("GRANT TRIGGER ON `archief\\_2`.* TO {user}", "TRIGGER ON TABLE archief_2.*"),
        // What many write, and `_` stands for any character.
        ("GRANT SELECT ON archief_2.* TO {user}", "SELECT ON TABLE `archief_2`.*, whose name is a pattern"),
        (
            "REVOKE SELECT ON `archief\\_2`.* FROM {user}; GRANT SELECT ON archief_2.* TO {user}",
            "SELECT ON TABLE `archief_2`.*, whose name is a pattern",
        ),
        (
            "CREATE ROLE `Lezers!`; GRANT DELETE ON orders TO `Lezers!`; GRANT `Lezers!` TO {user}",
            "DELETE ON TABLE {db}.orders, by way of the role `Lezers!`",
        ),
        // What it needs, it needs after that too.
        (
            "GRANT SELECT ON orders TO `Lezers!`; REVOKE SELECT ON orders FROM {user}; GRANT `Lezers!` TO {user};
             SET DEFAULT ROLE `Lezers!` FOR {user}",
            "DELETE ON TABLE {db}.orders, by way of the role `Lezers!`",
        ),
    ] {
        let (statement, named) = (fill(statement), fill(named));
        server.script(database, &statement);
        let finding = one::<Everything>(&server, account, database, "excess_privileges", &statement).await;
        assert!(finding.message().contains(&named), "{statement}: {finding}");
        assert!(!finding.message().contains(';'), "one privilege, and one is named: {finding}");
        server.script(database, finding.remedy());
        clean::<Everything>(&server, account, database, &format!("{statement}: {}", finding.remedy())).await;
    }

    for (statement, named) in [
        ("REVOKE INSERT ON orders FROM {user}", "INSERT ON TABLE {db}.orders"),
        ("REVOKE UPDATE (Naam) ON `Klanten en \u{e4}` FROM {user}", "UPDATE (Naam) ON TABLE {db}.`Klanten en \u{e4}`"),
        ("REVOKE SHOW VIEW ON `archief\\_2`.* FROM {user}", "SHOW VIEW ON TABLE archief_2.*"),
        ("REVOKE EXECUTE ON FUNCTION `Af rekenen` FROM {user}", "EXECUTE ON FUNCTION {db}.`Af rekenen`"),
        ("REVOKE EXECUTE ON PROCEDURE archief_2.sluit FROM {user}", "EXECUTE ON PROCEDURE archief_2.Sluit"),
        // Who has it only after `SET ROLE` cannot do it as it is.
        (
            "REVOKE SELECT ON orders FROM {user}; SET DEFAULT ROLE NONE FOR {user}; CREATE ROLE nacht;
             GRANT SELECT ON orders TO nacht; GRANT nacht TO {user}",
            "SELECT ON TABLE {db}.orders",
        ),
    ] {
        let (statement, named) = (fill(statement), fill(named));
        server.script(database, &statement);
        let finding = one::<Everything>(&server, account, database, "missing_privileges", &statement).await;
        assert!(finding.message().ends_with(&format!("lacks {named}")), "{statement}: {finding}");
        server.script(database, finding.remedy());
        clean::<Everything>(&server, account, database, &format!("{statement}: {}", finding.remedy())).await;
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
async fn what_is_granted_is_what_is_needed() {
    round_trip("win`kel '\\ er\" --$$", "Winkel_ `gegevens`% \\'\"", false).await;
}

#[tokio::test]
async fn what_is_granted_is_what_is_needed_in_a_named_database() {
    round_trip("select", "ORDER_", true).await;
}

/// Other quotation marks in what the server says, no backslashes in what it is told, and names without a case.
#[tokio::test]
async fn what_is_granted_is_what_is_needed_in_every_mode() {
    for mode in ["--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "--lower-case-table-names=1"] {
        let authority = Authority::new("the tests' authority");
        let mut options = Options::tls(authority.server());
        options.arguments = vec![mode.to_owned()];
        let server = MariaDb::with(authority, &options);
        let (account, database) = ("win\"k`el\\'", "Winkel_\\\"gegevens");
        server.script(DATABASE, &format!("CREATE DATABASE {}", quoted(database)));
        server.script(database, OBJECTS);
        let grants = Everything::MANIFEST.grants().remove(0).for_account(account).unwrap();
        server.script(database, &grants.to_string());
        let user = format!("{}@`%`", quoted(account));
        server.script(
            database,
            &format!("ALTER USER {user} IDENTIFIED BY '{PASSWORD}' ACCOUNT UNLOCK"),
        );
        clean::<Everything>(&server, account, database, mode).await;
        for statement in [
            "GRANT UPDATE (geheim) ON `Klanten en \u{e4}` TO {user}",
            "GRANT SELECT ON ARCHIEF_2.* TO {user}",
        ] {
            server.script(database, &statement.replace("{user}", &user));
            let finding =
                one::<Everything>(&server, account, database, "excess_privileges", statement).await;
            assert!(!finding.message().contains(';'), "one privilege, and one is named: {finding}");
            server.script(database, finding.remedy());
            clean::<Everything>(&server, account, database, finding.remedy()).await;
        }
    }
}

#[tokio::test]
async fn without_needs_the_posture_tells_and_nothing_is_compared() {
    let server = MariaDb::start();
    server.script(DATABASE, &format!("CREATE DATABASE eigen; GRANT ALL ON eigen.* TO {USER}@'%'"));
    let shop: Shop = attach(&pairs(&variables(&server, USER, DATABASE))).await.unwrap();
    let posture = shop.orders.posture();
    assert_eq!(rules(&posture.findings), ["weak_authentication"]);
    assert_eq!(
        posture.privileges,
        [
            "ALL PRIVILEGES ON TABLE eigen.*".to_owned(),
            format!("INSERT ON TABLE {DATABASE}.orders"),
            format!("SELECT ON TABLE {DATABASE}.orders")
        ]
    );
    let _ = shop.detach().await;
}

#[tokio::test]
async fn too_little_and_too_much_are_two_findings_and_everything_that_lacks_is_named() {
    let server = MariaDb::start();
    server.script(DATABASE, OBJECTS);
    server.script(
        DATABASE,
        &format!(
            "REVOKE ALL ON orders FROM {USER}@'%'; GRANT DELETE, DROP ON orders TO {USER}@'%'"
        ),
    );
    let error = refused::<Few>(&pairs(&variables(&server, USER, DATABASE)), SOON).await;
    assert_eq!(problems(&error), ["missing_privileges", "excess_privileges"], "{error}");
    let text = error.to_string();
    for part in [
        format!(
            "the account lacks SELECT ON TABLE {DATABASE}.orders; INSERT ON TABLE {DATABASE}.orders"
        ),
        format!(
            "GRANT SELECT ON `{DATABASE}`.`orders` TO `{USER}`@`%`; GRANT INSERT ON `{DATABASE}`.`orders` TO `{USER}`@`%`;"
        ),
        format!("DELETE ON TABLE {DATABASE}.orders; DROP ON TABLE {DATABASE}.orders"),
        format!("REVOKE DELETE ON `{DATABASE}`.`orders` FROM `{USER}`@`%`;"),
    ] {
        assert!(text.contains(&part), "{part} is not in:\n{text}");
    }
    // An administrator has everything too many: that is said once.
    server.script(DATABASE, &format!("GRANT PROCESS ON *.* TO {USER}@'%'"));
    let finding =
        one::<Few>(&server, USER, DATABASE, "superuser_account", "an administrator").await;
    assert!(finding.message().ends_with("has PROCESS ON *.*"), "{finding}");
    // What is needed without a database is in the locator's, or nowhere.
    let error = refused::<Few>(&pairs(&variables(&server, USER, "")), SOON).await;
    assert_eq!(problems(&error), ["malformed_locator"], "{error}");
}

#[tokio::test]
async fn columns_are_told_apart() {
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
    server.script(DATABASE, "REVOKE UPDATE (Naam) ON `Klanten en \u{e4}` FROM shop_orders");
    let finding =
        one::<Columns>(&server, "shop_orders", DATABASE, "missing_privileges", "a column less")
            .await;
    let lacks = format!("lacks UPDATE (Naam) ON TABLE {DATABASE}.`Klanten en \u{e4}`");
    assert!(finding.message().ends_with(&lacks), "{finding}");
    // On the whole table it can do what it needs, and more; whoever takes that away takes the columns' along.
    server.script(DATABASE, "GRANT UPDATE ON `Klanten en \u{e4}` TO shop_orders");
    let finding =
        one::<Columns>(&server, "shop_orders", DATABASE, "excess_privileges", "a table more").await;
    server.script(DATABASE, finding.remedy());
    clean::<Columns>(&server, "shop_orders", DATABASE, finding.remedy()).await;
}

/// What no grant tells of, and everybody may do all the same.
#[tokio::test]
async fn what_a_row_without_a_user_gives_to_everybody_counts() {
    let server = MariaDb::start();
    server.script(DATABASE, OBJECTS);
    clean::<Few>(&server, USER, DATABASE, "nothing").await;
    let row = "INSERT INTO mysql.db (Host, Db, User, Select_priv) VALUES ('%', '{}', '', 'Y'); FLUSH PRIVILEGES";
    for (pattern, rule, named) in [
        (
            "bui%",
            "excess_privileges",
            "privileges that are not told ON TABLE buiten.*, as everybody has",
        ),
        (
            "mysql",
            "superuser_account",
            "ON TABLE mysql.*, which reaches the schema `mysql`, as everybody has",
        ),
    ] {
        server.script(DATABASE, &row.replace("{}", pattern));
        let finding = one::<Few>(&server, USER, DATABASE, rule, pattern).await;
        assert!(finding.message().ends_with(named), "{finding}");
        server.script(DATABASE, finding.remedy());
        clean::<Few>(&server, USER, DATABASE, finding.remedy()).await;
    }
}

/// All privileges are as many as they stand for, and what is needed of them stays.
#[tokio::test]
async fn all_privileges_are_told_apart() {
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
    server.script(DATABASE, finding.remedy());
    clean::<Database>(&server, "shop_orders", DATABASE, finding.remedy()).await;

    // Whoever makes a routine is given it; and a table of a database that is needed as a whole is needed.
    server.script(
        DATABASE,
        "CREATE PROCEDURE eigen() SELECT 1; GRANT EXECUTE, ALTER ROUTINE ON PROCEDURE eigen TO shop_orders;
         GRANT UPDATE ON orders TO shop_orders",
    );
    clean::<Database>(&server, "shop_orders", DATABASE, "a routine of its own").await;
}
