//! MySQL and MariaDB: real servers, good and bad ones, and hostile ones.

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use backing_services::posture::TrustPosture;
use backing_services::{AttachError, BackingServices, MySql, Resource};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::{self, ADMIN_PASSWORD, CANARY, PASSWORD};
use backing_services_tests::hostile::ESCAPES;
use backing_services_tests::hostile::mysql::{
    CAPABILITIES, MARIADB, MYSQL, SSL, admitting, error as error_packet, greeting, greeting_of, ok,
    packet, results, rows, startup, startup_of, switch,
};
use backing_services_tests::hostile::{Heard, Hostile, Peer};
use backing_services_tests::journal;
use backing_services_tests::mariadb::{ADMIN, DATABASE, MariaDb, Options, USER};
use backing_services_tests::pki::{Authority, Leaf};
use backing_services_tests::variables::{self, Variables};
use sqlx::Row as _;

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    orders: Resource<MySql>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 2)]
struct Hasty {
    orders: Resource<MySql>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Waived {
    #[service(allow(
        superuser_account,
        reason = "the vendor ships one account",
        until = "2099-12-31"
    ))]
    orders: Resource<MySql>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 2)]
struct Lenient {
    #[service(allow(weak_authentication, reason = "the appliance knows nothing better"))]
    orders: Resource<MySql>,
}

/// No test here waits for a deadline unless it says so.
const SOON: Duration = Duration::from_secs(10);

/// The upper bound for a hasty attempt that runs into its deadline, which includes noticing the
/// end.
const LIMIT: Duration = Duration::from_secs(3);

/// The server that most tests share.
static SERVER: LazyLock<MariaDb> = LazyLock::new(|| {
    let authority = Authority::new("the tests' authority");
    let mut options = Options::tls(authority.server());
    options.client_ca = Some(authority.pem());
    options.arguments = vec!["--plugin-load-add=auth_ed25519".to_owned()];
    let server = MariaDb::with(authority, &options);
    let create = |name: &str, rest: &str| {
        format!("CREATE USER '{name}'@'%' IDENTIFIED BY '{PASSWORD}'; {rest};")
    };
    let _ = server.sql(&format!(
        "{}{}{}{}{}{}{}{}{}{}
         CREATE USER with_ed25519@'%' IDENTIFIED VIA ed25519 USING PASSWORD('{PASSWORD}');
         CREATE USER with_certificate@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE X509;
         CREATE USER locked_out@'%' IDENTIFIED BY '{PASSWORD}' ACCOUNT LOCK;
         CREATE USER root@'%' IDENTIFIED BY '{PASSWORD}';",
        create("file_reader", "GRANT FILE ON *.* TO file_reader@'%'"),
        create("process_viewer", "GRANT PROCESS ON *.* TO process_viewer@'%'"),
        create("user_creator", "GRANT CREATE USER ON *.* TO user_creator@'%'"),
        create("global_reader", "GRANT SELECT ON *.* TO global_reader@'%'"),
        create(
            "granter",
            &format!("GRANT SELECT ON {DATABASE}.* TO granter@'%' WITH GRANT OPTION")
        ),
        create("grants_reader", "GRANT SELECT ON mysql.* TO grants_reader@'%'"),
        create(
            "via_role",
            "CREATE ROLE admin_role; GRANT SUPER ON *.* TO admin_role; \
             GRANT admin_role TO via_role@'%'"
        ),
        create(
            "via_inner_role",
            "CREATE ROLE outer_role; GRANT admin_role TO outer_role; \
             GRANT outer_role TO via_inner_role@'%'"
        ),
        create(
            "role_aware",
            &format!(
                "CREATE ROLE reader_role; GRANT SELECT ON {DATABASE}.* TO reader_role; \
             GRANT reader_role TO role_aware@'%'"
            )
        ),
        create("frugal", &format!("GRANT ALL PRIVILEGES ON {DATABASE}.* TO frugal@'%'")),
    ));
    server
});

fn variables(server: &MariaDb) -> Variables {
    variables::of("SHOP_ORDERS", server.locator(), PASSWORD, server.authority.pem())
}

fn as_user(server: &MariaDb, user: &str, password: &str) -> Variables {
    variables::of(
        "SHOP_ORDERS",
        format!("mariadb://{user}@localhost:{}", server.port),
        password,
        server.authority.pem(),
    )
}

// --- Accepted ------------------------------------------------------------------------------------

