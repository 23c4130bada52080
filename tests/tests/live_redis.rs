//! Redis: valid and faulty servers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ::redis::AsyncCommands as _;
use backing_services::posture::TrustPosture;
use backing_services::problem::FailureKind;
use backing_services::service::Refusal;
use backing_services::{BackingServices, Redis, Resource};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::{self, ADMIN_PASSWORD, PASSWORD, WRONG_PASSWORD};
use backing_services_tests::folder::Folder;
use backing_services_tests::hostile::Hostile;
use backing_services_tests::pki::{self, Authority, Leaf};
use backing_services_tests::process::find;
use backing_services_tests::redis::{self as server, ADMIN, Options, USER};
use backing_services_tests::relay::{Flow, Relay};
use backing_services_tests::{journal, port};

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    sessions: Resource<Redis>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 2)]
struct Hasty {
    sessions: Resource<Redis>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Waived {
    #[service(allow(superuser_account, reason = "the vendor ships one account"))]
    sessions: Resource<Redis>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Lenient {
    #[service(
        allow(weak_authentication, reason = "the appliance knows nothing better"),
        allow(superuser_account, reason = "there are no accounts in it"),
        allow(missing_credentials, reason = "there are no accounts in it")
    )]
    sessions: Resource<Redis>,
}

/// No test here reaches this limit, unless it says so.
const SOON: Duration = Duration::from_secs(10);

/// The server that most tests share.
static SERVER: LazyLock<server::Redis> = LazyLock::new(|| {
    let authority = Authority::new("the tests' authority");
    let mut options = Options::tls(authority.server());
    options.settings = format!(
        "user only_config on >{PASSWORD} ~a:* -@all +@read -@dangerous +ping +hello +acl|whoami \
         +config\n\
         user only_acl on >{PASSWORD} ~a:* -@all +@read -@dangerous +ping +hello +acl\n\
         user silent_user on >{PASSWORD} ~a:* -@all +@read -@dangerous +ping +hello\n\
         user disabled_user off >{PASSWORD} ~a:* -@all +@read +ping +hello +acl|whoami\n"
    );
    server::Redis::with(authority, &options)
});

/// The variables to connect to a server as the application's user.
fn variables(server: &server::Redis) -> Vec<(&'static str, String)> {
    as_user(server, USER, PASSWORD)
}

/// The same variables for another user.
fn as_user(server: &server::Redis, user: &str, password: &str) -> Vec<(&'static str, String)> {
    vec![
        ("SHOP_SESSIONS_URL", format!("rediss://{user}@localhost:{}", server.port)),
        ("SHOP_SESSIONS_PASSWORD", password.to_owned()),
        ("SHOP_SESSIONS_CA", server.authority.pem()),
    ]
}

fn pairs<'a>(variables: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    variables.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Variables that lead through a relay, which counts connections and can fall silent.
fn through(relay: &Relay, server: &server::Redis) -> Vec<(&'static str, String)> {
    let mut variables = variables(server);
    variables[0].1 = format!("rediss://{USER}@localhost:{}", relay.port);
    variables
}

#[tokio::test]
async fn attaches_and_the_posture_is_true() {
    let server = server::Redis::start();
    let shop: Shop = attach(&pairs(&variables(&server))).await.unwrap();
    let posture = shop.sessions.posture();
    let tls = posture.tls.as_ref().unwrap();
    // The result of an independent TLS handshake with the same server.
    let output = Command::new(find("openssl"))
        .args(["s_client", "-connect", &format!("127.0.0.1:{}", server.port)])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.contains("TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384"), "{output}");
    assert_eq!(tls.version, "TLS 1.3");
    assert_eq!(tls.cipher.as_deref().unwrap(), "TLS_AES_256_GCM_SHA384");
    assert_eq!(tls.trust, TrustPosture::PrivateCa);
    assert_eq!(tls.certificate.subject, format!("CN={}", pki::SUBJECT));
    assert_eq!(tls.certificate.issuer, "CN=the tests' authority");
    assert_eq!(tls.certificate.names, ["localhost", "127.0.0.1", "::1"]);
    assert_eq!(tls.certificate.key, "ECDSA P-256");
    let information = server.command(&["INFO", "server"]);
    let version =
        information.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap().trim();
    assert_eq!(
        posture.server.as_ref().unwrap().to_string().to_lowercase(),
        format!("redis {version}")
    );
    assert_eq!(posture.account.as_deref(), Some(USER));
    assert_eq!(posture.endpoint, format!("rediss://localhost:{}/", server.port));
    assert!(
        rules(&posture.findings).iter().all(|rule| *rule == "unsupported_server"),
        "{:?}",
        posture.findings
    );

    let mut sessions = shop.sessions.client();
    let () = sessions.set("greeting", "hello").await.unwrap();
    assert_eq!(sessions.get::<_, String>("greeting").await.unwrap(), "hello");
    assert!(sessions.flushall::<()>().await.is_err(), "it may not do that");
    assert!(server.command(&["CLIENT", "LIST"]).contains("resp=3"));
    drop(sessions);
    shop.sessions.health().await.unwrap();

    assert_eq!(server.connections(), 1);
    shop.detach().await;
    server.assert_no_connection().await;
    journal::assert_silent();
}

