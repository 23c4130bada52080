//! S3: valid, faulty and hostile servers.

use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use backing_services::posture::TrustPosture;
use backing_services::{BackingServices, Resource, S3};
use backing_services_tests::attempt::{attach, problems, refused};
use backing_services_tests::canary::{self, PASSWORD};
use backing_services_tests::folder::Folder;
use backing_services_tests::hostile::{Hostile, Peer, under_tls};
use backing_services_tests::journal;
use backing_services_tests::pki::{self, Authority};
use backing_services_tests::s3::{self as server, BUCKET, USER};
use backing_services_tests::variables::Variables;
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Shop {
    invoices: Resource<S3>,
}

#[derive(BackingServices)]
#[services(prefix = "SHOP", deadline = 20)]
struct Listed {
    #[service(hosts = "*.amazonaws.com")]
    invoices: Resource<S3>,
}

/// No test here reaches this limit, unless it says so. A failed request is repeated three times.
const SOON: Duration = Duration::from_secs(15);

/// The server that most tests share.
static SERVER: LazyLock<server::S3> = LazyLock::new(server::S3::start);

fn variables(server: &server::S3) -> Variables {
    vec![
        ("SHOP_INVOICES_URL", format!("s3://{BUCKET}/invoices?region=eu-west-1")),
        ("SHOP_INVOICES_ENDPOINT", server.endpoint()),
        ("SHOP_INVOICES_USER", USER.to_owned()),
        ("SHOP_INVOICES_PASSWORD", PASSWORD.to_owned()),
        ("SHOP_INVOICES_CA", server.server.authority.pem()),
    ]
}

/// A server that runs `script` under TLS, and the variables to connect to it.
fn hostile<F>(
    query: &str,
    script: impl Fn(Peer) -> F + Clone + Send + Sync + 'static,
) -> (Hostile, Variables)
where
    F: Future<Output = std::io::Result<Option<Peer>>> + Send + 'static,
{
    let (hostile, ca) = under_tls(move |mut peer: Peer| {
        let script = script.clone();
        async move {
            // The TLS handshake at attaching sends no request.
            peer.read().await?;
            script(peer).await
        }
    });
    let variables = vec![
        ("SHOP_INVOICES_URL", format!("s3://{BUCKET}{query}")),
        ("SHOP_INVOICES_ENDPOINT", format!("https://localhost:{}", hostile.port)),
        ("SHOP_INVOICES_USER", USER.to_owned()),
        ("SHOP_INVOICES_PASSWORD", PASSWORD.to_owned()),
        ("SHOP_INVOICES_CA", ca),
    ];
    (hostile, variables)
}

/// The secret key signs requests, and is never sent, even under TLS.
fn assert_no_secret(hostile: &Hostile) {
    for heard in hostile.heard() {
        assert!(canary::find(&heard.plain).is_none() && canary::find(&heard.secret).is_none());
    }
}

#[tokio::test]
async fn attaches_and_the_posture_is_true() {
    let server = server::S3::start();
    let shop: Shop = attach(&variables(&server)).await.unwrap();
    let posture = shop.invoices.posture();
    let tls = posture.tls.as_ref().unwrap();
    assert_eq!(tls.version, "TLS 1.3");
    assert_eq!(tls.trust, TrustPosture::PrivateCa);
    assert_eq!(tls.certificate.subject, format!("CN={}", pki::SUBJECT));
    assert_eq!(posture.service, "S3");
    assert_eq!(
        posture.endpoint,
        format!("s3://{BUCKET}:443/invoices at https://localhost:{}/", server.server.port)
    );
    assert_eq!(posture.account.as_deref(), Some(USER));
    assert_eq!(posture.authentication.as_deref(), Some("AWS Signature Version 4"));
    assert_eq!(format!("{:?}", server.server.versions()), "[HTTP/1.1]");
    let probe = &server.server.requests()[0];
    assert!(
        probe.starts_with(&format!("GET /{BUCKET}?"))
            && probe.contains("max-keys=1")
            && probe.contains("prefix=invoices%2F"),
        "{probe}"
    );

    let invoices = shop.invoices.client();
    let path = Path::from("2026/11/7.txt");
    invoices.put(&path, PutPayload::from_static(b"number")).await.unwrap();
    assert_eq!(server.object("invoices/2026/11/7.txt").unwrap(), b"number");
    assert_eq!(invoices.get(&path).await.unwrap().bytes().await.unwrap().as_ref(), b"number");
    assert_eq!(invoices.head(&path).await.unwrap().size, 6);
    let listed = invoices.list_with_delimiter(Some(&Path::from("2026/11"))).await.unwrap();
    assert_eq!(
        listed.objects.iter().map(|object| object.location.as_ref()).collect::<Vec<_>>(),
        ["2026/11/7.txt"]
    );
    invoices.delete(&path).await.unwrap();
    assert!(server.object("invoices/2026/11/7.txt").is_none());
    assert!(matches!(invoices.get(&path).await, Err(object_store::Error::NotFound { .. })));
    // An object may be larger than the limit on other responses.
    let large = vec![b'x'; 20 * 1024 * 1024];
    invoices.put(&Path::from("large"), large.clone().into()).await.unwrap();
    assert_eq!(
        invoices.get(&Path::from("large")).await.unwrap().bytes().await.unwrap().len(),
        large.len()
    );
    // No path can leave the prefix.
    assert!(Path::parse("../elsewhere").is_err());
    canary::assert_debug_silent(&*invoices);
    canary::assert_debug_silent(&**invoices);
    drop(invoices);
    shop.invoices.health().await.unwrap();

    assert!(server.server.connections() > 0);
    shop.detach().await;
    server.server.assert_no_connection().await;
    journal::assert_silent();
}

