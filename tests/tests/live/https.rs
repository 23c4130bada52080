//! HTTPS: a real server, good and bad ones.

use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use backing_services::posture::TrustPosture;
use backing_services::problem::FailureKind;
use backing_services::service::Refusal;
use backing_services::services::https::HttpsError;
use backing_services::{BackingServices, Https, Resource};
use backing_services_tests::attempt::{attach, problems, refused};
use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::folder::Folder;
use backing_services_tests::hostile::{Hostile, Peer, under_tls};
use backing_services_tests::https::{self as server, USER};
use backing_services_tests::pki::{self, Authority};
use backing_services_tests::variables::{self, Variables};
use backing_services_tests::{journal, port};

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    rates: Resource<Https>,
}

/// No test here waits for a deadline unless it says so.
const SOON: Duration = Duration::from_secs(10);

/// The server that most tests share.
static SERVER: LazyLock<server::Https> = LazyLock::new(server::Https::start);

fn variables(server: &server::Https) -> Variables {
    vec![
        ("SHOP_RATES_URL", format!("{}?health=/health", server.locator())),
        ("SHOP_RATES_USER", USER.to_owned()),
        ("SHOP_RATES_PASSWORD", PASSWORD.to_owned()),
        ("SHOP_RATES_CA", server.authority.pem()),
    ]
}

/// A server that plays `script` under TLS, and the variables that lead to it.
fn hostile<F>(
    query: &str,
    script: impl Fn(Peer) -> F + Clone + Send + Sync + 'static,
) -> (Hostile, Variables)
where
    F: Future<Output = std::io::Result<Option<Peer>>> + Send + 'static,
{
    let (hostile, ca) = under_tls(script);
    let variables = variables::of(
        "SHOP_RATES",
        format!("https://localhost:{}/api{query}", hostile.port),
        PASSWORD,
        ca,
    );
    (hostile, variables)
}

/// The secret arrived under TLS or not at all.
fn assert_no_secret_in_the_clear(hostile: &Hostile) {
    for heard in hostile.heard() {
        assert!(canary::find(&heard.plain).is_none());
    }
}

#[tokio::test]
async fn attaches_and_the_posture_is_true() {
    let server = server::Https::start();
    let shop: Shop = attach(&variables(&server)).await.unwrap();
    let posture = shop.rates.posture();
    let tls = posture.tls.as_ref().unwrap();
    assert_eq!((tls.version, &tls.cipher), ("TLS 1.3", &None));
    assert_eq!(tls.trust, TrustPosture::PrivateCa);
    assert_eq!(tls.certificate.subject, format!("CN={}", pki::SUBJECT));
    assert_eq!(posture.service, "HTTPS");
    // The path may be a secret.
    assert_eq!(posture.endpoint, format!("https://localhost:{}/", server.port));
    assert_eq!(posture.account.as_deref(), Some(USER));
    assert_eq!(posture.authentication.as_deref(), Some("Basic"));
    assert_eq!(
        posture.server.as_ref().map(ToString::to_string).as_deref(),
        Some("a test server/1.0")
    );
    assert!(posture.remarks.is_empty());
    assert_eq!(server.requests(), ["GET /api/health"]);
    assert_eq!(
        server.accepted(),
        1,
        "the probe's connection is the client's, and the posture is of that one"
    );
    assert_eq!(format!("{:?}", server.versions()), "[HTTP/2.0]");

    let rates = shop.rates.client();
    let response = rates.get("/orders").query("name", "a&b=c d").send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    assert_eq!(response.text().await.unwrap(), "[7]");
    let response = rates
        .post("echo")
        .header("content-type", "application/json")
        .body("[8]")
        .send()
        .await
        .unwrap();
    assert_eq!(response.bytes().await.unwrap(), b"[8]");
    assert_eq!(rates.put("/headers").send().await.unwrap().status().as_u16(), 200);
    assert_eq!(rates.delete("/headers").send().await.unwrap().status().as_u16(), 200);
    assert_eq!(server.requests()[1], "GET /api/orders?name=a%26b%3Dc+d");
    canary::assert_debug_silent(&*rates);
    canary::assert_debug_silent(&rates.get("/orders"));
    let clone = rates.clone();
    drop(rates);
    shop.rates.health().await.unwrap();

    assert!(server.connections() > 0);
    shop.detach().await;
    server.assert_no_connection().await;
    // A clone that outlives the resource does not open connections again.
    assert!(matches!(clone.get("/orders").send().await, Err(HttpsError::Refused(_))));
    assert_eq!(server.connections(), 0);
    journal::assert_silent();
}

