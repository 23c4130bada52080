//! The HTTP client that HTTPS, S3 and etcd share: reqwest, restricted to the target's host.
//!
//! - **One host.** Redirects are not followed, no proxy is used, and only the target's own host is
//!   resolved. Its addresses are checked against the address rules each time, so that the name
//!   cannot be pointed at a cloud's metadata service after it was attached.
//! - **One TLS configuration**: ours, with ALPN. No variable of the process adds a root.
//! - **No decompression**, even if another crate of the program enables reqwest's features for it:
//!   a body has the size that was received.
//! - **Limits**: 100 headers and some 400 KiB of them in HTTP/1.1 (hyper's), 64 KiB of them in
//!   HTTP/2. Each service sets its own time limits.

mod opening;
mod path;

use std::io::ErrorKind;
use std::time::Duration;

use backing_services_runtime::Failure;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::connections::Connections;
use backing_services_runtime::service::{Refusal, Target, Witness};
pub use path::climbs;
use reqwest::dns::{Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

use self::opening::CountOpenings;

/// The limit for an HTTP/2 header block, in bytes.
const MAX_HEADERS: u32 = 64 * 1024;

/// An idle connection is closed after 60 s: proxies and servers close theirs after 60 to 75 s, and
/// the first request after that would fail.
const IDLE: Duration = Duration::from_secs(60);

/// The versions of HTTP that a client offers (RFC 7301).
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a third version needs another client")]
pub enum Versions {
    /// HTTP/1.1.
    One,
    /// HTTP/2, or HTTP/1.1 if the server does not support it.
    OneAndTwo,
}

/// A client that connects to one target only; and the witness that records its handshakes. The
/// caller sets the time limits. Closing `connections` ends every opening, and no other one begins.
/// A connection that is open counts no more.
pub fn builder(
    target: &Target,
    versions: Versions,
    connections: &Connections,
) -> Result<(ClientBuilder, Witness), Refusal> {
    let (mut config, witness) = target.client_config()?;
    config.alpn_protocols = match versions {
        Versions::One => vec![b"http/1.1".to_vec()],
        Versions::OneAndTwo => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    let resolver = OnlyHost { target: target.clone() };
    let builder = Client::builder()
        .tls_backend_preconfigured(config)
        .https_only(!target.is_plaintext())
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .dns_resolver(resolver)
        .user_agent(concat!("backing-services/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(target.connect_timeout())
        .pool_idle_timeout(IDLE)
        .http1_max_headers(100)
        .http2_max_header_list_size(MAX_HEADERS)
        .connector_layer(CountOpenings(connections.clone(), target.clone()));
    Ok((builder, witness))
}

/// Builds the client.
pub fn build(builder: ClientBuilder) -> Result<Client, Refusal> {
    builder.build().map_err(|_| {
        Failure::new(
            FailureKind::Protocol,
            "the HTTP client cannot be built",
            "check reqwest's version: there has to be one",
        )
        .into()
    })
}

/// Resolves the target's host, and no other.
struct OnlyHost {
    target: Target,
}

impl Resolve for OnlyHost {
    fn resolve(&self, name: Name) -> Resolving {
        let target = self.target.clone();
        Box::pin(async move {
            if !target.is_host(name.as_str()) {
                let refusal = Refusal::from(Failure::new(
                    FailureKind::Unresolved,
                    "another host was asked for than the locator's",
                    "write the path alone: the host is the locator's",
                ));
                return Err(refusal.into());
            }
            let addresses = target.resolve().await?;
            Ok(Box::new(addresses.into_iter()) as _)
        })
    }
}

/// Converts an error of reqwest. Its own text contains the URL, and is not used.
pub fn refusal(target: &Target, error: &(dyn std::error::Error + 'static)) -> Refusal {
    if let Some(refusal) = find_source::<Refusal>(error) {
        return refusal.clone();
    }
    if let Some(refusal) = target.tls_refusal(error) {
        return refusal;
    }
    let broken = find_source::<std::io::Error>(error);
    let http = find_source::<reqwest::Error>(error);
    let is_connecting = http.is_some_and(reqwest::Error::is_connect);
    if http.is_some_and(reqwest::Error::is_timeout)
        || broken.is_some_and(|broken| broken.kind() == ErrorKind::TimedOut)
    {
        return if is_connecting { silent() } else { Failure::no_answer().into() };
    }
    if let (true, Some(broken)) = (is_connecting, broken)
        && is_of_connecting(broken.kind())
    {
        return backing_services_runtime::service::unreachable(broken).into();
    }
    if is_connecting || broken.is_some() {
        return Failure::new(
            FailureKind::Unreachable,
            "the server cannot be connected to, or closed the connection",
            "check the host and the port, and the server's log",
        )
        .into();
    }
    Failure::new(
        FailureKind::Protocol,
        "what the server sent is not HTTP, more than it may send, or less than it promised",
        "check what answers on the port",
    )
    .into()
}

/// Returns true for errors that the network reports. Other kinds may come from the TLS handshake.
const fn is_of_connecting(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
    )
}

/// The failure of a connection that took too long.
fn silent() -> Refusal {
    Failure::new(
        FailureKind::TimedOut,
        "its host did not answer, or did not finish the TLS handshake, in time",
        "check the network between here and there: a firewall drops, it does not refuse; check \
         also what listens on the port",
    )
    .into()
}

/// The first error of a type in a chain of errors. Real chains have some five links.
fn find_source<'e, E: std::error::Error + 'static>(
    error: &'e (dyn std::error::Error + 'static),
) -> Option<&'e E> {
    let mut current = Some(error);
    for _ in 0..16 {
        let error = current?;
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        current = backing_services_runtime::service::tls::beneath(error);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use backing_services_runtime::{Environment, store};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::Https;

    async fn target(text: &str) -> Target {
        let source = Arc::new(Environment::from_iter([("API_URL", text)]));
        let loaded = store::load::<Https>("api", source, "API", Duration::from_secs(10)).await;
        loaded.unwrap_or_else(|error| panic!("{error}")).target().clone()
    }

    #[tokio::test]
    async fn one_host_is_resolved_and_no_other() {
        let resolver = OnlyHost { target: target("https://localhost/").await };
        let addresses: Vec<_> =
            resolver.resolve("localhost".parse().unwrap()).await.unwrap().collect();
        assert!(
            !addresses.is_empty() && addresses.iter().all(|address| address.ip().is_loopback())
        );
        for other in ["localhost.evil.example", "evil.example", "169.254.169.254", "metadata"] {
            assert!(resolver.resolve(other.parse().unwrap()).await.is_err(), "{other}");
        }
    }

    fn client(target: &Target) -> Client {
        let connections = Connections::new();
        build(builder(target, Versions::OneAndTwo, &connections).unwrap().0).unwrap()
    }

    /// A server that gives this answer to one request, or closes at once. Returns its port.
    async fn server(answer: Option<&'static str>) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            if let Some(answer) = answer {
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            String::from_utf8(request).unwrap()
        });
        (port, task)
    }

    #[tokio::test]
    async fn a_client_says_who_it_is_and_follows_no_redirect() {
        let moved =
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        let (port, request) = server(Some(moved)).await;
        let url = format!("http://127.0.0.1:{port}/");
        let answer = client(&target(&url).await).get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 302);
        let request = request.await.unwrap().to_lowercase();
        assert!(request.contains("user-agent: backing-services/"), "{request}");
        assert!(!request.contains("accept-encoding"), "{request}");
    }

    #[tokio::test]
    async fn each_error_has_its_words() {
        let target = target("https://127.0.0.1/").await;
        let of = |error: &(dyn std::error::Error + 'static)| refusal(&target, error).to_string();
        let io = |kind: ErrorKind| of(&std::io::Error::from(kind));
        let closed = "the server cannot be connected to, or closed the connection";
        assert_eq!(io(ErrorKind::TimedOut), Failure::no_answer().to_string());
        for kind in [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset] {
            assert!(io(kind).contains(closed), "{kind}: {}", io(kind));
        }
        assert!(of(&std::fmt::Error).contains("is not HTTP"));
        let beneath = std::io::Error::other(Refusal::from(Failure::closed()));
        assert_eq!(of(&beneath), Failure::closed().to_string());

        // Nothing listens on the port, and a server that ends the handshake.
        let send = async |port: u16| {
            let url = format!("https://127.0.0.1:{port}/");
            let error = client(&self::target(&url).await).get(&url).send().await.unwrap_err();
            refusal(&target, &error).to_string()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let free = listener.local_addr().unwrap().port();
        drop(listener);
        let refused = std::io::Error::from(ErrorKind::ConnectionRefused);
        let unreachable = backing_services_runtime::service::unreachable(&refused).to_string();
        assert!(!unreachable.contains(closed));
        assert_eq!(send(free).await, unreachable);
        let (port, _) = server(None).await;
        assert!(send(port).await.contains(closed));
    }
}
