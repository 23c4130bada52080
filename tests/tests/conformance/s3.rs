//! S3.

use std::time::Duration;

use backing_services::Service;
use backing_services_dev::DevError;
use backing_services_dev::conformance::{Case, Exception, Setup, Subject, Variables};
use backing_services_tests::hostile::Hostile;
use backing_services_tests::pki::Authority;
use backing_services_tests::s3::{BUCKET, S3 as Bucket, USER};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use crate::https::plain_http;

pub(crate) struct S3;

pub(crate) enum Server {
    Plain(Hostile),
    Tls(Bucket),
}

impl Subject for S3 {
    type Service = backing_services::S3;
    type Server = Server;

    const EXCEPTIONS: &'static [Exception] = &[
        Exception::new(
            Case::Administrator,
            "S3 reports the privileges of an account only for actual requests",
        ),
        Exception::new(
            Case::ClientCertificateNotAskedFor,
            "S3 has no login but by a key, so a client certificate never replaces it",
        ),
    ];
    // The handshake for the posture, and the probe.
    const DIALS: usize = 2;
    // A request that has begun is waited for, with its three repetitions.
    const CLOSES_WITHIN: Duration = Duration::from_secs(8);
    const LIMITS: &'static str = "connect_timeout=1";

    fn start(setup: Setup) -> Result<Server, DevError> {
        let Some(leaf) = setup.leaf else { return Ok(Server::Plain(plain_http())) };
        let authority = Authority::new("an unused authority");
        let client_ca = setup.client_ca.as_deref();
        Ok(Server::Tls(Bucket::configured(authority, &leaf, client_ca)))
    }

    fn port(server: &Server) -> u16 {
        match server {
            Server::Plain(server) => server.port,
            Server::Tls(server) => server.server.port,
        }
    }

    fn account(server: &Server) -> Variables {
        Variables::new(format!("s3://{BUCKET}/invoices"))
            .with("ENDPOINT", format!("https://localhost:{}", Self::port(server)))
            .with("USER", USER)
    }

    fn administrator(_: &Server) -> Option<Variables> {
        None
    }

    async fn work(client: &<Self::Service as Service>::Client) -> Result<(), String> {
        let put = client.put(&Path::from("7.pdf"), vec![0x25].into()).await;
        put.map(drop).map_err(|error| error.to_string())
    }
}
