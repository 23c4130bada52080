//! The manual: information that belongs to no single type.
//!
//! - [`defaults`]: every default figure, with its reason.
//! - [`variables`]: the variables that a field reads.
//! - [`threats`]: the assumptions about a service and the network, and the defence against each
//!   attacker.

/// Every default figure, with its reason.
///
/// # Connecting
///
/// - **Attaching a whole struct**: 30 s, about the time that an orchestrator gives a pod to become
///   ready. Change it with `#[services(deadline = 10)]`, in seconds.
/// - **One connection, and one handshake**: 10 s. Three lost SYNs are repeated within 7 s (RFC
///   6298). Change it with `connect_timeout` in the locator, in seconds.
/// - **A pool**: 10 connections. If all are in use, a caller waits 10 s for one (30 s with
///   `Sqlite`, 60 s with `Smtp`), and then gets the driver's error. So a pool that is too small
///   shows as an error, not as an endless queue. Change it with `max_connections` and
///   `connect_timeout` (with `Smtp`, `response_timeout`).
/// - **`health()`**: 5 s, half of the usual interval between two probes.
///
/// # Detaching and replacing
///
/// - **Detaching a whole struct**: 10 s in total, a third of the grace period that Kubernetes gives
///   a pod. Users of a client have 9 s of it. After that, connections are cut, and have 900 ms to
///   close.
/// - **A client that was replaced**: kept for 30 s for its current users, the longest that a
///   statement may take unless a locator sets another limit. Take a guard for each piece of work.
/// - **A replacement client, before it takes over**: 5 s, within the deadline of attaching, to open
///   as many connections as the client that it replaces has. After that it takes over with those
///   that it has. All connections together take little longer than one, so 5 s is several times
///   what they need. Rotating a password does not have to wait for the rest.
///
/// # Following a source
///
/// - **The end of a burst of changes**: 200 ms without a change, or 2 s after the first one. A file
///   that is written in pieces counts as one change; a writer that never pauses does not block
///   following.
/// - **Checks without a notification**: every minute, because some file systems report no changes.
///   A SIGHUP checks at once.
/// - **Events that the program has not fetched**: 64 are kept. Beyond that the oldest are lost, and
///   an event counts them. Each is in the log too.
/// - **A service that is down**: tried again after 1 s, doubled up to a minute, with jitter. A
///   service that refuses the password is not tried again: it does not recover by itself.
/// - **A background task that panics** (renewing, following, taking the posture): it starts again
///   after 1 s, doubled up to a minute, with jitter, and logs each panic. A panic may be a single
///   event, and without the task no password is renewed.
/// - **Taking the posture again**: every hour, or up to a tenth sooner, so that resources attached
///   together are not checked together. Each posture costs a login, and a person has to fix its
///   findings. Change it with `services.posture_interval(…)`.
///
/// # Credentials that expire
///
/// - **Fetching new ones**: after two thirds of their life, or up to a tenth sooner; never within a
///   second. A third is left for attempts that fail: five of the 15 minutes of an RDS token. Change
///   it with another `not_after` of the `Credential`.
/// - **One fetch**: 10 s, and at most half of the time that attaching has left. That is the limit
///   of a connection, and connecting comes after the fetch.
/// - **A fetch that fails**: repeated after 1 s, doubled up to a minute, with jitter. A password
///   that the service refused is not tried again: repeated logins that fail lock accounts.
/// - **Credentials that have expired**: reported at that moment, in the log and as `stale_value` in
///   the posture, until others are adopted. Open connections may continue; new ones cannot log in.
///
/// # Values
///
/// - **A locator**: 8 KiB. Real ones have a tenth of that.
/// - **Any value**: 1 MiB, the limit of a Kubernetes Secret.
/// - **A store that is a source**: 1,000 values, 16 MiB together; 30 s to connect, 10 s for an
///   answer. A hundred resources with ten variables each have 1,000 values.
/// - **A password**: at least 12 characters, because short ones can be guessed. Change it with a
///   waiver of `weak_password`.
/// - **A waiver before its end**: warns for 31 days, the time to fix what it covers.
///
/// # TLS
///
/// - **Versions**: 1.3 and 1.2, with rustls' default suites, all with forward secrecy (RFC 8996,
///   RFC 9325). Sessions are not resumed: each connection verifies the certificate.
/// - **Roots**: Mozilla's, bundled with the build; or the `_CA` alone. No variable of the process
///   and no file of the system adds one. Change it with the `_CA` variable.
/// - **Revocation**: not checked (ASVS 5.0, V12.1.4). An answer has to be fetched from a host that
///   the certificate names, without the address rules; see [`threats`]. Use certificates that are
///   valid for days, or a `_PIN`.
/// - **A certificate before its end**: warns for 14 days, the time that a renewal by hand takes.
/// - **A certificate in `_CA` before its end**: warns for 30 days. All certificates that it issued
///   end with it, on every machine that trusts it.
/// - **A certificate's days, as a bar on a page**: full at 90, the life of Let's Encrypt's
///   certificates.
///
/// The figures of a service are in the docs of its own crate.
pub mod defaults {}

