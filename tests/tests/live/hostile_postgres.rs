//! PostgreSQL: the peer is not a PostgreSQL server, or it is one and has turned hostile. Each case
//! is one of both services.
//!
//! Every server here records what it receives. Each attempt ends within its deadline, with a report
//! that is safe on a terminal, and without sending the password.

use std::fmt::{Debug, Display};
use std::io;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use backing_services::resource::ClientGuard;
use backing_services::{AttachError, BackingServices, Postgres, Resource, Service, TokioPostgres};
use backing_services_tests::attempt::{attach, problems, refused, rules};
use backing_services_tests::canary::{self, CANARY, PASSWORD};
use backing_services_tests::hostile::ESCAPES;
use backing_services_tests::hostile::postgres::probe::{
    NAMES, Row, TEXT, answer, answering, bad_answers, columns, done, good, power, row, with,
};
use backing_services_tests::hostile::postgres::scram::{self, BOUND, UNBOUND};
use backing_services_tests::hostile::postgres::{
    AUTHENTICATION_OK, CLEARTEXT, MD5, READY, SSL_REQUEST, error, message, nonce, sasl,
    sasl_continue, startup,
};
use backing_services_tests::hostile::{Heard, Hostile, Peer};
use backing_services_tests::journal;
use backing_services_tests::pki::{Authority, Leaf};
use backing_services_tests::postgres as server;
use backing_services_tests::variables::{self, Variables};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use sqlx::AssertSqlSafe;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const USER: &str = "shopkeeper";
const DATABASE: &str = "shop_data";

/// The upper bound for an attempt that waits for nothing.
const SOON: Duration = Duration::from_secs(2);

/// The upper bound for an answer that the server cannot hold back. It is not reached.
const PATIENCE: Duration = Duration::from_secs(15);

/// The upper bound for an attempt that runs into its deadline, which includes noticing the end.
const LIMIT: Duration = Duration::from_secs(3);

/// The upper bound for the time in which no other task of the thread runs. It is long because the
/// machine of the tests is busy; a flood would hold the thread until the flood ends.
const LONGEST_GAP: Duration = Duration::from_secs(1);

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 2)]
struct Hasty<S: Service> {
    orders: Resource<S>,
}

/// For a server that is a valid one at first.
#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop<S: Service> {
    orders: Resource<S>,
}

/// Admits a server that asks for no proof, so that a server can be hostile without knowing the
/// password.
#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 2)]
struct Lenient<S: Service> {
    #[service(allow(weak_authentication, reason = "the appliance knows nothing better"))]
    orders: Resource<S>,
}

/// A service under test, and what a test does with its client.
trait Subject: Service<Guard: From<ClientGuard<Self>>> {
    /// True if a login has to be bound to TLS.
    const BINDS: bool;

    /// True if the driver reads the types of the columns of an answer.
    const READS_TYPES: bool;

    /// Runs a statement on a connection of the pool.
    fn run(
        client: &Self::Client,
        statement: &str,
    ) -> impl Future<Output = Result<(), Shown>> + Send;

    /// Holds a connection of the pool while it opens another one.
    fn open_second(client: &Self::Client) -> impl Future<Output = Result<(), Shown>> + Send;
}

/// A driver's error, as an application may show it.
struct Shown(String);

impl Shown {
    fn of(error: &(impl Display + Debug)) -> Self {
        Self(format!("{error} {error:?} {error:#?}"))
    }

    /// Neither the password nor an escape is in it.
    #[track_caller]
    fn assert_sound(&self) {
        canary::assert_silent("an error of the driver", &self.0);
        canary::assert_harmless("an error of the driver", &self.0);
    }
}

impl Subject for Postgres {
    const BINDS: bool = false;
    const READS_TYPES: bool = true;

    async fn run(pool: &sqlx::PgPool, statement: &str) -> Result<(), Shown> {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
        statement.execute(pool).await.map(drop).map_err(|error| Shown::of(&error))
    }

    async fn open_second(pool: &sqlx::PgPool) -> Result<(), Shown> {
        let _held = pool.acquire().await.map_err(|error| Shown::of(&error))?;
        pool.acquire().await.map(drop).map_err(|error| Shown::of(&error))
    }
}

impl Subject for TokioPostgres {
    const BINDS: bool = true;
    const READS_TYPES: bool = false;

    async fn run(pool: &Self::Client, statement: &str) -> Result<(), Shown> {
        let connection = pool.get().await.map_err(|error| Shown::of(&error))?;
        connection.simple_query(statement).await.map(drop).map_err(|error| Shown::of(&error))
    }

    async fn open_second(pool: &Self::Client) -> Result<(), Shown> {
        let _held = pool.get().await.map_err(|error| Shown::of(&error))?;
        pool.get().await.map(drop).map_err(|error| Shown::of(&error))
    }
}