#[tokio::test]
async fn attaches_and_the_posture_is_true() {
    let server = MariaDb::start();
    let before = SystemTime::now();
    let shop: Shop = attach(&variables(&server)).await.unwrap();

    let posture = shop.orders.posture();
    let tls = posture.tls.as_ref().unwrap();
    assert_eq!(tls.version, "TLS 1.3");
    assert_eq!(
        posture.server.as_ref().map(ToString::to_string).as_deref(),
        Some(format!("MariaDB {}", server.sql("SELECT VERSION()")).as_str())
    );
    assert_eq!(posture.account.as_deref(), Some(format!("{USER}@%").as_str()));
    assert_eq!(posture.authentication.as_deref(), Some("mysql_native_password"));
    assert_eq!(posture.service, "MySQL");
    assert_eq!(posture.endpoint, format!("mysql://localhost:{}/{DATABASE}", server.port));
    assert_eq!(tls.trust, TrustPosture::PrivateCa);
    assert!(posture.taken_at >= before && posture.taken_at <= SystemTime::now());
    // A warning only: it is what an account of MariaDB has, unless its creator chose another one.
    assert_eq!(rules(&posture.findings), ["weak_authentication"]);
    assert!(!posture.findings[0].is_denied());
    assert_eq!(posture.remarks.len(), 1, "{:?}", posture.remarks);
    assert!(posture.remarks[0].contains("one statement be several"));

    let orders = shop.orders.client();
    sqlx::query("INSERT INTO orders VALUES (?)").bind(7).execute(&*orders).await.unwrap();
    assert_eq!(
        sqlx::query("SELECT id FROM orders").fetch_one(&*orders).await.unwrap().get::<i32, _>(0),
        7
    );
    // The server's own view of such a connection.
    let row =
        sqlx::query("SHOW SESSION STATUS LIKE 'Ssl_version'").fetch_one(&*orders).await.unwrap();
    assert_eq!(row.get_unchecked::<String, _>(1), "TLSv1.3");
    drop(orders);
    assert!(server.connections_of(USER) > 0);
    shop.detach().await;
    server.assert_no_connection_of(USER).await;
    assert!(server.heard().contains("using SSL/TLS"), "{}", server.heard());
    for said in [server.log(), server.heard()] {
        assert!(canary::find(said.as_bytes()).is_none());
    }
    journal::assert_silent();
}

#[tokio::test]
async fn every_connection_is_verified_and_bounded() {
    let mut variables = variables(&SERVER);
    variables[0].1 = format!(
        "{}?max_connections=4&statement_timeout=300",
        SERVER.locator().replace("localhost", "127.0.0.1")
    );
    let shop: Shop = attach(&variables).await.unwrap();
    let pool = shop.orders.client();
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(pool.acquire().await.unwrap());
    }
    for connection in &mut connections {
        let row = sqlx::query("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
            .fetch_one(&mut **connection)
            .await
            .unwrap();
        assert!(!row.get_unchecked::<String, _>(1).is_empty());
        let row =
            sqlx::query("SELECT @@max_statement_time").fetch_one(&mut **connection).await.unwrap();
        assert_eq!(row.get::<f64, _>(0), 0.3, "a statement is bounded on every connection");
        let begin = Instant::now();
        let slept = sqlx::query("SELECT SLEEP(30)").execute(&mut **connection).await;
        assert!(slept.is_err() && begin.elapsed() < SOON, "{slept:?}");
    }
    drop(connections);
    drop(pool);
    shop.detach().await;
}

// --- Refused -------------------------------------------------------------------------------------

#[tokio::test]
async fn an_administrator_is_refused() {
    for (user, password, power) in [
        (ADMIN, ADMIN_PASSWORD, "ALL PRIVILEGES"),
        ("root", PASSWORD, "`root`"),
        ("file_reader", PASSWORD, "FILE"),
        ("process_viewer", PASSWORD, "PROCESS"),
        ("user_creator", PASSWORD, "CREATE USER"),
        ("global_reader", PASSWORD, "SELECT"),
        ("granter", PASSWORD, "GRANT OPTION"),
        ("grants_reader", PASSWORD, "schema `mysql`"),
        // By way of a role that the account may activate, and of a role within that one.
        ("via_role", PASSWORD, "SUPER"),
        ("via_inner_role", PASSWORD, "SUPER"),
    ] {
        let error = refused::<Shop>(&as_user(&SERVER, user, password), SOON).await;
        assert_eq!(problems(&error), ["superuser_account"], "{user}");
        assert!(error.to_string().contains(power), "{user}: {error}");
        SERVER.assert_no_connection_of(user).await;
    }
}

/// MariaDB grants privileges to `PUBLIC`, directly or by way of a role. The test has a server of
/// its own.
#[tokio::test]
async fn privileges_of_public_make_an_administrator() {
    let server = MariaDb::start();
    // No account can activate such a role, and none has to. Its privilege does not make an
    // administrator.
    let _ = server.sql(&format!(
        "CREATE ROLE public_role; GRANT SELECT ON {DATABASE}.* TO public_role; \
         GRANT public_role TO PUBLIC"
    ));
    let shop: Shop = attach(&variables(&server)).await.unwrap();
    shop.detach().await;

    let _ = server.sql("GRANT FILE ON *.* TO PUBLIC");
    let error = refused::<Shop>(&variables(&server), SOON).await;
    assert_eq!(problems(&error), ["superuser_account"]);
    assert!(error.to_string().contains("FILE"), "{error}");

    let _ = server.sql("REVOKE FILE ON *.* FROM PUBLIC; GRANT PROCESS ON *.* TO public_role");
    let error = refused::<Shop>(&variables(&server), SOON).await;
    assert_eq!(problems(&error), ["superuser_account"]);
    assert!(error.to_string().contains("PROCESS"), "{error}");
}

#[tokio::test]
async fn ordinary_privileges_make_no_administrator() {
    for user in ["frugal", "role_aware"] {
        let shop: Shop = attach(&as_user(&SERVER, user, PASSWORD)).await.unwrap();
        // The connection that activated a role to inspect it is closed.
        let row =
            sqlx::query("SELECT CURRENT_ROLE()").fetch_one(&*shop.orders.client()).await.unwrap();
        assert_eq!(row.get_unchecked::<Option<String>, _>(0), None);
        shop.detach().await;
        SERVER.assert_no_connection_of(user).await;
    }
}

