//! Redis: the peer is not a Redis server, or it is one and has turned hostile.
//!
//! Every server here records what it receives. Each attempt ends within its deadline, with a report
//! that is safe on a terminal. If the password must not be sent, it is not.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::AsyncCommands as _;
use backing_services::{AttachError, BackingServices, Redis, Resource};
use backing_services_tests::attempt::{attach, problems, refused};
use backing_services_tests::canary::{self, CANARY, PASSWORD};
use backing_services_tests::hostile::redis::{commands, hello, serve};
use backing_services_tests::hostile::{Heard, Hostile, Peer};
use backing_services_tests::journal;
use backing_services_tests::pki::{Authority, Leaf};
use backing_services_tests::variables::{self, Variables};

const USER: &str = "shopkeeper";

/// Escape sequences that a terminal obeys, and characters that reverse a line, with our own secret
/// among them.
const ESCAPES: &str =
    "\u{1b}[2J\u{1b}]0;owned\u{7}root: \u{202e}kanarie-7f3a-Wk0qShopZx84\u{200b}\u{9b}31m";

/// The upper bound for an attempt that runs into its deadline, which includes noticing the end.
const LIMIT: Duration = Duration::from_secs(3);

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 2)]
struct Hasty {
    sessions: Resource<Redis>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 2)]
struct Needy {
    #[service(needs = "get ON KEY session:*")]
    sessions: Resource<Redis>,
}

fn variables(hostile: &Hostile, ca: &str) -> Variables {
    variables::of(
        "SHOP_SESSIONS",
        format!("rediss://{USER}@localhost:{}?response_timeout=1000&max_reply=65536", hostile.port),
        PASSWORD,
        ca,
    )
}

