//! PostgreSQL: the account and its privileges, compared on a real server with the field's `needs`.
//! For both services.

use std::time::Duration;

use backing_services::{AttachError, BackingServices, Finding, Postgres, Resource, TokioPostgres};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::postgres::{self as server, ADMIN, DATABASE, USER};

/// No test here reaches this limit.
const SOON: Duration = Duration::from_secs(10);

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    orders: Resource<TokioPostgres>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct ShopBySqlx {
    orders: Resource<Postgres>,
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

needing!(Reads, TokioPostgres, "SELECT ON orders");
needing!(Few, TokioPostgres, "SELECT, INSERT ON orders");
needing!(
    Columns,
    TokioPostgres,
    "SELECT (id), UPDATE (id, \"Name\") ON shop.\"Clients and \u{e4}\""
);
needing!(
    Everything,
    TokioPostgres,
    "SELECT, INSERT ON orders;
    SELECT (id, \"Name\"), UPDATE (\"Name\"), DELETE ON Shop.\"Clients and \u{e4}\", \
    \"My Shop\".\"select\";
    USAGE ON SEQUENCE shop.serial_number; SELECT ON shop.overview;
    EXECUTE ON FUNCTION shop.\"Check(out\"(int, text[]), shop.blank();
    EXECUTE ON PROCEDURE shop.shut(character varying);
    SELECT ON ALL TABLES IN SCHEMA archive; USAGE ON ALL SEQUENCES IN SCHEMA archive"
);
needing!(
    EverythingBySqlx,
    Postgres,
    "SELECT, INSERT ON orders;
    SELECT (id, \"Name\"), UPDATE (\"Name\"), DELETE ON Shop.\"Clients and \u{e4}\", \
    \"My Shop\".\"select\";
    USAGE ON SEQUENCE shop.serial_number; SELECT ON shop.overview;
    EXECUTE ON FUNCTION shop.\"Check(out\"(int, text[]), shop.blank();
    EXECUTE ON PROCEDURE shop.shut(character varying);
    SELECT ON ALL TABLES IN SCHEMA archive; USAGE ON ALL SEQUENCES IN SCHEMA archive"
);

/// The objects in the database. The administrator owns the tables.
const OBJECTS: &str = "CREATE TABLE IF NOT EXISTS orders (id int PRIMARY KEY);
    CREATE SCHEMA shop;
    CREATE TABLE shop.\"Clients and \u{e4}\" (id serial, \"Name\" text, hidden text);
    CREATE SCHEMA \"My Shop\"; CREATE TABLE \"My Shop\".\"select\" (id int, \"Name\" text);
    CREATE SEQUENCE shop.serial_number; CREATE VIEW shop.overview AS SELECT 1 AS one;
    CREATE FUNCTION shop.\"Check(out\"(amount int, items text[]) RETURNS int LANGUAGE sql \
    SECURITY DEFINER AS 'SELECT amount';
    CREATE FUNCTION shop.blank() RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE PROCEDURE shop.shut(reason varchar) LANGUAGE sql AS 'SELECT 1';
    REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA shop FROM PUBLIC;
    CREATE SCHEMA archive; CREATE TABLE archive.past (id serial); \
    CREATE TABLE archive.older (id int);
    CREATE SCHEMA outside; CREATE TABLE outside.desk (id int, label text); \
    CREATE SEQUENCE outside.numbers;
    CREATE FUNCTION outside.open() RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION outside.powerful(int, \"char\") RETURNS int LANGUAGE sql SECURITY DEFINER AS \
    'SELECT 1';
    REVOKE EXECUTE ON FUNCTION outside.powerful FROM PUBLIC;
    CREATE TABLE outside.secured (id int); ALTER TABLE outside.secured ENABLE ROW LEVEL SECURITY;
    CREATE TABLE outside.forced (id int); ALTER TABLE outside.forced ENABLE ROW LEVEL SECURITY;
    ALTER TABLE outside.forced FORCE ROW LEVEL SECURITY;";

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

fn variables(server: &server::Postgres, role: &str, database: &str) -> Vec<(&'static str, String)> {
    vec![
        (
            "SHOP_ORDERS_URL",
            format!("postgres://{}@localhost:{}/{}", encoded(role), server.port, encoded(database)),
        ),
        ("SHOP_ORDERS_PASSWORD", PASSWORD.to_owned()),
        ("SHOP_ORDERS_CA", server.authority.pem()),
    ]
}

fn pairs<'a>(variables: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    variables.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Checks that attaching fails with one finding, which is of this rule.
async fn one<T: BackingServices>(
    server: &server::Postgres,
    role: &str,
    database: &str,
    rule: &str,
    what: &str,
) -> Finding {
    let error: AttachError = refused::<T>(&pairs(&variables(server, role, database)), SOON).await;
    assert_eq!(problems(&error), [rule], "{what}: {error}");
    error.findings().next().unwrap().clone()
}

async fn clean<T: BackingServices + Send + Sync>(
    server: &server::Postgres,
    role: &str,
    database: &str,
    what: &str,
) {
    let services = match attach::<T>(&pairs(&variables(server, role, database))).await {
        Ok(services) => services,
        Err(error) => panic!("{what}: {error}"),
    };
    for resource in services.resources() {
        assert_eq!(rules(&resource.posture().findings), [""; 0], "{what}");
    }
    let _ = services.detach().await;
}

/// The release of the server: 15.
fn release(server: &server::Postgres) -> u32 {
    server.sql("SHOW server_version_num").parse::<u32>().unwrap() / 10_000
}

needing!(Keeps, TokioPostgres, "SELECT, MAINTAIN ON orders");
needing!(KeepsBySqlx, Postgres, "SELECT, MAINTAIN ON orders");

/// `MAINTAIN` and memberships with options are newer than the oldest supported release. What an
/// older one does with them is tested too.
#[tokio::test]
async fn privileges_of_new_releases_are_read_and_old_ones_refuse_them() {
    let server = server::Postgres::start();
    server.sql(&format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'"));
    if release(&server) < 17 {
        let grants = Keeps::MANIFEST.grants().remove(0).with_account("app").unwrap().to_string();
        let grant = grants.lines().find(|line| line.contains("MAINTAIN")).unwrap();
        let error = (*server).script(DATABASE, grant).unwrap_err().to_string();
        assert!(error.contains("unrecognized privilege type \"maintain\""), "{error}");
    } else {
        server.sql("GRANT SELECT ON orders TO app");
        let lacking = one::<Keeps>(&server, "app", DATABASE, "missing_privileges", "lacks").await;
        assert!(lacking.message().contains("MAINTAIN ON TABLE public.orders"), "{lacking}");
        server.script(DATABASE, lacking.help());
        clean::<Keeps>(&server, "app", DATABASE, lacking.help()).await;
        clean::<KeepsBySqlx>(&server, "app", DATABASE, lacking.help()).await;
        let excess = one::<Reads>(&server, "app", DATABASE, "excess_privileges", "too much").await;
        assert!(excess.message().contains("MAINTAIN ON TABLE public.orders"), "{excess}");
        server.script(DATABASE, excess.help());
        // Every table of the database.
        server.sql("GRANT pg_maintain TO app");
        let all = one::<Reads>(&server, "app", DATABASE, "superuser_account", "all tables").await;
        assert!(all.message().contains("pg_maintain"), "{all}");
    }
}

/// Since PostgreSQL 16, a membership has options for what it gives: to inherit, to become the role,
/// or to hand it on. An administrator's role is refused with each of them, and with none.
#[tokio::test]
async fn a_membership_without_its_options_is_still_one() {
    let server = server::Postgres::start();
    server.sql(&format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE team CREATEDB"));
    let options = [
        "",
        " WITH INHERIT TRUE, SET FALSE",
        " WITH INHERIT FALSE, SET TRUE",
        " WITH INHERIT FALSE, SET FALSE, ADMIN TRUE",
    ];
    let known = if release(&server) < 16 { &options[..1] } else { &options };
    for option in known {
        let statement = format!("GRANT team TO app{option}");
        server.sql(&statement);
        let finding = one::<Shop>(&server, "app", DATABASE, "superuser_account", &statement).await;
        assert!(
            finding.message().contains("CREATEDB, by way of the role \"team\""),
            "{statement}: {finding}"
        );
        server.script(DATABASE, finding.help());
        clean::<Shop>(&server, "app", DATABASE, &format!("{statement}: {}", finding.help())).await;
    }
}

/// Each route by which a role is, or can become, an administrator: the statements that set it up,
/// the text that the report must contain, and whether the help in the report fixes it.
#[tokio::test]
async fn every_route_to_an_administrator_is_refused_and_named() {
    let server = server::Postgres::start();
    server.script(DATABASE, OBJECTS);
    server.script(
        DATABASE,
        &format!(
            "CREATE DATABASE elsewhere; CREATE ROLE team; CREATE ROLE \"Main team\"; \
             GRANT team TO \"Main team\";
             CREATE ROLE app LOGIN NOINHERIT PASSWORD '{PASSWORD}';"
        ),
    );
    let mut routes: Vec<(String, String, bool)> = Vec::new();
    let mut route =
        |statement: &str, named: &str| routes.push((statement.to_owned(), named.to_owned(), true));
    for attribute in ["CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS"] {
        route(&format!("ALTER ROLE app {attribute}"), attribute);
    }
    // Through a role whose privileges it does not inherit, and through an indirect membership.
    route("ALTER ROLE team CREATEDB; GRANT team TO app", "CREATEDB, by way of the role \"team\"");
    route("GRANT \"Main team\" TO app", "CREATEDB, by way of the role \"team\"");
    route(
        "ALTER ROLE team NOCREATEDB; GRANT pg_monitor TO team; GRANT \"Main team\" TO app",
        "pg_monitor, by way of the role",
    );
    route(
        "REVOKE pg_monitor FROM team; ALTER DATABASE elsewhere OWNER TO app",
        "OWNERSHIP ON DATABASE elsewhere",
    );
    route(
        &format!("ALTER DATABASE {DATABASE} OWNER TO app"),
        &format!("OWNERSHIP ON DATABASE {DATABASE}"),
    );
    route(
        "ALTER TABLE outside.secured OWNER TO app",
        "outside.secured, whose row-level security does not hold for its owner",
    );
    route(
        "ALTER TABLE outside.forced OWNER TO app",
        "outside.forced, whose row-level security its owner can switch off",
    );
    route(
        "ALTER TABLE outside.secured OWNER TO team; GRANT team TO app",
        "OWNERSHIP ON TABLE outside.secured",
    );
    route("GRANT CREATE ON SCHEMA public TO app", "CREATE ON SCHEMA public");
    // The default of every PostgreSQL before 15.
    route(
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "CREATE ON SCHEMA public, as every account has",
    );
    route("ALTER SCHEMA public OWNER TO app", "OWNERSHIP ON SCHEMA public");
    route(
        "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO app",
        "EXECUTE ON FUNCTION pg_catalog.pg_read_file(text)",
    );
    route(
        "GRANT EXECUTE ON FUNCTION pg_ls_dir(text) TO PUBLIC",
        "EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text)",
    );
    route(
        "GRANT SELECT ON pg_authid TO team; GRANT team TO app",
        "SELECT ON TABLE pg_catalog.pg_authid",
    );
    route(
        "GRANT SELECT (rolpassword) ON pg_authid TO app",
        "SELECT (rolpassword) ON TABLE pg_catalog.pg_authid",
    );
    route("GRANT SET ON PARAMETER log_statement TO app", "ALL ON PARAMETER log_statement");
    route(
        "GRANT ALTER SYSTEM ON PARAMETER archive_command TO app",
        "ALL ON PARAMETER archive_command",
    );
    route(
        "GRANT SET ON PARAMETER session_preload_libraries TO PUBLIC",
        "ALL ON PARAMETER session_preload_libraries, which is an administrator's, \
         as every account has",
    );
    let own = server.sql(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE 'pg\\_%' AND rolname <> \
         'pg_database_owner'",
    );
    assert!(own.lines().count() > 8, "{own}");
    for role in own.lines() {
        route(&format!("GRANT {role} TO app"), role);
    }
    for role in [
        "rds_superuser", "cloudsqlsuperuser", "azure_pg_admin", "neon_superuser",
        "alloydbsuperuser",
    ] {
        route(&format!("CREATE ROLE {role}; GRANT {role} TO app"), role);
    }
    // The current role differs from the login role.
    route(
        "ALTER ROLE team CREATEDB; GRANT team TO app; ALTER ROLE app SET role = 'team'",
        "CREATEDB",
    );
    routes.push((
        format!("ALTER ROLE app RESET role; GRANT {ADMIN} TO app"),
        "SUPERUSER, by way of the role".to_owned(),
        true,
    ));
    routes.push(("ALTER ROLE app SUPERUSER".to_owned(), "SUPERUSER".to_owned(), false));

    clean::<Shop>(&server, "app", DATABASE, "nothing").await;
    for (statement, named, is_mended) in &routes {
        // The help may revoke the account's membership of a role. The role itself stays as it is,
        // for the next route.
        server.sql(statement);
        let finding = one::<Shop>(&server, "app", DATABASE, "superuser_account", statement).await;
        assert!(finding.message().contains(named.as_str()), "{statement}: {finding}");
        if *is_mended {
            server.script(DATABASE, finding.help());
            if statement.contains("SET role") {
                server.sql("ALTER ROLE app RESET role");
            }
            clean::<Shop>(&server, "app", DATABASE, &format!("{statement}: {}", finding.help()))
                .await;
        }
    }
}

/// Changes in or to a system schema that `initdb` did not make: the statements that set each one
/// up, and the text that the report must contain.
const SYSTEM: &[(&str, &str)] = &[
    (
        "GRANT CREATE ON SCHEMA pg_catalog TO app",
        "CREATE ON SCHEMA pg_catalog, which is an administrator's",
    ),
    ("GRANT CREATE ON SCHEMA information_schema TO PUBLIC", "CREATE ON SCHEMA information_schema"),
    ("GRANT USAGE ON SCHEMA pg_toast TO app", "USAGE ON SCHEMA pg_toast"),
    ("GRANT CREATE ON SCHEMA pg_toast TO team; GRANT team TO app", "CREATE ON SCHEMA pg_toast"),
    ("GRANT USAGE ON SCHEMA pg_catalog TO app WITH GRANT OPTION", "USAGE ON SCHEMA pg_catalog"),
    (
        "DO $$ BEGIN CREATE TEMPORARY TABLE t (); \
         EXECUTE format('GRANT CREATE ON SCHEMA %s TO app', pg_my_temp_schema()::regnamespace); \
         END $$",
        "CREATE ON SCHEMA pg_temp_",
    ),
    ("ALTER SCHEMA pg_catalog OWNER TO app", "OWNERSHIP ON SCHEMA pg_catalog"),
    (
        "ALTER SCHEMA information_schema OWNER TO team; GRANT team TO app",
        "OWNERSHIP ON SCHEMA information_schema",
    ),
    (
        "ALTER FUNCTION pg_catalog.lower(text) OWNER TO app",
        "OWNERSHIP ON FUNCTION pg_catalog.lower(text)",
    ),
    (
        "ALTER FUNCTION pg_catalog.upper(text) OWNER TO team; GRANT team TO app",
        "OWNERSHIP ON FUNCTION pg_catalog.upper(text)",
    ),
    (
        "ALTER AGGREGATE pg_catalog.bool_or(boolean) OWNER TO app",
        "OWNERSHIP ON FUNCTION pg_catalog.bool_or(boolean)",
    ),
    (
        "ALTER VIEW information_schema.tables OWNER TO app",
        "OWNERSHIP ON TABLE information_schema.tables",
    ),
    (
        "ALTER OPERATOR pg_catalog.= (oid, oid) OWNER TO app",
        "OWNERSHIP ON OPERATOR pg_catalog.=(pg_catalog.oid,pg_catalog.oid)",
    ),
    ("ALTER LANGUAGE sql OWNER TO app", "OWNERSHIP ON LANGUAGE sql"),
    ("ALTER TABLESPACE pg_default OWNER TO app", "OWNERSHIP ON TABLESPACE pg_default"),
    (
        "GRANT INSERT ON information_schema.sql_features TO PUBLIC",
        "INSERT ON TABLE information_schema.sql_features",
    ),
    (
        "GRANT UPDATE (feature_name) ON information_schema.sql_features TO app",
        "UPDATE (feature_name) ON TABLE information_schema.sql_features",
    ),
    // This view contains the passwords for foreign servers.
    (
        "GRANT SELECT ON information_schema._pg_user_mappings TO PUBLIC",
        "SELECT ON TABLE information_schema._pg_user_mappings",
    ),
    ("GRANT UPDATE ON pg_class TO app", "UPDATE ON TABLE pg_catalog.pg_class"),
    (
        "GRANT UPDATE (relacl) ON pg_class TO team; GRANT team TO app",
        "UPDATE (relacl) ON TABLE pg_catalog.pg_class",
    ),
    ("GRANT UPDATE ON pg_authid TO PUBLIC", "UPDATE ON TABLE pg_catalog.pg_authid"),
    ("GRANT SELECT ON pg_class TO app WITH GRANT OPTION", "SELECT ON TABLE pg_catalog.pg_class"),
    ("GRANT SELECT ON pg_toast.pg_toast_1255 TO app", "SELECT ON TABLE pg_toast.pg_toast_1255"),
    (
        "GRANT EXECUTE ON FUNCTION lower(text) TO app WITH GRANT OPTION",
        "EXECUTE ON FUNCTION pg_catalog.lower(text)",
    ),
    ("GRANT USAGE ON TYPE pg_catalog.int4 TO app WITH GRANT OPTION", "ALL ON TYPE pg_catalog.int4"),
    (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA information_schema GRANT INSERT ON TABLES TO app",
        "INSERT ON FUTURE TABLES OF opperbaas IN SCHEMA information_schema",
    ),
    (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA information_schema GRANT SELECT ON TABLES TO PUBLIC",
        "SELECT ON FUTURE TABLES OF opperbaas IN SCHEMA information_schema",
    ),
    // A function that shadows `upper` for all users. It stays after the privilege to create more
    // has been revoked.
    (
        "GRANT CREATE ON SCHEMA pg_catalog TO app; SET ROLE app;
         CREATE FUNCTION pg_catalog.upper(varchar) RETURNS text LANGUAGE sql AS 'SELECT 1::text';
         RESET ROLE; REVOKE CREATE ON SCHEMA pg_catalog FROM app",
        "OWNERSHIP ON FUNCTION pg_catalog.upper(character varying), which is in a system schema \
         and is not PostgreSQL's",
    ),
    (
        "CREATE PROCEDURE information_schema.\"Act\"() LANGUAGE sql AS 'SELECT 1';
         ALTER PROCEDURE information_schema.\"Act\"() OWNER TO app",
        "OWNERSHIP ON PROCEDURE information_schema.\"Act\"()",
    ),
    (
        "CREATE FUNCTION pg_catalog.give() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        "EXECUTE ON FUNCTION pg_catalog.give(), which is in a system schema and runs with its \
         owner's privileges, as every account has",
    ),
    (
        "CREATE FUNCTION information_schema.give() RETURNS int LANGUAGE sql SECURITY DEFINER AS \
         'SELECT 1';
         REVOKE EXECUTE ON FUNCTION information_schema.give FROM PUBLIC;
         GRANT EXECUTE ON FUNCTION information_schema.give TO app",
        "EXECUTE ON FUNCTION information_schema.give()",
    ),
    (
        "ALTER FUNCTION pg_catalog.lower(text) SECURITY DEFINER",
        "EXECUTE ON FUNCTION pg_catalog.lower(text)",
    ),
    (
        "CREATE TABLE information_schema.planted (id serial); \
         ALTER TABLE information_schema.planted OWNER TO app",
        "OWNERSHIP ON TABLE information_schema.planted",
    ),
    (
        "CREATE VIEW information_schema.vista AS SELECT * FROM pg_authid;
         GRANT SELECT ON information_schema.vista TO PUBLIC",
        "SELECT ON TABLE information_schema.vista",
    ),
    (
        "CREATE FUNCTION outside.same(name, text) RETURNS bool LANGUAGE sql AS 'SELECT true';
         CREATE OPERATOR pg_catalog.=== (leftarg = name, rightarg = text, function = outside.same);
         ALTER OPERATOR pg_catalog.=== (name, text) OWNER TO app",
        "OWNERSHIP ON OPERATOR pg_catalog.===(pg_catalog.name,pg_catalog.text)",
    ),
    (
        "CREATE OPERATOR FAMILY information_schema.kin USING btree;
         ALTER OPERATOR FAMILY information_schema.kin USING btree OWNER TO app",
        "OWNERSHIP ON OPERATOR FAMILY information_schema.kin USING btree",
    ),
    (
        "CREATE OPERATOR CLASS information_schema.\"Kind\" FOR TYPE int4 USING hash FAMILY \
         integer_ops AS STORAGE int4;
         ALTER OPERATOR CLASS information_schema.\"Kind\" USING hash OWNER TO app",
        "OWNERSHIP ON OPERATOR CLASS information_schema.\"Kind\" USING hash",
    ),
    (
        "CREATE TYPE pg_catalog.flavour AS ENUM ('a'); ALTER TYPE pg_catalog.flavour OWNER TO app",
        "OWNERSHIP ON TYPE pg_catalog.flavour",
    ),
    (
        "CREATE TYPE information_schema.pair AS (a int); \
         ALTER TYPE information_schema.pair OWNER TO app",
        "OWNERSHIP ON TYPE information_schema.pair",
    ),
    (
        "CREATE DOMAIN information_schema.realm AS int; \
         ALTER DOMAIN information_schema.realm OWNER TO app",
        "OWNERSHIP ON TYPE information_schema.realm",
    ),
    (
        "CREATE COLLATION pg_catalog.\"Sort-order\" FROM \"C\"; \
         ALTER COLLATION pg_catalog.\"Sort-order\" OWNER TO app",
        "OWNERSHIP ON COLLATION pg_catalog.\"Sort-order\"",
    ),
    (
        "CREATE CONVERSION pg_catalog.recoding FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
         ALTER CONVERSION pg_catalog.recoding OWNER TO app",
        "OWNERSHIP ON CONVERSION pg_catalog.recoding",
    ),
    (
        "CREATE TEXT SEARCH DICTIONARY pg_catalog.words (template = simple);
         ALTER TEXT SEARCH DICTIONARY pg_catalog.words OWNER TO app",
        "OWNERSHIP ON TEXT SEARCH DICTIONARY pg_catalog.words",
    ),
    (
        "CREATE TEXT SEARCH CONFIGURATION information_schema.finder (copy = simple);
         ALTER TEXT SEARCH CONFIGURATION information_schema.finder OWNER TO app",
        "OWNERSHIP ON TEXT SEARCH CONFIGURATION information_schema.finder",
    ),
    (
        "CREATE STATISTICS information_schema.tally ON id, label FROM outside.desk;
         ALTER STATISTICS information_schema.tally OWNER TO app",
        "OWNERSHIP ON STATISTICS OBJECT information_schema.tally",
    ),
    // It runs in every user's sessions.
    (
        "CREATE FUNCTION outside.watcher() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
         CREATE EVENT TRIGGER watcher ON ddl_command_end EXECUTE FUNCTION outside.watcher();
         ALTER ROLE app SUPERUSER; ALTER EVENT TRIGGER watcher OWNER TO app; \
         ALTER ROLE app NOSUPERUSER",
        "OWNERSHIP ON EVENT TRIGGER watcher",
    ),
];

#[tokio::test]
async fn a_change_to_a_system_schema_is_an_administrators_privilege() {
    let server = server::Postgres::start();
    server.script(DATABASE, OBJECTS);
    server.script(
        DATABASE,
        &format!("CREATE ROLE team; CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'"),
    );
    clean::<Shop>(&server, "app", DATABASE, "nothing").await;
    for (statement, named) in SYSTEM {
        server.script(DATABASE, statement);
        let finding = one::<Shop>(&server, "app", DATABASE, "superuser_account", statement).await;
        assert!(finding.message().contains(named), "{statement}: {finding}");
        server.script(DATABASE, finding.help());
        clean::<Shop>(&server, "app", DATABASE, &format!("{statement}: {}", finding.help())).await;
    }
}

#[tokio::test]
async fn a_public_privilege_in_a_system_schema_may_also_be_granted() {
    let server = server::Postgres::start();
    server.script(
        DATABASE,
        &format!(
            "GRANT USAGE ON SCHEMA pg_catalog, information_schema TO {USER};
             GRANT SELECT ON pg_class, information_schema.tables TO {USER}; \
             GRANT EXECUTE ON FUNCTION lower(text) TO {USER};
             CREATE FUNCTION pg_catalog.helper() RETURNS int LANGUAGE sql AS 'SELECT 1';
             CREATE EXTENSION citext SCHEMA pg_catalog; CREATE EXTENSION pgcrypto; \
             CREATE EXTENSION pg_stat_statements;
             CREATE TABLE long_text (body text); ALTER TABLE long_text OWNER TO {USER};"
        ),
    );
    clean::<Shop>(&server, USER, DATABASE, "grants, extensions, and an administrator's function")
        .await;
}

#[tokio::test]
async fn an_administrators_privilege_is_not_lost_among_many_others() {
    let server = server::Postgres::start();
    server.script(
        DATABASE,
        &format!(
            "DO $$ BEGIN FOR i IN 1..2100 LOOP
                EXECUTE format('CREATE TABLE aaa_%s (); GRANT SELECT ON aaa_%s TO {USER}', i, i);
             END LOOP; END $$; GRANT EXECUTE ON FUNCTION pg_read_file(text) TO {USER};
             CREATE TABLE secured (); ALTER TABLE secured ENABLE ROW LEVEL SECURITY; \
             ALTER TABLE secured OWNER TO {USER};
             GRANT CREATE ON SCHEMA public TO {USER};"
        ),
    );
    let finding = one::<Shop>(&server, USER, DATABASE, "superuser_account", "many").await;
    for named in
        ["pg_catalog.pg_read_file(text)", "TABLE public.secured", "CREATE ON SCHEMA public"]
    {
        assert!(finding.message().contains(named), "{named}: {finding}");
    }
}

/// Runs the statements of `grants()` unchanged, and then tests one privilege more and one less.
async fn round_trip<T: BackingServices + Send + Sync>(account: &str, database: &str, named: bool) {
    let server = server::Postgres::start();
    server.sql(&format!("CREATE DATABASE \"{}\"", database.replace('"', "\"\"")));
    server.script(database, OBJECTS);
    let grants = T::MANIFEST.grants().remove(0).with_account(account).unwrap();
    let grants = if named { grants.with_database(database).unwrap() } else { grants };
    let text = grants.statements().unwrap();
    assert!(!text.contains("PASSWORD"), "{text}");
    // The account must get `CONNECT` from the grants, not from `PUBLIC`.
    server
        .sql(&format!("REVOKE ALL ON DATABASE \"{}\" FROM PUBLIC", database.replace('"', "\"\"")));
    server.script(database, &text);

    let role = format!("\"{}\"", account.replace('"', "\"\""));
    let error = refused::<T>(&pairs(&variables(&server, account, database)), SOON).await;
    assert_eq!(problems(&error), ["authentication_failed"], "no login without a password");
    server.sql(&format!("ALTER ROLE {role} PASSWORD '{PASSWORD}'"));
    clean::<T>(&server, account, database, &text).await;

    for (statement, named) in [
        ("GRANT UPDATE ON orders TO {role}", "UPDATE ON TABLE public.orders"),
        (
            "GRANT SELECT ON orders TO {role} WITH GRANT OPTION",
            "the grant option of SELECT ON TABLE public.orders",
        ),
        (
            "GRANT SELECT ON shop.\"Clients and \u{e4}\" TO {role}",
            "SELECT ON TABLE shop.\"Clients and \u{e4}\"",
        ),
        (
            "GRANT UPDATE (hidden) ON shop.\"Clients and \u{e4}\" TO {role}",
            "UPDATE (hidden) ON TABLE shop.\"Clients and \u{e4}\"",
        ),
        ("ALTER TABLE orders OWNER TO {role}", "OWNERSHIP ON TABLE public.orders"),
        ("ALTER FUNCTION shop.blank OWNER TO {role}", "OWNERSHIP ON FUNCTION shop.blank()"),
        ("GRANT CREATE ON SCHEMA shop TO {role}", "CREATE ON SCHEMA shop"),
        ("GRANT USAGE ON SCHEMA outside TO {role}", "USAGE ON SCHEMA outside"),
        (
            "GRANT USAGE ON SCHEMA outside TO PUBLIC",
            "USAGE ON SCHEMA outside, as every account has",
        ),
        ("GRANT SELECT ON outside.desk TO {role}", "SELECT ON TABLE outside.desk"),
        (
            "GRANT SELECT ON outside.desk TO PUBLIC",
            "SELECT ON TABLE outside.desk, as every account has",
        ),
        (
            "GRANT SELECT ON SEQUENCE outside.numbers TO {role}",
            "SELECT ON SEQUENCE outside.numbers",
        ),
        ("GRANT EXECUTE ON FUNCTION outside.open TO {role}", "EXECUTE ON FUNCTION outside.open()"),
        (
            "GRANT EXECUTE ON FUNCTION outside.powerful TO PUBLIC",
            "EXECUTE ON FUNCTION outside.powerful(integer, \"char\")",
        ),
        ("GRANT CONNECT ON DATABASE postgres TO {role}", "CONNECT ON DATABASE postgres"),
        ("GRANT CREATE ON TABLESPACE pg_default TO {role}", "CREATE ON TABLESPACE pg_default"),
        ("GRANT USAGE ON LANGUAGE plpgsql TO {role}", "USAGE ON LANGUAGE plpgsql"),
        (
            "CREATE FOREIGN DATA WRAPPER w; GRANT USAGE ON FOREIGN DATA WRAPPER w TO {role}",
            "USAGE ON FOREIGN DATA WRAPPER w",
        ),
        (
            "CREATE SERVER s FOREIGN DATA WRAPPER w; GRANT USAGE ON FOREIGN SERVER s TO {role}",
            "USAGE ON FOREIGN SERVER s",
        ),
        (
            "CREATE ROLE \"Readers!\"; GRANT DELETE ON orders TO \"Readers!\"; \
             GRANT \"Readers!\" TO {role}",
            "DELETE ON TABLE public.orders, by way of the role \"Readers!\"",
        ),
        // Here the role "Readers!" also has a privilege that the account needs. After the help,
        // the account still has that.
        (
            "GRANT SELECT ON orders TO \"Readers!\"; REVOKE SELECT ON orders FROM {role}; \
             GRANT \"Readers!\" TO {role}",
            "DELETE ON TABLE public.orders, by way of the role \"Readers!\"",
        ),
    ] {
        server.script(database, &statement.replace("{role}", &role));
        let finding = one::<T>(&server, account, database, "excess_privileges", statement).await;
        assert!(finding.message().contains(named), "{statement}: {finding}");
        assert!(!finding.message().contains(';'), "one privilege, and one is named: {finding}");
        server.script(database, finding.help());
        clean::<T>(&server, account, database, &format!("{statement}: {}", finding.help())).await;
    }

    for (statement, named) in [
        ("REVOKE INSERT ON orders FROM {role}", "INSERT ON TABLE public.orders"),
        (
            "REVOKE UPDATE (\"Name\") ON shop.\"Clients and \u{e4}\" FROM {role}",
            "UPDATE (\"Name\") ON TABLE shop.\"Clients and \u{e4}\"",
        ),
        (
            "REVOKE USAGE ON SEQUENCE shop.serial_number FROM {role}",
            "USAGE ON SEQUENCE shop.serial_number",
        ),
        ("REVOKE USAGE ON SCHEMA \"My Shop\" FROM {role}", "USAGE ON SCHEMA \"My Shop\""),
        (
            "REVOKE EXECUTE ON FUNCTION shop.\"Check(out\"(int, text[]) FROM {role}",
            "EXECUTE ON FUNCTION shop.\"Check(out\"(integer, text[])",
        ),
        ("REVOKE EXECUTE ON FUNCTION shop.blank() FROM {role}", "EXECUTE ON FUNCTION shop.blank()"),
        (
            "REVOKE EXECUTE ON PROCEDURE shop.shut FROM {role}",
            "EXECUTE ON PROCEDURE shop.shut(character varying)",
        ),
        ("REVOKE SELECT ON archive.older FROM {role}", "SELECT ON TABLE archive.older"),
        ("CREATE TABLE archive.oldest (id int)", "SELECT ON TABLE archive.oldest"),
        (
            "REVOKE USAGE ON SEQUENCE archive.past_id_seq FROM {role}",
            "USAGE ON SEQUENCE archive.past_id_seq",
        ),
        // A privilege that the account gets only after `SET ROLE` is missing.
        (
            "REVOKE SELECT ON orders FROM {role}; CREATE ROLE night; \
             GRANT SELECT ON orders TO night;
             ALTER ROLE {role} NOINHERIT; GRANT night TO {role}",
            "SELECT ON TABLE public.orders",
        ),
    ] {
        server.script(database, &statement.replace("{role}", &role));
        let finding = one::<T>(&server, account, database, "missing_privileges", statement).await;
        assert!(finding.message().ends_with(&format!("lacks {named}")), "{statement}: {finding}");
        server.script(database, finding.help());
        clean::<T>(&server, account, database, &format!("{statement}: {}", finding.help())).await;
    }
}

#[tokio::test]
async fn the_generated_grants_match_the_needs() {
    round_trip::<Everything>("sh\"op '\\ er; --$$", "Shop \"data\"", false).await;
}

#[tokio::test]
async fn the_generated_grants_match_the_needs_through_sqlx() {
    round_trip::<EverythingBySqlx>("select", "ORDER", true).await;
}

#[tokio::test]
async fn the_generated_grants_permit_what_is_needed() {
    let server = server::Postgres::start();
    server.script(DATABASE, OBJECTS);
    let grants = Everything::MANIFEST.grants().remove(0);
    assert_eq!(grants.account(), "shop_orders");
    server.script(DATABASE, &grants.to_string());
    server.sql(&format!("ALTER ROLE shop_orders PASSWORD '{PASSWORD}'"));
    let shop: Everything =
        attach(&pairs(&variables(&server, "shop_orders", DATABASE))).await.unwrap();
    let pool = shop.orders.client();
    let client = pool.get().await.unwrap();
    for statement in [
        "INSERT INTO orders VALUES (1)",
        "SELECT * FROM orders",
        "SELECT id, \"Name\" FROM shop.\"Clients and \u{e4}\"",
        "UPDATE shop.\"Clients and \u{e4}\" SET \"Name\" = 'x'",
        "DELETE FROM \"My Shop\".\"select\"",
        "SELECT nextval('shop.serial_number')",
        "SELECT * FROM shop.overview",
        "SELECT shop.\"Check(out\"(1, '{}')",
        "SELECT shop.blank()",
        "CALL shop.shut('late')",
        "SELECT * FROM archive.past, archive.older",
        "SELECT nextval('archive.past_id_seq')",
    ] {
        client
            .batch_execute(statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    for statement in [
        "UPDATE orders SET id = 2",
        "SELECT * FROM outside.desk",
        "SELECT hidden FROM shop.\"Clients and \u{e4}\"",
        "CREATE TABLE t ()",
    ] {
        assert!(client.batch_execute(statement).await.is_err(), "{statement}");
    }
    let posture = shop.orders.posture();
    for privilege in [
        "SELECT ON TABLE public.orders",
        "UPDATE (\"Name\") ON TABLE shop.\"Clients and \u{e4}\"",
        "EXECUTE ON FUNCTION shop.\"Check(out\"(integer, text[])",
        "USAGE ON SCHEMA shop",
    ] {
        assert!(
            posture.privileges.iter().any(|has| has == privilege),
            "{privilege}: {:?}",
            posture.privileges
        );
    }
    drop((client, pool));
    let _ = shop.detach().await;
}

#[tokio::test]
async fn without_needs_privileges_are_reported_and_not_compared() {
    let server = server::Postgres::start();
    server.script(
        DATABASE,
        &format!("CREATE TABLE own_table (id serial); ALTER TABLE own_table OWNER TO {USER};"),
    );
    // A function of PostgreSQL's own in another schema. All users may execute it with its owner's
    // privileges.
    server.script(
        DATABASE,
        "CREATE SCHEMA moved; ALTER FUNCTION pg_catalog.initcap(text) SET SCHEMA moved;
         ALTER FUNCTION moved.initcap(text) SECURITY DEFINER;",
    );
    let shop: Shop = attach(&pairs(&variables(&server, USER, DATABASE))).await.unwrap();
    let posture = shop.orders.posture();
    assert_eq!(rules(&posture.findings), [""; 0]);
    for privilege in [
        "INSERT ON TABLE public.orders",
        "SELECT ON TABLE public.orders",
        "OWNERSHIP ON TABLE public.own_table",
        "EXECUTE ON FUNCTION moved.initcap(text)",
    ] {
        assert!(
            posture.privileges.iter().any(|has| has == privilege),
            "{privilege}: {:?}",
            posture.privileges
        );
    }
    let _ = shop.detach().await;
}

#[tokio::test]
async fn missing_and_excess_privileges_are_two_findings_and_all_missing_ones_are_named() {
    let server = server::Postgres::start();
    server.script(DATABASE, OBJECTS);
    server.sql(&format!(
        "REVOKE ALL ON orders FROM {USER}; GRANT DELETE, TRUNCATE ON orders TO {USER}"
    ));
    let error = refused::<Few>(&pairs(&variables(&server, USER, DATABASE)), SOON).await;
    assert_eq!(problems(&error), ["missing_privileges", "excess_privileges"], "{error}");
    let text = error.to_string();
    for part in [
        "the account lacks SELECT ON TABLE public.orders; INSERT ON TABLE public.orders",
        "GRANT SELECT ON TABLE \"public\".\"orders\" TO \"winkelier\"; \
         GRANT INSERT ON TABLE \"public\".\"orders\" TO \"winkelier\";",
        "DELETE ON TABLE public.orders; TRUNCATE ON TABLE public.orders",
        "REVOKE DELETE ON TABLE \"public\".\"orders\" FROM \"winkelier\";",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    // An administrator has every privilege. The report has one finding for that, not one for each
    // privilege.
    server.sql(&format!("GRANT pg_write_all_data TO {USER}"));
    let finding =
        one::<Few>(&server, USER, DATABASE, "superuser_account", "an administrator").await;
    assert!(finding.message().ends_with("has pg_write_all_data"), "{finding}");
    // A privilege on a missing object cannot be granted.
    server.sql(&format!("REVOKE pg_write_all_data FROM {USER}; DROP TABLE orders"));
    let finding = one::<Few>(&server, USER, DATABASE, "missing_privileges", "no table").await;
    assert!(
        finding.message().contains("SELECT ON TABLE public.orders, which is not there"),
        "{finding}"
    );
    let help = finding.help().to_owned();
    assert!(help.starts_with("/* First run the migrations, which create it. */ GRANT"), "{help}");
    assert_eq!(help.matches("migrations").count(), 1, "{help}");
    // The help is right once the migrations have run.
    server.sql("CREATE TABLE orders (id int PRIMARY KEY)");
    server.script(DATABASE, &help);
    clean::<Few>(&server, USER, DATABASE, &help).await;
}

#[tokio::test]
async fn columns_are_distinguished() {
    let server = server::Postgres::start();
    server.script(DATABASE, OBJECTS);
    server.script(DATABASE, &Columns::MANIFEST.grants().remove(0).to_string());
    server.sql(&format!("ALTER ROLE shop_orders PASSWORD '{PASSWORD}'"));
    clean::<Columns>(&server, "shop_orders", DATABASE, "grants").await;
    server.sql("REVOKE UPDATE (\"Name\") ON shop.\"Clients and \u{e4}\" FROM shop_orders");
    let finding =
        one::<Columns>(&server, "shop_orders", DATABASE, "missing_privileges", "a column less")
            .await;
    assert!(
        finding.message().ends_with("lacks UPDATE (\"Name\") ON TABLE shop.\"Clients and \u{e4}\""),
        "{finding}"
    );
    // With a privilege on the whole table, the account has what it needs, and more.
    server.sql("GRANT UPDATE ON shop.\"Clients and \u{e4}\" TO shop_orders");
    let finding =
        one::<Columns>(&server, "shop_orders", DATABASE, "excess_privileges", "a table more").await;
    server.script(DATABASE, finding.help());
    clean::<Columns>(&server, "shop_orders", DATABASE, finding.help()).await;
}

/// Privileges on an extension's objects that `PUBLIC` has by the extension's own script are not
/// excess privileges.
#[tokio::test]
async fn an_extension_is_not_an_excess_privilege() {
    let server = server::Postgres::start();
    server.sql(
        "CREATE EXTENSION dblink; CREATE EXTENSION pgcrypto; CREATE EXTENSION pg_stat_statements",
    );
    clean::<Few>(&server, USER, DATABASE, "extensions").await;
    server.sql(&format!("GRANT EXECUTE ON FUNCTION dblink_connect_u(text) TO {USER}"));
    let finding = one::<Few>(&server, USER, DATABASE, "superuser_account", "dblink").await;
    assert!(
        finding.message().contains(
            "EXECUTE ON FUNCTION public.dblink_connect_u(text), which is an administrator's"
        ),
        "{finding}"
    );
    server.script(DATABASE, finding.help());
    clean::<Few>(&server, USER, DATABASE, finding.help()).await;
}

// --- The account cannot change the meaning of the probe's query ----------------------------------

needing!(
    Odd,
    TokioPostgres,
    "SELECT ON \"A ä\"; EXECUTE ON FUNCTION act(mine, \"Mine\"[], int, \"char\"); \
     SELECT, INSERT ON orders"
);
needing!(
    OddBySqlx,
    Postgres,
    "SELECT ON \"A ä\"; EXECUTE ON FUNCTION act(mine, \"Mine\"[], int, \"char\"); \
     SELECT, INSERT ON orders"
);

const ODD: &str = "CREATE TYPE mine AS ENUM ('a'); CREATE TYPE \"Mine\" AS ENUM ('a'); \
     CREATE TABLE \"A ä\" (id int);
    CREATE FUNCTION act(mine, \"Mine\"[], int, \"char\") RETURNS int LANGUAGE sql AS 'SELECT 1';
    REVOKE EXECUTE ON FUNCTION act FROM PUBLIC;";

/// Operators in a schema, for each pair of these types that `which` selects. They return false
/// results, or raise an error.
fn operators(schema: &str, which: &str, body: &str) -> String {
    format!(
        "DO $do$ DECLARE a regtype; b regtype; o text; r text; BEGIN
            FOREACH a IN ARRAY \
            '{{oid,name,text,varchar,\"\\\"char\\\"\",int2,int4,int8,bool,oid[],name[],text[],\
            aclitem[],oidvector,regclass,regtype}}'::regtype[] LOOP
            FOREACH b IN ARRAY \
            '{{oid,name,text,varchar,\"\\\"char\\\"\",int2,int4,int8,bool,oid[],name[],text[],\
            aclitem[],oidvector,regclass,regtype}}'::regtype[] LOOP
            FOREACH o IN ARRAY '{{=,<>,<,>,<=,>=,||,~~}}'::text[] LOOP
                CONTINUE WHEN NOT ({which});
                r := CASE o WHEN '||' THEN 'text' ELSE 'bool' END;
                EXECUTE format('CREATE OR REPLACE FUNCTION {schema}.lie_%s(%s, %s) RETURNS %s \
                LANGUAGE plpgsql AS %L', r, a, b, r, {body});
                EXECUTE format('CREATE OPERATOR {schema}.%s (leftarg = %s, rightarg = %s, function \
                = {schema}.lie_%s)', o, a, b, r);
            END LOOP; END LOOP; END LOOP;
        END $do$;"
    )
}

/// Shadows of every operator that the query uses, in a schema that is first in the account's
/// `search_path`.
fn evil() -> String {
    format!(
        "CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC; {}",
        operators("evil", "true", "'BEGIN RETURN false; END'")
    )
}

/// An account from which a shadowed operator could hide each of these routes.
async fn search_path<T: BackingServices + Send + Sync>() {
    let server = server::Postgres::start();
    server.script(DATABASE, OBJECTS);
    server.script(DATABASE, &evil());
    server.script(
        DATABASE,
        &format!(
            "CREATE ROLE team; CREATE ROLE app LOGIN PASSWORD '{PASSWORD}';
             ALTER ROLE app SET search_path = evil, pg_catalog"
        ),
    );
    clean::<T>(&server, "app", DATABASE, "nothing").await;
    for (statement, named) in [
        ("ALTER ROLE app CREATEROLE", "CREATEROLE".to_owned()),
        (
            &format!("ALTER ROLE app NOCREATEROLE; GRANT {ADMIN} TO app"),
            format!("SUPERUSER, by way of the role \"{ADMIN}\""),
        ),
        (&format!("REVOKE {ADMIN} FROM app; GRANT pg_monitor TO app"), "pg_monitor".to_owned()),
        (
            "REVOKE pg_monitor FROM app; GRANT CREATE ON SCHEMA pg_catalog TO app",
            "CREATE ON SCHEMA pg_catalog".to_owned(),
        ),
        (
            "REVOKE CREATE ON SCHEMA pg_catalog FROM app; GRANT SELECT ON pg_authid TO team; \
             GRANT team TO app",
            "SELECT ON TABLE pg_catalog.pg_authid, which is an \
             administrator's, by way of the role \"team\""
                .to_owned(),
        ),
    ] {
        server.script(DATABASE, statement);
        let finding = one::<T>(&server, "app", DATABASE, "superuser_account", statement).await;
        assert!(finding.message().contains(&named), "{statement}: {finding}");
    }
}

#[tokio::test]
async fn the_accounts_own_search_path_hides_nothing() {
    search_path::<Shop>().await;
}

#[tokio::test]
async fn the_accounts_own_search_path_hides_nothing_from_sqlx() {
    search_path::<ShopBySqlx>().await;
}

/// Overloads of the functions that the query calls, with similar types.
const OVERLOADS: &str = "CREATE FUNCTION pg_catalog.\"left\"(name, int) RETURNS text LANGUAGE sql \
    AS 'SELECT ''x''::text';
    CREATE FUNCTION pg_catalog.\"left\"(varchar, int) RETURNS text LANGUAGE sql AS \
    'SELECT ''x''::text';
    CREATE FUNCTION pg_catalog.acldefault(text, oid) RETURNS aclitem[] LANGUAGE sql AS \
    'SELECT NULL::aclitem[]';
    CREATE FUNCTION pg_catalog.acldefault(name, oid) RETURNS aclitem[] LANGUAGE sql AS \
    'SELECT NULL::aclitem[]';
    CREATE FUNCTION pg_catalog.current_setting(varchar) RETURNS text LANGUAGE sql AS \
    'SELECT ''x''::text';
    CREATE FUNCTION pg_catalog.current_setting(name) RETURNS text LANGUAGE sql AS \
    'SELECT ''x''::text';
    CREATE FUNCTION pg_catalog.set_config(varchar, varchar, bool) RETURNS text LANGUAGE sql AS \
    'SELECT ''x''::text';
    CREATE FUNCTION pg_catalog.pg_has_role(name, oid, varchar) RETURNS bool LANGUAGE sql AS \
    'SELECT NULL::bool';
    CREATE FUNCTION pg_catalog.pg_has_role(name, oid, name) RETURNS bool LANGUAGE sql AS \
    'SELECT NULL::bool';
    CREATE FUNCTION pg_catalog.to_regtype(varchar) RETURNS regtype LANGUAGE sql AS \
    'SELECT NULL::regtype';
    CREATE FUNCTION pg_catalog.to_regtype(name) RETURNS regtype LANGUAGE sql AS \
    'SELECT NULL::regtype';
    CREATE FUNCTION pg_catalog.pg_identify_object(oid, oid, int2) RETURNS TABLE (type text, schema \
    text, name text, identity text)
        LANGUAGE sql AS 'SELECT NULL::text, NULL::text, NULL::text, NULL::text';
    CREATE FUNCTION pg_catalog.first_of(oid, oid) RETURNS oid LANGUAGE sql AS 'SELECT $1';
    CREATE AGGREGATE pg_catalog.array_agg(oid) (sfunc = first_of, stype = oid);
    CREATE FUNCTION pg_catalog.array_to_string(oid[], text, text) RETURNS text LANGUAGE sql AS \
    'SELECT ''x''::text';
    CREATE FUNCTION pg_catalog.blank(text, varchar, varchar) RETURNS text LANGUAGE sql AS \
    'SELECT NULL::text';
    CREATE AGGREGATE pg_catalog.string_agg(varchar, varchar) (sfunc = blank, stype = text);";

/// An account that once had `CREATE` on pg_catalog has created an operator and a function for every
/// pair of types that lacked one.
#[tokio::test]
async fn shadow_objects_in_pg_catalog_are_not_called_by_the_probe() {
    let server = server::Postgres::start();
    server.script(DATABASE, &format!("{OBJECTS} {ODD}"));
    let grants = Odd::MANIFEST.grants().remove(0).with_account("app").unwrap();
    server.script(
        DATABASE,
        &format!("{grants} ALTER ROLE app PASSWORD '{PASSWORD}'; CREATE ROLE planter;"),
    );
    // The shadow operators must not break the statements that create them.
    let free =
        "NOT EXISTS (SELECT FROM pg_operator p WHERE p.oprnamespace = '11' AND p.oprname = o::name
        AND p.oprleft = a::oid AND p.oprright = b::oid)";
    server.script(DATABASE, &operators("pg_catalog", free, "'BEGIN RETURN false; END'"));
    server.script(DATABASE, OVERLOADS);
    clean::<Odd>(&server, "app", DATABASE, "nothing").await;
    for (statement, named) in [
        ("GRANT CREATE ON SCHEMA pg_catalog TO app", "CREATE ON SCHEMA pg_catalog"),
        ("GRANT UPDATE ON pg_catalog.pg_class TO PUBLIC", "UPDATE ON TABLE pg_catalog.pg_class"),
        (
            "ALTER FUNCTION pg_catalog.\"left\"(name, int) OWNER TO app",
            "OWNERSHIP ON FUNCTION pg_catalog.left(name, integer)",
        ),
        ("GRANT pg_monitor TO app", "pg_monitor"),
    ] {
        server.script(DATABASE, statement);
        let finding = one::<Odd>(&server, "app", DATABASE, "superuser_account", statement).await;
        assert!(finding.message().contains(named), "{statement}: {finding}");
        server.script(DATABASE, finding.help());
        clean::<Odd>(&server, "app", DATABASE, &format!("{statement}: {}", finding.help())).await;
    }
}

/// Tests every setting that `ALTER ROLE … SET` can give to an account. The probe's answer must be
/// the same, and the application must see the setting.
async fn settings<T: BackingServices + Send + Sync>(shown: impl AsyncFn(&T, &str) -> String) {
    let server = server::Postgres::start();
    server.script(DATABASE, &format!("{OBJECTS} {ODD}"));
    let grants = T::MANIFEST.grants().remove(0).with_account("app").unwrap();
    server.script(DATABASE, &format!("{grants} ALTER ROLE app PASSWORD '{PASSWORD}';"));
    server.script(DATABASE, &evil());
    server.sql("REVOKE USAGE ON SCHEMA evil FROM PUBLIC");
    let variables = variables(&server, "app", DATABASE);
    let privileges = async |services: &T| services.resources()[0].posture().privileges.clone();
    let services: T = attach(&pairs(&variables)).await.unwrap();
    let usual = privileges(&services).await;
    assert!(
        usual.iter().any(|has| has
            == "EXECUTE ON FUNCTION public.act(public.mine, public.\"Mine\"[], integer, \"char\")"),
        "{usual:?}"
    );
    let _ = services.detach().await;
    // Its name until PostgreSQL 15.
    let parallel =
        if release(&server) < 16 { "force_parallel_mode" } else { "debug_parallel_query" };
    for (name, value) in [
        ("search_path", "evil, pg_catalog"),
        ("search_path", "public, pg_temp, pg_catalog"),
        ("search_path", "\"\""),
        ("row_security", "off"),
        ("row_security", "on"),
        ("quote_all_identifiers", "on"),
        ("transform_null_equals", "on"),
        ("standard_conforming_strings", "off"),
        ("backslash_quote", "off"),
        ("backslash_quote", "on"),
        ("escape_string_warning", "off"),
        ("array_nulls", "off"),
        ("bytea_output", "escape"),
        ("lc_messages", "POSIX"),
        ("default_transaction_isolation", "serializable"),
        ("default_transaction_read_only", "on"),
        ("default_transaction_deferrable", "on"),
        ("session_replication_role", "replica"),
        ("lo_compat_privileges", "on"),
        ("xmloption", "document"),
        ("check_function_bodies", "off"),
        ("client_min_messages", "debug1"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_nestloop", "off"),
        ("enable_sort", "off"),
        ("from_collapse_limit", "1"),
        ("join_collapse_limit", "8"),
        ("geqo_threshold", "2"),
        ("jit", "on"),
        ("jit_above_cost", "0"),
        (parallel, "on"),
        ("plan_cache_mode", "force_generic_plan"),
        ("work_mem", "64kB"),
    ] {
        let list = if value == "\"\"" { "''" } else { value };
        let quoted = format!("'{value}'");
        server.sql(&format!(
            "ALTER ROLE app SET {name} = {}",
            if name == "search_path" { list } else { &quoted }
        ));
        let services: T = match attach(&pairs(&variables)).await {
            Ok(services) => services,
            Err(error) => panic!("{name} = {value}: {error}"),
        };
        assert_eq!(privileges(&services).await, usual, "{name} = {value}");
        assert_eq!(rules(&services.resources()[0].posture().findings), [""; 0], "{name} = {value}");
        // On the connection that the probe used.
        assert_eq!(shown(&services, name).await, value, "{name}");
        let _ = services.detach().await;
        server.sql("ALTER ROLE app RESET ALL");
    }
    // The driver sets these itself. A connection's startup parameters override the role's settings.
    for (name, value) in [
        ("client_encoding", "sjis"),
        ("client_encoding", "latin1"),
        ("datestyle", "German, DMY"),
        ("timezone", "Asia/Tokyo"),
    ] {
        server.sql(&format!("ALTER ROLE app SET {name} = '{value}'"));
        let services: T = attach(&pairs(&variables)).await.unwrap();
        assert_eq!(privileges(&services).await, usual, "{name} = {value}");
        let _ = services.detach().await;
        server.sql("ALTER ROLE app RESET ALL");
    }
    // The current role is checked in addition to the login role. The login role stays the same.
    server.sql(
        "CREATE ROLE team CREATEDB; GRANT team TO app; ALTER ROLE app SET role = 'team'; \
         ALTER ROLE app SET search_path = evil",
    );
    let finding = one::<T>(&server, "app", DATABASE, "superuser_account", "role").await;
    assert!(finding.message().contains("CREATEDB"), "{finding}");
    // `session_authorization` as a setting of a role does not change the user of its sessions.
    server.sql(
        "REVOKE team FROM app; ALTER ROLE app RESET ALL; \
         ALTER ROLE app SET session_authorization = 'team'",
    );
    clean::<T>(&server, "app", DATABASE, "`session_authorization` has no effect").await;
}

#[tokio::test]
async fn no_setting_of_the_account_changes_the_answer_and_the_application_keeps_them() {
    settings::<Odd>(async |shop, name| {
        let pool = shop.orders.client();
        let client = pool.get().await.unwrap();
        client.query_one(&format!("SHOW {name}"), &[]).await.unwrap().get(0)
    })
    .await;
}

#[tokio::test]
async fn no_setting_of_the_account_changes_the_answer_to_sqlx_and_the_application_keeps_them() {
    settings::<OddBySqlx>(async |shop, name| {
        let pool = shop.orders.client();
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SHOW {name}")))
            .fetch_one(&*pool)
            .await
            .unwrap()
    })
    .await;
}

/// PostgreSQL applies no row-level policy to a built-in relation.
#[tokio::test]
async fn a_policy_on_a_catalog_hides_nothing() {
    let server = server::Postgres::start();
    server.script(
        DATABASE,
        &format!(
            "SET allow_system_table_mods = on; GRANT pg_monitor TO {USER};
             ALTER TABLE pg_catalog.pg_auth_members ENABLE ROW LEVEL SECURITY;
             ALTER TABLE pg_catalog.pg_authid ENABLE ROW LEVEL SECURITY;"
        ),
    );
    for setting in ["on", "off"] {
        server.sql(&format!("ALTER ROLE {USER} SET row_security = {setting}"));
        let finding = one::<Shop>(&server, USER, DATABASE, "superuser_account", setting).await;
        assert!(finding.message().contains("pg_monitor"), "{finding}");
    }
}