#[tokio::test]
async fn the_drivers_own_connections_are_verified() {
    let authority = Authority::new("the tests' authority");
    let (good, bad) = (authority.server(), Authority::new("another authority").server());
    let hostile = Hostile::start(move |peer| {
        let leaf = if peer.index() == 0 { good.clone() } else { bad.clone() };
        async move { Ok(Some(peer.encrypt(&leaf).await?)) }
    });
    let mut variables = variables(&SERVER);
    variables[1].1 = format!("https://localhost:{}", hostile.port);
    variables[4].1 = authority.pem();
    assert_eq!(problems(&refused::<Shop>(&variables, SOON).await), ["unverified_tls"]);
    assert!(hostile.heard().len() >= 2);
    assert!(hostile.heard().iter().all(|heard| heard.secret.is_empty()));
}

#[tokio::test]
async fn servers_that_never_answer() {
    let silent = Hostile::start(|peer| async { Ok(Some(peer)) });
    let mut variables = variables(&SERVER);
    variables[1].1 = format!("https://localhost:{}", silent.port);
    // The limit is in the locator, and the endpoint is dialled.
    variables[0].1.push_str("&connect_timeout=1");
    let error = refused::<Shop>(&variables, Duration::from_secs(5)).await;
    assert_eq!(problems(&error), ["timed_out"]);
    assert!(error.to_string().contains("`connect_timeout` in the locator"), "{error}");
    silent.assert_all_closed().await;

    let (mute, variables) = hostile("?response_timeout=300", |peer| async { Ok(Some(peer)) });
    assert_eq!(problems(&refused::<Shop>(&variables, SOON).await), ["timed_out"]);
    mute.assert_all_closed().await;
    assert_no_secret(&mute);
}

#[tokio::test]
async fn wrong_credentials_and_buckets() {
    let mut other = variables(&SERVER);
    other[2].1 = "AKIAUNKNOWN0000000000".to_owned();
    let error = refused::<Shop>(&other, SOON).await;
    assert!(matches!(problems(&error)[..], ["authentication_failed" | "unavailable"]), "{error}");
    let mut other = variables(&SERVER);
    other[0].1 = "s3://not-there?region=eu-west-1".to_owned();
    assert_eq!(problems(&refused::<Shop>(&other, SOON).await), ["unavailable"]);
}