/// The variables that a field reads.
///
/// A resource reads `PREFIX_FIELD_URL`, a secret or a setting `PREFIX_FIELD`. `env = "NAME"`
/// replaces the name. The variables of a nested struct begin with `PREFIX_FIELD_`; its own prefix
/// applies only if it is attached by itself.
///
/// The companions of a resource share its base name, which is the name without `_URL`:
///
/// - `_USER`: the user, if the locator has none.
/// - `_PASSWORD`: the password, if the locator has none.
/// - `_CA`: the private authority's certificates, in PEM. They alone are trusted. Only a
///   certificate with `CA:TRUE`, and with `keyCertSign` if it has a key usage, is an authority. Any
///   other one is trusted if the server presents that very certificate, with valid dates, purpose
///   and name.
/// - `_CLIENT_CERT`, `_CLIENT_KEY`: the client's certificate, followed by its chain, and its key,
///   in PEM. It is a login if the server requests and receives it on that connection. Without a
///   password beside it, a connection on which it is not sent is refused.
/// - `_PIN`: the SHA-256 digest of the server's public key, `sha256//` and base64 as curl writes
///   it; several with a `;` between them. Only these keys are trusted, whatever else the
///   certificate contains. Beside a `_CA`, both have to match.
/// - `_ENDPOINT`: where to connect, as `https://host:port`, for a service whose locator names no
///   host: S3's names a bucket.
/// - `_HOST`, `_PORT`, `_DATABASE`: the locator's parts, for a platform that provides these instead
///   of a `_URL`.
///
/// Each may be a file: `NAME_FILE` holds its absolute path. One line end after the value is
/// removed. `NAME` and `NAME_FILE` together are an error. An empty value counts as absent.
///
/// [`source`](crate::source) documents the other places that values may come from, and
/// [`Sources`](crate::source::Sources) their order.
pub mod variables {}

/// The assumptions about a service and the network, and the defence against each attacker.
///
/// - **On the network, without a certificate.** Before TLS, only the protocol's own request for TLS
///   is sent. A refusal ends the attempt. Data received before TLS is discarded, and injected data
///   ends the attempt.
/// - **With another party's certificate, or one for another host.** Full verification, by one
///   configuration. A private authority is trusted alone.
/// - **The service itself, compromised.** The size of its answers is limited, or documented if a
///   driver cannot be limited. It is asked which account we have, and no answer is a refusal. Its
///   text is escaped and shortened before it is shown, our own secrets are removed from it, and
///   most of it is not shown at all. It cannot redirect us to another host. A deadline covers
///   everything.
/// - **A neighbour with access to the environment, the folders or the logs.** Variables that would
///   steer a driver are refused or overwritten. Files that others can write, replace or own are
///   refused, up to the root. No value is in a report or a log.
///
/// **A stolen key of a server** is trusted until its certificate expires: revocation is not checked
/// (ASVS 5.0, V12.1.4), neither by OCSP nor by a list. Both have to be fetched from a host that the
/// certificate names, and a check that is skipped without an answer does not stop an attacker who
/// controls the network. To limit the damage, use certificates that are valid for days, a private
/// authority for these services alone, or a `_PIN`. Replacing a `_CA` or a `_PIN` takes no restart
/// (`reattach`, `follow`).
///
/// Not covered: code in the same process, or with its user's rights, can read its memory. Our
/// copies of secrets are wiped when they are dropped, but drivers keep copies of their own. A
/// native client that is cloned out of its guard is not tracked.
pub mod threats {}