#[tokio::test]
async fn refused_logins() {
    for user in ["unknown", "locked_out", "with_certificate"] {
        assert_eq!(
            problems(&refused::<Shop>(&as_user(&SERVER, user, PASSWORD), SOON).await),
            ["authentication_failed"],
            "{user}"
        );
    }
    let wrong = "another-password-of-20-signs";
    let unproved = refused::<Shop>(&as_user(&SERVER, "with_ed25519", wrong), SOON).await;
    assert_eq!(problems(&unproved), ["authentication_failed"]);

    let mut variables = as_user(&SERVER, "frugal", PASSWORD);
    variables[0].1 += "/absent_db";
    let nowhere = refused::<Shop>(&variables, SOON).await;
    assert_eq!(problems(&nowhere).len(), 1, "{nowhere}");
    assert!(!nowhere.to_string().contains("absent_db"), "values are not repeated: {nowhere}");
}

#[tokio::test]
async fn refusals_before_a_connection() {
    let hostile = Hostile::start(|peer| async { Ok(Some(peer)) });
    let url = |user: &str, rest: &str| {
        format!("mysql://{user}@localhost:{}/{DATABASE}{rest}", hostile.port)
    };
    for (rest, rule) in [
        ("?ssl-mode=PREFERRED", "opportunistic_tls"),
        ("?sslmode=prefer", "opportunistic_tls"),
        ("?ssl-mode=misspelt", "opportunistic_tls"),
        ("?verify_ca=false", "unverified_tls"),
        ("?verify_identity=false", "unverified_tls"),
        ("?ssl-ca=/tmp/evil.pem", "unknown_parameter"),
        ("?ssl-cert=/tmp/evil.pem", "unknown_parameter"),
        ("?ssl-key=/tmp/evil.pem", "unknown_parameter"),
        ("?socket=/tmp/mysql.sock", "unknown_parameter"),
        ("?prefer_socket=true", "unknown_parameter"),
        ("?built_in_roots=true", "unknown_parameter"),
        ("?enable_cleartext_plugin=true", "unknown_parameter"),
        ("?secure_auth=false", "unknown_parameter"),
        ("?compression=fast", "unknown_parameter"),
        ("?local-infile=1", "unknown_parameter"),
        ("?allow-cleartext-passwords=1", "unknown_parameter"),
        ("?max_allowed_packet=1", "unknown_parameter"),
        ("?charset=gbk", "unknown_parameter"),
        ("?password=kanarie-7f3a-Wk0qShopZx84", "secret_in_parameter"),
        ("#insecure", ""),
        ("/second", "malformed_locator"),
    ] {
        let url = url(USER, rest);
        let error = refused::<Shop>(
            &[("SHOP_ORDERS_URL", url.as_str()), ("SHOP_ORDERS_PASSWORD", PASSWORD)],
            SOON,
        )
        .await;
        assert!(!problems(&error).is_empty(), "{rest}");
        assert!(rule.is_empty() || problems(&error).contains(&rule), "{rest}: {error}");
    }
    for shipped in ["root:root", "root:my-secret-pw", "mysql:mysql"] {
        let error = refused::<Shop>(&[("SHOP_ORDERS_URL", url(shipped, "").as_str())], SOON).await;
        assert!(problems(&error).contains(&"default_credentials"), "{error}");
    }
    assert!(hostile.heard().is_empty());
    // Platforms write the parameter like this.
    let mut variables = variables(&SERVER);
    variables[0].1 += "?ssl-mode=REQUIRED";
    let shop: Shop = attach(&variables).await.unwrap();
    shop.detach().await;
}

/// A build with `debug_assertions` allows plaintext to the loopback address, but never sends the
/// password in the clear.
#[tokio::test]
async fn without_tls_the_password_is_not_shown() {
    let server = MariaDb::with(Authority::new("an unused authority"), &Options::default());
    let variables = [
        ("SHOP_ORDERS_URL", format!("{}?ssl-mode=disabled", server.locator())),
        ("SHOP_ORDERS_PASSWORD", PASSWORD.to_owned()),
    ];
    let shop: Shop = attach(&variables).await.unwrap();
    assert_eq!(shop.orders.posture().tls, None);
    shop.detach().await;

    for plugin in ["mysql_clear_password", "sha256_password"] {
        let hostile = Hostile::start(move |mut peer| async move {
            peer.write(greeting(plugin, CAPABILITIES & !SSL)).await?;
            peer.read().await?;
            peer.write(switch(2, NATIVE)).await?;
            Ok(Some(peer))
        });
        let url = format!("mysql://{USER}@localhost:{}/{DATABASE}?ssl-mode=disabled", hostile.port);
        let error = refused::<Hasty>(
            &[("SHOP_ORDERS_URL", url.as_str()), ("SHOP_ORDERS_PASSWORD", PASSWORD)],
            LIMIT,
        )
        .await;
        assert_eq!(problems(&error), ["weak_authentication"]);
        assert!(hostile.heard().iter().all(|heard| canary::find(&heard.plain).is_none()));
    }
}

// --- Hostile servers -----------------------------------------------------------------------------

const NATIVE: &str = "mysql_native_password";

fn locator_of(hostile: &Hostile, authority: &Authority) -> Variables {
    variables::of(
        "SHOP_ORDERS",
        format!("mysql://{USER}@localhost:{}/{DATABASE}", hostile.port),
        PASSWORD,
        authority.pem(),
    )
}

