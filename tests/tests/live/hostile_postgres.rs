//! PostgreSQL: the peer is not a PostgreSQL server, or it is one and has turned hostile.
//!
//! Every server here records what it receives. Each attempt ends within its deadline, with a report
//! that is safe on a terminal, and without sending the password.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backing_services::{AttachError, BackingServices, Postgres, Resource};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::{self, CANARY, PASSWORD};
use backing_services_tests::hostile::ESCAPES;
use backing_services_tests::hostile::postgres::probe::{
    NAMES, Row, answer, answering, bad_answers, columns, done, good, power, row, with,
};
use backing_services_tests::hostile::postgres::{
    AUTHENTICATION_OK, CLEARTEXT, MD5, READY, SSL_REQUEST, error, message, nonce, sasl,
    sasl_continue, startup,
};
use backing_services_tests::hostile::{Heard, Hostile, Peer};
use backing_services_tests::journal;
use backing_services_tests::pki::{Authority, Leaf};
use backing_services_tests::variables::{self, Variables};

const USER: &str = "shopkeeper";
const DATABASE: &str = "shop_data";

/// The upper bound for an attempt that waits for nothing.
const SOON: Duration = Duration::from_secs(3);

/// The upper bound for an attempt that runs into its deadline, which includes noticing the end.
const LIMIT: Duration = Duration::from_secs(3);

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 2)]
struct Hasty {
    orders: Resource<Postgres>,
}

/// Admits a server that asks for no proof, so that a server can be hostile without knowing the
/// password.
#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 2)]
struct Lenient {
    #[service(allow(weak_authentication, reason = "the appliance knows nothing better"))]
    orders: Resource<Postgres>,
}

/// Attaches to a server that plays a script. The attempt has to fail. Returns the report and what
/// the server received. The script gets a certificate that passes verification.
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
    let ca = authority.pem();
    let error = refused::<T>(&variables(&hostile, &ca), LIMIT).await;
    hostile.assert_all_closed().await;
    let heard = hostile.heard();
    assert!(!heard.is_empty(), "no peer connected");
    for heard in &heard {
        assert_no_name_sent(&heard.plain);
        assert!(
            canary::find(&heard.secret).is_none(),
            "the password was sent: {:?}",
            String::from_utf8_lossy(&heard.secret)
        );
    }
    (error, heard)
}

fn variables(hostile: &Hostile, ca: &str) -> Variables {
    variables::of(
        "SHOP_ORDERS",
        format!("postgres://{USER}@localhost:{}/{DATABASE}", hostile.port),
        PASSWORD,
        ca,
    )
}

/// Before TLS, neither user nor database is named.
#[track_caller]
fn assert_no_name_sent(plain: &[u8]) {
    for name in [USER, DATABASE, CANARY] {
        assert!(canary::position(plain, name.as_bytes()).is_none(), "{name} was said in the clear");
    }
}

// --- Before TLS ----------------------------------------------------------------------------------

#[tokio::test]
async fn refused_tls_ends_the_attempt() {
    let (error, heard) = against::<Hasty, _>(|mut peer, _| async {
        peer.read().await?;
        peer.write("N").await?;
        Ok(Some(peer))
    })
    .await;
    assert_eq!(problems(&error), ["opportunistic_tls"]);
    assert_eq!(heard.len(), 1, "there is no second try");
    assert_eq!(heard[0].plain, SSL_REQUEST);
}

#[tokio::test]
async fn bytes_before_tls_are_not_trusted() {
    for early in
        [&b"SR\0\0\0\x08\0\0\0\0"[..], b"SE\0\0\0\x05\0", b"SS", b"S\x16\x03\x03\x00\x02\x01\x00"]
    {
        let (error, heard) = against::<Hasty, _>(move |mut peer, _| async move {
            peer.read().await?;
            peer.write(early).await?;
            Ok(Some(peer))
        })
        .await;
        assert_eq!(problems(&error), ["opportunistic_tls"], "{early:?}");
        assert_eq!(heard[0].plain, SSL_REQUEST, "the handshake was not even begun");
    }
}

