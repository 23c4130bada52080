//! MySQL: a verified server that turns hostile, after the first connection or after the login.
//!
//! Every server here records what it receives. No connection but the first one gets less than the
//! first one got, and none gets the password.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use backing_services::{BackingServices, MySql, Resource};
use backing_services_tests::attempt::{attach, problems, refused};
use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::hostile::mysql::{
    CAPABILITIES, MYSQL, admitting, error, greeting, ok, packet, results, rows, startup, switch,
};
use backing_services_tests::hostile::{ESCAPES, Hostile, Peer};
use backing_services_tests::pki::{Authority, Leaf};
use backing_services_tests::variables::{self, Variables};
use futures_util::StreamExt as _;
use sqlx::{Executor as _, Row as _};

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 3)]
struct Shop {
    orders: Resource<MySql>,
}

/// The upper bound for what waits for nothing.
const SOON: Duration = Duration::from_secs(3);

/// A server with a script for each connection, and the variables that lead to it.
fn server<F>(script: impl Fn(Peer, Arc<Leaf>) -> F + Send + Sync + 'static) -> (Hostile, Variables)
where
    F: Future<Output = io::Result<Option<Peer>>> + Send + 'static,
{
    let authority = Authority::new("the tests' authority");
    let leaf = Arc::new(authority.server());
    let hostile = Hostile::start(move |peer| script(peer, Arc::clone(&leaf)));
    let url = format!(
        "mysql://winkelier@localhost:{}/winkelgegevens?max_message=65536&connect_timeout=2",
        hostile.port
    );
    let variables = variables::of("SHOP_ORDERS", url, PASSWORD, authority.pem());
    (hostile, variables)
}

/// Answers the probe, and every other statement with `OK`, until a statement holds `HOSTILE`.
/// Returns there.
async fn answering(mut peer: Peer) -> io::Result<Peer> {
    loop {
        let statement = peer.read().await?;
        let text = String::from_utf8_lossy(&statement).into_owned();
        if text.contains("HOSTILE") {
            return Ok(peer);
        }
        let answer = if text.contains("VERSION()") {
            let me = [Some(MYSQL), Some("winkelier@%"), Some("winkelier@localhost"), Some("0")];
            results(&[
                ok(1),
                rows(4, &[&me]),
                rows(2, &[&[Some("Ssl_cipher"), Some("TLS_AES_256_GCM_SHA384")]]),
                rows(2, &[&[Some("partial_revokes"), Some("OFF")]]),
                rows(
                    5,
                    &[&[Some("information_schema"), Some("0"), Some("0"), Some("0"), Some("0")]],
                ),
                rows(1, &[&[Some("GRANT USAGE ON *.* TO `winkelier`@`%`")]]),
                ok(1),
            ])
        } else {
            ok(1)
        };
        peer.write(answer).await?;
    }
}

/// Attaches to a server that is good until a statement holds `HOSTILE`. Then it sends these bytes.
async fn attached(answer: Vec<u8>) -> (Hostile, Shop) {
    let answer = Arc::new(answer);
    let (hostile, variables) = server(move |peer, leaf| {
        let answer = Arc::clone(&answer);
        async move {
            let mut peer = answering(admitting(peer, &leaf).await?).await?;
            peer.write(&*answer).await?;
            Ok(Some(peer))
        }
    });
    (hostile, attach(&variables).await.unwrap())
}

fn assert_password_kept(hostile: &Hostile) {
    for heard in hostile.heard() {
        assert!(canary::find(&heard.plain).is_none() && canary::find(&heard.secret).is_none());
    }
}

// --- The second connection -----------------------------------------------------------------------

#[tokio::test]
async fn a_later_connection_proves_as_much_as_the_first() {
    for (what, answers) in [
        ("cleartext", switch(3, "mysql_clear_password")),
        ("sha256", switch(3, "sha256_password")),
        ("PAM", switch(3, "dialog")),
        ("the oldest", switch(3, "mysql_old_password")),
        ("the oldest, without a name", packet(3, b"\xfe")),
        ("SHA-1", switch(3, "mysql_native_password")),
        ("no proof", ok(3)),
        ("a key of RSA", packet(3, b"\x01-----BEGIN PUBLIC KEY-----\nMIIB\n")),
        ("nothing", packet(3, b"\x01")),
        ("an empty packet", packet(3, b"")),
        ("an error", error(3, 1045, ESCAPES)),
        ("16 MiB", b"\xff\xff\xff\x03\x01".to_vec()),
        ("another number", ok(7)),
    ] {
        let (first, answers) = (AtomicUsize::new(0), Arc::new(answers));
        let (hostile, variables) = server(move |peer, leaf| {
            let is_first = first.fetch_add(1, Ordering::Relaxed) == 0;
            let answers = Arc::clone(&answers);
            async move {
                if is_first {
                    return answering(admitting(peer, &leaf).await?).await.map(Some);
                }
                let mut peer = startup(peer, &leaf, "mysql_clear_password").await?;
                peer.write(&*answers).await?;
                Ok(Some(peer))
            }
        });
        let shop: Shop = attach(&variables).await.unwrap();
        let pool = shop.orders.client();
        // The first connection is on its way back to the pool.
        while pool.num_idle() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let held = pool.acquire().await.unwrap();
        let begin = Instant::now();
        let refused = pool.acquire().await.map(drop).unwrap_err().to_string();
        assert!(begin.elapsed() < SOON, "{what}: {refused}");
        assert!(!refused.contains('\u{1b}') && !refused.contains("owned"), "{what}: {refused}");
        drop((held, pool));
        shop.detach().await;
        assert!(hostile.heard().len() >= 2, "{what}");
        assert_password_kept(&hostile);
    }
}

/// A tick of a task that has nothing to do with the server.
async fn ticking(ticks: Arc<AtomicUsize>) {
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        ticks.fetch_add(1, Ordering::Relaxed);
    }
}

