//! A third party's service passes the suite that the services of this project pass.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use backing_services_dev::DevError;
use backing_services_dev::conformance::hostile::{Asking, Hostile, Peer, requiring};
use backing_services_dev::conformance::{
    Case, Exception, Setup, Subject, Suite, Variables, canary, suite,
};
use backing_services_faktory::{Client, Faktory};
use rustls::ServerConfig;
use sha2::{Digest as _, Sha256};

struct Jobs;

const SALT: &str = "a1b2";
const ROUNDS: u32 = 4000;

impl Subject for Jobs {
    type Service = Faktory;
    type Server = Hostile;

    const EXCEPTIONS: &'static [Exception] = &[
        Exception::new(Case::Administrator, "Faktory has one password, and no accounts"),
        Exception::new(
            Case::ClientCertificateNotAskedFor,
            "a client certificate does not replace the password",
        ),
    ];

    fn start(setup: Setup) -> Result<Hostile, DevError> {
        let configuration = setup.leaf.map(|leaf| match setup.client_ca {
            Some(ca) => requiring(&leaf, &ca),
            None => Asking::Not.configuration(&leaf, rustls::ALL_VERSIONS),
        });
        Ok(Hostile::start(move |peer| serve(peer, configuration.clone())))
    }

    fn port(server: &Hostile) -> u16 {
        server.port
    }

    fn account(server: &Hostile) -> Variables {
        Variables::new(format!("tcp+tls://localhost:{}", server.port))
    }

    fn administrator(_: &Hostile) -> Option<Variables> {
        None
    }

    async fn work(client: &Client) -> Result<(), String> {
        let pushed = client.push("SendReceipt", &serde_json::json!([42])).await;
        pushed.map(drop).map_err(|refusal| refusal.to_string())
    }
}

/// A server that follows the protocol's specification, as far as the client uses it.
async fn serve(
    mut peer: Peer,
    configuration: Option<Arc<ServerConfig>>,
) -> io::Result<Option<Peer>> {
    if let Some(configuration) = configuration {
        peer = peer.encrypt_as(configuration).await?;
    }
    peer.write(format!("+HI {{\"v\":2,\"s\":\"{SALT}\",\"i\":{ROUNDS}}}\r\n")).await?;
    let hello = peer.read().await?;
    if !String::from_utf8_lossy(&hello).contains(&proof()) {
        peer.write("-ERR Invalid password\r\n").await?;
        return Ok(None);
    }
    peer.write("+OK\r\n").await?;
    let info = "{\"server\":{\"faktory_version\":\"1.9.0\"}}";
    loop {
        let command = peer.read().await?;
        match command.split(|byte| *byte == b' ' || *byte == b'\r').next() {
            Some(b"INFO") => peer.write(format!("${}\r\n{info}\r\n", info.len())).await?,
            Some(b"PUSH") => peer.write("+OK\r\n").await?,
            _ => return Ok(None),
        }
    }
}

fn proof() -> String {
    let first = Sha256::digest(format!("{}{SALT}", canary::PASSWORD));
    let digest = (1..ROUNDS).fold(first, |digest, _| Sha256::digest(digest));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn main() -> ExitCode {
    suite::main([Suite::of::<Jobs>().documented_in(include_str!("../src/lib.rs"))])
}