/// Makes a test of each case for each service.
macro_rules! for_both_services {
    ($($case:ident)*) => {
        mod postgres {
            $(#[tokio::test] async fn $case() { super::$case::<super::Postgres>().await })*
        }
        mod tokio_postgres {
            $(#[tokio::test] async fn $case() { super::$case::<super::TokioPostgres>().await })*
        }
    };
}

for_both_services! {
    refused_tls_ends_the_attempt
    bytes_before_tls_are_not_trusted
    bytes_in_the_middle_of_the_handshake_are_not_trusted
    an_error_before_tls_is_not_repeated
    the_server_closes_at_any_step
    the_server_falls_silent_at_any_step
    a_handshake_that_drips_ends_at_the_deadline
    a_server_that_asks_for_less_than_a_proof_gets_nothing
    an_unknown_authentication_is_a_failure
    lengths_are_not_trusted
    a_flood_before_the_login_ends
    an_error_is_not_repeated
    an_error_in_the_middle_of_the_login_is_not_repeated
    a_proof_that_is_too_cheap_or_too_expensive_is_not_made
    a_challenge_that_is_none_is_not_answered
    a_server_that_does_not_know_the_password_is_refused
    a_server_that_leaves_its_proof_out_is_refused
    a_flood_in_the_middle_of_the_login_ends
    a_message_without_end_is_not_waited_for
    a_machine_in_the_middle_is_detected
    a_machine_in_the_middle_that_strips_the_binding_is_detected
    a_secret_in_a_setting_ends_the_login
    a_server_that_knows_the_password_is_attached_to
    a_later_connection_must_prove_as_much_as_the_first_one
    a_probe_fails_closed
    a_probe_that_is_answered_by_an_error_is_a_refusal
    a_probe_that_is_not_answered_is_a_refusal
    an_answer_of_the_probe_without_end_ends
    a_flood_instead_of_the_probes_answer_ends
    the_servers_version_is_made_printable
    an_account_other_than_the_locators_is_a_remark
    powers_with_escapes_are_made_printable
    a_length_is_not_trusted_after_the_login
    a_message_that_has_no_place_in_a_session_ends_the_connection
    a_message_that_is_shorter_than_it_says_ends_the_connection
    a_flood_of_notices_after_the_login_ends
    a_flood_of_settings_after_the_login_ends
    a_flood_of_rows_holds_no_other_task
    our_password_in_an_error_is_replaced
    our_password_in_a_setting_ends_the_connection
    a_notice_is_made_printable
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
    against_with::<T, F>("", script).await
}

/// As [`against`], with these parameters of the locator.
async fn against_with<T, F>(
    parameters: &str,
    script: impl Fn(Peer, Arc<Leaf>) -> F + Send + Sync + 'static,
) -> (AttachError, Vec<Heard>)
where
    T: BackingServices,
    F: Future<Output = io::Result<Option<Peer>>> + Send + 'static,
{
    let authority = Authority::new("the tests' authority");
    let leaf = Arc::new(authority.server());
    let hostile = Hostile::start(move |peer| script(peer, Arc::clone(&leaf)));
    let mut variables = variables(&hostile, &authority.pem());
    variables[0].1 += parameters;
    let error = refused::<T>(&variables, LIMIT).await;
    hostile.assert_all_closed().await;
    let heard = hostile.heard();
    assert_eq!(heard.len(), 1, "one connection, and no second try");
    assert_password_unsent(&heard);
    assert!(!error.to_string().contains("owned"), "{error}");
    (error, heard)
}

/// Under TLS there is no password, in no encoding. Before TLS, neither user nor database is named.
#[track_caller]
fn assert_password_unsent(heard: &[Heard]) {
    for heard in heard {
        for name in [USER, DATABASE, CANARY] {
            let said = canary::position(&heard.plain, name.as_bytes());
            assert!(said.is_none(), "{name} was sent in the clear");
        }
        assert!(canary::find(&heard.secret).is_none(), "the password was sent");
    }
}

/// Asserts that the server received the startup message, and nothing more.
#[track_caller]
fn assert_startup_alone(heard: &Heard) {
    let length = u32::from_be_bytes(heard.secret[..4].try_into().unwrap()) as usize;
    assert_eq!(heard.secret.len(), length, "{}", heard.secret[length..].escape_ascii());
}

fn variables(hostile: &Hostile, ca: &str) -> Variables {
    let url = format!("postgres://{USER}@localhost:{}/{DATABASE}", hostile.port);
    variables::of("SHOP_ORDERS", url, PASSWORD, ca)
}

/// Runs work while another task of the same thread ticks. Returns the longest time in which that
/// task did not run.
async fn while_ticking<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let gap = Arc::new(Mutex::new(Duration::ZERO));
    let longest = Arc::clone(&gap);
    let ticking = tokio::spawn(async move {
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let mut longest = longest.lock().unwrap();
            *longest = last.elapsed().max(*longest);
            last = Instant::now();
        }
    });
    let done = work.await;
    // The task runs once more, if it has not run at all.
    tokio::time::sleep(Duration::from_millis(10)).await;
    ticking.abort();
    let longest = *gap.lock().unwrap();
    assert!(longest > Duration::ZERO, "the task ran");
    (done, longest)
}

// --- Before TLS ----------------------------------------------------------------------------------

async fn refused_tls_ends_the_attempt<S: Subject>() {
    let (error, heard) = against::<Hasty<S>, _>(|mut peer, _| async {
        peer.read().await?;
        peer.write("N").await?;
        Ok(Some(peer))
    })
    .await;
    assert_eq!(problems(&error), ["opportunistic_tls"]);
    assert_eq!(heard[0].plain, SSL_REQUEST);
}

async fn bytes_before_tls_are_not_trusted<S: Subject>() {
    for early in
        [&b"SR\0\0\0\x08\0\0\0\0"[..], b"SE\0\0\0\x05\0", b"SS", b"S\x16\x03\x03\x00\x02\x01\x00"]
    {
        let (error, heard) = against::<Hasty<S>, _>(move |mut peer, _| async move {
            peer.read().await?;
            peer.write(early).await?;
            Ok(Some(peer))
        })
        .await;
        assert_eq!(problems(&error), ["opportunistic_tls"], "{early:?}");
        assert_eq!(heard[0].plain, SSL_REQUEST, "the handshake was not even begun");
    }
}

async fn bytes_in_the_middle_of_the_handshake_are_not_trusted<S: Subject>() {
    let (error, _) = against::<Hasty<S>, _>(|mut peer, _| async move {
        peer.read().await?;
        peer.write("S").await?;
        peer.read().await?;
        // The ClientHello has arrived: this is the middle of the handshake.
        peer.write(AUTHENTICATION_OK).await?;
        Ok(Some(peer))
    })
    .await;
    assert_eq!(problems(&error).len(), 1, "{error}");
}

