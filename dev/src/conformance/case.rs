//! The cases of the suite.

/// A case. Every service over a network passes it, or declares why it does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Case {
    /// A good server: it attaches, the posture is true, a call works, and detaching is clean.
    Attach,
    /// The same certificate by another authority of the same name, and no `_CA` at all.
    WrongAuthority,
    /// A certificate whose validity has ended.
    Expired,
    /// A certificate whose validity has not begun.
    NotYetValid,
    /// A certificate for another host.
    WrongName,
    /// A certificate that is signed by its own key.
    SelfSigned,
    /// A certificate for clients (extended key usage).
    NotForServers,
    /// A certificate with an RSA key of 1024 bits.
    WeakKey,
    /// A server that speaks TLS 1.1 and no later version.
    Tls11Only,
    /// A server without TLS.
    PlaintextOnly,
    /// A certificate with three days left: a warning.
    AboutToExpire,
    /// After a break, connections lead to a server with another authority's certificate.
    EveryConnection,
    /// A server that accepts connections and sends nothing, and one that falls silent at any byte.
    Silent,
    /// A server whose bytes arrive one by one.
    Drip,
    /// A server that sends without end, before TLS and within it.
    Flood,
    /// A port on which nothing listens.
    NothingListens,
    /// A password that the account does not have.
    WrongPassword,
    /// An account with every privilege: refused, and admitted by a waiver.
    Administrator,
    /// `_PIN` with the key of the server's certificate, and with another one.
    Pin,
    /// The server requires a client certificate: the right one, none, and one of another authority.
    ClientCertificate,
    /// A client certificate is the only proof, and the server does not ask for it.
    ClientCertificateNotAskedFor,
    /// Values from files, and a locator in parts.
    FilesAndParts,
    /// The attempt is dropped at any moment, and leaves no connection.
    DroppedAttempt,
    /// Reattached to a good server under load: no call fails.
    ReattachGood,
    /// Reattached to a server with a bad certificate: refused, and the former client serves on.
    ReattachBad,
    /// Reattached to a silent server: an error in time, and the former client serves on.
    ReattachSilent,
    /// The network breaks, and comes back.
    Health,
    /// Detaching waits for a call in flight.
    DetachInFlight,
    /// Detaching ends a connection that is being opened, and no clone of the client opens another.
    DetachOpening,
    /// The secret is in no report and in no log at level TRACE, whatever happens.
    Canary,
}

impl Case {
    /// Every case, in the order of the table.
    pub const ALL: &'static [Self] = &[
        Self::Attach,
        Self::WrongAuthority,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongName,
        Self::SelfSigned,
        Self::NotForServers,
        Self::WeakKey,
        Self::Tls11Only,
        Self::PlaintextOnly,
        Self::AboutToExpire,
        Self::EveryConnection,
        Self::Silent,
        Self::Drip,
        Self::Flood,
        Self::NothingListens,
        Self::WrongPassword,
        Self::Administrator,
        Self::Pin,
        Self::ClientCertificate,
        Self::ClientCertificateNotAskedFor,
        Self::FilesAndParts,
        Self::DroppedAttempt,
        Self::ReattachGood,
        Self::ReattachBad,
        Self::ReattachSilent,
        Self::Health,
        Self::DetachInFlight,
        Self::DetachOpening,
        Self::Canary,
    ];

    /// Its name in the table and in the names of the tests: `reattach_good`.
    #[must_use]
    pub fn name(self) -> String {
        crate::conformance::table::snake_case(&format!("{self:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_tests() {
        assert_eq!(Case::Tls11Only.name(), "tls11_only");
        assert_eq!(Case::ClientCertificateNotAskedFor.name(), "client_certificate_not_asked_for");
    }
}
