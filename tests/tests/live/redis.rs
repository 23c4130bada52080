//! Redis: valid and faulty servers.

use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ::redis::AsyncCommands as _;
use backing_services::posture::TrustPosture;
use backing_services::{BackingServices, Redis, Resource};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::journal;
use backing_services_tests::pki::Authority;
use backing_services_tests::process::find;
use backing_services_tests::redis::{self as server, Options, USER};
use backing_services_tests::relay::{Flow, Relay};
use backing_services_tests::variables::{self, Variables};

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
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
fn variables(server: &server::Redis) -> Variables {
    as_user(server, USER)
}

/// The same variables for another user.
fn as_user(server: &server::Redis, user: &str) -> Variables {
    variables::of(
        "SHOP_SESSIONS",
        format!("rediss://{user}@localhost:{}", server.port),
        PASSWORD,
        server.authority.pem(),
    )
}

/// Variables that lead through a relay, which counts connections and can fall silent.
fn through(relay: &Relay, server: &server::Redis) -> Variables {
    let mut variables = variables(server);
    variables[0].1 = format!("rediss://{USER}@localhost:{}", relay.port);
    variables
}

#[tokio::test]
async fn attaches_and_the_posture_is_true() {
    let server = server::Redis::start();
    let shop: Shop = attach(&variables(&server)).await.unwrap();
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
    assert_eq!(tls.certificate.issuer, "CN=the tests' authority");
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
    assert_eq!(server.connections(), 1);
    drop(sessions);
    shop.detach().await;
}

#[tokio::test]
async fn tls_1_2_is_accepted_and_reported() {
    let authority = Authority::new("the tests' authority");
    let mut options = Options::tls(authority.server());
    options.settings = "tls-protocols \"TLSv1.2\"\n".to_owned();
    let server = server::Redis::with(authority, &options);
    let mut variables = variables(&server);
    variables[0].1 = format!("rediss://{USER}@127.0.0.1:{}", server.port);
    let shop: Shop = attach(&variables).await.unwrap();
    let posture = shop.sessions.posture();
    let tls = posture.tls.as_ref().unwrap();
    assert_eq!(tls.version, "TLS 1.2");
    assert!(tls.cipher.as_ref().unwrap().starts_with("TLS_ECDHE_ECDSA_WITH_"), "{:?}", tls.cipher);
    shop.detach().await;
}

#[tokio::test]
async fn a_privilege_of_an_administrator_is_enough_to_be_refused() {
    // `silent_user` cannot read its own name, so its privileges are unknown.
    for user in ["only_config", "only_acl", "silent_user"] {
        let error = refused::<Shop>(&as_user(&SERVER, user), SOON).await;
        assert_eq!(problems(&error), ["superuser_account"], "{user}");
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused() {
    for user in ["unknown_user", "disabled_user"] {
        let error = refused::<Shop>(&as_user(&SERVER, user), SOON).await;
        assert_eq!(problems(&error), ["authentication_failed"], "{user}");
    }
    let mut variables = variables(&SERVER);
    variables[0].1 += "/99";
    assert_eq!(
        refused::<Shop>(&variables, SOON).await.failures().count(),
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
    let error = refused::<Shop>(&variables(&server), SOON).await;
    assert_eq!(problems(&error), ["weak_authentication"]);
    // The client did not log in, and the password was not sent.
    assert_eq!(server.connections(), 0);
    let variables = [
        ("SHOP_SESSIONS_URL", format!("rediss://localhost:{}", server.port)),
        ("SHOP_SESSIONS_CA", server.authority.pem()),
    ];
    let shop: Lenient = attach(&variables).await.unwrap();
    let posture = shop.sessions.posture();
    assert!(rules(&posture.findings).contains(&"weak_authentication"), "{:?}", posture.findings);
    assert!(rules(&posture.findings).contains(&"superuser_account"), "{:?}", posture.findings);
    shop.detach().await;
}

#[tokio::test]
async fn dropping_the_struct_closes_the_connection() {
    let server = server::Redis::start();
    let shop: Shop = attach(&variables(&server)).await.unwrap();
    assert_eq!(server.connections(), 1);
    drop(shop);
    server.assert_no_connection().await;
}

#[tokio::test]
async fn health_waits_no_longer_than_an_answer_may_take() {
    let server = server::Redis::start();
    let relay = Relay::to(server.port);
    let mut variables = through(&relay, &server);
    variables[0].1 += "?response_timeout=800&connect_timeout=1";
    let shop: Shop = attach(&variables).await.unwrap();
    relay.set(Flow::Silent);
    let begin = Instant::now();
    shop.sessions.health().await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    relay.set(Flow::Open);
    shop.detach().await;
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
    let shop: Shop = attach(&variables(&server)).await.unwrap();
    server.stop();
    assert!(!works_within(Duration::from_millis(500), &shop).await);
    server.restart();
    assert!(works_within(Duration::from_secs(15), &shop).await, "it comes back by itself");
    assert_eq!(server.connections(), 1);
    shop.detach().await;
}

#[tokio::test]
async fn reconnecting_backs_off() {
    let server = server::Redis::start();
    let relay = Relay::to(server.port);
    let shop: Shop = attach(&through(&relay, &server)).await.unwrap();
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
    let shop: Shop = attach(&variables).await.unwrap();
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
        let shop: Shop = attach(&through(&relay, &server)).await.unwrap();
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
    let shop: Shop = attach(&through(&relay, &server)).await.unwrap();
    server.command(&["ACL", "SETUSER", USER, "-get"]);
    let error = shop.sessions.client().get::<_, Option<String>>("greeting").await.unwrap_err();
    assert_eq!(error.code(), Some("NOPERM"));
    assert_eq!(relay.accepted(), 1);
    shop.detach().await;
}