/// Floods before TLS, within the login and as the first answer. One thread has to serve all.
#[tokio::test(flavor = "current_thread")]
async fn floods_while_logging_in_end_the_attempt_and_hold_no_thread() {
    let ticks = Arc::new(AtomicUsize::new(0));
    let task = tokio::spawn(ticking(Arc::clone(&ticks)));
    for place in 0..6 {
        let (hostile, variables) = server(move |mut peer, leaf| async move {
            let switches = switch(3, "caching_sha2_password");
            match place {
                0 => peer.flood(&[0xff]).await,
                1 => peer.flood(&packet(0, &[0x0a; 1000])).await,
                2 => {
                    peer.write(greeting("caching_sha2_password", CAPABILITIES)).await?;
                    peer.flood(&packet(1, b"\x01\x03")).await
                }
                3 => startup(peer, &leaf, "caching_sha2_password").await?.flood(&switches).await,
                4 => {
                    let mut peer = startup(peer, &leaf, "caching_sha2_password").await?;
                    peer.flood(&packet(3, b"\x01\x03")).await
                }
                // Before the probe is answered.
                _ => {
                    let mut peer = admitting(peer, &leaf).await?;
                    peer.read().await?;
                    let answer = rows(1, &[&[Some("a row")]]);
                    peer.write(&answer[..answer.len() - 9]).await?;
                    peer.flood(&packet(1, &[b"\x0f".as_slice(), &[b'x'; 15]].concat())).await
                }
            }
        });
        let before = ticks.load(Ordering::Relaxed);
        let begin = Instant::now();
        let error = refused::<Shop>(&variables, Duration::from_secs(5)).await;
        assert_eq!(problems(&error).len(), 1, "{place}: {error}");
        assert!(!error.to_string().contains("owned"), "{error}");
        let expected = begin.elapsed().as_millis() / 50;
        let ticked = ticks.load(Ordering::Relaxed) - before;
        assert!(ticked as u128 + 1 >= expected, "{place}: {ticked} of {expected}");
        hostile.assert_all_closed().await;
        assert_password_kept(&hostile);
    }
    task.abort();
}

// --- After the login -----------------------------------------------------------------------------