#[tokio::test]
async fn a_token_and_no_credentials() {
    let mut variables = variables(&SERVER);
    variables.remove(1);
    let shop: Shop = attach(&variables).await.unwrap();
    assert_eq!(shop.rates.posture().authentication.as_deref(), Some("Bearer"));
    assert_eq!(shop.rates.client().get("/orders").send().await.unwrap().status().as_u16(), 200);
    shop.detach().await;

    // The token is in the locator.
    let url = format!("https://:{PASSWORD}@localhost:{}/api/?health=health", SERVER.port);
    let shop: Shop =
        attach(&[("SHOP_RATES_URL", &url), ("SHOP_RATES_CA", &SERVER.authority.pem())])
            .await
            .unwrap();
    assert_eq!(shop.rates.posture().authentication.as_deref(), Some("Bearer"));
    shop.detach().await;

    // Without credentials and without a health path, no request is sent. The posture says so.
    variables.remove(1);
    variables[0].1 = SERVER.locator();
    let shop: Shop = attach(&variables).await.unwrap();
    assert!(shop.rates.posture().remarks[0].contains("not tried"));
    assert!(shop.rates.posture().tls.is_some());
    shop.rates.health().await.unwrap();
    assert_eq!(shop.rates.client().get("/orders").send().await.unwrap().status().as_u16(), 401);
    let headers = shop.rates.client().get("/headers").send().await.unwrap().text().await.unwrap();
    assert!(!headers.contains("authorization") && !headers.contains("cookie"), "{headers}");
    assert!(!headers.contains("accept-encoding"), "{headers}");
    shop.detach().await;
}