/// Attaches to a server that plays a script. The attempt has to fail. Returns the report and what
/// the server received. No name was sent in the clear, and the password was not sent at all.
async fn against<T, F>(
    script: impl Fn(Peer, Arc<Leaf>) -> F + Send + Sync + 'static,
) -> (AttachError, Vec<Heard>)
where
    T: BackingServices,
    F: Future<Output = io::Result<Option<Peer>>> + Send + 'static,
{
    let authority = Authority::new("the tests' authority");
    let leaf = Arc::new(authority.server());
    let hostile = Hostile::start(move |peer| script(peer, Arc::clone(&leaf)));
    let error = refused::<T>(&locator_of(&hostile, &authority), LIMIT).await;
    hostile.assert_all_closed().await;
    let heard = hostile.heard();
    assert!(!heard.is_empty(), "no peer connected");
    for heard in &heard {
        for name in [USER, DATABASE, CANARY] {
            assert!(
                canary::position(&heard.plain, name.as_bytes()).is_none(),
                "{name} was said in the clear"
            );
        }
        assert!(canary::find(&heard.secret).is_none(), "the password was sent");
    }
    assert!(!error.to_string().contains("owned"), "{error}");
    (error, heard)
}

/// Like [`against`], with bytes that the server sends before it reads anything.
async fn greeted_by(bytes: Vec<u8>) -> (AttachError, Vec<Heard>) {
    let bytes = Arc::new(bytes);
    against::<Hasty, _>(move |mut peer, _| {
        let bytes = Arc::clone(&bytes);
        async move {
            peer.write(&*bytes).await?;
            Ok(Some(peer))
        }
    })
    .await
}

#[tokio::test]
async fn a_greeting_without_tls_ends_the_attempt() {
    for plugin in [NATIVE, "mysql_clear_password", "caching_sha2_password"] {
        let (error, heard) = greeted_by(greeting(plugin, CAPABILITIES & !SSL)).await;
        assert_eq!(problems(&error), ["opportunistic_tls"], "{plugin}");
        assert_eq!(heard.len(), 1, "there is no second try");
        assert!(heard[0].plain.is_empty(), "not a byte was said");
    }
}

#[tokio::test]
async fn bytes_before_tls_are_not_trusted() {
    let early = [greeting(NATIVE, CAPABILITIES), ok(2)].concat();
    let (error, heard) = greeted_by(early).await;
    assert_eq!(problems(&error), ["opportunistic_tls"]);
    // The request for TLS, which names no user, and no handshake.
    assert_eq!(heard[0].plain.len(), 36);
}

#[tokio::test]
async fn malformed_greetings() {
    for bytes in [
        b"\0\0\0\0".to_vec(),
        b"\xff\xff\xff\0".to_vec(),
        b"\x01\x10\0\0".to_vec(),
        packet(0, b"\x09old"),
        packet(0, b"\x0a"),
        packet(0, &[0x0a; 4000]),
        packet(0, b"HTTP/1.1 400 Bad Request"),
        greeting(NATIVE, SSL),
        greeting_of("8.0\u{1b}[2J", NATIVE, CAPABILITIES),
        error_packet(0, 1040, ESCAPES),
        error_packet(0, 1129, ESCAPES),
        error_packet(0, 65_535, ESCAPES),
    ] {
        // The attempt does not wait for an endless packet.
        let (error, heard) = greeted_by(bytes.clone()).await;
        assert_eq!(error.failures().count(), 1, "{bytes:?}: {error}");
        assert!(heard[0].plain.is_empty());
    }
}

/// The plugin of the greeting arrives without TLS. It chooses nothing.
#[tokio::test]
async fn a_greeting_that_wants_the_password_gets_nothing() {
    for plugin in
        ["mysql_clear_password", "mysql_old_password", "sha256_password", "client_ed25519", ESCAPES]
    {
        let (error, heard) = against::<Hasty, _>(move |peer, leaf| async move {
            let mut peer = startup(peer, &leaf, plugin).await?;
            peer.write(switch(3, NATIVE)).await?;
            Ok(Some(peer))
        })
        .await;
        assert_eq!(problems(&error), ["weak_authentication"], "{plugin}");
        assert_eq!(heard.len(), 1);
    }
}

#[tokio::test]
async fn an_account_that_wants_less_than_a_proof_gets_nothing() {
    for (answer, problem) in [
        (switch(3, "mysql_clear_password"), "weak_authentication"),
        (switch(3, "sha256_password"), "weak_authentication"),
        (switch(3, "mysql_old_password"), "weak_authentication"),
        (switch(3, "dialog"), "weak_authentication"),
        (packet(3, b"\xfe"), "weak_authentication"),
        (ok(3), "weak_authentication"),
        (switch(3, "authentication_ldap_sasl_client"), "authentication_failed"),
        (switch(3, ESCAPES), "authentication_failed"),
        // The nonces are too short.
        (switch(3, "client_ed25519"), "protocol"),
        (switch(3, "parsec"), "protocol"),
        (packet(3, b"\x01"), "protocol"),
        (packet(3, b"\x01-----BEGIN PUBLIC KEY-----"), "protocol"),
        (packet(3, b"\x02second\0"), "protocol"),
        (error_packet(3, 1045, ESCAPES), "authentication_failed"),
        (error_packet(3, 9, ESCAPES), "unavailable"),
        (b"\xff\xff\xff\x03".to_vec(), "protocol"),
        (Vec::new(), "timed_out"),
    ] {
        let answer = Arc::new(answer);
        let (error, heard) = against::<Hasty, _>(move |peer, leaf| {
            let answer = Arc::clone(&answer);
            async move {
                let mut peer = startup(peer, &leaf, NATIVE).await?;
                peer.write(&*answer).await?;
                Ok(Some(peer))
            }
        })
        .await;
        assert_eq!(problems(&error), [problem], "{error}");
        assert_eq!(heard.len(), 1);
        // A user, and a proof of 32 bytes for the server's nonce.
        let begin = [USER.as_bytes(), b"\0\x20"].concat();
        let end = format!("{DATABASE}\0caching_sha2_password\0");
        let said = &heard[0].secret;
        assert!(canary::position(said, &begin).is_some());
        assert!(canary::position(said, end.as_bytes()).is_some());
    }
}