async fn an_error_before_tls_is_not_repeated<S: Subject>() {
    let (error, heard) = against::<Hasty<S>, _>(|mut peer, _| async move {
        peer.read().await?;
        peer.write(error("08P01", ESCAPES)).await?;
        Ok(Some(peer))
    })
    .await;
    assert_eq!(problems(&error), ["protocol"]);
    assert_eq!(heard[0].plain, SSL_REQUEST);
}

async fn the_server_closes_at_any_step<S: Subject>() {
    for step in 0..4 {
        let (error, _) = against::<Hasty<S>, _>(move |mut peer, leaf| async move {
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

async fn the_server_falls_silent_at_any_step<S: Subject>() {
    let silent_at = |step: usize| async move {
        let begin = Instant::now();
        let (error, _) = against::<Hasty<S>, _>(move |mut peer, leaf| async move {
            if step > 0 {
                peer.read().await?;
                peer.write("S").await?;
            }
            if step > 1 {
                peer = peer.encrypt(&leaf).await?;
            }
            if step > 2 {
                peer.read().await?;
                peer.write(sasl(BOUND)).await?;
            }
            Ok(Some(peer))
        })
        .await;
        assert!(begin.elapsed() >= Duration::from_secs(2));
        assert_eq!(problems(&error), ["timed_out"], "step {step}");
    };
    tokio::join!(silent_at(0), silent_at(1), silent_at(2), silent_at(3));
}

async fn a_handshake_that_drips_ends_at_the_deadline<S: Subject>() {
    let (error, _) = against::<Hasty<S>, _>(|mut peer, _| async move {
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

/// The server sends this in answer to the startup message.
async fn asking<T: BackingServices>(parameters: &str, asked: Vec<u8>) -> (AttachError, Heard) {
    let asked = Arc::new(asked);
    let (error, mut heard) = against_with::<T, _>(parameters, move |peer, leaf| {
        let asked = Arc::clone(&asked);
        async move {
            let mut peer = startup(peer, &leaf).await?;
            peer.write(&*asked).await?;
            Ok(Some(peer))
        }
    })
    .await;
    (error, heard.remove(0))
}

async fn a_server_that_asks_for_less_than_a_proof_gets_nothing<S: Subject>() {
    for asked in [&CLEARTEXT[..], &MD5, &AUTHENTICATION_OK] {
        let (error, heard) = asking::<Hasty<S>>("", asked.to_vec()).await;
        assert_eq!(problems(&error), ["weak_authentication"]);
        // Neither the password nor a hash of it.
        assert_startup_alone(&heard);
    }
    let (error, heard) = asking::<Hasty<S>>("?channel_binding=require", sasl(UNBOUND)).await;
    assert_eq!(problems(&error), ["weak_authentication"]);
    assert_startup_alone(&heard);
    if S::BINDS {
        let (error, heard) = asking::<Hasty<S>>("", sasl(UNBOUND)).await;
        assert_eq!(problems(&error), ["weak_authentication"]);
        assert_startup_alone(&heard);
    }
}

async fn an_unknown_authentication_is_a_failure<S: Subject>() {
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
        message(b'K', b"\0\0\0\x01\0\0\0\x01"),
        message(b'v', b"\0\0\0\0\0\0\0\0"),
        message(b'N', format!("SNOTICE\0C00000\0M{ESCAPES}\0\0").as_bytes()),
    ] {
        // A waiver does not admit it either.
        let (error, heard) = asking::<Hasty<S>>("", asked.clone()).await;
        assert_eq!(error.failures().count(), 1, "{error}");
        assert_startup_alone(&heard);
        let (error, heard) = asking::<Lenient<S>>("", asked).await;
        assert_eq!(error.failures().count(), 1, "{error}");
        assert_startup_alone(&heard);
    }
}

async fn lengths_are_not_trusted<S: Subject>() {
    for length in [0_u32, 3, 16 * 1024 + 5, 0x0010_0000, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        for kind in *b"RENS" {
            let header = [&[kind][..], &length.to_be_bytes()].concat();
            let begin = Instant::now();
            let (error, heard) = asking::<Hasty<S>>("", header).await;
            assert_eq!(problems(&error), ["protocol"], "{length} {kind}");
            assert!(begin.elapsed() < SOON, "it is not waited for");
            assert_startup_alone(&heard);
        }
    }
}

async fn a_flood_before_the_login_ends<S: Subject>() {
    for flood in [message(b'N', b"SNOTICE\0C00000\0Mx\0\0"), message(b'S', b"a\0b\0")] {
        let flood = Arc::new(flood);
        let begin = Instant::now();
        let attempt = against::<Hasty<S>, _>(move |peer, leaf| {
            let flood = Arc::clone(&flood);
            async move {
                let mut peer = startup(peer, &leaf).await?;
                peer.flood(&flood).await
            }
        });
        let ((error, _), gap) = while_ticking(attempt).await;
        assert_eq!(problems(&error), ["protocol"]);
        assert!(begin.elapsed() < SOON, "bounded by bytes, not by time");
        assert!(gap < LONGEST_GAP, "another task waited for {gap:?}");
    }
}

async fn an_error_is_not_repeated<S: Subject>() {
    for code in ["28P01", "28000", "3D000", "53300", "57P03", "42501", "08006", "XX000", ESCAPES] {
        let (error, _) = asking::<Hasty<S>>("", error(code, ESCAPES)).await;
        assert_eq!(error.failures().count(), 1, "{error}");
    }
}

/// Runs `script` after the client's first message of SCRAM, which is bound. The server has got no
/// proof if `is_proven` is false.
async fn after_sasl<S: Subject, F>(
    is_proven: bool,
    script: impl Fn(Peer, Vec<u8>) -> F + Send + Sync + 'static,
) -> AttachError
where
    F: Future<Output = io::Result<Option<Peer>>> + Send + 'static,
{
    let script = Arc::new(script);
    let (error, heard) = against::<Hasty<S>, _>(move |peer, leaf| {
        let script = Arc::clone(&script);
        async move {
            let mut peer = startup(peer, &leaf).await?;
            peer.write(sasl(BOUND)).await?;
            let first = peer.read().await?;
            script(peer, first).await
        }
    })
    .await;
    let sent = |text: &[u8]| canary::position(&heard[0].secret, text).is_some();
    assert!(sent(b"SCRAM-SHA-256-PLUS\0"), "the binding was asked for");
    assert!(sent(b"p=tls-server-end-point"), "the binding was asked for");
    assert_eq!(sent(b",p="), is_proven, "{}", heard[0].secret.escape_ascii());
    error
}

/// The server's first message of SCRAM is made from the client's nonce.
async fn challenged<S: Subject>(
    is_proven: bool,
    challenge: impl Fn(&str) -> String + Send + Sync + 'static,
) -> AttachError {
    let challenge = Arc::new(challenge);
    after_sasl::<S, _>(is_proven, move |mut peer, first| {
        let challenge = Arc::clone(&challenge);
        async move {
            peer.write(sasl_continue(&challenge(&nonce(&first)))).await?;
            Ok(Some(peer))
        }
    })
    .await
}

async fn an_error_in_the_middle_of_the_login_is_not_repeated<S: Subject>() {
    for code in ["28P01", "3D000", ESCAPES] {
        let error = after_sasl::<S, _>(false, move |mut peer, _| async move {
            peer.write(error(code, ESCAPES)).await?;
            Ok(Some(peer))
        })
        .await;
        assert_eq!(error.failures().count(), 1, "{error}");
    }
}

async fn a_proof_that_is_too_cheap_or_too_expensive_is_not_made<S: Subject>() {
    for iterations in [
        "i=1", "i=0", "i=4095", "i=100001", "i=2147483647", "i=4294967295",
        "i=99999999999999999999", "i=-1", "",
    ] {
        let begin = Instant::now();
        let error = challenged::<S>(false, move |nonce| {
            format!("r={nonce}server,s=c2FsdHNhbHQ=,{iterations}")
        })
        .await;
        assert_eq!(problems(&error), ["weak_authentication"], "{iterations}");
        assert!(begin.elapsed() < SOON, "it is not even tried");
    }
    // 2 KiB of salt.
    let error =
        challenged::<S>(false, |nonce| format!("r={nonce}server,s={},i=4096", "c2Fs".repeat(683)))
            .await;
    assert_eq!(problems(&error), ["weak_authentication"]);
}

async fn a_challenge_that_is_none_is_not_answered<S: Subject>() {
    let challenges: [fn(&str) -> String; 8] = [
        // A nonce of the server's own, a shorter one, an empty one.
        |_| "r=somebodyelses,s=c2FsdHNhbHQ=,i=4096".to_owned(),
        |nonce| format!("r={},s=c2FsdHNhbHQ=,i=4096", &nonce[..nonce.len() - 1]),
        |_| "r=,s=c2FsdHNhbHQ=,i=4096".to_owned(),
        // Extensions that a client has to understand (RFC 5802, 5.1), and what follows.
        |nonce| format!("m=more,r={nonce}server,s=c2FsdHNhbHQ=,i=4096"),
        |nonce| format!("r={nonce}server,s=c2FsdHNhbHQ=,i=4096,m=more"),
        |nonce| format!("r={nonce}server,i=4096,s=c2FsdHNhbHQ="),
        |nonce| format!("r={nonce}server,s=!not base64!,i=4096"),
        |_| ESCAPES.to_owned(),
    ];
    for challenge in challenges {
        let error = challenged::<S>(false, challenge).await;
        assert_eq!(problems(&error), ["weak_authentication"], "{error}");
    }
}

/// The server's last message of SCRAM, and what follows it, in answer to a proof.
async fn finished<S: Subject>(last: Vec<u8>) -> AttachError {
    let last = Arc::new(last);
    after_sasl::<S, _>(true, move |mut peer, first| {
        let last = Arc::clone(&last);
        async move {
            let challenge = format!("r={}server,s=c2FsdHNhbHQ=,i=4096", nonce(&first));
            peer.write(sasl_continue(&challenge)).await?;
            peer.read().await?;
            peer.write(&*last).await?;
            Ok(Some(peer))
        }
    })
    .await
}

async fn a_server_that_does_not_know_the_password_is_refused<S: Subject>() {
    for signature in [
        // Signatures that it cannot compute, and an error.
        "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "v=AAAA",
        "v=",
        "v=!not base64!",
        "e=invalid-proof",
        "",
        ESCAPES,
    ] {
        let last = message(b'R', &[&12_u32.to_be_bytes()[..], signature.as_bytes()].concat());
        let error = finished::<S>([&last[..], &AUTHENTICATION_OK, &READY].concat()).await;
        assert_eq!(problems(&error), ["weak_authentication"], "{error}");
    }
}

async fn a_server_that_leaves_its_proof_out_is_refused<S: Subject>() {
    let without = [&AUTHENTICATION_OK[..], &READY].concat();
    let error = finished::<S>(without.clone()).await;
    assert_eq!(problems(&error), ["weak_authentication"], "{error}");
    let error = finished::<S>(READY.to_vec()).await;
    assert_eq!(problems(&error), ["protocol"], "{error}");
    let without = Arc::new(without);
    let error = after_sasl::<S, _>(false, move |mut peer, _| {
        let without = Arc::clone(&without);
        async move {
            peer.write(&*without).await?;
            Ok(Some(peer))
        }
    })
    .await;
    assert_eq!(problems(&error), ["weak_authentication"], "{error}");
}

async fn a_flood_in_the_middle_of_the_login_ends<S: Subject>() {
    for flood in [message(b'N', b"SNOTICE\0C00000\0Mx\0\0"), message(b'S', b"a\0b\0")] {
        let flood = Arc::new(flood);
        let attempt = after_sasl::<S, _>(false, move |mut peer, _| {
            let flood = Arc::clone(&flood);
            async move { peer.flood(&flood).await }
        });
        let (error, gap) = while_ticking(attempt).await;
        assert_eq!(problems(&error), ["protocol"]);
        assert!(gap < LONGEST_GAP, "another task waited for {gap:?}");
    }
}

async fn a_message_without_end_is_not_waited_for<S: Subject>() {
    let begin = Instant::now();
    let error = after_sasl::<S, _>(false, |mut peer, _| async move {
        // 256 MiB are announced, and arrive slowly.
        peer.write([&b"R"[..], &0x1000_0000_u32.to_be_bytes()].concat()).await?;
        loop {
            peer.write([0; 1024]).await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(problems(&error), ["protocol"]);
    assert!(begin.elapsed() < SOON);
}

// --- A machine in the middle ---------------------------------------------------------------------

/// The server that machines in the middle forward to.
static SERVER: LazyLock<server::Postgres> = LazyLock::new(|| {
    let server = server::Postgres::start();
    let _ = server.sql(&format!("CREATE ROLE between LOGIN PASSWORD '{PASSWORD}'"));
    server
});

/// Attaches through a machine in the middle, which has a certificate of the same authority for the
/// same host. It forwards all bytes, and changes those of the server.
async fn through_a_machine<S: Subject>(
    parameters: &str,
    change: fn(Vec<u8>) -> Vec<u8>,
) -> (AttachError, Vec<Heard>) {
    let leaf = Arc::new(SERVER.authority.server());
    let roots = SERVER.authority.pem();
    let upstream = SERVER.port;
    let between = Hostile::start(move |mut peer| {
        let (leaf, roots) = (Arc::clone(&leaf), roots.clone());
        async move {
            peer.read().await?;
            peer.write(b"S").await?;
            let mut peer = peer.encrypt(&leaf).await?;
            let mut server = connect(upstream, &roots).await?;
            let mut bytes = vec![0; 16 * 1024];
            loop {
                tokio::select! {
                    said = peer.read() => {
                        server.write_all(&said?).await?;
                        server.flush().await?;
                    }
                    count = server.read(&mut bytes) => match count? {
                        0 => return Ok(None),
                        count => peer.write(&change(bytes[..count].to_vec())).await?,
                    },
                }
            }
        }
    });
    let url =
        format!("postgres://between@localhost:{}/{}{parameters}", between.port, server::DATABASE);
    let variables = variables::of("SHOP_ORDERS", url, PASSWORD, SERVER.authority.pem());
    let error = refused::<Hasty<S>>(&variables, LIMIT).await;
    between.assert_all_closed().await;
    let heard = between.heard();
    assert_password_unsent(&heard);
    (error, heard)
}

async fn connect(
    port: u16,
    roots: &str,
) -> io::Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(&SSL_REQUEST).await?;
    assert_eq!(stream.read_u8().await?, b'S');
    let mut store = rustls::RootCertStore::empty();
    store.add(CertificateDer::from_pem_slice(roots.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = config.with_root_certificates(store).with_no_client_auth();
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
}

async fn a_machine_in_the_middle_is_detected<S: Subject>() {
    let (error, _) = through_a_machine::<S>("", |bytes| bytes).await;
    assert_eq!(problems(&error), ["weak_authentication"]);
    assert!(error.to_string().contains("bound to the TLS connection"), "{error}");
    assert!(SERVER.log().contains("channel binding check failed"), "{}", SERVER.log());
}

/// The list of mechanisms, without the one that binds.
fn stripped(bytes: Vec<u8>) -> Vec<u8> {
    if bytes == sasl(BOUND) { sasl(UNBOUND) } else { bytes }
}

async fn a_machine_in_the_middle_that_strips_the_binding_is_detected<S: Subject>() {
    let (error, heard) = through_a_machine::<S>("", stripped).await;
    assert_eq!(problems(&error), ["weak_authentication"]);
    if S::BINDS {
        assert_startup_alone(&heard[0]);
    } else {
        // The client says that it could bind, and the server knows that it has offered to.
        assert!(canary::position(&heard[0].secret, b"y,,n=").is_some());
        assert!(SERVER.log().contains("channel binding negotiation error"), "{}", SERVER.log());
    }
    let (error, heard) = through_a_machine::<S>("?channel_binding=require", stripped).await;
    assert_eq!(problems(&error), ["weak_authentication"]);
    assert_startup_alone(&heard[0]);
}

// --- A server that knows the password ------------------------------------------------------------

/// The bytes of a test for the server: the script of [`served`] ends with them.
const STATEMENT: &str = "SELECT 'the orders of the day'";

const GOOD: Row = good(USER, DATABASE);

/// Serves a session as a valid server does, until the client sends [`STATEMENT`].
async fn serve(peer: &mut Peer) -> io::Result<()> {
    loop {
        let said = peer.read().await?;
        match said[0] {
            b'Q' if canary::position(&said, STATEMENT.as_bytes()).is_some() => return Ok(()),
            // The probe, and shorter ones.
            b'Q' if said.len() > 100 => peer.write(answer(&[GOOD])).await?,
            b'Q' => peer.write(done(0)).await?,
            b'S' => peer.write(READY).await?,
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A server that knows the password, offers this on its n-th connection, and plays the script once
/// it gets [`STATEMENT`].
fn knowing<F>(
    offered: impl Fn(usize) -> &'static [&'static str] + Send + Sync + 'static,
    script: impl Fn(Peer) -> F + Send + Sync + 'static,
) -> (Hostile, Variables)
where
    F: Future<Output = io::Result<Option<Peer>>> + Send + 'static,
{
    let authority = Authority::new("the tests' authority");
    let leaf = Arc::new(authority.server());
    let shared = Arc::new((offered, script));
    let hostile = Hostile::start(move |peer| {
        let (leaf, shared) = (Arc::clone(&leaf), Arc::clone(&shared));
        async move {
            let (offered, script) = &*shared;
            let settings = message(b'S', b"server_version\x0016.2\0");
            let offered = offered(peer.index());
            let mut peer = scram::admit(peer, &leaf, offered, &settings).await?;
            serve(&mut peer).await?;
            script(peer).await
        }
    });
    let mut variables = variables(&hostile, &authority.pem());
    variables[0].1 += "?connect_timeout=5";
    (hostile, variables)
}

async fn a_secret_in_a_setting_ends_the_login<S: Subject>() {
    let (error, _) = against::<Hasty<S>, _>(|peer, leaf| async move {
        let said = message(b'S', format!("motd\0{PASSWORD}\0").as_bytes());
        scram::admit(peer, &leaf, BOUND, &said).await.map(Some)
    })
    .await;
    assert_eq!(problems(&error), ["protocol"]);
}

/// The server of the following tests is a valid one until it turns hostile.
async fn a_server_that_knows_the_password_is_attached_to<S: Subject>() {
    let (hostile, variables) = knowing(|_| BOUND, |peer| async { Ok(Some(peer)) });
    let shop: Shop<S> = attach(&variables).await.unwrap();
    assert_eq!(shop.orders.posture().authentication.as_deref(), Some("SCRAM-SHA-256-PLUS"));
    S::open_second(&shop.orders.client()).await.map_err(|shown| shown.0).unwrap();
    shop.orders.health().await.unwrap();
    shop.detach().await;
    hostile.assert_all_closed().await;
    let heard = hostile.heard();
    // A connection that is on its way back into the pool may be replaced by another one.
    assert!(heard.len() >= 2, "{}", heard.len());
    assert_password_unsent(&heard);
    for heard in &heard {
        assert!(canary::position(&heard.secret, b"SCRAM-SHA-256-PLUS\0").is_some());
    }
}

/// Bait and switch: the first connection proves more than the next ones would.
async fn a_later_connection_must_prove_as_much_as_the_first_one<S: Subject>() {
    /// The offer to the first connection, and the demand on the next one.
    type Switch = (&'static [&'static str], fn() -> Vec<u8>);
    let nothing: fn() -> Vec<u8> = || AUTHENTICATION_OK.to_vec();
    let switches: [Switch; 7] = [
        (BOUND, || sasl(UNBOUND)),
        (BOUND, || CLEARTEXT.to_vec()),
        (BOUND, || MD5.to_vec()),
        (BOUND, nothing),
        (UNBOUND, || CLEARTEXT.to_vec()),
        (UNBOUND, || MD5.to_vec()),
        (UNBOUND, nothing),
    ];
    for (first, second) in switches.into_iter().filter(|(first, _)| *first == BOUND || !S::BINDS) {
        let authority = Authority::new("the tests' authority");
        let leaf = Arc::new(authority.server());
        let hostile = Hostile::start(move |peer| {
            let leaf = Arc::clone(&leaf);
            async move {
                if peer.index() == 0 {
                    let mut peer = scram::admit(peer, &leaf, first, b"").await?;
                    serve(&mut peer).await?;
                    return Ok(None);
                }
                let mut peer = startup(peer, &leaf).await?;
                peer.write(second()).await?;
                Ok(Some(peer))
            }
        });
        let mut variables = variables(&hostile, &authority.pem());
        variables[0].1 += "?connect_timeout=5";
        let shop: Shop<S> = attach(&variables).await.unwrap();
        let shown = S::open_second(&shop.orders.client()).await.expect_err("it is refused");
        shown.assert_sound();
        shop.detach().await;
        hostile.assert_all_closed().await;
        let heard = hostile.heard();
        assert_password_unsent(&heard);
        assert!(heard.len() >= 2, "there was a second connection");
        heard[1..].iter().for_each(assert_startup_alone);
        journal::assert_silent();
    }
}

// --- After the login: the probe ------------------------------------------------------------------

async fn probed<S: Subject>(answer: Vec<u8>) -> AttachError {
    let answer = Arc::new(answer);
    against::<Lenient<S>, _>(move |peer, leaf| answering(peer, leaf, Arc::clone(&answer))).await.0
}

async fn a_probe_fails_closed<S: Subject>() {
    let other_types = ("other types", [columns(&NAMES, 23), row(&GOOD), done(1)].concat());
    let others = [
        ("an administrator", answer(&[GOOD, power(USER)])),
        ("a length without end", [&b"D"[..], &0x7fff_ffff_u32.to_be_bytes()].concat()),
        ("a length that is none", [&b"D"[..], &3_u32.to_be_bytes()].concat()),
    ];
    let others = others.into_iter().chain(S::READS_TYPES.then_some(other_types));
    for (what, answer) in bad_answers(USER, DATABASE).into_iter().chain(others) {
        let error = probed::<S>(answer).await;
        assert_eq!(problems(&error).len(), 1, "{what}: {error}");
    }
}

async fn a_probe_that_is_answered_by_an_error_is_a_refusal<S: Subject>() {
    let error = probed::<S>([error("42501", ESCAPES), READY.to_vec()].concat()).await;
    assert_eq!(error.failures().count(), 1, "{error}");
}

async fn a_probe_that_is_not_answered_is_a_refusal<S: Subject>() {
    assert_eq!(problems(&probed::<S>(Vec::new()).await), ["timed_out"]);
}

/// The answer to the probe begins like this, and then this is repeated without end.
async fn flooded<S: Subject>(begins: Vec<u8>, repeated: Vec<u8>) -> Duration {
    let (begins, repeated) = (Arc::new(begins), Arc::new(repeated));
    let begin = Instant::now();
    let attempt = against::<Lenient<S>, _>(move |peer, leaf| {
        let (begins, repeated) = (Arc::clone(&begins), Arc::clone(&repeated));
        async move {
            let mut peer = startup(peer, &leaf).await?;
            peer.write([&AUTHENTICATION_OK[..], &READY].concat()).await?;
            peer.read().await?;
            peer.write(&*begins).await?;
            peer.flood(&repeated).await
        }
    });
    let ((error, _), gap) = while_ticking(attempt).await;
    assert_eq!(problems(&error), ["protocol"]);
    assert!(begin.elapsed() < SOON, "bounded by bytes, not by time");
    gap
}

async fn an_answer_of_the_probe_without_end_ends<S: Subject>() {
    let gap = flooded::<S>(columns(&NAMES, TEXT), row(&GOOD)).await;
    assert!(gap < LONGEST_GAP, "another task waited for {gap:?}");
}

async fn a_flood_instead_of_the_probes_answer_ends<S: Subject>() {
    for flood in [message(b'N', b"SNOTICE\0C00000\0Mx\0\0"), message(b'S', b"a\0b\0")] {
        let gap = flooded::<S>(Vec::new(), flood).await;
        assert!(gap < LONGEST_GAP, "another task waited for {gap:?}");
    }
}

async fn the_servers_version_is_made_printable<S: Subject>() {
    let authority = Authority::new("the tests' authority");
    let leaf = Arc::new(authority.server());
    let escapes = "16.2\u{1b}[2J\u{1b}]0;owned\u{7}\r\nroot: \u{202e}\u{200b}\u{9b}31m";
    let answer = Arc::new(answer(&[with(GOOD, 2, Some(escapes))]));
    let hostile =
        Hostile::start(move |peer| answering(peer, Arc::clone(&leaf), Arc::clone(&answer)));
    // Attaching checks that the posture's texts have no raw escapes.
    let variables = variables(&hostile, &authority.pem());
    let shop: Lenient<S> = attach(&variables).await.unwrap();
    let posture = shop.orders.posture();
    assert_eq!(rules(&posture.findings), ["weak_authentication"]);
    let version = posture.server.as_ref().unwrap().to_string();
    assert!(version.starts_with("PostgreSQL 16.2\\u{1b}[2J"), "{version}");
    shop.detach().await;
    hostile.assert_all_closed().await;
    journal::assert_silent();
}

/// A pooler that logs in with an account of its own.
async fn an_account_other_than_the_locators_is_a_remark<S: Subject>() {
    let authority = Authority::new("the tests' authority");
    for (name, is_remarked) in [(USER, false), ("pool_owner", true)] {
        let leaf = Arc::new(authority.server());
        let answer = Arc::new(answer(&[good(name, DATABASE)]));
        let hostile =
            Hostile::start(move |peer| answering(peer, Arc::clone(&leaf), Arc::clone(&answer)));
        let variables = variables(&hostile, &authority.pem());
        let shop: Lenient<S> = attach(&variables).await.unwrap();
        let posture = shop.orders.posture();
        assert_eq!(posture.account.as_deref(), Some(name));
        let about_it = |remark: &&&str| remark.contains("another name for the account");
        let remarks = posture.remarks.iter().filter(about_it).count();
        assert_eq!(remarks, usize::from(is_remarked), "{name}: {:?}", posture.remarks);
        shop.detach().await;
    }
}

async fn powers_with_escapes_are_made_printable<S: Subject>() {
    let error = probed::<S>(answer(&[GOOD, power(USER)])).await;
    assert_eq!(problems(&error), ["superuser_account"]);
}

// --- After it was attached -----------------------------------------------------------------------

/// Attaches to a valid server, which answers the application's statement with these bytes. Returns
/// the application's result, and what the server was sent.
async fn answered<S: Subject>(answer: Vec<u8>) -> (Result<(), Shown>, Vec<Heard>) {
    let answer = Arc::new(answer);
    let (hostile, variables) = knowing(
        |_| BOUND,
        move |mut peer| {
            let answer = Arc::clone(&answer);
            async move {
                peer.write(&*answer).await?;
                Ok(Some(peer))
            }
        },
    );
    let shop: Shop<S> = attach(&variables).await.unwrap();
    let client = shop.orders.client();
    let running = tokio::time::timeout(PATIENCE, S::run(&client, STATEMENT));
    let ran = running.await.expect("the server is not waited for");
    drop(client);
    shop.detach().await;
    hostile.assert_all_closed().await;
    let heard = hostile.heard();
    assert_password_unsent(&heard);
    journal::assert_silent();
    (ran, heard)
}

async fn a_length_is_not_trusted_after_the_login<S: Subject>() {
    for length in [0_u32, 3, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        for kind in *b"DENS" {
            let header = [&[kind][..], &length.to_be_bytes()].concat();
            let (ran, _) = answered::<S>(header).await;
            ran.expect_err("the connection ends").assert_sound();
        }
    }
}

/// Each would be followed by a valid answer.
async fn a_message_that_has_no_place_in_a_session_ends_the_connection<S: Subject>() {
    let copy_both = message(b'W', b"\0\0\0");
    let key = message(b'K', b"\0\0\0\x01\0\0\0\x01");
    for sent in [
        copy_both,
        key,
        CLEARTEXT.to_vec(),
        MD5.to_vec(),
        sasl(BOUND),
        AUTHENTICATION_OK.to_vec(),
        message(b'v', b"\0\0\0\0\0\0\0\0"),
        message(b'!', b""),
    ] {
        let kind = sent[0] as char;
        let (ran, heard) = answered::<S>([sent, done(0)].concat()).await;
        let Err(shown) = ran else { panic!("{kind} was accepted") };
        shown.assert_sound();
        let at = |heard: &Heard| canary::position(&heard.secret, STATEMENT.as_bytes());
        let (heard, at) = heard.iter().find_map(|heard| Some((heard, at(heard)?))).unwrap();
        let after = &heard.secret[at + STATEMENT.len() + 1..];
        assert!(matches!(after, b"" | b"X\0\0\0\x04"), "{kind}: {}", after.escape_ascii());
    }
}

/// sqlx reads these without looking at their length, and panics.
async fn a_message_that_is_shorter_than_it_says_ends_the_connection<S: Subject>() {
    for (kind, body) in [
        (b'Z', &b""[..]),
        (b'A', b"\0"),
        (b't', b"\0\x02"),
        (b'G', b"\0"),
        (b'H', b"\0\0\x01"),
        (b'S', b"server_version\x004294967295.1\0"),
        (b'D', b""),
        (b'D', b"\0\x02\0\0"),
        (b'D', b"\0\x01\0\0\0\x09a"),
        (b'D', b"\0\x01\xff\xff\xff\xffa"),
        (b'T', b"\0"),
        (b'T', b"\0\x01a"),
        (b'C', b""),
        (b'E', b""),
        (b'E', b"Cno end"),
    ] {
        let sent = message(kind, body);
        let (ran, _) = answered::<S>([&sent[..], &done(0)].concat()).await;
        if let Err(shown) = ran {
            shown.assert_sound();
        } else {
            assert!(matches!(kind, b'D' | b'T' | b'C'), "{}", sent.escape_ascii());
        }
    }
    // All tests have one journal. sqlx panics at a row with fewer values than columns, which one of
    // the probe has. The relay cannot know: a prepared statement's columns are described once.
    let panicked = |line: &&str| {
        line.contains("panic: ") && line.contains("/registry/") && !line.contains("data_row.rs")
    };
    let journal = journal::text();
    assert_eq!(journal.lines().find(panicked), None, "a driver panicked");
}

/// The server answers a statement of the application with a flood, which ends the connection.
async fn flooded_later<S: Subject>(flood: Vec<u8>) {
    let flood = Arc::new(flood);
    let (hostile, variables) = knowing(
        |_| BOUND,
        move |mut peer| {
            let flood = Arc::clone(&flood);
            async move { peer.flood(&flood).await }
        },
    );
    let shop: Shop<S> = attach(&variables).await.unwrap();
    let client = shop.orders.client();
    let running = tokio::time::timeout(PATIENCE, S::run(&client, STATEMENT));
    let (ran, gap) = while_ticking(running).await;
    ran.expect("it is bounded by bytes, not by time").expect_err("it ends").assert_sound();
    assert!(gap < LONGEST_GAP, "another task waited for {gap:?}");
    drop(client);
    shop.detach().await;
    hostile.assert_all_closed().await;
}

async fn a_flood_of_notices_after_the_login_ends<S: Subject>() {
    flooded_later::<S>(message(b'N', b"SNOTICE\0C00000\0Mx\0\0")).await;
}

async fn a_flood_of_settings_after_the_login_ends<S: Subject>() {
    flooded_later::<S>(message(b'S', b"a\0b\0")).await;
}

/// Rows without end are the application's own affair: it may end the statement.
async fn a_flood_of_rows_holds_no_other_task<S: Subject>() {
    let (hostile, variables) = knowing(
        |_| BOUND,
        |mut peer| async move {
            peer.write(columns(&["a"], TEXT)).await?;
            peer.flood(&row(&[Some("x")])).await
        },
    );
    let shop: Shop<S> = attach(&variables).await.unwrap();
    let client = shop.orders.client();
    let running = tokio::time::timeout(Duration::from_millis(500), S::run(&client, STATEMENT));
    let begin = Instant::now();
    let (ran, gap) = while_ticking(running).await;
    assert!(ran.is_err() && begin.elapsed() < SOON, "{:?}", begin.elapsed());
    assert!(gap < LONGEST_GAP, "another task waited for {gap:?}");
    drop(client);
    shop.detach().await;
    hostile.assert_all_closed().await;
}

async fn our_password_in_an_error_is_replaced<S: Subject>() {
    let said = [error("42601", ESCAPES), READY.to_vec()].concat();
    let (ran, _) = answered::<S>(said).await;
    let shown = ran.expect_err("it is an error");
    shown.assert_sound();
    assert!(shown.0.contains("(the password)"), "{}", shown.0);
    assert!(shown.0.contains("42601"), "{}", shown.0);
}

async fn our_password_in_a_setting_ends_the_connection<S: Subject>() {
    let said = message(b'S', format!("motd\0{PASSWORD}\0").as_bytes());
    let (ran, _) = answered::<S>([said, done(0)].concat()).await;
    ran.expect_err("the connection ends").assert_sound();
}

async fn a_notice_is_made_printable<S: Subject>() {
    // One driver logs notices, the other one drops them. The journal is that of all tests.
    let (word, is_logged) = if S::BINDS { ("geroepen", false) } else { ("gefluisterd", true) };
    let notice = format!("SNOTICE\0C00000\0M\u{1b}[31m{word} {ESCAPES}\0\0");
    let (ran, _) = answered::<S>([message(b'N', notice.as_bytes()), done(0)].concat()).await;
    assert!(ran.is_ok(), "a notice ends nothing");
    let journal = journal::text();
    assert!(!journal.contains(&format!("\u{1b}[31m{word}")), "an escape was logged");
    assert_eq!(journal.contains(word), is_logged);
}