#[tokio::test]
async fn each_connection_is_verified() {
    // The first connection reaches the right server, which closes it. All others reach another
    // server.
    let authority = Authority::new("the tests' authority");
    let (good, bad) = (authority.server(), Authority::new("another authority").server());
    let hostile = Hostile::start(move |peer| {
        let is_first = peer.index() == 0;
        let leaf = if is_first { good.clone() } else { bad.clone() };
        async move {
            let mut peer = peer.encrypt(&leaf).await?;
            if is_first {
                peer.read().await?;
                peer.write("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
                    .await?;
                return Ok(None);
            }
            Ok(Some(peer))
        }
    });
    let url = format!("https://localhost:{}/?health=/", hostile.port);
    let pem = authority.pem();
    let variables = [
        ("SHOP_RATES_URL", url.as_str()),
        ("SHOP_RATES_PASSWORD", PASSWORD),
        ("SHOP_RATES_CA", pem.as_str()),
    ];
    let shop: Shop = attach(&variables).await.unwrap();
    let Err(HttpsError::Refused(refusal)) = shop.rates.client().get("/").send().await else {
        panic!("it was answered")
    };
    assert!(
        matches!(refusal, Refusal::Finding(_)) && refusal.to_string().contains("authority"),
        "{refusal}"
    );
    let heard = hostile.heard();
    assert_eq!(heard.len(), 2);
    assert!(
        !heard[0].secret.is_empty() && heard[1].secret.is_empty(),
        "the other server got no request"
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_a_request() {
    let (mute, variables) =
        hostile("?health=/health&response_timeout=700", |peer| async { Ok(Some(peer)) });
    assert_eq!(problems(&refused::<Shop>(&variables, Duration::from_secs(5)).await), ["timed_out"]);
    mute.assert_all_closed().await;
    assert_no_secret_in_the_clear(&mute);
}

#[tokio::test]
async fn a_port_is_dialled_without_a_health_path_too() {
    let mut variables = variables(&SERVER);
    variables[0].1 = format!("https://localhost:{}/api", port::free());
    assert_eq!(problems(&refused::<Shop>(&variables, SOON).await), ["unreachable"]);
}

#[tokio::test]
async fn refused_before_anything_is_dialled() {
    let server = server::Https::start();
    let at = format!("localhost:{}", server.port);
    for (url, user, password, rule) in [
        (format!("https://{at}/api"), "admin", "admin", "default_credentials"),
        (format!("https://{at}/api"), USER, "", "missing_credentials"),
        (format!("https://{at}/api"), "", "changeme", "placeholder_value"),
        (format!("https://{at}/api"), "", "tiny", "weak_password"),
        (format!("https://{at}/api"), "a:b", PASSWORD, "malformed_value"),
        (format!("https://{at}/api"), "", "kanarie-7f3a with a gap", "malformed_value"),
        (format!("https://{at}/api/../x"), USER, PASSWORD, "malformed_locator"),
        (format!("https://{at}/api/%2e%2e/x"), USER, PASSWORD, "malformed_locator"),
        (format!("https://{at}/api/..;/x"), USER, PASSWORD, "malformed_locator"),
        (format!("https://{at}/api/%2e%2e%3bv=1/x"), USER, PASSWORD, "malformed_locator"),
        (format!("https://{at}/api?health=..;/health"), USER, PASSWORD, "malformed_locator"),
        ("https://bücher.example/api".to_owned(), USER, PASSWORD, "malformed_locator"),
        ("https://[64:ff9b:1:a9fe:a9:fe00::]/latest".to_owned(), "", "", "forbidden_address"),
        (format!("https://{at}/a%3Fb"), USER, PASSWORD, "malformed_locator"),
        (format!("https://{at}/api?health=//evil.example"), USER, PASSWORD, "malformed_locator"),
        (format!("https://{at}/api?health=../health"), USER, PASSWORD, "malformed_locator"),
        (format!("https://{at}/api#x"), USER, PASSWORD, "ambiguous_locator"),
        (format!("https://{at}/api?proxy=http"), USER, PASSWORD, "unknown_parameter"),
        (format!("https://{at}/api?redirect=10"), USER, PASSWORD, "unknown_parameter"),
        (format!("https://{at}/api?verify=false"), USER, PASSWORD, "unverified_tls"),
        (format!("https://{at}/api?insecure=true"), USER, PASSWORD, "unverified_tls"),
        (format!("https://{at}/api?token=abc"), USER, PASSWORD, "secret_in_parameter"),
        (format!("https://{at}/api?max_body=0"), USER, PASSWORD, "malformed_locator"),
        ("http://api.example.com/".to_owned(), USER, PASSWORD, "plaintext_scheme"),
        ("https://169.254.169.254/latest".to_owned(), "", "", "forbidden_address"),
        ("https://[::ffff:a9fe:a9fe]/latest".to_owned(), "", "", "forbidden_address"),
        ("https://metadata.google.internal/".to_owned(), "", "", "forbidden_address"),
        ("ftp://files.example.com/".to_owned(), USER, PASSWORD, "plaintext_scheme"),
    ] {
        let mut variables = vec![("SHOP_RATES_URL", url.as_str())];
        variables.extend(Some(("SHOP_RATES_USER", user)).filter(|_| !user.is_empty()));
        variables.extend(Some(("SHOP_RATES_PASSWORD", password)).filter(|_| !password.is_empty()));
        assert_eq!(problems(&refused::<Shop>(&variables, SOON).await), [rule], "{url} {user}");
    }
    let endpoint = [
        ("SHOP_RATES_URL", format!("https://{at}/api")),
        ("SHOP_RATES_ENDPOINT", "https://elsewhere.example".to_owned()),
    ];
    assert_eq!(problems(&refused::<Shop>(&endpoint, SOON).await), ["malformed_value"]);
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn an_error_names_no_host_and_no_query() {
    let mut server = server::Https::start();
    let shop: Shop = attach(&variables(&server)).await.unwrap();
    server.stop();
    let refusal = shop.rates.health().await.unwrap_err();
    assert!(
        matches!(&refusal, Refusal::Failure(failure) if failure.kind() == FailureKind::Unreachable),
        "{refusal}"
    );
    let error = shop.rates.client().get("/orders?hushed=kanarie-7f3a").send().await.unwrap_err();
    canary::assert_error_silent(&error);
    assert!(!error.to_string().contains("localhost"), "{error}");
    shop.detach().await;
}

#[tokio::test]
async fn requests_stay_below_the_base() {
    let server = server::Https::start();
    let shop: Shop = attach(&variables(&server)).await.unwrap();
    let rates = shop.rates.client();
    let before = server.requests().len();
    for path in [
        "https://evil.example/", "//evil.example/", "../secret", "/../secret", "%2e%2e/secret",
        "..%2fsecret", "\\\\evil.example", "..;/secret", "..;a=b/secret", "..%3b/secret",
        "%2e%2e;/secret", "%252e%252e/secret", "..%253b/secret", "a/..%5c..;/secret",
    ] {
        let error = rates.get(path).send().await.unwrap_err();
        assert!(matches!(error, HttpsError::Path(_)), "{path}: {error}");
    }
    for header in
        ["Host", "transfer-encoding", "Content-Length", "connection", "Proxy-Authorization"]
    {
        assert!(
            matches!(
                rates.get("/orders").header(header, "evil.example").send().await,
                Err(HttpsError::Header(_))
            ),
            "{header}"
        );
    }
    assert!(matches!(
        rates.get("/orders").header("x", "a\r\nb: c").send().await,
        Err(HttpsError::Header(_))
    ));
    assert_eq!(server.requests().len(), before, "no request was sent");

    // Redirects are returned to the caller, and not followed.
    let response = rates.get("/moved").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.header("location")),
        (302, Some("https://127.0.0.1:1/elsewhere"))
    );

    // A request's own credentials replace the resource's.
    let response =
        rates.get("/orders").header("authorization", "Bearer another-token").send().await.unwrap();
    assert_eq!(response.status().as_u16(), 401);
    drop(response);
    drop(rates);
    shop.detach().await;
}

#[tokio::test]
async fn a_body_has_a_budget() {
    let mut variables = variables(&SERVER);
    variables[0].1 += "&max_body=5000";
    let shop: Shop = attach(&variables).await.unwrap();
    let rates = shop.rates.client();
    assert_eq!(
        rates.get("/bytes?count=5000").send().await.unwrap().bytes().await.unwrap().len(),
        5000
    );
    let response = rates.get("/bytes?count=5001").send().await.unwrap();
    assert!(matches!(response.bytes().await, Err(HttpsError::TooLarge)));
    let mut response = rates.get("/bytes?count=100000").send().await.unwrap();
    let mut total = 0;
    let error = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => total += chunk.len(),
            Ok(None) => panic!("all of it came"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, HttpsError::TooLarge));
    assert!(total <= 5000);
    drop((response, rates));
    shop.detach().await;
}

/// The result of a `GET` of `/x` from a server that plays `script` on each connection.
async fn asked<F>(
    query: &str,
    script: impl Fn(Peer) -> F + Clone + Send + Sync + 'static,
) -> Result<(u16, Vec<u8>), HttpsError>
where
    F: Future<Output = std::io::Result<Option<Peer>>> + Send + 'static,
{
    let (server, variables) = hostile(query, move |mut peer| {
        let script = script.clone();
        async move {
            // The handshake at attach sends no request.
            peer.read().await?;
            script(peer).await
        }
    });
    let shop: Shop = attach(&variables).await.unwrap();
    let begin = Instant::now();
    let result = async {
        let response = shop.rates.client().get("/x").send().await?;
        Ok::<_, HttpsError>((response.status().as_u16(), response.bytes().await?))
    }
    .await;
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    if let Err(error) = &result {
        canary::assert_error_silent(error);
        assert!(!error.to_string().contains("hushed"), "{error}");
    }
    shop.detach().await;
    server.assert_all_closed().await;
    assert_no_secret_in_the_clear(&server);
    journal::assert_silent();
    result
}

fn kind(result: &Result<(u16, Vec<u8>), HttpsError>) -> &'static str {
    match result {
        Ok(_) => "a response",
        Err(HttpsError::TooLarge) => "too large",
        Err(HttpsError::Refused(Refusal::Failure(failure))) => failure.kind().name(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn endless_things() {
    let endless_body = |mut peer: Peer| async move {
        peer.write("HTTP/1.1 200 OK\r\n\r\n").await?;
        peer.flood(b"hushed ").await
    };
    assert_eq!(kind(&asked("?max_body=100000", endless_body).await), "too large");

    let endless_chunks = |mut peer: Peer| async move {
        peer.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
        peer.flood(b"6\r\nhushed\r\n").await
    };
    assert_eq!(kind(&asked("?max_body=100000", endless_chunks).await), "too large");

    let endless_headers = |mut peer: Peer| async move {
        peer.write("HTTP/1.1 200 OK\r\n").await?;
        peer.flood(b"x-hushed: hushed\r\n").await
    };
    assert_eq!(kind(&asked("", endless_headers).await), "protocol");

    let endless_header = |mut peer: Peer| async move {
        peer.write("HTTP/1.1 200 OK\r\nx: ").await?;
        peer.flood(b"hushed").await
    };
    assert_eq!(kind(&asked("", endless_header).await), "protocol");

    let endless_interim = |mut peer: Peer| async move {
        peer.flood(b"HTTP/1.1 103 Early Hints\r\nlink: hushed\r\n\r\n").await
    };
    assert_eq!(kind(&asked("?response_timeout=1000", endless_interim).await), "timed_out");

    let slow_headers = |mut peer: Peer| async move {
        for byte in b"HTTP/1.1 200 OK\r\nx: hushedhushedhushedhushed".iter().cycle() {
            peer.write([*byte]).await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(None)
    };
    assert_eq!(kind(&asked("?response_timeout=1000", slow_headers).await), "timed_out");

    let slow_body = |mut peer: Peer| async move {
        peer.write("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
        loop {
            peer.write("x").await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert_eq!(kind(&asked("?response_timeout=1000", slow_body).await), "timed_out");
}

#[tokio::test]
async fn lies_about_the_length() {
    let huge = |mut peer: Peer| async move {
        peer.write("HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\nhushed").await?;
        Ok(Some(peer))
    };
    // `u64::MAX` and `u64::MAX - 1` have a special meaning to hyper. Either way the result is an
    // error and allocates nothing.
    assert!(matches!(kind(&asked("?response_timeout=2000", huge).await), "too large" | "protocol"));
    let large = |mut peer: Peer| async move {
        peer.write("HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\nhushed").await?;
        Ok(Some(peer))
    };
    assert_eq!(kind(&asked("", large).await), "too large");
    let short = |mut peer: Peer| async move {
        peer.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhushed").await?;
        Ok(None)
    };
    assert!(
        matches!(kind(&asked("", short).await), "unreachable" | "protocol"),
        "it promised more"
    );
    for lie in [
        "content-length: 1\r\ncontent-length: 2",
        "content-length: -1",
        "content-length: 6\r\ntransfer-encoding: chunked",
    ] {
        let script = move |mut peer: Peer| async move {
            peer.write(format!("HTTP/1.1 200 OK\r\n{lie}\r\n\r\nhushed")).await?;
            Ok(None)
        };
        assert!(matches!(kind(&asked("", script).await), "unreachable" | "protocol"), "{lie}");
    }
    for answer in [
        "\x1b[2Jhushed\r\n\r\n", "SSH-2.0-hushed\r\n", "HTTP/9.9 200 hushed\r\n\r\n",
        "HTTP/1.1 999999 hushed\r\n\r\n",
    ] {
        let script = move |mut peer: Peer| async move {
            peer.write(answer).await?;
            Ok(Some(peer))
        };
        assert_eq!(kind(&asked("?response_timeout=2000", script).await), "protocol", "{answer}");
    }
}

#[tokio::test]
async fn a_compressed_body_stays_as_it_is() {
    // Ten bytes that would be a gzip header.
    let gzip = |mut peer: Peer| async move {
        peer.write(
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nset-cookie: a=b\r\n\
            content-length: 10\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03",
        )
        .await?;
        Ok(Some(peer))
    };
    assert_eq!(asked("", gzip).await.unwrap(), (200, b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec()));
}

#[tokio::test]
async fn a_cookie_is_not_kept() {
    let (server, variables) = hostile("?health=/", |mut peer| async move {
        loop {
            peer.read().await?;
            peer.write("HTTP/1.1 204 No Content\r\nset-cookie: hushed=1; path=/\r\n\r\n").await?;
        }
    });
    let shop: Shop = attach(&variables).await.unwrap();
    for _ in 0..2 {
        assert_eq!(shop.rates.client().get("/").send().await.unwrap().status().as_u16(), 204);
    }
    shop.detach().await;
    for heard in server.heard() {
        assert!(canary::position(&heard.secret.to_ascii_lowercase(), b"cookie").is_none());
    }
}

#[tokio::test]
async fn a_probe_is_not_sent_elsewhere() {
    let elsewhere = Hostile::start(|peer| async { Ok(Some(peer)) });
    for scheme in ["http", "https"] {
        let port = elsewhere.port;
        let (_server, variables) = hostile("?health=/", move |mut peer| async move {
            peer.read().await?;
            let location = format!("{scheme}://localhost:{port}/");
            peer.write(format!(
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: {location}\r\n\
                content-length: 0\r\n\r\n"
            ))
            .await?;
            Ok(Some(peer))
        });
        let error = refused::<Shop>(&variables, SOON).await;
        assert_eq!(problems(&error), ["unavailable"]);
    }
    assert!(elsewhere.heard().is_empty());
}

/// Not a test: [`no_variable_of_the_process_steers_the_client`] runs it in an environment of its
/// own.
#[tokio::test]
#[ignore = "it is a part of another test"]
async fn attaches_from_the_environment() {
    let shop = Shop::attach().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(shop.rates.client().get("/orders").send().await.unwrap().status().as_u16(), 200);
    shop.detach().await;
}

#[test]
fn no_variable_of_the_process_steers_the_client() {
    let elsewhere = Hostile::start(|peer| async { Ok(Some(peer)) });
    let proxy = format!("http://127.0.0.1:{}", elsewhere.port);
    let folder = Folder::new("steering");
    let roots = folder.write("roots.pem", &Authority::new("another authority").pem());
    let log = folder.path().join("keys");
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--ignored", "--exact", "https::attaches_from_the_environment"])
        .env_clear()
        .envs(variables(&SERVER));
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
    {
        child.env(name, &proxy);
    }
    child
        .env("SSL_CERT_FILE", &roots)
        .env("SSL_CERT_DIR", folder.path())
        .env("SSLKEYLOGFILE", &log);
    let output = child.output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    canary::assert_silent("what the program printed", &text);
    assert!(elsewhere.heard().is_empty());
    assert!(!log.exists());
}

/// These tests are built with `debug_assertions`: a loopback address may be plaintext, with a
/// warning.
#[tokio::test]
async fn plaintext_to_a_loopback_address() {
    let server = Hostile::start(|mut peer| async move {
        loop {
            peer.read().await?;
            peer.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
        }
    });
    let url = format!("http://localhost:{}/?health=/", server.port);
    let shop: Shop = attach(&[("SHOP_RATES_URL", &url)]).await.unwrap();
    assert!(shop.rates.posture().tls.is_none());
    assert_eq!(shop.rates.client().get("/").send().await.unwrap().text().await.unwrap(), "ok");
    shop.detach().await;
    server.assert_all_closed().await;
}

#[tokio::test]
async fn requests_in_flight_are_finished() {
    let (server, variables) = hostile("", |mut peer| async move {
        peer.read().await?;
        tokio::time::sleep(Duration::from_millis(800)).await;
        peer.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
        Ok(Some(peer))
    });
    let shop: Shop = attach(&variables).await.unwrap();
    let rates = shop.rates.client().clone();
    let asked = tokio::spawn(async move { rates.get("/x").send().await?.text().await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begin = Instant::now();
    shop.detach().await;
    assert!(begin.elapsed() > Duration::from_millis(200), "it was waited for");
    assert_eq!(asked.await.unwrap().unwrap(), "ok");
    server.assert_all_closed().await;
}