#[tokio::test]
async fn tls_1_2_is_accepted_and_reported() {
    let authority = Authority::new("the tests' authority");
    let mut options = Options::tls(authority.server());
    options.settings = "tls-protocols \"TLSv1.2\"\n".to_owned();
    let server = server::Redis::with(authority, &options);
    let mut variables = variables(&server);
    variables[0].1 = format!("rediss://{USER}@127.0.0.1:{}", server.port);
    let shop: Shop = attach(&pairs(&variables)).await.unwrap();
    let posture = shop.sessions.posture();
    let tls = posture.tls.as_ref().unwrap();
    assert_eq!(tls.version, "TLS 1.2");
    assert!(tls.cipher.as_ref().unwrap().starts_with("TLS_ECDHE_ECDSA_WITH_"), "{:?}", tls.cipher);
    shop.detach().await;
}

/// Checks that attaching to a server with this certificate fails, and returns the rules in the
/// report.
async fn refused_certificate(leaf: impl FnOnce(&Authority) -> Leaf) -> Vec<&'static str> {
    let authority = Authority::new("the tests' authority");
    let options = Options::tls(leaf(&authority));
    let server = server::Redis::with(authority, &options);
    let error = refused::<Shop>(&pairs(&variables(&server)), SOON).await;
    assert!(!server.command(&["ACL", "LOG"]).contains(USER));
    problems(&error)
}

#[tokio::test]
async fn bad_certificates() {
    assert_eq!(refused_certificate(Authority::expired).await, ["certificate_expiry"]);
    assert_eq!(refused_certificate(Authority::not_yet_valid).await, ["certificate_expiry"]);
    assert_eq!(refused_certificate(Authority::other_host).await, ["unverified_tls"]);
    assert_eq!(refused_certificate(Authority::not_for_servers).await, ["unverified_tls"]);
    assert_eq!(refused_certificate(|_| pki::self_signed()).await, ["unverified_tls"]);
    assert_eq!(
        refused_certificate(|_| Authority::new("the tests' authority").server()).await,
        ["unverified_tls"]
    );
    // A private authority is trusted only if `_CA` names it.
    assert_eq!(
        problems(&refused::<Shop>(&pairs(&variables(&SERVER)[..2]), SOON).await),
        ["unverified_tls"]
    );
}

#[tokio::test]
async fn about_to_expire_warns() {
    let authority = Authority::new("the tests' authority");
    let options = Options::tls(authority.about_to_expire(3));
    let server = server::Redis::with(authority, &options);
    let shop: Shop = attach(&pairs(&variables(&server))).await.unwrap();
    let posture = shop.sessions.posture();
    let finding = posture
        .findings
        .iter()
        .find(|finding| finding.rule().name == "certificate_expiry")
        .unwrap();
    assert!(!finding.is_denied() && finding.message().contains("3 days"), "{finding}");
    shop.detach().await;
}