#[tokio::test]
async fn refused_before_anything_is_dialled() {
    let good = "https://s3.example.com";
    for (url, endpoint, user, password, rule) in [
        ("s3://b?region=eu-west-1", good, "minioadmin", "minioadmin", "default_credentials"),
        ("s3://b?region=eu-west-1", good, USER, "", "missing_credentials"),
        ("s3://b?region=eu-west-1", good, USER, "changeme", "placeholder_value"),
        ("s3://b", "", USER, PASSWORD, "missing_value"),
        ("s3://b", "http://s3.example.com", USER, PASSWORD, "plaintext_scheme"),
        ("s3://b", "https://169.254.169.254", USER, PASSWORD, "forbidden_address"),
        ("s3://b", "https://[::ffff:169.254.169.254]", USER, PASSWORD, "forbidden_address"),
        ("s3://b", "https://metadata.google.internal", USER, PASSWORD, "forbidden_address"),
        ("s3://b", "https://[fd00:ec2::254]", USER, PASSWORD, "forbidden_address"),
        ("s3://b", "https://bücher.example", USER, PASSWORD, "malformed_locator"),
        ("s3://b/a/..;/b", "https://minio.example.com", USER, PASSWORD, "malformed_locator"),
        ("s3://b", "https://minio.example.com/s3/..;/admin", USER, PASSWORD, "malformed_locator"),
        ("s3://b", "https://user:hushed@s3.example.com", USER, PASSWORD, "malformed_locator"),
        ("s3://b", "https://s3.example.com?region=x", USER, PASSWORD, "unknown_parameter"),
        ("s3://b", "s3.example.com", USER, PASSWORD, "malformed_locator"),
        ("s3://b", "ftp://s3.example.com", USER, PASSWORD, "plaintext_scheme"),
        ("s3://b/a/../c", good, USER, PASSWORD, "malformed_locator"),
        ("s3://b/a//c", good, USER, PASSWORD, "malformed_locator"),
        ("s3://10.0.0.1/a", good, USER, PASSWORD, "malformed_locator"),
        ("s3://b?region=eu_west", good, USER, PASSWORD, "malformed_locator"),
        ("s3://b?region=evil.example/", "", USER, PASSWORD, "missing_value"),
        ("s3://b?endpoint=https://evil.example", good, USER, PASSWORD, "unknown_parameter"),
        ("s3://b?profile=admin", good, USER, PASSWORD, "unknown_parameter"),
        ("s3://b?skip_signature=true", good, USER, PASSWORD, "unknown_parameter"),
        ("s3://b?unsigned_payload=true", good, USER, PASSWORD, "unknown_parameter"),
        ("s3://b?allow_http=true", good, USER, PASSWORD, "unverified_tls"),
        ("s3://b?session_token=abc", good, USER, PASSWORD, "secret_in_parameter"),
        ("s3://b?style=host", good, USER, PASSWORD, "malformed_value"),
        ("https://b.s3.example.com/", good, USER, PASSWORD, "unknown_scheme"),
    ] {
        let mut variables = vec![("SHOP_INVOICES_URL", url), ("SHOP_INVOICES_USER", user)];
        variables
            .extend(Some(("SHOP_INVOICES_ENDPOINT", endpoint)).filter(|_| !endpoint.is_empty()));
        variables
            .extend(Some(("SHOP_INVOICES_PASSWORD", password)).filter(|_| !password.is_empty()));
        let error = refused::<Shop>(&variables, SOON).await;
        assert_eq!(problems(&error), [rule], "{url} {endpoint} {user}: {error}");
        assert!(!error.to_string().contains("hushed"), "{error}");
    }
    // `hosts` lists hosts, and the name of a bucket is not a host.
    let mut listed = vec![
        ("SHOP_INVOICES_URL", "s3://b?region=eu-west-1"),
        ("SHOP_INVOICES_USER", USER),
        ("SHOP_INVOICES_PASSWORD", PASSWORD),
    ];
    let source = backing_services::Environment::from_iter(listed.iter().copied());
    Listed::check(&source).unwrap();
    listed.push(("SHOP_INVOICES_ENDPOINT", good));
    assert_eq!(problems(&refused::<Listed>(&listed, SOON).await), ["unlisted_host"]);
}

#[tokio::test]
async fn invalid_answers() {
    let elsewhere = Hostile::start(|peer| async { Ok(Some(peer)) });
    let moved = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: https://localhost:{}/\r\n\
         content-length: 0\r\n\r\n",
        elsewhere.port
    );
    let huge = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n<hushed".to_owned();
    for (answer, kinds) in [
        (moved, &["unavailable"][..]),
        (
            "HTTP/1.1 301 Moved Permanently\r\ncontent-length: 0\r\n\r\n".to_owned(),
            &["unavailable"],
        ),
        (
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\n\r\nhushed".to_owned(),
            &["authentication_failed"],
        ),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\n\r\nhushed".to_owned(), &["unavailable"]),
        (
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 6\r\n\r\nhushed".to_owned(),
            &["unavailable"],
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhushed".to_owned(), &["protocol"]),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(), &["protocol"]),
        ("SSH-2.0-hushed\r\n".to_owned(), &["protocol"]),
        (huge, &["protocol", "timed_out"]),
    ] {
        let script = {
            let answer = answer.clone();
            move |mut peer: Peer| {
                let answer = answer.clone();
                async move {
                    peer.write(answer).await?;
                    Ok(Some(peer))
                }
            }
        };
        let (server, variables) = hostile("?response_timeout=500", script);
        let error = refused::<Shop>(&variables, SOON).await;
        let found = problems(&error);
        assert!(found.len() == 1 && kinds.contains(&found[0]), "{answer}: {found:?}");
        assert!(!error.to_string().contains("hushed"), "{error}");
        assert_no_secret(&server);
        journal::assert_silent();
    }
    assert!(elsewhere.heard().is_empty());
}

