//! The download locations of the authorities of managed services. They are the help of the report
//! on a certificate that is not trusted.

use crate::locator::Host;

/// The suffix of a host's name, and the help for that provider.
const PROVIDERS: &[(&str, &str)] = &[
    (
        ".rds.amazonaws.com",
        "Amazon RDS: write the bundle from \
         https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem into the `_CA` \
         variable",
    ),
    (
        ".supabase.co",
        "Supabase: write the certificate from the dashboard (Database, SSL Configuration) into the \
         `_CA` variable",
    ),
    (
        ".supabase.com",
        "Supabase: write the certificate from the dashboard (Database, SSL Configuration) into the \
         `_CA` variable",
    ),
    (
        ".ondigitalocean.com",
        "DigitalOcean: write what `doctl databases get-ca <id>` prints into the `_CA` variable",
    ),
    (
        ".database.azure.com",
        "Azure: write the roots DigiCert Global Root G2 and Microsoft RSA Root Certificate \
         Authority 2017 into the `_CA` variable, and no intermediate",
    ),
    (
        ".compute.amazonaws.com",
        "Heroku: its certificates are self-signed; write the digest of the server's key into the \
         `_PIN` variable, if the service takes one",
    ),
    (
        ".compute-1.amazonaws.com",
        "Heroku: its certificates are self-signed; write the digest of the server's key into the \
         `_PIN` variable, if the service takes one",
    ),
    (
        ".rlwy.net",
        "Railway: its certificates are self-signed; write the certificate into the `_CA` variable, \
         or the digest of its key into `_PIN`",
    ),
    (
        ".scw.cloud",
        "Scaleway: write the instance's certificate from the console into the `_CA` variable; one \
         from before 2023-02-01 has to be renewed there first",
    ),
];

/// The help for an authority that is not trusted, if the host is a known provider's.
pub(super) fn hint(host: &Host) -> Option<&'static str> {
    let Host::Name(name) = host else { return None };
    PROVIDERS.iter().find(|(end, _)| name.ends_with(end)).map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_about_its_own_provider() {
        let of = |name: &str| hint(&Host::Name(name.to_owned()));
        for (end, help) in PROVIDERS {
            assert_eq!(of(&format!("db-1{end}")), Some(*help), "{end}");
            assert_eq!(of(&format!("db-1{end}.example")), None, "{end}");
        }
        assert_eq!(hint(&Host::Address("192.0.2.1".parse().unwrap())), None);
    }
}