#[tokio::test]
async fn tls_1_1_only() {
    let authority = Authority::new("the tests' authority");
    let mut options = Options::tls(authority.server());
    options.settings = "tls-protocols \"TLSv1.1\"\ntls-ciphers \"ALL:@SECLEVEL=0\"\n".to_owned();
    options.openssl = Some(
        "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = old\n[old]\n\
         MinProtocol = TLSv1\nCipherString = ALL:@SECLEVEL=0\n",
    );
    let server = server::Redis::with(authority, &options);
    assert_eq!(
        problems(&refused::<Shop>(&pairs(&variables(&server)), SOON).await),
        ["obsolete_tls"]
    );
}

#[tokio::test]
async fn plaintext_only() {
    let server = server::Redis::with(Authority::new("an unused authority"), &Options::plaintext());
    let begin = Instant::now();
    let mut variables = variables(&server);
    variables[0].1.push_str("?connect_timeout=1");
    let error = refused::<Hasty>(&pairs(&variables), Duration::from_secs(3)).await;
    assert_eq!(problems(&error).len(), 1, "{error} after {:?}", begin.elapsed());
    assert!(error.to_string().contains("also accepts the scheme without TLS"), "{error}");
    // The server received only a ClientHello, which is not a Redis command.
    assert!(!server.command(&["ACL", "LOG"]).contains(USER));
}

#[tokio::test]
async fn an_administrator_is_refused() {
    for (user, password) in
        [(ADMIN, ADMIN_PASSWORD), ("only_config", PASSWORD), ("only_acl", PASSWORD)]
    {
        let error = refused::<Shop>(&pairs(&as_user(&SERVER, user, password)), SOON).await;
        assert_eq!(problems(&error), ["superuser_account"], "{user}");
    }
    // The account cannot read its own name, so its privileges are unknown.
    assert_eq!(
        problems(&refused::<Shop>(&pairs(&as_user(&SERVER, "silent_user", PASSWORD)), SOON).await),
        ["superuser_account"]
    );
}

#[tokio::test]
async fn a_waiver_admits_an_administrator_and_is_reported() {
    let shop: Waived = attach(&pairs(&as_user(&SERVER, ADMIN, ADMIN_PASSWORD))).await.unwrap();
    let posture = shop.sessions.posture();
    assert_eq!(posture.account.as_deref(), Some(ADMIN));
    let finding =
        posture.findings.iter().find(|finding| finding.rule().name == "superuser_account").unwrap();
    assert_eq!(finding.waived_because(), Some("the vendor ships one account"));
    shop.detach().await;
}

#[tokio::test]
async fn wrong_credentials_are_refused() {
    for (user, password) in
        [(USER, WRONG_PASSWORD), ("unknown_user", PASSWORD), ("disabled_user", PASSWORD)]
    {
        let error = refused::<Shop>(&pairs(&as_user(&SERVER, user, password)), SOON).await;
        assert_eq!(problems(&error), ["authentication_failed"], "{user}");
    }
    let mut variables = variables(&SERVER);
    variables[0].1 += "/99";
    assert_eq!(
        refused::<Shop>(&pairs(&variables), SOON).await.failures().count(),
        1,
        "there is no such database"
    );
}

#[tokio::test]
async fn a_server_without_a_password_is_refused() {
    let authority = Authority::new("the tests' authority");
    let mut options = Options::tls(authority.server());
    options.lets_strangers_in = true;
    let server = server::Redis::with(authority, &options);
    let error = refused::<Shop>(&pairs(&variables(&server)), SOON).await;
    assert_eq!(problems(&error), ["weak_authentication"]);
    // The client did not log in, and the password was not sent.
    assert_eq!(server.connections(), 0);
    let variables = [
        ("SHOP_SESSIONS_URL", format!("rediss://localhost:{}", server.port)),
        ("SHOP_SESSIONS_CA", server.authority.pem()),
    ];
    let shop: Lenient = attach(&pairs(&variables)).await.unwrap();
    let posture = shop.sessions.posture();
    assert!(rules(&posture.findings).contains(&"weak_authentication"), "{:?}", posture.findings);
    assert!(rules(&posture.findings).contains(&"superuser_account"), "{:?}", posture.findings);
    shop.detach().await;
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let authority = Authority::new("the tests' authority");
    let mut options = Options::tls(authority.server());
    options.client_ca = Some(authority.pem());
    let server = server::Redis::with(authority, &options);
    let error = refused::<Shop>(&pairs(&variables(&server)), SOON).await;
    assert_eq!(error.failures().count(), 1, "{error}");
    let leaf = server.authority.client("shop");
    let mut variables = variables(&server);
    variables.push(("SHOP_SESSIONS_CLIENT_CERT", leaf.certificate));
    variables.push(("SHOP_SESSIONS_CLIENT_KEY", leaf.key));
    let shop: Shop = attach(&pairs(&variables)).await.unwrap();
    shop.detach().await;
}