const ME: &str = "winkelier@%";
const MY_LOGIN: &str = "winkelier@localhost";
const MY_GRANT: &str = "GRANT USAGE ON *.* TO `winkelier`@`%`";

/// The answers of a server to the questions of the probe.
#[derive(Clone)]
struct Answers {
    who: Vec<u8>,
    tls: Vec<u8>,
    naming: Vec<u8>,
    schemas: Vec<u8>,
    grants: Vec<u8>,
    /// The answers to the second question, after the one that fixes the settings.
    roles: Vec<Vec<u8>>,
}

impl Answers {
    fn good() -> Self {
        Self {
            who: rows(4, &[&[Some(MYSQL), Some(ME), Some(MY_LOGIN), Some("0")]]),
            tls: rows(2, &[&[Some("Ssl_cipher"), Some("TLS_AES_256_GCM_SHA384")]]),
            naming: rows(2, &[&[Some("partial_revokes"), Some("OFF")]]),
            schemas: rows(
                5,
                &[&[Some("information_schema"), Some("0"), Some("0"), Some("0"), Some("0")]],
            ),
            grants: lines(&[MY_GRANT]),
            roles: Vec::new(),
        }
    }

    fn first(&self) -> Vec<u8> {
        let Self { who, tls, naming, schemas, grants, .. } = self;
        // An error is the last answer. After silence, there is no other answer.
        if who.is_empty() || who[4] == 0xff {
            return who.clone();
        }
        let (who, tls, naming) = (who.clone(), tls.clone(), naming.clone());
        results(&[ok(1), who, tls, naming, schemas.clone(), grants.clone(), ok(1)])
    }
}

/// The rows of `SHOW GRANTS`.
fn lines(lines: &[&str]) -> Vec<u8> {
    let lines: Vec<_> = lines.iter().map(|line| [Some(*line)]).collect();
    rows(1, &lines.iter().map(<[_; 1]>::as_slice).collect::<Vec<_>>())
}

/// The row that separates the roles.
fn mark() -> Vec<u8> {
    rows(4, &[&[Some("0"); 4]])
}

/// Admits every login, and answers.
async fn answering(peer: Peer, leaf: Arc<Leaf>, answers: Arc<Answers>) -> io::Result<Option<Peer>> {
    let mut peer = admitting(peer, &leaf).await?;
    loop {
        let statement = peer.read().await?;
        let text = String::from_utf8_lossy(&statement).into_owned();
        let answer = match text.get(5..).unwrap_or_default() {
            text if text.contains("VERSION()") => answers.first(),
            text if text.contains("SHOW GRANTS FOR") => {
                results(&[&[ok(1)], answers.roles.as_slice()].concat())
            }
            _ => ok(1),
        };
        peer.write(answer).await?;
    }
}

async fn probed(answers: Answers) -> AttachError {
    let answers = Arc::new(answers);
    against::<Hasty, _>(move |peer, leaf| answering(peer, leaf, Arc::clone(&answers))).await.0
}

