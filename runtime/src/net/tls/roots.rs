//! The trust anchors of a chain: the public authorities, or the certificates of a `_CA` variable.
//!
//! A certificate in `_CA` is one of two things (RFC 5280, 4.2.1.9 and 4.2.1.3). An **authority**
//! has `CA:TRUE`, and `keyCertSign` if it has a key usage at all: the certificates that it issued
//! are trusted. Any other certificate **stands for itself alone**: a server that presents the same
//! bytes is trusted, if its dates, its purpose and its name are valid. Certificates that it signed
//! are not trusted. webpki treats every anchor as an authority, and does not check its dates, so
//! both checks are done here.

use std::fmt;
use std::sync::Arc;

use rustls::CertificateError;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier as _};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{Error, RootCertStore};

use super::certificate;
use super::{ANCHOR_NOTICE_DAYS, Part, Unusable, provider};
use crate::net::tls::certificate::Standing;
use crate::net::tls::verifier::Distrust;
use backing_services_rules::rule::MALFORMED_VALUE;

const CA_HELP: &str = "write the authority's own certificate in PEM: what begins with `-----BEGIN \
                       CERTIFICATE-----`, with its line breaks; or set the variable with `_FILE` \
                       at its end to the path of the file";

/// The trust anchors of one configuration.
pub(super) struct Roots {
    /// rustls' own verifier, with all the authorities; `None` if there is none.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates of `_CA`; empty for the public roots, whose dates are not known.
    given: Vec<Given>,
}

/// A certificate of a `_CA` variable.
struct Given {
    der: CertificateDer<'static>,
    standing: Standing,
}

/// A problem with the dates of a certificate in `_CA`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dates {
    NotYetValid,
    Expired,
    /// It expires in this number of whole days, fewer than [`ANCHOR_NOTICE_DAYS`].
    Ending(u64),
}

impl Roots {
    /// Mozilla's, bundled with this build.
    pub(super) fn public() -> Result<Self, Unusable> {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        Ok(Self { chain: Some(verifier(roots)?), given: Vec::new() })
    }

    /// The certificates of a `_CA` variable, and no others.
    pub(super) fn private(pem: &str) -> Result<Self, Unusable> {
        let unusable =
            |message| Unusable { what: Part::Ca, rule: &MALFORMED_VALUE, message, help: CA_HELP };
        let certificates = crate::net::tls::certificates(pem)
            .ok_or_else(|| unusable("holds no certificate in PEM, or one that is damaged"))?;
        let mut given = Vec::new();
        for der in certificates {
            let standing = certificate::standing(&der)
                .ok_or_else(|| unusable("holds something in PEM that is no X.509 certificate"))?;
            if standing.is_authority && !standing.may_sign {
                return Err(unusable(
                    "holds an authority that may sign no certificates: its key usage lacks \
                     `keyCertSign`",
                ));
            }
            given.push(Given { der, standing });
        }
        let chain = chain(given.iter())?;
        Ok(Self { chain, given })
    }

    /// Returns true if one of the certificates stands for itself alone.
    #[cfg(test)]
    pub(super) fn has_any_that_stands_alone(&self) -> bool {
        self.given.iter().any(|given| !given.standing.is_authority)
    }

    /// The certificates that are not valid, or expire soon: the index, and the problem.
    pub(super) fn dates(&self, now: u64) -> impl Iterator<Item = (usize, Dates)> {
        self.given
            .iter()
            .enumerate()
            .filter_map(move |(at, given)| Some((at, given.standing.dates(now)?)))
    }

    /// The number of certificates in `_CA`.
    pub(super) fn count(&self) -> usize {
        self.given.len()
    }

    /// Verifies a server by its chain, its dates and its name; or, for a certificate that stands
    /// alone, by equality, dates, purpose and name.
    pub(super) fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_same = |given: &&Given| !given.standing.is_authority && given.der == *end_entity;
        if let Some(same) = self.given.iter().find(is_same) {
            return same.standing.verify_alone(end_entity, name, now);
        }
        let verified = match self.chain_at(now.as_secs())? {
            Some(chain) => chain.verify_server_cert(end_entity, intermediates, name, ocsp, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        verified.map_err(|error| match error {
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                let issuer = certificate::issuer(intermediates.last().unwrap_or(end_entity));
                let is_issuer =
                    |given: &&Given| issuer.is_some() && given.standing.subject == issuer;
                match self.given.iter().find(is_issuer) {
                    Some(given) if !given.standing.is_authority => Distrust::NoAuthority.into(),
                    Some(given) if now.as_secs() > given.standing.not_after => {
                        CertificateError::Expired.into()
                    }
                    Some(given) if now.as_secs() < given.standing.not_before => {
                        CertificateError::NotValidYet.into()
                    }
                    _ => Distrust::of(end_entity, intermediates).map_or(error, Into::into),
                }
            }
            error => error,
        })
    }

    /// The verifier with the authorities that are valid now. One of them may expire while the
    /// process runs.
    fn chain_at(&self, now: u64) -> Result<Option<Arc<WebPkiServerVerifier>>, Error> {
        if self.given.iter().all(|given| given.standing.is_valid(now)) {
            return Ok(self.chain.clone());
        }
        let valid = self.given.iter().filter(|given| given.standing.is_valid(now));
        chain(valid).map_err(|_| CertificateError::UnknownIssuer.into())
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").field("given", &self.given.len()).finish_non_exhaustive()
    }
}

/// rustls' own verifier with the authorities among these; `None` if there is none.
fn chain<'a>(
    given: impl Iterator<Item = &'a Given>,
) -> Result<Option<Arc<WebPkiServerVerifier>>, Unusable> {
    let mut roots = RootCertStore::empty();
    for authority in given.filter(|given| given.standing.is_authority) {
        roots.add(authority.der.clone()).map_err(|_| no_authority())?;
    }
    if roots.is_empty() { Ok(None) } else { verifier(roots).map(Some) }
}