#[tokio::test]
async fn endless_answers() {
    let list = |mut peer: Peer| async move {
        peer.write("HTTP/1.1 200 OK\r\n\r\n<ListBucketResult>").await?;
        peer.flood(b"<Contents><Key>hushed</Key></Contents>").await
    };
    let (server, variables) = hostile("", list);
    assert_eq!(problems(&refused::<Shop>(&variables, SOON).await), ["protocol"]);
    server.assert_all_closed().await;

    let error = |mut peer: Peer| async move {
        peer.write("HTTP/1.1 403 Forbidden\r\n\r\n").await?;
        peer.flood(b"hushed").await
    };
    let (server, variables) = hostile("", error);
    let problems = problems(&refused::<Shop>(&variables, SOON).await);
    assert!(
        matches!(problems[..], ["protocol" | "authentication_failed" | "unavailable"]),
        "{problems:?}"
    );
    server.assert_all_closed().await;

    let slow = |mut peer: Peer| async move {
        peer.write("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await?;
        loop {
            peer.write(" ").await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (server, variables) = hostile("?response_timeout=500", slow);
    let error = refused::<Shop>(&variables, SOON).await;
    assert_eq!(backing_services_tests::attempt::problems(&error), ["timed_out"]);
    server.assert_all_closed().await;
    assert_no_secret(&server);
}

/// Not a test: the body of the child process that [`no_variable_of_the_process_steers_the_driver`]
/// starts.
#[tokio::test]
#[ignore = "it is a part of another test"]
async fn attaches_from_the_environment() {
    let shop = Shop::attach().await.unwrap_or_else(|error| panic!("{error}"));
    shop.invoices
        .client()
        .put(&Path::from("environment"), PutPayload::from_static(b"x"))
        .await
        .unwrap();
    shop.detach().await;
}

#[test]
fn no_variable_of_the_process_steers_the_driver() {
    let elsewhere = Hostile::start(|peer| async { Ok(Some(peer)) });
    let url = format!("http://127.0.0.1:{}", elsewhere.port);
    let folder = Folder::new("steering");
    let roots = folder.write("roots.pem", &Authority::new("another authority").pem());
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--ignored", "--exact", "s3::attaches_from_the_environment"])
        .env_clear()
        .envs(variables(&SERVER));
    for name in [
        "AWS_ENDPOINT",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL_STS",
        "AWS_METADATA_ENDPOINT",
        "AWS_PROXY_URL",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ] {
        child.env(name, &url);
    }
    for name in [
        "AWS_ALLOW_HTTP", "AWS_ALLOW_INVALID_CERTIFICATES", "AWS_SKIP_SIGNATURE",
        "AWS_UNSIGNED_PAYLOAD", "AWS_IMDSV1_FALLBACK",
    ] {
        child.env(name, "true");
    }
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN0000000000"),
        ("AWS_SECRET_ACCESS_KEY", "another-users-secret-key"),
        ("AWS_SESSION_TOKEN", "another-users-token"),
        ("AWS_REGION", "us-gov-east-1"),
        ("AWS_DEFAULT_REGION", "us-gov-east-1"),
        ("AWS_BUCKET", "elsewhere"),
        ("AWS_PROFILE", "elsewhere"),
        ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/elsewhere"),
    ] {
        child.env(name, value);
    }
    child
        .env("SSL_CERT_FILE", &roots)
        .env("SSL_CERT_DIR", folder.path())
        .env("HOME", folder.path());
    let output = child.output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    canary::assert_silent("what the program printed", &text);
    assert!(elsewhere.heard().is_empty());
    assert!(SERVER.object("invoices/environment").is_some());
}

/// These tests are built with `debug_assertions`, so plaintext to a loopback address gives a
/// warning only.
#[tokio::test]
async fn plaintext_to_a_loopback_address() {
    const EMPTY: &str = "<ListBucketResult><Name>b</Name><KeyCount>0</KeyCount>\
                         <MaxKeys>1</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>";
    let server = Hostile::start(|mut peer| async move {
        loop {
            peer.read().await?;
            peer.write(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{EMPTY}",
                EMPTY.len()
            ))
            .await?;
        }
    });
    let endpoint = format!("http://localhost:{}", server.port);
    let variables = [
        ("SHOP_INVOICES_URL", "s3://b"),
        ("SHOP_INVOICES_ENDPOINT", endpoint.as_str()),
        ("SHOP_INVOICES_USER", USER),
        ("SHOP_INVOICES_PASSWORD", PASSWORD),
    ];
    let shop: Shop = attach(&variables).await.unwrap();
    assert!(shop.invoices.posture().tls.is_none());
    assert_eq!(shop.invoices.posture().transport, backing_services::rules::Transport::Plaintext);
    shop.detach().await;
    assert_no_secret(&server);
}