#[tokio::test]
async fn a_probe_fails_closed() {
    let good = Answers::good;
    let grants = |granted: &[&str]| Answers { grants: lines(granted), ..good() };
    let who = |who: &[&[Option<&str>]]| Answers { who: rows(4, who), ..good() };
    let me = [Some(MYSQL), Some(ME), Some(MY_LOGIN), Some("0")];
    let role = "GRANT `admin_role` TO `winkelier`@`%`";
    let maria = |roles: Vec<Vec<u8>>| Answers {
        roles,
        ..who(&[&[Some("11.4.2-MariaDB"), Some(ME), Some(MY_LOGIN), Some("0")]])
    };
    let taking = |roles: Vec<Vec<u8>>| Answers { grants: lines(&[MY_GRANT, role]), ..maria(roles) };
    let inner = || lines(&["GRANT USAGE ON *.* TO `admin_role`"]);
    for (what, answers) in [
        ("no account", who(&[])),
        ("two of us", who(&[&me, &me])),
        ("no name", who(&[&[Some(MYSQL), None, Some(MY_LOGIN), Some("0")]])),
        ("no login", who(&[&[Some(MYSQL), Some(ME), None, Some("0")]])),
        ("no naming", who(&[&[Some(MYSQL), Some(ME), Some(MY_LOGIN), None]])),
        ("one column", Answers { who: rows(1, &[&[Some(MYSQL)]]), ..good() }),
        ("six columns", Answers { naming: rows(6, &[&[Some("a"); 6]]), ..good() }),
        ("no schemas", Answers { schemas: rows(5, &[]), ..good() }),
        ("a schema without a name", Answers { schemas: rows(5, &[&[None; 5]]), ..good() }),
        (
            "public access to the accounts",
            Answers { schemas: rows(5, &[&[Some("mysql"); 5]]), ..good() },
        ),
        ("no rows", Answers { who: ok(1), ..good() }),
        ("an error", Answers { who: error_packet(1, 1227, ESCAPES), ..good() }),
        ("silence", Answers { who: Vec::new(), ..good() }),
        ("no word on TLS", Answers { tls: rows(2, &[]), ..good() }),
        ("no value for TLS", Answers { tls: rows(2, &[&[Some("Ssl_cipher"), None]]), ..good() }),
        (
            "a variable that was not asked for",
            Answers { naming: rows(2, &[&[Some("owned"), Some("OFF")]]), ..good() },
        ),
        ("no grants", grants(&[])),
        ("a grant of nothing", Answers { grants: rows(1, &[&[None]]), ..good() }),
        ("another account's grants", grants(&["GRANT USAGE ON *.* TO `winkelier`@`localhost`"])),
        ("a line that is not a grant", grants(&[MY_GRANT, "DROP TABLE orders"])),
        (
            "a grant with an end of its own",
            grants(&["GRANT `r`; DROP TABLE orders TO `winkelier`@`%`"]),
        ),
        (
            "a privilege with an end of its own",
            grants(&[MY_GRANT, "GRANT SELECT; DROP ON `a`.* TO `winkelier`@`%`"]),
        ),
        ("an administrator", grants(&[MY_GRANT, "GRANT \u{1b}[2J ON *.* TO `winkelier`@`%`"])),
        (
            "an empty name",
            Answers {
                grants: lines(&["GRANT USAGE ON *.* TO ``@`%`"]),
                ..who(&[&[Some(MYSQL), Some("@%"), Some(MY_LOGIN), Some("0")]])
            },
        ),
        (
            "root",
            Answers {
                grants: lines(&["GRANT USAGE ON *.* TO `root`@`%`"]),
                ..who(&[&[Some(MYSQL), Some("root@%"), Some(MY_LOGIN), Some("0")]])
            },
        ),
        ("no word on a role", taking(Vec::new())),
        ("a mark and no word", taking(vec![mark()])),
        ("a word without a mark", taking(vec![inner()])),
        ("a mark too many", taking(vec![mark(), inner(), mark(), inner()])),
        ("another role", taking(vec![mark(), lines(&["GRANT USAGE ON *.* TO `other_role`"])])),
        (
            "a role where there is none",
            Answers { grants: results(&[lines(&[MY_GRANT]), mark(), inner()]), ..good() },
        ),
    ] {
        let error = probed(answers).await;
        let problem = match what {
            "an error" => "authentication_failed",
            "silence" => "timed_out",
            _ => "superuser_account",
        };
        assert_eq!(problems(&error), [problem], "{what}: {error}");
    }
}

/// MySQL reports a role's privileges together with the account's. The role's name becomes part of
/// the question.
#[tokio::test]
async fn a_role_brings_its_privileges() {
    let granted = "GRANT `admin_role`@`%`,`s``x`@`localhost` TO `winkelier`@`%`";
    let answers = Answers {
        grants: lines(&[MY_GRANT, granted]),
        roles: vec![
            ok(1),
            lines(&[MY_GRANT, granted]),
            mark(),
            lines(&[MY_GRANT, granted]),
            mark(),
            lines(&["GRANT SUPER ON *.* TO `winkelier`@`%`", granted]),
        ],
        ..Answers::good()
    };
    let error = probed(answers).await;
    assert_eq!(problems(&error), ["superuser_account"]);
    assert!(
        error.to_string().contains("it has SUPER ON *.*, by way of the role `s``x`@`localhost`"),
        "{error}"
    );
    assert!(
        error.to_string().contains("REVOKE `s``x`@`localhost` FROM `winkelier`@`%`;"),
        "{error}"
    );
}

/// If the server's view of the connection's TLS differs from ours, it is reported.
#[tokio::test]
async fn a_tls_proxy_in_between_is_reported() {
    let authority = Authority::new("the tests' authority");
    for (cipher, version, says) in [
        ("TLS_AES_256_GCM_SHA384", "TLSv1.3", None),
        ("", "", Some("reached it without TLS")),
        (
            "AES128-SHA",
            "TLSv1.1\u{1b}[2J",
            Some("reached it by TLSv1.1\\u{1b}[2J, and it left by TLS 1.3"),
        ),
    ] {
        let tls =
            rows(2, &[&[Some("Ssl_cipher"), Some(cipher)], &[Some("Ssl_version"), Some(version)]]);
        let (leaf, answers) =
            (Arc::new(authority.server()), Arc::new(Answers { tls, ..Answers::good() }));
        let hostile =
            Hostile::start(move |peer| answering(peer, Arc::clone(&leaf), Arc::clone(&answers)));
        let shop: Hasty = attach(&locator_of(&hostile, &authority)).await.unwrap();
        let posture = shop.orders.posture();
        let told = posture
            .findings
            .iter()
            .find(|finding| finding.rule().name == "unverified_tls")
            .map(ToString::to_string);
        assert_eq!(told.is_some(), says.is_some(), "{version}: {told:?}");
        assert!(told.unwrap_or_default().contains(says.unwrap_or_default()), "{version}");
        shop.detach().await;
    }
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 2)]
struct Needing {
    #[service(needs = "SELECT ON orders")]
    orders: Resource<MySql>,
}