#[tokio::test]
async fn values_come_from_files() {
    let folder = Folder::of_values("values");
    let variables = [
        ("SHOP_SESSIONS_URL", SERVER.locator()),
        (
            "SHOP_SESSIONS_CA_FILE",
            folder.write("ca.pem", &SERVER.authority.pem()).display().to_string(),
        ),
        (
            "SHOP_SESSIONS_PASSWORD_FILE",
            folder.write("password", &format!("{PASSWORD}\n")).display().to_string(),
        ),
    ];
    let shop: Shop = attach(&pairs(&variables)).await.unwrap();
    shop.detach().await;
}

#[tokio::test]
async fn a_server_that_never_answers() {
    let hostile = Hostile::start(|peer| async { Ok(Some(peer)) });
    let mut variables = variables(&SERVER);
    variables[0].1 = format!("rediss://{USER}@localhost:{}", hostile.port);
    let error = refused::<Hasty>(&pairs(&variables), Duration::from_secs(3)).await;
    assert_eq!(problems(&error), ["timed_out"]);
    hostile.assert_all_closed().await;
    variables[0].1 = format!("rediss://{USER}@localhost:{}", port::free());
    assert_eq!(problems(&refused::<Shop>(&pairs(&variables), SOON).await), ["unreachable"]);
}

#[tokio::test]
async fn dropping_the_attempt_leaks_no_connection() {
    let server = server::Redis::start();
    let variables = variables(&server);
    let pairs = pairs(&variables);
    let mut done = 0;
    for step in 0..24 {
        match tokio::time::timeout(Duration::from_millis(step), attach::<Shop>(&pairs)).await {
            Ok(attached) => {
                done += 1;
                attached.unwrap().detach().await;
            }
            Err(_dropped) => {}
        }
    }
    assert!(done < 24, "none was dropped on its way");
    server.assert_no_connection().await;
}

#[tokio::test]
async fn dropping_the_struct_closes_the_connection() {
    let server = server::Redis::start();
    let shop: Shop = attach(&pairs(&variables(&server))).await.unwrap();
    assert_eq!(server.connections(), 1);
    drop(shop);
    server.assert_no_connection().await;
}

#[tokio::test]
async fn health_reports_that_the_server_is_gone() {
    let mut server = server::Redis::start();
    let relay = Relay::to(server.port);
    let mut variables = through(&relay, &server);
    variables[0].1 += "?response_timeout=800&connect_timeout=1";
    let shop: Shop = attach(&pairs(&variables)).await.unwrap();
    shop.sessions.health().await.unwrap();

    relay.set(Flow::Silent);
    let begin = Instant::now();
    let Err(Refusal::Failure(failure)) = shop.sessions.health().await else {
        panic!("it is not well")
    };
    assert_eq!(failure.kind(), FailureKind::TimedOut);
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "the locator bounds an answer: {:?}",
        begin.elapsed()
    );
    relay.set(Flow::Open);
    shop.sessions.health().await.unwrap();

    server.stop();
    let begin = Instant::now();
    for _ in 0..3 {
        canary::assert_error_silent(&shop.sessions.health().await.unwrap_err());
    }
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    shop.detach().await;
    journal::assert_silent();
}

/// Calls `attempt` until it succeeds, and returns whether it did so within `limit`.
async fn works_within(limit: Duration, shop: &Shop) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < limit {
        if shop.sessions.client().get::<_, Option<String>>("greeting").await.is_ok() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test]
