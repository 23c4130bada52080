//! PostgreSQL: who the account is, and what it may do, held against what the field needs. A real server, for both services.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::time::Duration;

use backing_services::{AttachError, BackingServices, Finding, Postgres, Resource, TokioPostgres};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::postgres::{self as server, ADMIN, DATABASE, USER};

/// Nothing here waits for a deadline.
const SOON: Duration = Duration::from_secs(10);

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    orders: Resource<TokioPostgres>,
}

macro_rules! needing {
    ($name:ident, $service:ty, $needs:literal) => {
        #[derive(BackingServices)]
        #[services(prefix = "SHOP", deadline = 20)]
        struct $name {
            #[service(needs = $needs)]
            orders: Resource<$service>,
        }
    };
}

needing!(Few, TokioPostgres, "SELECT, INSERT ON orders");
needing!(Columns, TokioPostgres, "SELECT (id), UPDATE (id, \"Naam\") ON winkel.\"Klanten en \u{e4}\"");
needing!(
    Everything,
    TokioPostgres,
    "SELECT, INSERT ON orders;
    SELECT (id, \"Naam\"), UPDATE (\"Naam\"), DELETE ON Winkel.\"Klanten en \u{e4}\", \"Mijn Winkel\".\"select\";
    USAGE ON SEQUENCE winkel.volgnummer; SELECT ON winkel.overzicht;
    EXECUTE ON FUNCTION winkel.\"Af(rekenen\"(int, text[]), winkel.leeg();
    EXECUTE ON PROCEDURE winkel.sluit(character varying);
    SELECT ON ALL TABLES IN SCHEMA archief; USAGE ON ALL SEQUENCES IN SCHEMA archief"
);
needing!(
    EverythingBySqlx,
    Postgres,
    "SELECT, INSERT ON orders;
    SELECT (id, \"Naam\"), UPDATE (\"Naam\"), DELETE ON Winkel.\"Klanten en \u{e4}\", \"Mijn Winkel\".\"select\";
    USAGE ON SEQUENCE winkel.volgnummer; SELECT ON winkel.overzicht;
    EXECUTE ON FUNCTION winkel.\"Af(rekenen\"(int, text[]), winkel.leeg();
    EXECUTE ON PROCEDURE winkel.sluit(character varying);
    SELECT ON ALL TABLES IN SCHEMA archief; USAGE ON ALL SEQUENCES IN SCHEMA archief"
);

/// What there is in the database. The tables are the administrator's.
const OBJECTS: &str = "CREATE TABLE IF NOT EXISTS orders (id int PRIMARY KEY);
    CREATE SCHEMA winkel;
    CREATE TABLE winkel.\"Klanten en \u{e4}\" (id serial, \"Naam\" text, geheim text);
    CREATE SCHEMA \"Mijn Winkel\"; CREATE TABLE \"Mijn Winkel\".\"select\" (id int, \"Naam\" text);
    CREATE SEQUENCE winkel.volgnummer; CREATE VIEW winkel.overzicht AS SELECT 1 AS een;
    CREATE FUNCTION winkel.\"Af(rekenen\"(bedrag int, wat text[]) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT bedrag';
    CREATE FUNCTION winkel.leeg() RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE PROCEDURE winkel.sluit(waarom varchar) LANGUAGE sql AS 'SELECT 1';
    REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA winkel FROM PUBLIC;
    CREATE SCHEMA archief; CREATE TABLE archief.oud (id serial); CREATE TABLE archief.ouder (id int);
    CREATE SCHEMA buiten; CREATE TABLE buiten.tafel (id int, naam text); CREATE SEQUENCE buiten.nummers;
    CREATE FUNCTION buiten.open() RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION buiten.machtig(int, \"char\") RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
    REVOKE EXECUTE ON FUNCTION buiten.machtig FROM PUBLIC;
    CREATE TABLE buiten.veilig (id int); ALTER TABLE buiten.veilig ENABLE ROW LEVEL SECURITY;
    CREATE TABLE buiten.veiliger (id int); ALTER TABLE buiten.veiliger ENABLE ROW LEVEL SECURITY;
    ALTER TABLE buiten.veiliger FORCE ROW LEVEL SECURITY;";

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn variables(server: &server::Postgres, role: &str, database: &str) -> Vec<(&'static str, String)> {
    vec![
        ("SHOP_ORDERS_URL", format!("postgres://{}@localhost:{}/{}", encoded(role), server.port, encoded(database))),
        ("SHOP_ORDERS_PASSWORD", PASSWORD.to_owned()),
        ("SHOP_ORDERS_CA", server.authority.pem()),
    ]
}

fn pairs<'a>(variables: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    variables.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Attaches in vain, with one finding of this rule.
async fn one<T: BackingServices>(server: &server::Postgres, role: &str, database: &str, rule: &str, what: &str) -> Finding {
    let error: AttachError = refused::<T>(&pairs(&variables(server, role, database)), SOON).await;
    assert_eq!(problems(&error), [rule], "{what}: {error}");
    error.findings().next().unwrap().clone()
}

async fn clean<T: BackingServices + Send + Sync>(server: &server::Postgres, role: &str, database: &str, what: &str) {
    let services = match attach::<T>(&pairs(&variables(server, role, database))).await {
        Ok(services) => services,
        Err(error) => panic!("{what}: {error}"),
    };
    for resource in services.resources() {
        assert_eq!(rules(&resource.posture().findings), [""; 0], "{what}");
    }
    let _ = services.detach().await;
}

/// Each route by which a role is, or becomes, an administrator: what leads to it, what the report names, and whether what the report says mends it.
#[tokio::test]
async fn every_route_to_an_administrator_is_refused_and_named() {
    let server = server::Postgres::start();
    server.script(DATABASE, OBJECTS);
    server.script(
        DATABASE,
        &format!(
            "CREATE DATABASE elders; CREATE ROLE groep; CREATE ROLE \"Boven groep\"; GRANT groep TO \"Boven groep\";
             CREATE ROLE los LOGIN NOINHERIT PASSWORD '{PASSWORD}';"
        ),
    );
    let mut routes: Vec<(String, String, bool)> = Vec::new();
    let mut route = |statement: &str, named: &str| routes.push((statement.to_owned(), named.to_owned(), true));
    for attribute in ["CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS"] {
        route(&format!("ALTER ROLE los {attribute}"), attribute);
    }
    // By way of a role whose rights it does not inherit, and of one that is further away.
    route("ALTER ROLE groep CREATEDB; GRANT groep TO los", "CREATEDB, by way of the role \"groep\"");
    route("GRANT \"Boven groep\" TO los", "CREATEDB, by way of the role \"groep\"");
    route(
        "ALTER ROLE groep NOCREATEDB; GRANT pg_monitor TO groep; GRANT \"Boven groep\" TO los",
        "pg_monitor, by way of the role",
    );
    route("REVOKE pg_monitor FROM groep; ALTER DATABASE elders OWNER TO los", "OWNERSHIP ON DATABASE elders");
    route(&format!("ALTER DATABASE {DATABASE} OWNER TO los"), &format!("OWNERSHIP ON DATABASE {DATABASE}"));
    route("ALTER TABLE buiten.veilig OWNER TO los", "buiten.veilig, whose row-level security does not hold for its owner");
    route("ALTER TABLE buiten.veiliger OWNER TO los", "buiten.veiliger, whose row-level security its owner can switch off");
    route("ALTER TABLE buiten.veilig OWNER TO groep; GRANT groep TO los", "OWNERSHIP ON TABLE buiten.veilig");
    route("GRANT CREATE ON SCHEMA public TO los", "CREATE ON SCHEMA public");
    // What every PostgreSQL before 15 ships with.
    route("GRANT CREATE ON SCHEMA public TO PUBLIC", "CREATE ON SCHEMA public, as everybody has");
    route("ALTER SCHEMA public OWNER TO los", "OWNERSHIP ON SCHEMA public");
    route("GRANT EXECUTE ON FUNCTION pg_read_file(text) TO los", "EXECUTE ON FUNCTION pg_catalog.pg_read_file(text)");
    route("GRANT EXECUTE ON FUNCTION pg_ls_dir(text) TO PUBLIC", "EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text)");
    route("GRANT SELECT ON pg_authid TO groep; GRANT groep TO los", "SELECT ON TABLE pg_catalog.pg_authid");
    route("GRANT SELECT (rolpassword) ON pg_authid TO los", "SELECT (rolpassword) ON TABLE pg_catalog.pg_authid");
    route("GRANT SET ON PARAMETER log_statement TO los", "ALL ON PARAMETER log_statement");
    route("GRANT ALTER SYSTEM ON PARAMETER archive_command TO los", "ALL ON PARAMETER archive_command");
    let own = server.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'pg\\_%' AND rolname <> 'pg_database_owner'");
    assert!(own.lines().count() > 8, "{own}");
    for role in own.lines() {
        route(&format!("GRANT {role} TO los"), role);
    }
    for role in ["rds_superuser", "cloudsqlsuperuser", "azure_pg_admin", "neon_superuser", "alloydbsuperuser"] {
        route(&format!("CREATE ROLE {role}; GRANT {role} TO los"), role);
    }
    // Who one is at once is not who logs in.
    route("ALTER ROLE groep CREATEDB; GRANT groep TO los; ALTER ROLE los SET role = 'groep'", "CREATEDB");
    routes.push((format!("ALTER ROLE los RESET role; GRANT {ADMIN} TO los"), "SUPERUSER, by way of the role".to_owned(), true));
    routes.push(("ALTER ROLE los SUPERUSER".to_owned(), "SUPERUSER".to_owned(), false));

    clean::<Shop>(&server, "los", DATABASE, "nothing").await;
    for (statement, named, is_mended) in &routes {
        // The role that the remedy may leave it out of is the same for the next route.
        server.sql(statement);
        let finding = one::<Shop>(&server, "los", DATABASE, "superuser_account", statement).await;
        assert!(finding.message().contains(named.as_str()), "{statement}: {finding}");
        if *is_mended {
            server.script(DATABASE, finding.remedy());
            if statement.contains("SET role") {
                server.sql("ALTER ROLE los RESET role");
            }
            clean::<Shop>(&server, "los", DATABASE, &format!("{statement}: {}", finding.remedy())).await;
        }
    }
}

/// The statements of `grants()`, run as they are; every thing that is needed, done; one more privilege, and one less.
async fn round_trip<T: BackingServices + Send + Sync>(account: &str, database: &str, named: bool) {
    let server = server::Postgres::start();
    server.sql(&format!("CREATE DATABASE \"{}\"", database.replace('"', "\"\"")));
    server.script(database, OBJECTS);
    let grants = T::MANIFEST.grants().remove(0).for_account(account).unwrap();
    let grants = if named { grants.in_database(database).unwrap() } else { grants };
    let text = grants.statements().unwrap();
    assert!(!text.contains("PASSWORD"), "{text}");
    // Nobody has to be able to connect because everybody is.
    server.sql(&format!("REVOKE ALL ON DATABASE \"{}\" FROM PUBLIC", database.replace('"', "\"\"")));
    server.script(database, &text);

    let role = format!("\"{}\"", account.replace('"', "\"\""));
    let error = refused::<T>(&pairs(&variables(&server, account, database)), SOON).await;
    assert_eq!(problems(&error), ["not_admitted"], "without a password, nobody logs in");
    server.sql(&format!("ALTER ROLE {role} PASSWORD '{PASSWORD}'"));
    clean::<T>(&server, account, database, &text).await;

    for (statement, named) in [
        ("GRANT UPDATE ON orders TO {role}", "UPDATE ON TABLE public.orders"),
        ("GRANT SELECT ON orders TO {role} WITH GRANT OPTION", "the grant option of SELECT ON TABLE public.orders"),
        ("GRANT SELECT ON winkel.\"Klanten en \u{e4}\" TO {role}", "SELECT ON TABLE winkel.\"Klanten en \u{e4}\""),
        (
            "GRANT UPDATE (geheim) ON winkel.\"Klanten en \u{e4}\" TO {role}",
            "UPDATE (geheim) ON TABLE winkel.\"Klanten en \u{e4}\"",
        ),
        ("ALTER TABLE orders OWNER TO {role}", "OWNERSHIP ON TABLE public.orders"),
        ("ALTER FUNCTION winkel.leeg OWNER TO {role}", "OWNERSHIP ON FUNCTION winkel.leeg()"),
        ("GRANT CREATE ON SCHEMA winkel TO {role}", "CREATE ON SCHEMA winkel"),
        ("GRANT USAGE ON SCHEMA buiten TO {role}", "USAGE ON SCHEMA buiten"),
        ("GRANT USAGE ON SCHEMA buiten TO PUBLIC", "USAGE ON SCHEMA buiten, as everybody has"),
        ("GRANT SELECT ON buiten.tafel TO {role}", "SELECT ON TABLE buiten.tafel"),
        ("GRANT SELECT ON buiten.tafel TO PUBLIC", "SELECT ON TABLE buiten.tafel, as everybody has"),
        ("GRANT SELECT ON SEQUENCE buiten.nummers TO {role}", "SELECT ON SEQUENCE buiten.nummers"),
        ("GRANT EXECUTE ON FUNCTION buiten.open TO {role}", "EXECUTE ON FUNCTION buiten.open()"),
        ("GRANT EXECUTE ON FUNCTION buiten.machtig TO PUBLIC", "EXECUTE ON FUNCTION buiten.machtig(integer, \"char\")"),
        ("GRANT CONNECT ON DATABASE postgres TO {role}", "CONNECT ON DATABASE postgres"),
        ("GRANT CREATE ON TABLESPACE pg_default TO {role}", "CREATE ON TABLESPACE pg_default"),
        ("GRANT USAGE ON LANGUAGE plpgsql TO {role}", "USAGE ON LANGUAGE plpgsql"),
        ("CREATE FOREIGN DATA WRAPPER w; GRANT USAGE ON FOREIGN DATA WRAPPER w TO {role}", "USAGE ON FOREIGN DATA WRAPPER w"),
        ("CREATE SERVER s FOREIGN DATA WRAPPER w; GRANT USAGE ON FOREIGN SERVER s TO {role}", "USAGE ON FOREIGN SERVER s"),
        (
            "CREATE ROLE \"Lezers!\"; GRANT DELETE ON orders TO \"Lezers!\"; GRANT \"Lezers!\" TO {role}",
            "DELETE ON TABLE public.orders, by way of the role \"Lezers!\"",
        ),
        // What it needs, it needs after that too.
        (
            "GRANT SELECT ON orders TO \"Lezers!\"; REVOKE SELECT ON orders FROM {role}; GRANT \"Lezers!\" TO {role}",
            "DELETE ON TABLE public.orders, by way of the role \"Lezers!\"",
        ),
    ] {
        server.script(database, &statement.replace("{role}", &role));
        let finding = one::<T>(&server, account, database, "excess_privileges", statement).await;
        assert!(finding.message().contains(named), "{statement}: {finding}");
        assert!(!finding.message().contains(';'), "one privilege, and one is named: {finding}");
        server.script(database, finding.remedy());
        clean::<T>(&server, account, database, &format!("{statement}: {}", finding.remedy())).await;
    }

    for (statement, named) in [
        ("REVOKE INSERT ON orders FROM {role}", "INSERT ON TABLE public.orders"),
        (
            "REVOKE UPDATE (\"Naam\") ON winkel.\"Klanten en \u{e4}\" FROM {role}",
            "UPDATE (\"Naam\") ON TABLE winkel.\"Klanten en \u{e4}\"",
        ),
        ("REVOKE USAGE ON SEQUENCE winkel.volgnummer FROM {role}", "USAGE ON SEQUENCE winkel.volgnummer"),
        ("REVOKE USAGE ON SCHEMA \"Mijn Winkel\" FROM {role}", "USAGE ON SCHEMA \"Mijn Winkel\""),
        (
            "REVOKE EXECUTE ON FUNCTION winkel.\"Af(rekenen\"(int, text[]) FROM {role}",
            "EXECUTE ON FUNCTION winkel.\"Af(rekenen\"(integer, text[])",
        ),
        ("REVOKE EXECUTE ON FUNCTION winkel.leeg() FROM {role}", "EXECUTE ON FUNCTION winkel.leeg()"),
        ("REVOKE EXECUTE ON PROCEDURE winkel.sluit FROM {role}", "EXECUTE ON PROCEDURE winkel.sluit(character varying)"),
        ("REVOKE SELECT ON archief.ouder FROM {role}", "SELECT ON TABLE archief.ouder"),
        ("CREATE TABLE archief.oudst (id int)", "SELECT ON TABLE archief.oudst"),
        ("REVOKE USAGE ON SEQUENCE archief.oud_id_seq FROM {role}", "USAGE ON SEQUENCE archief.oud_id_seq"),
        // Who has it only after `SET ROLE` cannot do it as it is.
        (
            "REVOKE SELECT ON orders FROM {role}; CREATE ROLE nacht; GRANT SELECT ON orders TO nacht;
             ALTER ROLE {role} NOINHERIT; GRANT nacht TO {role}",
            "SELECT ON TABLE public.orders",
        ),
    ] {
        server.script(database, &statement.replace("{role}", &role));
        let finding = one::<T>(&server, account, database, "missing_privileges", statement).await;
        assert!(finding.message().ends_with(&format!("lacks {named}")), "{statement}: {finding}");
        server.script(database, finding.remedy());
        clean::<T>(&server, account, database, &format!("{statement}: {}", finding.remedy())).await;
    }
}

#[tokio::test]
async fn what_is_granted_is_what_is_needed() {
    round_trip::<Everything>("win\"kel '\\ er; --$$", "Winkel \"gegevens\"", false).await;
}

#[tokio::test]
async fn what_is_granted_is_what_is_needed_through_sqlx() {
    round_trip::<EverythingBySqlx>("select", "ORDER", true).await;
}

#[tokio::test]
async fn what_is_needed_can_be_done() {
    let server = server::Postgres::start();
    server.script(DATABASE, OBJECTS);
    let grants = Everything::MANIFEST.grants().remove(0);
    assert_eq!(grants.account(), "shop_orders");
    server.script(DATABASE, &grants.to_string());
    server.sql(&format!("ALTER ROLE shop_orders PASSWORD '{PASSWORD}'"));
    let shop: Everything = attach(&pairs(&variables(&server, "shop_orders", DATABASE))).await.unwrap();
    let pool = shop.orders.client();
    let client = pool.get().await.unwrap();
    for statement in [
        "INSERT INTO orders VALUES (1)",
        "SELECT * FROM orders",
        "SELECT id, \"Naam\" FROM winkel.\"Klanten en \u{e4}\"",
        "UPDATE winkel.\"Klanten en \u{e4}\" SET \"Naam\" = 'x'",
        "DELETE FROM \"Mijn Winkel\".\"select\"",
        "SELECT nextval('winkel.volgnummer')",
        "SELECT * FROM winkel.overzicht",
        "SELECT winkel.\"Af(rekenen\"(1, '{}')",
        "SELECT winkel.leeg()",
        "CALL winkel.sluit('laat')",
        "SELECT * FROM archief.oud, archief.ouder",
        "SELECT nextval('archief.oud_id_seq')",
    ] {
        client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    for statement in [
        "UPDATE orders SET id = 2",
        "SELECT * FROM buiten.tafel",
        "SELECT geheim FROM winkel.\"Klanten en \u{e4}\"",
        "CREATE TABLE t ()",
    ] {
        assert!(client.batch_execute(statement).await.is_err(), "{statement}");
    }
    let posture = shop.orders.posture();
    for privilege in [
        "SELECT ON TABLE public.orders",
        "UPDATE (\"Naam\") ON TABLE winkel.\"Klanten en \u{e4}\"",
        "EXECUTE ON FUNCTION winkel.\"Af(rekenen\"(integer, text[])",
        "USAGE ON SCHEMA winkel",
    ] {
        assert!(posture.privileges.iter().any(|has| has == privilege), "{privilege}: {:?}", posture.privileges);
    }
    drop((client, pool));
    let _ = shop.detach().await;
}

#[tokio::test]
async fn without_needs_the_posture_tells_and_nothing_is_compared() {
    let server = server::Postgres::start();
    server.script(DATABASE, &format!("CREATE TABLE eigen (id serial); ALTER TABLE eigen OWNER TO {USER};"));
    // Among PostgreSQL's own functions, which are too many to look at each: two that came to another owner, one of them by way of a role, and one that everybody
    // may call, elsewhere, with its owner's rights.
    server.script(
        DATABASE,
        &format!(
            "CREATE ROLE groep; GRANT groep TO {USER}; ALTER FUNCTION pg_catalog.lower(text) OWNER TO {USER};
             ALTER FUNCTION pg_catalog.upper(text) OWNER TO groep;
             CREATE SCHEMA verhuisd; ALTER FUNCTION pg_catalog.initcap(text) SET SCHEMA verhuisd;
             ALTER FUNCTION verhuisd.initcap(text) SECURITY DEFINER;"
        ),
    );
    let shop: Shop = attach(&pairs(&variables(&server, USER, DATABASE))).await.unwrap();
    let posture = shop.orders.posture();
    assert_eq!(rules(&posture.findings), [""; 0]);
    for privilege in [
        "INSERT ON TABLE public.orders",
        "SELECT ON TABLE public.orders",
        "OWNERSHIP ON TABLE public.eigen",
        "OWNERSHIP ON FUNCTION pg_catalog.lower(text)",
        "OWNERSHIP ON FUNCTION pg_catalog.upper(text)",
        "EXECUTE ON FUNCTION verhuisd.initcap(text)",
    ] {
        assert!(posture.privileges.iter().any(|has| has == privilege), "{privilege}: {:?}", posture.privileges);
    }
    let _ = shop.detach().await;
}

#[tokio::test]
async fn too_little_and_too_much_are_two_findings_and_everything_that_lacks_is_named() {
    let server = server::Postgres::start();
    server.script(DATABASE, OBJECTS);
    server.sql(&format!("REVOKE ALL ON orders FROM {USER}; GRANT DELETE, TRUNCATE ON orders TO {USER}"));
    let error = refused::<Few>(&pairs(&variables(&server, USER, DATABASE)), SOON).await;
    assert_eq!(problems(&error), ["missing_privileges", "excess_privileges"], "{error}");
    let text = error.to_string();
    for part in [
        "the account lacks SELECT ON TABLE public.orders; INSERT ON TABLE public.orders",
        "GRANT SELECT ON TABLE \"public\".\"orders\" TO \"winkelier\"; GRANT INSERT ON TABLE \"public\".\"orders\" TO \"winkelier\";",
        "DELETE ON TABLE public.orders; TRUNCATE ON TABLE public.orders",
        "REVOKE DELETE ON TABLE \"public\".\"orders\" FROM \"winkelier\";",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    // An administrator has everything too many: that is said once.
    server.sql(&format!("GRANT pg_write_all_data TO {USER}"));
    let finding = one::<Few>(&server, USER, DATABASE, "superuser_account", "an administrator").await;
    assert!(finding.message().ends_with("has pg_write_all_data"), "{finding}");
    // What is not there at all cannot be granted.
    server.sql(&format!("REVOKE pg_write_all_data FROM {USER}; DROP TABLE orders"));
    let finding = one::<Few>(&server, USER, DATABASE, "missing_privileges", "no table").await;
    assert!(finding.message().contains("SELECT ON TABLE public.orders, which is not there"), "{finding}");
}

#[tokio::test]
async fn columns_are_told_apart() {
    let server = server::Postgres::start();
    server.script(DATABASE, OBJECTS);
    server.script(DATABASE, &Columns::MANIFEST.grants().remove(0).to_string());
    server.sql(&format!("ALTER ROLE shop_orders PASSWORD '{PASSWORD}'"));
    clean::<Columns>(&server, "shop_orders", DATABASE, "grants").await;
    server.sql("REVOKE UPDATE (\"Naam\") ON winkel.\"Klanten en \u{e4}\" FROM shop_orders");
    let finding = one::<Columns>(&server, "shop_orders", DATABASE, "missing_privileges", "a column less").await;
    assert!(finding.message().ends_with("lacks UPDATE (\"Naam\") ON TABLE winkel.\"Klanten en \u{e4}\""), "{finding}");
    // On the whole table it can do what it needs, and more.
    server.sql("GRANT UPDATE ON winkel.\"Klanten en \u{e4}\" TO shop_orders");
    let finding = one::<Columns>(&server, "shop_orders", DATABASE, "excess_privileges", "a table more").await;
    server.script(DATABASE, finding.remedy());
    clean::<Columns>(&server, "shop_orders", DATABASE, finding.remedy()).await;
}

/// An extension's objects are everybody's as the extension made them; that is no privilege too many.
#[tokio::test]
async fn an_extension_is_not_too_much() {
    let server = server::Postgres::start();
    server.sql("CREATE EXTENSION dblink; CREATE EXTENSION pgcrypto; CREATE EXTENSION pg_stat_statements");
    clean::<Few>(&server, USER, DATABASE, "extensions").await;
    server.sql(&format!("GRANT EXECUTE ON FUNCTION dblink_connect_u(text) TO {USER}"));
    let finding = one::<Few>(&server, USER, DATABASE, "superuser_account", "dblink").await;
    assert!(
        finding.message().contains("EXECUTE ON FUNCTION public.dblink_connect_u(text), which is an administrator's"),
        "{finding}"
    );
    server.script(DATABASE, finding.remedy());
    clean::<Few>(&server, USER, DATABASE, finding.remedy()).await;
}