/// Privileges that a server reports are shown without what a terminal would obey, and an
/// administrator can run the statement unchanged.
#[tokio::test]
async fn a_hostile_name_is_only_a_name() {
    let name = format!(
        "GRANT SELECT (`x`) ON `a``; DROP DATABASE b; -- \u{1b}[2J`.`{}` TO `winkelier`@`%`",
        "o".repeat(40)
    );
    let answers = Arc::new(Answers { grants: lines(&[MY_GRANT, &name]), ..Answers::good() });
    let (error, _) =
        against::<Needing, _>(move |peer, leaf| answering(peer, leaf, Arc::clone(&answers))).await;
    assert_eq!(problems(&error), ["missing_privileges", "excess_privileges"], "{error}");
    let text = error.to_string();
    let fix = format!(
        "REVOKE SELECT (`x`) ON `a``; DROP DATABASE b; -- \\u{{1b}}[2J`.`{}` FROM `winkelier`@`%`;",
        "o".repeat(40)
    );
    assert!(text.contains(&fix) && !text.contains('\u{1b}'), "{text}");
}

/// Settings of the session that hide lines, change or omit quotation marks, and a function with the
/// name of a built-in one: the server gives them to every account at its login.
#[tokio::test]
async fn no_setting_of_the_session_changes_what_the_probe_asks() {
    let authority = Authority::new("the tests' authority");
    let mut options = Options::tls(authority.server());
    let settings = "SET sql_mode = 'ORACLE,ANSI_QUOTES,NO_BACKSLASH_ESCAPES,IGNORE_SPACE,\
        PAD_CHAR_TO_FULL_LENGTH', \
        sql_select_limit = 1, sql_quote_show_create = 0, character_set_results = ucs2, \
        lc_messages = 'de_DE'";
    options.arguments = vec![format!("--init-connect={settings}")];
    let server = MariaDb::with(authority, &options);
    server.script(
        DATABASE,
        &format!(
            "CREATE TABLE Gr\u{f6}\u{df}e (id int); GRANT SELECT ON Gr\u{f6}\u{df}e TO {USER}@'%';
         CREATE FUNCTION version() RETURNS text RETURN 'another server'; \
         GRANT EXECUTE ON FUNCTION version TO {USER}@'%'"
        ),
    );
    let shop: Shop = attach(&variables(&server)).await.unwrap();
    let posture = shop.orders.posture();
    for privilege in [
        format!("SELECT ON TABLE {DATABASE}.`Gr\u{f6}\u{df}e`"),
        format!("INSERT ON TABLE {DATABASE}.orders"),
    ] {
        assert!(posture.privileges.contains(&privilege), "{privilege}: {:?}", posture.privileges);
    }
    assert!(posture.server.as_ref().unwrap().to_string().contains("MariaDB 10."), "{posture}");
    let heard = server.heard();
    let probe = heard
        .lines()
        .find(|line| line.contains("@backing_services_sql_mode = @@SESSION.sql_mode"))
        .expect("it is fixed");
    assert!(
        probe.contains("SESSION sql_mode = '', ")
            && probe.contains("SESSION sql_select_limit = 18446744073709551615")
    );
    let asks = |what: &str| heard.find(what).expect("it asks");
    assert!(
        asks("@backing_services_sql_mode = @@SESSION") < asks("SELECT VERSION(), CURRENT_USER()"),
        "it is the first statement"
    );

    // The connection of the probe then has the same settings as the others.
    let pool = shop.orders.client();
    let (mut first, mut second) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let mut seen = Vec::new();
    for connection in [&mut *first, &mut *second] {
        let row = sqlx::query(
            "SELECT @@sql_mode, @@sql_select_limit, @@sql_quote_show_create, \
             @backing_services_sql_mode",
        )
        .fetch_one(connection)
        .await
        .unwrap();
        let mode: String = row.get_unchecked(0);
        assert!(mode.contains("ANSI_QUOTES") && mode.contains("PIPES_AS_CONCAT"), "{mode}");
        seen.push((
            mode,
            row.get_unchecked::<u64, _>(1),
            row.get_unchecked::<i64, _>(2),
            row.get_unchecked::<Option<String>, _>(3),
        ));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!((seen[0].1, seen[0].2, &seen[0].3), (1, 0, &None));
    drop((first, second, pool));
    shop.detach().await;

    // The same holds for a role's privileges, which another statement asks for.
    server.script(
        DATABASE,
        &format!(
            "CREATE ROLE reader_role; GRANT DELETE ON Gr\u{f6}\u{df}e TO reader_role; \
             CREATE USER role_aware@'%' IDENTIFIED BY '{PASSWORD}';
             GRANT SELECT ON orders TO role_aware@'%'; GRANT reader_role TO role_aware@'%'"
        ),
    );
    let shop: Shop = attach(&as_user(&server, "role_aware", PASSWORD)).await.unwrap();
    let privileges = shop.orders.posture().privileges.clone();
    assert!(
        privileges
            .iter()
            .any(|privilege| privilege.contains("DELETE ON TABLE") && privilege.contains('\u{df}')),
        "{privileges:?}"
    );
    shop.detach().await;
}

/// A pooler that logs in under another name, and a server that maps a login to another account.
#[tokio::test]
async fn an_account_other_than_the_requested_one_is_reported() {
    let renamed = |posture: &backing_services::posture::Posture| {
        posture
            .remarks
            .iter()
            .any(|remark| remark.contains("another account than the one that was asked for"))
    };
    let authority = Authority::new("the tests' authority");
    for (account, login, is_renamed) in [
        (ME, MY_LOGIN, false),
        ("winkelier@10.%", "winkelier@pooler", false),
        ("pooler@%", "pooler@localhost", true),
        ("reader_role@%", MY_LOGIN, true),
        (ME, "Winkelier@localhost", true),
    ] {
        let granted = format!(
            "GRANT USAGE ON *.* TO `{}`@`{}`",
            account.split('@').next().unwrap(),
            account.split('@').nth(1).unwrap()
        );
        let who = rows(4, &[&[Some(MYSQL), Some(account), Some(login), Some("0")]]);
        let (leaf, answers) = (
            Arc::new(authority.server()),
            Arc::new(Answers { who, grants: lines(&[&granted]), ..Answers::good() }),
        );
        let hostile =
            Hostile::start(move |peer| answering(peer, Arc::clone(&leaf), Arc::clone(&answers)));
        let shop: Hasty = attach(&locator_of(&hostile, &authority)).await.unwrap();
        let posture = shop.orders.posture();
        assert_eq!(
            (posture.account.as_deref(), renamed(&posture)),
            (Some(account), is_renamed),
            "{account} {login}"
        );
        shop.detach().await;
    }

    // The privileges of the actual account count, not those of the requested one.
    let who = rows(4, &[&[Some(MYSQL), Some("admin_role@%"), Some(MY_LOGIN), Some("0")]]);
    let error = probed(Answers {
        who,
        grants: lines(&["GRANT SUPER ON *.* TO `admin_role`@`%`"]),
        ..Answers::good()
    })
    .await;
    assert_eq!(problems(&error), ["superuser_account"]);

    // A real server with an account without a name: an unknown user is admitted as that account.
    let server = MariaDb::start();
    let _ = server.sql(&format!(
        "CREATE USER ''@'%' IDENTIFIED BY '{PASSWORD}'; GRANT SELECT ON {DATABASE}.orders TO ''@'%'"
    ));
    let error = refused::<Shop>(&as_user(&server, "anyone", PASSWORD), SOON).await;
    assert_eq!(problems(&error), ["superuser_account"], "{error}");
    let shop: Waived = attach(&as_user(&server, "anyone", PASSWORD)).await.unwrap();
    let posture = shop.orders.posture();
    assert_eq!((posture.account.as_deref(), renamed(&posture)), (Some("@%"), true));
    shop.detach().await;
    let shop: Shop = attach(&variables(&server)).await.unwrap();
    assert!(!renamed(&shop.orders.posture()));
    shop.detach().await;
}

/// MySQL has better authentication than SHA-1, and MariaDB has not.
#[tokio::test]
async fn the_product_decides_what_is_weak() {
    async fn native(
        peer: Peer,
        leaf: Arc<Leaf>,
        greeted: &'static str,
        version: &'static str,
    ) -> io::Result<Option<Peer>> {
        let mut peer = startup_of(peer, &leaf, greeted, NATIVE).await?;
        peer.write(switch(3, NATIVE)).await?;
        peer.read().await?;
        peer.write(ok(5)).await?;
        loop {
            let statement = peer.read().await?;
            let text = String::from_utf8_lossy(&statement).into_owned();
            let good = Answers {
                who: rows(4, &[&[Some(version), Some(ME), Some(MY_LOGIN), Some("0")]]),
                ..Answers::good()
            };
            let answer = if text.contains("VERSION()") { good.first() } else { ok(1) };
            peer.write(answer).await?;
        }
    }
    let (error, _) = against::<Hasty, _>(|peer, leaf| native(peer, leaf, MYSQL, MYSQL)).await;
    assert_eq!(problems(&error), ["weak_authentication"]);
    assert!(error.to_string().contains("caching_sha2_password"), "{error}");

    let authority = Authority::new("the tests' authority");
    let leaf = Arc::new(authority.server());
    let escapes = "11.4.2-MariaDB\u{1b}[2J\r\nroot:";
    let hostile = Hostile::start(move |peer| native(peer, Arc::clone(&leaf), MARIADB, escapes));
    let shop: Hasty = attach(&locator_of(&hostile, &authority)).await.unwrap();
    let posture = shop.orders.posture();
    assert_eq!(rules(&posture.findings), ["weak_authentication"]);
    assert_eq!(
        posture.server.as_ref().map(ToString::to_string).as_deref(),
        Some("MariaDB 11.4.2-MariaDB\\u{1b}[2J\\r\\nroot:")
    );
    shop.detach().await;
    // A greeting without TLS can pretend that the server is MariaDB.
    let (error, _) = against::<Hasty, _>(|peer, leaf| native(peer, leaf, MARIADB, MYSQL)).await;
    assert_eq!(problems(&error), ["weak_authentication"]);
    // With a waiver, MySQL's is accepted too.
    let leaf = Arc::new(authority.server());
    let hostile = Hostile::start(move |peer| native(peer, Arc::clone(&leaf), MYSQL, MYSQL));
    let shop: Lenient = attach(&locator_of(&hostile, &authority)).await.unwrap();
    assert_eq!(
        shop.orders.posture().findings[0].waived_because(),
        Some("the appliance knows nothing better")
    );
    shop.detach().await;
    journal::assert_silent();
}