fn verifier(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, Unusable> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|_| no_authority())
}

const fn no_authority() -> Unusable {
    Unusable {
        what: Part::Ca,
        rule: &MALFORMED_VALUE,
        message: "holds no certificate that could vouch for another",
        help: CA_HELP,
    }
}

impl Standing {
    const fn is_valid(&self, now: u64) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    const fn dates(&self, now: u64) -> Option<Dates> {
        if now < self.not_before {
            return Some(Dates::NotYetValid);
        }
        if now > self.not_after {
            return Some(Dates::Expired);
        }
        let days = (self.not_after - now) / 86_400;
        if days < ANCHOR_NOTICE_DAYS { Some(Dates::Ending(days)) } else { None }
    }

    /// Verifies a server that presents this certificate itself. Its signature is not checked: the
    /// operator who set `_CA` trusts it directly.
    fn verify_alone(
        &self,
        end_entity: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let now = now.as_secs();
        if now < self.not_before {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > self.not_after {
            return Err(CertificateError::Expired.into());
        }
        if !self.is_for_servers {
            return Err(CertificateError::InvalidPurpose.into());
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
        Ok(ServerCertVerified::assertion())
    }
}

impl Dates {
    /// The message, without the variable's name in front.
    pub(super) fn message(self, which: &str) -> String {
        match self {
            Self::NotYetValid => format!("holds a certificate that is not valid yet{which}"),
            Self::Expired => format!("holds a certificate that has expired{which}"),
            Self::Ending(days) => format!("holds a certificate that expires in {days} days{which}"),
        }
    }

    pub(super) const fn help(self) -> &'static str {
        match self {
            Self::NotYetValid => "check the clock of this machine and of the authority's",
            Self::Expired => {
                "write the authority's new certificate in its place; if it has none, the servers \
                 need certificates of another authority"
            }
            Self::Ending(_) => {
                "write the authority's next certificate beside it; servers may present what either \
                 of them issued"
            }
        }
    }

    pub(super) const fn is_a_warning(self) -> bool {
        matches!(self, Self::Ending(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn ending_at(not_after: u64) -> Standing {
        Standing {
            is_authority: true,
            may_sign: true,
            is_for_servers: true,
            not_before: 1000,
            not_after,
            subject: None,
        }
    }

    #[test]
    fn an_authority_warns_within_30_days_of_its_end_and_is_refused_after_it() {
        let now = 10_000 * DAY;
        assert_eq!(ending_at(now + 30 * DAY).dates(now), None);
        assert_eq!(ending_at(now + 30 * DAY - 1).dates(now), Some(Dates::Ending(29)));
        assert_eq!(
            ending_at(now).dates(now),
            Some(Dates::Ending(0)),
            "the last second is one of it"
        );
        assert_eq!(ending_at(now - 1).dates(now), Some(Dates::Expired));
        assert_eq!(ending_at(now).dates(999), Some(Dates::NotYetValid));
        assert!(!Dates::Expired.is_a_warning() && !Dates::NotYetValid.is_a_warning());
        assert!(Dates::Ending(29).is_a_warning());
    }

    fn private(pem: &str) -> Roots {
        Roots::private(pem).unwrap_or_else(|unusable| panic!("{}", unusable.message))
    }

    /// The files are made with openssl, for tests alone.
    #[test]
    fn a_server_is_verified_for_its_name_and_its_dates() {
        const FIRST: u64 = 1_796_023_809;
        const LAST: u64 = 4_949_623_809;
        let (authority, server) =
            (include_str!("fuzz/authority.pem"), include_str!("fuzz/server.pem"));
        let der = crate::net::tls::certificates(server).unwrap().swap_remove(0);
        let verify = |pem: &str, name: &str, seconds: u64| {
            let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
            let name = ServerName::try_from(name.to_owned()).unwrap();
            let verified = private(pem).verify(&der, &[], &name, &[], now);
            verified.map(drop).map_err(|error| match error {
                Error::InvalidCertificate(error) => error,
                error => panic!("{error}"),
            })
        };
        // By its authority, and alone.
        for pem in [authority, server] {
            assert_eq!(verify(pem, "db.example", FIRST), Ok(()));
            assert_eq!(verify(pem, "db.example", LAST), Ok(()));
            assert_eq!(
                verify(pem, "db.example", FIRST - 1),
                Err(CertificateError::NotValidYet),
                "{pem}"
            );
            assert_eq!(
                verify(pem, "db.example", LAST + 1),
                Err(CertificateError::Expired),
                "{pem}"
            );
            assert!(verify(pem, "other.example", FIRST).is_err());
        }
        let rsa = include_str!("fuzz/rsa.pem");
        assert!(matches!(verify(rsa, "db.example", FIRST), Err(CertificateError::Other(_))));
        let roots = private(&[authority, server].concat());
        assert_eq!((roots.count(), roots.has_any_that_stands_alone()), (2, true));
        assert_eq!(roots.dates(LAST + 1).map(|(at, _)| at).collect::<Vec<_>>(), [0, 1]);
        assert!(!private(authority).has_any_that_stands_alone());
    }

    #[test]
    fn each_problem_of_dates_has_its_help() {
        for (dates, message, help) in [
            (Dates::NotYetValid, "is not valid yet: x", "check the clock"),
            (Dates::Expired, "has expired: x", "write the authority's new certificate in its"),
            (Dates::Ending(3), "expires in 3 days: x", "write the authority's next certificate"),
        ] {
            assert!(dates.message(": x").ends_with(message), "{message}");
            assert!(dates.help().starts_with(help), "{help}");
        }
    }
}