#[tokio::test]
async fn messages_that_the_protocol_does_not_have_there_end_the_connection() {
    let definition = &rows(1, &[])[5..];
    let header = |length: [u8; 3]| [&length[..], &[1]].concat();
    for (what, answer) in [
        ("a request for a file", packet(1, b"\xfb/etc/passwd")),
        (
            "a request for a file, after a result",
            [results(&[ok(1), ok(1)]), packet(3, b"\xfb/etc/passwd")].concat(),
        ),
        ("another login", switch(1, "mysql_clear_password")),
        ("another login, of the oldest kind", packet(1, b"\xfe")),
        ("the password", packet(1, b"\x01\x04")),
        ("a key", packet(1, b"\x01-----BEGIN PUBLIC KEY-----")),
        ("an empty packet", packet(1, b"")),
        ("16 MiB of nothing", [header([0xff, 0xff, 0xff]), vec![b'x'; 100]].concat()),
        ("an endless error", [header([0xff, 0xff, 0]), b"\xff\x01\x02".to_vec()].concat()),
        ("an error that is too short", packet(1, b"\xff")),
        ("more columns than there can be", packet(1, b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f")),
        ("no columns", packet(1, b"\xfc\0\0")),
        ("a definition that is too short", [packet(1, b"\x01"), packet(2, b"\x03def")].concat()),
        (
            "a definition that is too long",
            [packet(1, b"\x01"), packet(2, b"\x03def\xfe\xff\xff\xff\xff\xff\xff\xff\x7f")]
                .concat(),
        ),
        (
            "a row that is too large",
            [packet(1, b"\x01"), definition.to_vec(), header([1, 0, 1]), vec![b'x'; 100]].concat(),
        ),
    ] {
        let (hostile, shop) = attached(answer).await;
        let pool = shop.orders.client();
        let begin = Instant::now();
        let failed = pool.execute("SELECT 'HOSTILE'").await.map(drop);
        assert!(failed.is_err() && begin.elapsed() < SOON, "{what}: {failed:?}");
        // The pool recovers.
        pool.execute("SELECT 1").await.unwrap_or_else(|error| panic!("{what}: {error}"));
        drop(pool);
        shop.detach().await;
        hostile.assert_all_closed().await;
        assert_password_kept(&hostile);
    }
}

/// The text of an error reaches the application, and what logs it, without what a terminal obeys
/// and without the password.
#[tokio::test]
async fn errors_are_made_printable() {
    let said = format!("no table {ESCAPES} and {PASSWORD}");
    let (hostile, shop) = attached(error(1, 1146, &said)).await;
    let pool = shop.orders.client();
    let failed = pool.execute("SELECT 'HOSTILE'").await.map(drop).unwrap_err();
    let text = failed.to_string();
    assert!(text.contains("no table \\u{1b}[2J"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
    assert!(canary::find(text.as_bytes()).is_none(), "{text}");
    assert_eq!(failed.as_database_error().and_then(|error| error.code()).as_deref(), Some("HY000"));
    drop(pool);
    shop.detach().await;
    assert_password_kept(&hostile);
}

#[tokio::test(flavor = "current_thread")]
async fn floods_after_the_login_hold_no_thread() {
    let ticks = Arc::new(AtomicUsize::new(0));
    let task = tokio::spawn(ticking(Arc::clone(&ticks)));
    for is_read in [false, true] {
        let (hostile, variables) = server(|peer, leaf| async move {
            let mut peer = answering(admitting(peer, &leaf).await?).await?;
            let begin = rows(1, &[]);
            peer.write(&begin[..begin.len() - 9]).await?;
            peer.flood(&packet(4, b"\x01x")).await
        });
        let shop: Shop = attach(&variables).await.unwrap();
        let pool = shop.orders.client();
        let before = ticks.load(Ordering::Relaxed);
        let begin = Instant::now();
        // A caller that reads, and one that has stopped.
        let mut stream = pool.fetch("SELECT 'HOSTILE'");
        let reading = async {
            while let Some(row) = stream.next().await {
                assert_eq!(row.unwrap().get_unchecked::<String, _>(0), "x");
                if !is_read {
                    std::future::pending::<()>().await;
                }
                // sqlx does not yield as long as it has rows.
                tokio::task::yield_now().await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(1), reading).await;
        assert!(ended.is_err(), "the rows have no end");
        let expected = begin.elapsed().as_millis() / 50;
        let ticked = ticks.load(Ordering::Relaxed) - before;
        assert!(ticked as u128 >= expected, "{ticked} of {expected}");
        drop(stream);
        drop(pool);
        shop.detach().await;
        hostile.assert_all_closed().await;
    }
    task.abort();
}