async fn it_comes_back_when_the_server_does() {
    let mut server = server::Redis::start();
    let shop: Shop = attach(&pairs(&variables(&server))).await.unwrap();
    server.stop();
    assert!(!works_within(Duration::from_millis(500), &shop).await);
    server.restart();
    assert!(works_within(Duration::from_secs(15), &shop).await, "it comes back by itself");
    assert_eq!(server.connections(), 1);
    shop.sessions.health().await.unwrap();
    shop.detach().await;
    server.assert_no_connection().await;
    journal::assert_silent();
}

#[tokio::test]
async fn reconnecting_backs_off() {
    let server = server::Redis::start();
    let relay = Relay::to(server.port);
    let shop: Shop = attach(&pairs(&through(&relay, &server))).await.unwrap();
    assert_eq!(relay.accepted(), 1);
    relay.set(Flow::ForcedClose);
    assert!(!works_within(Duration::from_secs(3), &shop).await);
    // The delays are 100 ms, 200 ms, 400 ms, 800 ms and 1600 ms, each with random jitter of at most
    // its own length.
    assert!((2..=6).contains(&relay.accepted()), "{} connections in 3 s", relay.accepted());
    shop.detach().await;
}

/// A command waits no longer than its own time limit. The attempt to reconnect may take longer, and
/// continues after that.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_waits_no_longer_than_its_own_time_for_a_connection() {
    let server = server::Redis::start();
    let relay = Relay::to(server.port);
    let mut variables = through(&relay, &server);
    variables[0].1 += "?response_timeout=400&connect_timeout=6";
    let shop: Shop = attach(&pairs(&variables)).await.unwrap();
    let all_fail_in_time = async || {
        let begin = Instant::now();
        let commands: Vec<_> = (0..8)
            .map(|_| {
                let mut client = shop.sessions.client();
                tokio::spawn(async move { client.get::<_, Option<String>>("greeting").await })
            })
            .collect();
        for command in commands {
            assert!(command.await.unwrap().unwrap_err().is_timeout());
        }
        assert!(begin.elapsed() < Duration::from_millis(1500), "{:?}", begin.elapsed());
    };
    relay.set(Flow::ForcedClose);
    server.assert_no_connection().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    relay.set(Flow::Silent);
    all_fail_in_time().await;
    all_fail_in_time().await;
    assert_eq!(relay.accepted(), 2, "one attempt for all waiting commands");
    relay.set(Flow::Open);
    assert!(works_within(Duration::from_secs(3), &shop).await, "the attempt went on");
    assert_eq!(relay.accepted(), 2);

    // Detaching aborts a connection attempt, and does not wait for it.
    relay.set(Flow::ForcedClose);
    server.assert_no_connection().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    relay.set(Flow::Silent);
    all_fail_in_time().await;
    let begin = Instant::now();
    shop.detach().await;
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    relay.set(Flow::Open);
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.assert_no_connection().await;
}

#[tokio::test]
async fn a_revoked_password_is_not_sent_again() {
    for change in [
        &["ACL", "SETUSER", USER, "resetpass", ">kanarie-7f3a-Another0ne55"][..],
        &["ACL", "DELUSER", USER],
    ] {
        let server = server::Redis::start();
        let relay = Relay::to(server.port);
        let shop: Shop = attach(&pairs(&through(&relay, &server))).await.unwrap();
        server.command(change);
        server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        assert!(!works_within(Duration::from_secs(2), &shop).await);
        // One attempt, and then none: repeated attempts would lock the account, and fill the log.
        assert_eq!(relay.accepted(), 2, "after {}", change[1]);
        assert!(shop.sessions.health().await.is_err());
        assert_eq!(relay.accepted(), 2);
        shop.detach().await;
    }
    journal::assert_silent();
}

#[tokio::test]
async fn a_lost_right_is_an_error_and_no_reconnect() {
    let server = server::Redis::start();
    let relay = Relay::to(server.port);
    let shop: Shop = attach(&pairs(&through(&relay, &server))).await.unwrap();
    server.command(&["ACL", "SETUSER", USER, "-get"]);
    let error = shop.sessions.client().get::<_, Option<String>>("greeting").await.unwrap_err();
    assert_eq!(error.code(), Some("NOPERM"));
    assert_eq!(relay.accepted(), 1);
    shop.detach().await;
}
