//! Redis: the privileges of an account, compared on a real server with the field's `needs`.

use std::sync::LazyLock;
use std::time::Duration;

use ::redis::AsyncCommands as _;
use backing_services::{AttachError, BackingServices, Redis, Resource};
use backing_services_tests::attempt::{attach, problems, refused};
use backing_services_tests::canary::{ADMIN_PASSWORD, PASSWORD};
use backing_services_tests::redis::{self as server, ADMIN};
use backing_services_tests::variables::{self, Variables};

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    sessions: Resource<Redis>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Needy {
    #[service(needs = "@read, @write ON KEY session:*; get ON KEY price:*; \
                       publish, subscribe ON CHANNEL 'news:*'; client|setname, info")]
    sessions: Resource<Redis>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Simple {
    #[service(needs = "get, set ON KEY cart:*")]
    sessions: Resource<Redis>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Everywhere {
    #[service(needs = "@read, @write ON KEY *")]
    sessions: Resource<Redis>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Lenient {
    #[service(
        needs = "get ON KEY a:*",
        allow(missing_privileges, reason = "it is being granted today")
    )]
    sessions: Resource<Redis>,
}

const SOON: Duration = Duration::from_secs(10);

static SERVER: LazyLock<server::Redis> = LazyLock::new(server::Redis::start);

fn variables(user: &str, password: &str) -> Variables {
    variables::of(
        "SHOP_SESSIONS",
        format!(
            "rediss://{}@localhost:{}",
            user.replace('"', "%22").replace('@', "%40"),
            SERVER.port
        ),
        password,
        SERVER.authority.pem(),
    )
}

async fn attached<S: BackingServices>(user: &str) -> S {
    attach(&variables(user, PASSWORD)).await.unwrap_or_else(|error| panic!("{user}: {error}"))
}

/// Checks that the report has one finding, and returns its message and its help.
async fn only<S: BackingServices>(user: &str, rule: &str) -> (String, String) {
    let error: AttachError = refused::<S>(&variables(user, PASSWORD), SOON).await;
    assert_eq!(problems(&error), [rule], "{user}: {error}");
    let finding = error.findings().next().unwrap();
    (finding.message().to_owned(), finding.help().to_owned())
}

fn account(name: &str, rules: &[&str]) {
    let password = format!(">{PASSWORD}");
    let words = [
        &["ACL", "SETUSER", name, "reset", "on", &password, "+hello", "+ping", "+acl|whoami"],
        rules,
    ]
    .concat();
    assert_eq!(SERVER.command(&words), "OK", "{name}");
}

/// Runs the statements that `grants()` writes for the only field, unchanged, and then gives the
/// account a password.
fn grant<S: BackingServices>(name: &str) {
    let grants = S::MANIFEST.grants().remove(0).with_account(name).unwrap();
    let statements = grants.to_string();
    assert!(!statements.contains("nopass") && !statements.contains("#"), "{statements}");
    let said = SERVER.pipe(&statements);
    assert!(said.ends_with("OK\n"), "{said}\n{statements}");
    SERVER.command(&["ACL", "SETUSER", name, &format!(">{PASSWORD}")]);
}

#[tokio::test]
async fn every_route_to_power_is_named() {
    for (rules, power) in [
        (&["+@all", "~a:*"][..], "config|set"),
        (&["+@all", "-config", "-acl", "+acl|whoami", "~a:*"], "info"),
        (&["+@admin", "~a:*"], "acl|setuser"),
        (&["+@dangerous", "~a:*"], "swapdb"),
        (&["+acl|setuser"], "acl|setuser"),
        (&["+acl|getuser"], "acl|getuser"),
        (&["+config|get"], "config|get"),
        (&["+config|set"], "config|set"),
        (&["+client|kill"], "client|kill"),
        (&["+client|pause"], "client|pause"),
        (&["+info"], "info"),
        (&["+module|list"], "module|list"),
        (&["+restore", "~a:*"], "restore"),
        (&["+sort", "~a:*"], "sort"),
        (&["+slowlog"], "slowlog|len"),
        (&["+get", "~*"], "every key (`~*`)"),
        (&["+del", "allkeys"], "every key (`~*`)"),
        (&["+@hash", "%R~*"], "every key (`~*`)"),
        // Through a selector.
        (&["+get", "~a:*", "(+config|get)"], "config|get"),
        (&["+get", "~a:*", "(~* +get)"], "every key (`~*`)"),
        (&["+get", "~a:*", "(%W~* +del)"], "every key (`~*`)"),
    ] {
        account("powerful", rules);
        let (message, _) = only::<Shop>("powerful", "superuser_account").await;
        let is_named = message.contains(power) || message.contains("more");
        assert!(is_named, "{rules:?}: {message}");
    }
    let error = refused::<Shop>(&variables(ADMIN, ADMIN_PASSWORD), SOON).await;
    assert_eq!(problems(&error), ["superuser_account"]);
    // The probe changed nothing: it created no user and no key.
    let users = SERVER.command(&["ACL", "LIST"]);
    assert!(!users.contains("probe."), "{users}");
    assert!(!SERVER.command(&["KEYS", "*"]).contains("probe."));
    account(
        "ordinary",
        &["~a:*", "+@read", "+@write", "+@connection", "+@pubsub", "&b", "-@dangerous"],
    );
    let shop: Shop = attached("ordinary").await;
    shop.detach().await;
}

#[tokio::test]
async fn with_needs_every_power_is_seen() {
    grant::<Simple>("small");
    for power in [
        "flushall", "flushdb", "shutdown", "replicaof", "debug", "keys", "save", "acl|load",
        "config|rewrite", "migrate", "monitor",
    ] {
        SERVER.command(&["ACL", "SETUSER", "small", &format!("+{power}")]);
        let (message, help) = only::<Simple>("small", "superuser_account").await;
        assert!(message.ends_with(&format!("it may use `{power}`")), "{message}");
        let said = SERVER.pipe(&format!("{}\n", help.trim_matches('`')));
        assert_eq!(said, "OK\n", "{help}");
    }
    SERVER.command(&["ACL", "SETUSER", "small", "(+flushall)"]);
    let (message, _) = only::<Simple>("small", "superuser_account").await;
    assert!(message.ends_with("it may use `flushall`"), "{message}");
    SERVER.command(&["ACL", "SETUSER", "small", "clearselectors", "(~* +get)"]);
    let (message, _) = only::<Simple>("small", "excess_privileges").await;
    assert!(message.contains("every key (`~*`)"), "{message}");
    SERVER.command(&["ACL", "SETUSER", "small", "clearselectors"]);
    attached::<Simple>("small").await.detach().await;
    account("chief", &["+@all", "~*", "&*"]);
    only::<Simple>("chief", "superuser_account").await;
}

/// A renamed command cannot be tested by its original name.
#[tokio::test]
async fn a_server_that_has_renamed_commands_is_reported() {
    let renamed = |resource: &dyn backing_services::resource::AnyResource| {
        resource.posture().remarks.iter().any(|remark| remark.contains("renamed or taken away"))
    };
    grant::<Simple>("plain");
    let (needy, shop) = (attached::<Simple>("plain").await, {
        account("plain_too", &["+get", "~a:*"]);
        attached::<Shop>("plain_too").await
    });
    assert!(!renamed(needy.resources()[0]) && !renamed(shop.resources()[0]));
    needy.detach().await;
    shop.detach().await;

    for (settings, with_needs, without) in [
        ("rename-command FLUSHALL hushed\n", true, false),
        ("rename-command CONFIG \"\"\n", true, true),
        // Releases before 6.2 do not have this command.
        ("rename-command GETEX \"\"\n", false, false),
    ] {
        let authority = backing_services_tests::pki::Authority::new("the tests' authority");
        let mut options = server::Options::tls(authority.server());
        options.settings = format!(
            "{settings}user without on >{PASSWORD} ~a:* -@all +get +ping +hello +acl|whoami\n\
             user with on >{PASSWORD} ~cart:* -@all +get +set +ping +hello +acl|whoami +acl|dryrun \
             +flushall\n"
        );
        if !settings.contains("FLUSHALL") {
            options.settings = options.settings.replace(" +flushall", "");
        }
        let server = server::Redis::with(authority, &options);
        let variables = |user: &str| {
            variables::of(
                "SHOP_SESSIONS",
                format!("rediss://{user}@localhost:{}", server.port),
                PASSWORD,
                server.authority.pem(),
            )
        };
        let shop: Shop = attach(&variables("without")).await.unwrap();
        assert_eq!(renamed(shop.resources()[0]), without, "{settings}");
        shop.detach().await;
        let needy: Simple = attach(&variables("with")).await.unwrap();
        assert_eq!(renamed(needy.resources()[0]), with_needs, "{settings}");
        needy.detach().await;
    }
}

#[tokio::test]
async fn grants_create_exactly_that_account() {
    grant::<Needy>("shop_sessions");
    let shop: Needy = attached("shop_sessions").await;
    let posture = shop.sessions.posture();
    // Debian ships a release that upstream no longer supports.
    let found: Vec<_> = posture
        .findings
        .iter()
        .filter(|finding| finding.rule().name != "unsupported_server")
        .collect();
    assert!(found.is_empty(), "{found:?}");
    assert!(
        posture.privileges.iter().any(|privilege| privilege == "@read ON KEY session:*"),
        "{:?}",
        posture.privileges
    );
    let mut client = shop.sessions.client();
    let () = client.set("session:7", "x").await.unwrap();
    assert_eq!(client.get::<_, String>("session:7").await.unwrap(), "x");
    assert_eq!(client.get::<_, Option<String>>("price:7").await.unwrap(), None);
    let () = client.publish("news:today", "x").await.unwrap();
    ::redis::cmd("INFO").exec_async(&mut client).await.unwrap();
    ::redis::cmd("CLIENT").arg("SETNAME").arg("shop").exec_async(&mut client).await.unwrap();
    assert!(client.set::<_, _, ()>("price:7", "x").await.is_err(), "more than it needs");
    drop(client);
    shop.detach().await;

    // Running it again keeps the password.
    grant::<Needy>("shop_sessions");
    attached::<Needy>("shop_sessions").await.detach().await;
}

#[tokio::test]
async fn one_privilege_more_and_one_less() {
    for (more, named) in [
        ("+eval", "eval"),
        ("+hget", "hget"),
        ("+@hash", "@hash"),
        ("+publish", "publish"),
        ("+client|setname", "client|setname"),
        ("+set ~a:*", ""),
        ("~*", "every key (`~*`)"),
        ("(+get ~*)", "every key (`~*`)"),
    ] {
        let name = "extended";
        grant::<Simple>(name);
        let words: Vec<_> =
            if more.starts_with('(') { vec![more] } else { more.split(' ').collect() };
        SERVER.command(&[&["ACL", "SETUSER", name][..], &words].concat());
        if named.is_empty() {
            // Privileges under another key pattern are not detected. The documentation says so.
            attached::<Simple>(name).await.detach().await;
            continue;
        }
        let (message, help) = only::<Simple>(name, "excess_privileges").await;
        assert_eq!(message, format!("the account may do what the field does not need: {named}"));
        assert_eq!(SERVER.pipe(&format!("{help}\n")), "OK\n");
        attached::<Simple>(name).await.detach().await;
    }
    for (less, named) in [
        ("-set", "set ON KEY cart:*"),
        ("resetkeys", "get ON KEY cart:*; set ON KEY cart:*"),
        ("-acl|dryrun", "acl|dryrun, without which it cannot ask what it may do"),
    ] {
        grant::<Simple>("reduced");
        SERVER.command(&["ACL", "SETUSER", "reduced", less]);
        let (message, help) = only::<Simple>("reduced", "missing_privileges").await;
        assert_eq!(message, format!("the account lacks {named}"));
        assert_eq!(SERVER.pipe(&format!("{help}\n")), "OK\n");
        attached::<Simple>("reduced").await.detach().await;
    }
    // The commands of one pattern are excess privileges under another.
    grant::<Needy>("crosswise");
    SERVER.command(&["ACL", "SETUSER", "crosswise", "~price:*"]);
    let (message, _) = only::<Needy>("crosswise", "excess_privileges").await;
    assert!(message.ends_with("need: @read ON KEY price:*; @write ON KEY price:*"), "{message}");
    grant::<Needy>("reduced2");
    SERVER.command(&["ACL", "SETUSER", "reduced2", "-hget"]);
    assert_eq!(
        only::<Needy>("reduced2", "missing_privileges").await.0,
        "the account lacks hget ON KEY session:*"
    );
}

#[tokio::test]
async fn every_key_is_not_excess_if_it_is_needed() {
    grant::<Everywhere>("everywhere");
    attached::<Everywhere>("everywhere").await.detach().await;
}

#[tokio::test]
async fn a_waived_lack_hides_no_administrator() {
    account("concealed", &["+@all", "-acl|dryrun", "~a:*"]);
    only::<Lenient>("concealed", "superuser_account").await;
    account("bare", &["+get", "~a:*"]);
    attached::<Lenient>("bare").await.detach().await;
}

#[tokio::test]
async fn the_granted_account_cannot_log_in_without_a_password() {
    let grants = Simple::MANIFEST.grants().remove(0).with_account("without_password").unwrap();
    assert!(SERVER.pipe(&grants.to_string()).ends_with("OK\n"));
    assert!(!SERVER.command(&["ACL", "GETUSER", "without_password"]).contains("nopass"));
    let error = refused::<Simple>(&variables("without_password", PASSWORD), SOON).await;
    assert_eq!(problems(&error), ["authentication_failed"]);
}

#[tokio::test]
async fn awkward_names_round_trip() {
    for name in ["User", "a\"b", "select", "-@all"] {
        grant::<Simple>(name);
        attached::<Simple>(name).await.detach().await;
    }
}

#[tokio::test]
async fn asking_leaves_no_trace_in_the_servers_log() {
    grant::<Simple>("quiet");
    attached::<Simple>("quiet").await.detach().await;
    assert!(!SERVER.command(&["ACL", "LOG"]).contains("quiet"));
}