/// A server that plays a script, with a certificate that passes verification.
fn hostile<F>(script: impl Fn(Peer, Arc<Leaf>) -> F + Send + Sync + 'static) -> (Hostile, String)
where
    F: Future<Output = io::Result<Option<Peer>>> + Send + 'static,
{
    let authority = Authority::new("the tests' authority");
    let leaf = Arc::new(authority.server());
    let ca = authority.pem();
    (Hostile::start(move |peer| script(peer, Arc::clone(&leaf))), ca)
}

/// Attaches, which has to fail. Returns the report and what the server received.
async fn against<F>(
    script: impl Fn(Peer, Arc<Leaf>) -> F + Send + Sync + 'static,
) -> (AttachError, Vec<Heard>)
where
    F: Future<Output = io::Result<Option<Peer>>> + Send + 'static,
{
    let (hostile, ca) = hostile(script);
    let error = refused::<Hasty>(&variables(&hostile, &ca), LIMIT).await;
    hostile.assert_all_closed().await;
    let heard = hostile.heard();
    assert_eq!(heard.len(), 1, "there is no second try");
    for heard in &heard {
        for name in [USER, CANARY] {
            assert!(
                canary::position(&heard.plain, name.as_bytes()).is_none(),
                "{name} was said in the clear"
            );
        }
    }
    assert!(!error.to_string().contains("owned"), "{error}");
    (error, heard)
}

/// Answers the listed commands with these bytes, and the others as a good server would.
async fn answering(
    peer: Peer,
    leaf: Arc<Leaf>,
    answers: Arc<Vec<(&'static str, Vec<u8>)>>,
) -> io::Result<Option<Peer>> {
    let peer = peer.encrypt(&leaf).await?;
    let mut greeted = false;
    serve(peer, move |command| {
        let name = command.join(" ").to_uppercase();
        // `HELLO 3 AUTH` logs in. `HELLO` alone asks for the server's identity.
        if let Some((_, answer)) = answers
            .iter()
            .find(|(listed, _)| name.starts_with(listed) && !name.starts_with("GET PROBE."))
        {
            greeted |= name.starts_with("HELLO");
            return Some(answer.clone());
        }
        Some(match command[0].to_uppercase().as_str() {
            "PING" if greeted => b"+PONG\r\n".to_vec(),
            "PING" => b"-NOAUTH Authentication required.\r\n".to_vec(),
            "HELLO" => {
                greeted = true;
                hello()
            }
            "ACL" if name == "ACL WHOAMI" => format!("${}\r\n{USER}\r\n", USER.len()).into_bytes(),
            "GET" if !name.starts_with("GET PROBE.") => b"$5\r\nhello\r\n".to_vec(),
            "SELECT" => b"+OK\r\n".to_vec(),
            _ => b"-NOPERM no permissions\r\n".to_vec(),
        })
    })
    .await
}

async fn answered(answers: Vec<(&'static str, Vec<u8>)>) -> (AttachError, Vec<Heard>) {
    let answers = Arc::new(answers);
    against(move |peer, leaf| answering(peer, leaf, Arc::clone(&answers))).await
}

// --- Before TLS ----------------------------------------------------------------------------------

#[tokio::test]
async fn a_server_without_tls_learns_nothing() {
    for answer in [
        "+PONG\r\n",
        "-ERR unknown command\r\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "-DENIED \u{1b}[2J\r\n",
    ] {
        let (error, heard) = against(move |mut peer, _| async move {
            peer.read().await?;
            peer.write(answer).await?;
            Ok(Some(peer))
        })
        .await;
        assert_eq!(problems(&error), ["obsolete_tls"], "{answer:?}");
        assert!(heard[0].secret.is_empty() && !heard[0].tls);
    }
}

#[tokio::test]
async fn the_server_closes_at_any_step() {
    for step in 0..5 {
        let (error, _) = against(move |mut peer, leaf| async move {
            if step > 0 {
                peer.read().await?;
                return Ok(None);
            }
            let mut peer = peer.encrypt(&leaf).await?;
            if step > 1 {
                peer.read().await?;
            }
            if step > 2 {
                peer.write("-NOAUTH Authentication required.\r\n").await?;
            }
            if step > 3 {
                peer.read().await?;
            }
            Ok(None)
        })
        .await;
        assert_eq!(error.failures().count(), 1, "step {step}: {error}");
    }
}

#[tokio::test]
async fn the_server_falls_silent_at_any_step() {
    let silent_at = |step: usize| async move {
        let begin = Instant::now();
        let (error, _) = against(move |peer, leaf| async move {
            let mut peer = peer.encrypt(&leaf).await?;
            if step > 0 {
                peer.read().await?;
                peer.write("-NOAUTH Authentication required.\r\n").await?;
            }
            if step > 1 {
                peer.read().await?;
                peer.write(hello()).await?;
            }
            Ok(Some(peer))
        })
        .await;
        assert_eq!(problems(&error), ["timed_out"], "step {step}");
        assert!(begin.elapsed() > Duration::from_millis(900));
    };
    tokio::join!(silent_at(0), silent_at(1), silent_at(2));
}

// --- Before the login ----------------------------------------------------------------------------

#[tokio::test]
async fn a_server_that_admits_unauthenticated_clients_gets_no_password() {
    for answer in ["+PONG\r\n", "+OK\r\n", "+\u{1b}[2J\r\n"] {
        let (error, heard) = answered(vec![("PING", answer.into())]).await;
        assert_eq!(problems(&error), ["weak_authentication"]);
        assert_eq!(commands(&heard[0].secret), [["PING"]], "nothing else was said");
    }
}

#[tokio::test]
async fn an_answer_before_the_login_is_bounded() {
    for answer in [
        "$99999999999\r\n", "*1\r\n*1\r\n*1\r\n", "*99999999\r\n", "-ERR no\r\n", "$-1\r\n",
        ":1\r\n", "\r\n", "x",
    ] {
        let (error, heard) = answered(vec![("PING", answer.into())]).await;
        assert_eq!(error.failures().count(), 1, "{answer:?}: {error}");
        assert!(canary::find(&heard[0].secret).is_none());
    }
    for endless in [&b"+"[..], b"-NOAUTH", b"-ERR \x1b[2J"] {
        let (error, heard) = against(move |peer, leaf| async move {
            let mut peer = peer.encrypt(&leaf).await?;
            peer.read().await?;
            peer.flood(endless).await
        })
        .await;
        assert_eq!(problems(&error), ["protocol"]);
        assert!(canary::find(&heard[0].secret).is_none());
    }
}

// --- The login -----------------------------------------------------------------------------------

#[tokio::test]
async fn a_refused_login_has_no_fallback() {
    for answer in [
        "-ERR wrong number of arguments for 'auth' command\r\n",
        "-ERR wrong number of arguments for 'hello' command\r\n",
        "-ERR unknown command 'HELLO'\r\n",
        "-NOPROTO unsupported protocol version\r\n",
        "-ERR Syntax error in HELLO option 'AUTH'\r\n",
    ] {
        let (error, heard) = answered(vec![("HELLO", answer.into())]).await;
        assert_eq!(problems(&error).len(), 1, "{answer:?}: {error}");
        for command in commands(&heard[0].secret) {
            assert_ne!(command[0].to_uppercase(), "AUTH", "{answer:?}");
            // A command that has the password has the user as well.
            if let Some(at) = command.iter().position(|word| word.contains(CANARY)) {
                assert_eq!(command[at - 1], USER, "{answer:?}");
                assert_eq!(command[0], "HELLO");
            }
        }
    }
}

#[tokio::test]
async fn an_error_is_not_repeated() {
    for code in ["WRONGPASS", "NOAUTH", "NOPERM", "ERR", "LOADING", "MOVED 1", "\u{1b}[31m", ""] {
        for command in ["PING", "HELLO 3", "ACL WHOAMI"] {
            if (code, command) == ("NOAUTH", "PING") {
                // A good server answers with this code, and the text after it is ignored.
                continue;
            }
            let (error, _) =
                answered(vec![(command, format!("-{code} {ESCAPES}\r\n").into_bytes())]).await;
            assert_eq!(problems(&error).len(), 1, "{code} to {command}: {error}");
        }
    }
}

#[tokio::test]
async fn a_reply_is_bounded_before_it_is_allocated() {
    let deep = "*1\r\n".repeat(100_000).into_bytes();
    for (what, answer) in [
        ("a length", b"$99999999999\r\n".to_vec()),
        ("a length that overflows", b"$99999999999999999999999\r\n".to_vec()),
        ("a length past the locator's bound", b"$70000\r\n".to_vec()),
        ("depth", deep.clone()),
        ("depth in a map", "%1\r\n+a\r\n".repeat(50_000).into_bytes()),
        ("elements", b"*2147483647\r\n".to_vec()),
        ("elements of a map", b"%9223372036854775807\r\n".to_vec()),
        ("elements of a set", b"~18446744073709551615\r\n".to_vec()),
        ("an attribute", b"|2147483647\r\n".to_vec()),
        ("a push", b">2147483647\r\n".to_vec()),
        ("an error's length", b"!99999999999\r\n".to_vec()),
        ("a line without end", vec![b'+'; 200_000]),
        ("no type", b"\x00\x01\x02\r\n".to_vec()),
        ("a length that is not a number", b"$abc\r\n".to_vec()),
    ] {
        for command in ["HELLO 3", "ACL WHOAMI"] {
            let begin = Instant::now();
            let (error, _) = answered(vec![(command, answer.clone())]).await;
            assert_eq!(problems(&error).len(), 1, "{what} to {command}: {error}");
            assert!(begin.elapsed() < LIMIT, "{what}");
        }
    }
}

#[tokio::test]
async fn floods_end() {
    for endless in [
        &b"+PONG\r\n"[..],
        b">2\r\n+message\r\n+x\r\n",
        b"|1\r\n+a\r\n+b\r\n",
        b"*0\r\n",
        b"%1\r\n",
    ] {
        let (error, _) = against(move |peer, leaf| async move {
            let mut peer = peer.encrypt(&leaf).await?;
            peer.read().await?;
            peer.write("-NOAUTH Authentication required.\r\n").await?;
            peer.read().await?;
            peer.flood(endless).await
        })
        .await;
        assert_eq!(problems(&error).len(), 1, "{error}");
    }
}

#[tokio::test]
async fn a_reply_that_drips_ends_at_the_deadline() {
    let (error, _) = against(|peer, leaf| async move {
        let mut peer = peer.encrypt(&leaf).await?;
        peer.read().await?;
        peer.write("-NOAUTH Authentication required.\r\n").await?;
        peer.read().await?;
        peer.write("$60000\r\n").await?;
        loop {
            peer.write("x").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(problems(&error), ["timed_out"]);
}

// --- The probe -----------------------------------------------------------------------------------

#[tokio::test]
async fn a_probe_fails_closed() {
    for (command, answer) in [
        ("ACL WHOAMI", "$-1\r\n"),
        ("ACL WHOAMI", "_\r\n"),
        ("ACL WHOAMI", "*-5\r\n"),
        ("ACL WHOAMI", "$8\r\nsomebody\r\n"),
        ("ACL WHOAMI", "$7\r\ndefault\r\n"),
        ("ACL WHOAMI", "*1\r\n$10\r\nshopkeeper\r\n"),
        ("ACL WHOAMI", ":1\r\n"),
        ("ACL WHOAMI", "-ERR unknown command\r\n"),
        ("ACL WHOAMI", "$10\r\nshopkeepe\u{1b}\r\n"),
        ("CONFIG", "*0\r\n"),
        ("CONFIG", "%0\r\n"),
        ("CONFIG", "$-1\r\n"),
        ("CONFIG", "+OK\r\n"),
        ("CONFIG", "-LOADING\r\n"),
        ("ACL GETUSER", "*0\r\n"),
        ("ACL GETUSER", "$-1\r\n"),
        ("ACL GETUSER", "_\r\n"),
        ("ACL GETUSER", "-MASTERDOWN\r\n"),
    ] {
        let (error, _) = answered(vec![(command, answer.into())]).await;
        assert_eq!(problems(&error).len(), 1, "{answer:?} to {command}: {error}");
    }
}

// --- While it is attached ------------------------------------------------------------------------

#[tokio::test]
async fn the_servers_version_is_made_printable() {
    let escapes = "7.4\u{1b}[2J\r\nroot: \u{202e}\u{9b}31m";
    let version = format!(
        "%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n${}\r\n{escapes}\r\n",
        escapes.len()
    );
    let answers = Arc::new(vec![("HELLO", version.into_bytes())]);
    let (hostile, ca) = hostile(move |peer, leaf| answering(peer, leaf, Arc::clone(&answers)));
    // The test that attaches everything checks that the posture's texts have no raw escapes.
    let shop: Hasty = attach(&variables(&hostile, &ca)).await.unwrap();
    assert!(
        shop.sessions.posture().server.as_ref().unwrap().version.contains("\\u{1b}[2J"),
        "{:?}",
        shop.sessions.posture().server
    );
    shop.detach().await;
    hostile.assert_all_closed().await;
    journal::assert_silent();
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Hostile::start(|peer| async { Ok(Some(peer)) });
    for kind in ["MOVED", "ASK"] {
        let redirect = format!("-{kind} 3999 127.0.0.1:{}\r\n", elsewhere.port).into_bytes();
        let answers = Arc::new(vec![("GET", redirect)]);
        let (hostile, ca) = hostile(move |peer, leaf| answering(peer, leaf, Arc::clone(&answers)));
        let shop: Hasty = attach(&variables(&hostile, &ca)).await.unwrap();
        let error = shop.sessions.client().get::<_, String>("greeting").await.unwrap_err();
        assert_eq!(error.code(), Some(kind));
        shop.detach().await;
    }
    assert!(elsewhere.heard().is_empty());
}

#[tokio::test]
async fn a_reply_past_its_bound_ends_the_connection_and_nothing_else() {
    let answers = Arc::new(vec![("GET", b"$65537\r\n".to_vec())]);
    let (hostile, ca) = hostile(move |peer, leaf| answering(peer, leaf, Arc::clone(&answers)));
    let shop: Hasty = attach(&variables(&hostile, &ca)).await.unwrap();
    assert!(shop.sessions.client().get::<_, String>("greeting").await.is_err());
    // The next command opens a connection again.
    let mut last = None;
    for _ in 0..50 {
        last = Some(shop.sessions.health().await);
        if matches!(last, Some(Ok(()))) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(matches!(last, Some(Ok(()))), "{last:?}");
    assert_eq!(hostile.heard().len(), 2);
    shop.detach().await;
}

/// Repeats a command for two seconds.
async fn insist(shop: &Hasty) {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        let _ = shop.sessions.client().get::<_, String>("greeting").await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn reconnecting_is_as_strict_as_connecting() {
    // On reconnect, the server admits unauthenticated clients: it gets nothing. Or it refuses the
    // password: it is not asked a third time.
    for (answer, most) in [("+PONG\r\n", 6), ("-NOAUTH Authentication required.\r\n", 2)] {
        let (hostile, ca) = hostile(move |peer, leaf| async move {
            if peer.index() == 0 {
                return answering(peer, leaf, Arc::new(vec![("GET", b"$x\r\n".to_vec())])).await;
            }
            let login = b"-WRONGPASS invalid username-password pair\r\n".to_vec();
            answering(peer, leaf, Arc::new(vec![("PING", answer.into()), ("HELLO", login)])).await
        });
        let shop: Hasty = attach(&variables(&hostile, &ca)).await.unwrap();
        insist(&shop).await;
        let heard = hostile.heard();
        assert!((2..=most).contains(&heard.len()), "{answer:?}: {} connections", heard.len());
        if answer == "+PONG\r\n" {
            assert!(heard[1..].iter().all(|heard| canary::find(&heard.secret).is_none()));
        }
        shop.detach().await;
    }
    journal::assert_silent();
}

#[tokio::test]
async fn a_reconnect_without_tls_sends_nothing() {
    let (hostile, ca) = hostile(|mut peer, leaf| async move {
        if peer.index() == 0 {
            return answering(peer, leaf, Arc::new(vec![("GET", b"$x\r\n".to_vec())])).await;
        }
        peer.read().await?;
        peer.write("+PONG\r\n").await?;
        Ok(Some(peer))
    });
    let shop: Hasty = attach(&variables(&hostile, &ca)).await.unwrap();
    insist(&shop).await;
    let heard = hostile.heard();
    assert!((2..=6).contains(&heard.len()), "{} connections in 2 s", heard.len());
    for heard in &heard[1..] {
        assert!(!heard.tls && heard.secret.is_empty());
        assert!(canary::find(&heard.plain).is_none());
    }
    shop.detach().await;
    journal::assert_silent();
}

#[tokio::test]
async fn nonsense_about_the_account() {
    let escapes = format!("User {ESCAPES} has no permissions to run the 'get' command");
    for (answer, problem) in [
        ("$-1\r\n".to_owned(), "protocol"),
        ("_\r\n".to_owned(), "protocol"),
        ("*0\r\n".to_owned(), "protocol"),
        (":1\r\n".to_owned(), "protocol"),
        ("+maybe\r\n".to_owned(), "protocol"),
        ("-ERR \u{1b}[2J\r\n".to_owned(), "protocol"),
        ("+OK\r\n".to_owned(), "superuser_account"),
        ("-NOPERM no permissions\r\n".to_owned(), "missing_privileges"),
        ("-ERR unknown subcommand 'dryrun'\r\n".to_owned(), "missing_privileges"),
        (format!("${}\r\n{escapes}\r\n", escapes.len()), "missing_privileges"),
    ] {
        let answers = Arc::new(vec![("ACL DRYRUN", answer.clone().into_bytes())]);
        let (hostile, ca) = hostile(move |peer, leaf| answering(peer, leaf, Arc::clone(&answers)));
        let variables = variables(&hostile, &ca);
        let error = refused::<Needy>(&variables, LIMIT).await;
        assert_eq!(problems(&error), [problem], "{answer:?}: {error}");
        assert!(!error.to_string().contains("owned"), "{error}");
        hostile.assert_all_closed().await;
    }
    journal::assert_silent();
}