#[tokio::test]
async fn bytes_in_the_middle_of_the_handshake_are_not_trusted() {
    let (error, heard) = against::<Hasty, _>(|mut peer, leaf| async move {
        peer.read().await?;
        peer.write("S").await?;
        peer.read().await?;
        // The ClientHello has arrived: this is the middle of the handshake.
        peer.write(AUTHENTICATION_OK).await?;
        let _ = leaf;
        Ok(Some(peer))
    })
    .await;
    assert_eq!(problems(&error).len(), 1, "{error}");
    assert_eq!(heard.len(), 1);
}

#[tokio::test]
async fn an_error_before_tls_is_not_repeated() {
    let (error, heard) = against::<Hasty, _>(|mut peer, _| async move {
        peer.read().await?;
        peer.write(error("08P01", ESCAPES)).await?;
        Ok(Some(peer))
    })
    .await;
    assert_eq!(problems(&error), ["protocol"]);
    assert!(!error.to_string().contains("owned"), "{error}");
    assert_eq!(heard[0].plain, SSL_REQUEST);
}

#[tokio::test]
async fn the_server_closes_at_any_step() {
    for step in 0..4 {
        let (error, _) = against::<Hasty, _>(move |mut peer, leaf| async move {
            if step > 0 {
                peer.read().await?;
            }
            if step > 1 {
                peer.write("S").await?;
            }
            if step > 2 {
                peer.encrypt(&leaf).await?;
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
        let (error, heard) = against::<Hasty, _>(move |mut peer, leaf| async move {
            if step > 0 {
                peer.read().await?;
                peer.write("S").await?;
            }
            if step > 1 {
                peer = peer.encrypt(&leaf).await?;
            }
            Ok(Some(peer))
        })
        .await;
        assert!(begin.elapsed() >= Duration::from_secs(2));
        assert_eq!(problems(&error), ["timed_out"], "step {step}");
        assert_eq!(heard.len(), 1);
    };
    tokio::join!(silent_at(0), silent_at(1), silent_at(2));
}

#[tokio::test]
async fn a_handshake_that_drips_ends_at_the_deadline() {
    let (error, _) = against::<Hasty, _>(|mut peer, _| async move {
        peer.read().await?;
        peer.write("S").await?;
        peer.read().await?;
        // The header of a record of 16 KiB, which then arrives byte by byte.
        peer.write(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc").await?;
        loop {
            peer.write([0]).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(problems(&error), ["timed_out"]);
}

// --- Under TLS: the login ------------------------------------------------------------------------

#[tokio::test]
async fn a_server_that_asks_for_less_than_a_proof_gets_nothing() {
    for asked in [&CLEARTEXT[..], &MD5, &AUTHENTICATION_OK] {
        let (error, heard) = against::<Hasty, _>(move |peer, leaf| async move {
            let mut peer = startup(peer, &leaf).await?;
            peer.write(asked).await?;
            Ok(Some(peer))
        })
        .await;
        assert_eq!(problems(&error), ["weak_authentication"]);
        assert_eq!(heard.len(), 1);
        // The server got the startup message and not a byte more: neither the password nor a hash
        // of it.
        let length = u32::from_be_bytes(heard[0].secret[..4].try_into().unwrap()) as usize;
        assert_eq!(heard[0].secret.len(), length);
    }
}

#[tokio::test]
async fn an_unknown_authentication_is_a_failure() {
    for asked in [
        message(b'R', &7_u32.to_be_bytes()),
        message(b'R', &12_u32.to_be_bytes()),
        message(b'R', &u32::MAX.to_be_bytes()),
        message(b'R', b""),
        message(b'R', b"\0\0"),
        sasl(&["OAUTHBEARER"]),
        sasl(&["SCRAM-SHA-256-NOT"]),
        sasl(&[]),
        message(b'Z', b"I"),
        message(b'N', format!("SNOTICE\0C00000\0M{ESCAPES}\0\0").as_bytes()),
    ] {
        let asked = Arc::new(asked);
        let (error, heard) = against::<Hasty, _>(move |peer, leaf| {
            let asked = Arc::clone(&asked);
            async move {
                let mut peer = startup(peer, &leaf).await?;
                peer.write(&*asked).await?;
                Ok(Some(peer))
            }
        })
        .await;
        assert_eq!(error.failures().count(), 1, "{error}");
        assert_eq!(heard.len(), 1);
    }
}

#[tokio::test]
async fn lengths_are_not_trusted() {
    for length in [0_u32, 3, 16 * 1024 + 5, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        for kind in [b'R', b'E', b'N'] {
            let (error, _) = against::<Hasty, _>(move |peer, leaf| async move {
                let mut peer = startup(peer, &leaf).await?;
                peer.write([&[kind][..], &length.to_be_bytes()].concat()).await?;
                Ok(Some(peer))
            })
            .await;
            assert_eq!(problems(&error), ["protocol"], "{length} {kind}");
        }
    }
}

#[tokio::test]
async fn a_flood_ends() {
    let (error, _) = against::<Hasty, _>(|peer, leaf| async move {
        let mut peer = startup(peer, &leaf).await?;
        peer.flood(&message(b'N', b"SNOTICE\0C00000\0Mx\0\0")).await
    })
    .await;
    assert_eq!(problems(&error), ["protocol"]);
}

#[tokio::test]
async fn an_error_is_not_repeated() {
    for code in ["28P01", "28000", "3D000", "53300", "57P03", "42501", "08006", "XX000", ESCAPES] {
        let (error, _) = against::<Hasty, _>(move |peer, leaf| async move {
            let mut peer = startup(peer, &leaf).await?;
            peer.write(error(code, ESCAPES)).await?;
            Ok(Some(peer))
        })
        .await;
        assert_eq!(error.failures().count(), 1, "{error}");
        assert!(!error.to_string().contains("owned"), "{error}");
    }
}

// --- The driver's own connection -----------------------------------------------------------------

/// The first connection, on which the server only announces its authentication, succeeds. The
/// driver's own connection, which comes next, plays the script.
async fn against_the_driver<F>(
    script: impl Fn(Peer) -> F + Send + Sync + 'static,
) -> (AttachError, Vec<Heard>)
where
    F: Future<Output = io::Result<Option<Peer>>> + Send + 'static,
{
    let script = Arc::new(script);
    against::<Hasty, _>(move |peer, leaf| {
        let script = Arc::clone(&script);
        async move {
            let mut peer = startup(peer, &leaf).await?;
            peer.write(sasl(&["SCRAM-SHA-256"])).await?;
            if peer.index() == 0 { Ok(Some(peer)) } else { script(peer).await }
        }
    })
    .await
}

#[tokio::test]
async fn absurd_iterations_end_at_the_deadline() {
    for iterations in ["4294967295", "99999999999999999999", "-1"] {
        let (error, heard) = against_the_driver(move |mut peer| async move {
            let first = peer.read().await?;
            peer.write(sasl_continue(&format!(
                "r={}server,s=c2FsdHNhbHQ=,i={iterations}",
                nonce(&first)
            )))
            .await?;
            Ok(Some(peer))
        })
        .await;
        assert_eq!(problems(&error).len(), 1, "{iterations}: {error}");
        assert!(heard.len() >= 2, "the driver came");
    }
}

#[tokio::test]
async fn a_server_that_does_not_know_the_password_is_refused() {
    let (error, _) = against_the_driver(|mut peer| async move {
        let first = peer.read().await?;
        peer.write(sasl_continue(&format!("r={}server,s=c2FsdHNhbHQ=,i=4096", nonce(&first))))
            .await?;
        peer.read().await?;
        // A signature that it cannot compute.
        peer.write(message(b'R', b"\0\0\0\x0cv=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
            .await?;
        peer.write(AUTHENTICATION_OK).await?;
        peer.write(READY).await?;
        Ok(Some(peer))
    })
    .await;
    assert_eq!(problems(&error).len(), 1, "{error}");
}

#[tokio::test]
async fn a_server_that_leaves_its_proof_out_is_refused() {
    for after in 0..2 {
        let (error, _) = against_the_driver(move |mut peer| async move {
            let first = peer.read().await?;
            if after > 0 {
                peer.write(sasl_continue(&format!(
                    "r={}server,s=c2FsdHNhbHQ=,i=4096",
                    nonce(&first)
                )))
                .await?;
                peer.read().await?;
            }
            peer.write([&AUTHENTICATION_OK[..], &READY].concat()).await?;
            Ok(Some(peer))
        })
        .await;
        assert_eq!(problems(&error).len(), 1, "after {after} messages: {error}");
    }
}

#[tokio::test]
async fn the_drivers_error_is_not_repeated() {
    for code in ["28P01", "3D000", ESCAPES] {
        let (error, _) = against_the_driver(move |mut peer| async move {
            peer.read().await?;
            peer.write(error(code, ESCAPES)).await?;
            Ok(Some(peer))
        })
        .await;
        assert_eq!(error.failures().count(), 1, "{error}");
        assert!(!error.to_string().contains("owned"), "{error}");
    }
}

/// The driver blocks its thread as long as there is something to read, so the deadline waits for
/// the end of the flood. The docs of the service list this as a limit of the driver. The attempt
/// still fails, and nothing piles up. When this takes no longer than the deadline, the docs can be
/// corrected.
#[tokio::test]
async fn a_flood_holds_the_driver_until_it_ends() {
    const FLOOD: Duration = Duration::from_secs(3);
    let authority = Authority::new("the tests' authority");
    let leaf = Arc::new(authority.server());
    let hostile = Hostile::start(move |peer| {
        let leaf = Arc::clone(&leaf);
        async move {
            let mut peer = startup(peer, &leaf).await?;
            peer.write(sasl(&["SCRAM-SHA-256"])).await?;
            peer.read().await?;
            let many = message(b'S', b"a\0b\0").repeat(4096);
            let begin = Instant::now();
            while begin.elapsed() < FLOOD {
                peer.write(&many).await?;
            }
            Ok(None)
        }
    });
    let ca = authority.pem();
    let variables = variables(&hostile, &ca);
    let begin = Instant::now();
    let error = refused::<Hasty>(&variables, FLOOD + SOON).await;
    assert_eq!(problems(&error).len(), 1, "{error}");
    assert!(begin.elapsed() > Duration::from_secs(2), "the deadline holds now: correct the docs");
    hostile.assert_all_closed().await;
}

/// The driver authenticates in whatever way the server asks for. The first connection's observation
/// does not bind the next one, and the docs of the service say so. When the password is not sent
/// here any more, they can be corrected.
#[tokio::test]
async fn a_server_that_changes_its_mind_gets_the_password_from_the_driver() {
    let authority = Authority::new("the tests' authority");
    let leaf = Arc::new(authority.server());
    let hostile = Hostile::start(move |peer| {
        let leaf = Arc::clone(&leaf);
        async move {
            let mut peer = startup(peer, &leaf).await?;
            let first = peer.index() == 0;
            peer.write(if first { sasl(&["SCRAM-SHA-256"]) } else { CLEARTEXT.to_vec() }).await?;
            Ok(Some(peer))
        }
    });
    let ca = authority.pem();
    let variables = variables(&hostile, &ca);
    let error = refused::<Hasty>(&variables, LIMIT).await;
    assert_eq!(error.failures().count(), 1, "{error}");
    hostile.assert_all_closed().await;
    let heard = hostile.heard();
    assert!(canary::find(&heard[0].secret).is_none());
    assert!(
        canary::find(&heard[1].secret).is_some(),
        "the driver keeps the password to itself now: correct the docs"
    );
    // Only under verified TLS.
    heard.iter().for_each(|heard| assert_no_name_sent(&heard.plain));
}

#[tokio::test]
async fn a_message_without_end_ends_at_the_deadline() {
    let (error, _) = against_the_driver(|mut peer| async move {
        peer.read().await?;
        // 256 MiB are announced, and arrive slowly.
        peer.write([&b"R"[..], &0x1000_0000_u32.to_be_bytes()].concat()).await?;
        loop {
            peer.write([0; 1024]).await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(problems(&error).len(), 1, "{error}");
}

// --- After the login: the probe ------------------------------------------------------------------

async fn probed(answer: Vec<u8>) -> AttachError {
    let answer = Arc::new(answer);
    against::<Lenient, _>(move |peer, leaf| answering(peer, leaf, Arc::clone(&answer))).await.0
}

const GOOD: Row = good(USER, DATABASE);

#[tokio::test]
async fn a_probe_fails_closed() {
    let other_types = ("other types", [columns(&NAMES, 23), row(&GOOD), done(1)].concat());
    for (what, answer) in bad_answers(USER, DATABASE).into_iter().chain([other_types]) {
        let error = probed(answer).await;
        assert_eq!(
            error.findings().filter(|finding| finding.is_denied()).count()
                + error.failures().count(),
            1,
            "{what}: {error}"
        );
    }
}

#[tokio::test]
async fn a_probe_that_is_answered_by_an_error_is_a_refusal() {
    let error = probed([error("42501", ESCAPES), READY.to_vec()].concat()).await;
    assert_eq!(error.failures().count(), 1, "{error}");
    assert!(!error.to_string().contains("owned"), "{error}");
}

#[tokio::test]
async fn a_probe_that_is_not_answered_is_a_refusal() {
    assert_eq!(problems(&probed(Vec::new()).await), ["timed_out"]);
}

#[tokio::test]
async fn the_servers_version_is_made_printable() {
    let authority = Authority::new("the tests' authority");
    let leaf = Arc::new(authority.server());
    let escapes = "16.2\u{1b}[2J\u{1b}]0;owned\u{7}\r\nroot: \u{202e}\u{200b}\u{9b}31m";
    let answer = Arc::new(answer(&[with(GOOD, 2, Some(escapes))]));
    let hostile =
        Hostile::start(move |peer| answering(peer, Arc::clone(&leaf), Arc::clone(&answer)));
    let ca = authority.pem();
    // The test that attaches everything checks that the posture's texts have no raw escapes.
    let variables = variables(&hostile, &ca);
    let shop: Lenient = attach(&variables).await.unwrap();
    let posture = shop.orders.posture();
    assert_eq!(rules(&posture.findings), ["weak_authentication"]);
    assert!(
        posture.server.as_ref().unwrap().to_string().starts_with("PostgreSQL 16.2\\u{1b}[2J"),
        "{:?}",
        posture.server
    );
    shop.detach().await;
    hostile.assert_all_closed().await;
    journal::assert_silent();
}

/// A pooler that logs in with an account of its own.
#[tokio::test]
async fn an_account_other_than_the_locators_is_a_remark() {
    let authority = Authority::new("the tests' authority");
    for (name, is_remarked) in [(USER, false), ("pool_owner", true)] {
        let leaf = Arc::new(authority.server());
        let answer = Arc::new(answer(&[good(name, DATABASE)]));
        let hostile =
            Hostile::start(move |peer| answering(peer, Arc::clone(&leaf), Arc::clone(&answer)));
        let ca = authority.pem();
        let variables = variables(&hostile, &ca);
        let shop: Lenient = attach(&variables).await.unwrap();
        let posture = shop.orders.posture();
        assert_eq!(posture.account.as_deref(), Some(name));
        let remarks = posture
            .remarks
            .iter()
            .filter(|remark| remark.contains("another name for the account"))
            .count();
        assert_eq!(remarks, usize::from(is_remarked), "{name}: {:?}", posture.remarks);
        shop.detach().await;
    }
}

#[tokio::test]
async fn powers_with_escapes_are_made_printable() {
    let error = probed(answer(&[GOOD, power(USER)])).await;
    assert_eq!(problems(&error), ["superuser_account"]);
}
