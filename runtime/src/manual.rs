//! The manual: what no single type can say.
//!
//! - [`defaults`]: every figure that was chosen for you, and why.
//! - [`variables`]: which variables a field reads.
//! - [`threats`]: what is assumed of a service and of the way to it, and what holds against each attacker.

/// Every figure that was chosen for you, and why.
///
/// | what | figure | why | change it |
/// |---|---|---|---|
/// | attaching a whole struct | 30 s | about what an orchestrator gives a pod to become ready | `#[services(deadline = 10)]`, in seconds |
/// | one connection, and one handshake | 10 s | three lost SYNs are repeated within 7 s (RFC 6298) | `connect_timeout` in the locator, in seconds |
/// | a pool of connections that is full | 10 connections; a caller waits 10 s for one, with `Sqlite` 30 s and with `Smtp` 60 s, and then has the driver's error | a pool that is too small shows as an error, not as a queue without end | `max_connections` in the locator; `connect_timeout`, with `Smtp` `response_timeout` |
/// | detaching a whole struct, with all that it does | 10 s. Those who use a client have 9 s of it; what was cut then has 900 ms to close | a third of the grace that Kubernetes gives a pod | |
/// | a client that was replaced, for those who still use it | 30 s | the longest that a statement may take, unless a locator says otherwise | take a guard for each piece of work |
/// | a client that replaces another one, to open as many connections as that one has | 5 s, and what the deadline of attaching leaves; then it takes its place as it is | several times what all of them take together, which is not much more than one takes; whoever rotates a password has not to wait for the rest | |
/// | following a source: a burst | over after 200 ms of quiet, or after 2 s | whoever writes a file in pieces stays below the first; a writer who never rests does not stop it | |
/// | following a source: looking anyhow | every minute | some file systems do not tell of changes | a SIGHUP |
/// | following a source: events that are not fetched | 64 are kept; of more than that the oldest are lost, and an event counts them | each is in the log, too | |
/// | a task that renews, follows or takes the posture again, and panics | it begins again after 1 s, doubled up to a minute, with jitter, and reports that each time | what panics once may not panic again, and without the task no password is renewed | |
/// | following a source: a service that is away | tried again after 1 s, doubled up to a minute, with jitter | it comes back by itself; one that refuses the password does not, and is not asked again | |
/// | taking the posture again | every hour, or up to a tenth sooner | it costs a login each time, and what it finds has to be mended by a person; what was attached at once does not come back at once | `services.posture_interval(…)` |
/// | credentials that expire: fetching them | after two thirds of their life, or up to a tenth sooner; never within a second | a third is left for attempts that fail: five of the 15 minutes that a token of RDS is good; what was attached at once does not come back at once | give `Credential` another `not_after` |
/// | credentials that expire: one fetch | 10 s, and at most half of the time that attaching has left | what a connection may take, which comes after it | |
/// | credentials that expire: what gives them is away | asked again after 1 s, doubled up to a minute, with jitter; a password that the service refused is not tried again | it comes back by itself; a refused login that is repeated locks accounts | |
/// | credentials that expire: their end | reported in the moment that it comes, in the log and as `stale_value` in the posture, until others are taken on | what is open may go on, and nothing new can log in | |
/// | `health()` | 5 s | half of the usual interval between two probes | |
/// | a locator | 8 KiB | real ones have a tenth | |
/// | any value | 1 MiB | what a Kubernetes Secret can hold | |
/// | a store that is a source | 1,000 values, 16 MiB together; 30 s to connect, 10 s for an answer | what a hundred resources with ten variables each have | |
/// | a password | 12 characters at least | what can be guessed will be | a waiver of `weak_password` |
/// | a certificate's last days | 14 | the time that a renewal takes that did not happen by itself | |
/// | the last days of a certificate in `_CA` | 30 | everything that it issued ends with it, on every machine that trusts it | |
/// | a certificate's days, as a bar on a page | full at 90 | what Let's Encrypt gives | |
/// | a waiver's last days | 31 | the time to mend what it covers | |
/// | TLS | 1.3 and 1.2, rustls' default suites, all with forward secrecy; no resumption | RFC 8996, RFC 9325; each connection sees the certificate | |
/// | roots | Mozilla's, bundled with the build; or the `_CA` and nobody else | no variable and no file of the system adds one | the `_CA` variable |
/// | revocation | not checked (ASVS 5.0, V12.1.4) | an answer has to be fetched from a host that the certificate names, past the address rules; see [`threats`] | certificates that live for days; a `_PIN` |
///
/// The figures of a service are in its own module: [`services`](crate::services).
pub mod defaults {}

/// Which variables a field reads.
///
/// A resource reads `PREFIX_FIELD_URL`, a secret or a setting `PREFIX_FIELD`; `env = "NAME"` replaces the name. A nested struct's variables begin with
/// `PREFIX_FIELD_`, and its own prefix is for when it stands alone.
///
/// The companions of a resource share its base name, which is the name without `_URL`:
///
/// | ending | what |
/// |---|---|
/// | `_USER` | who logs in, where the locator does not say it |
/// | `_PASSWORD` | with which password, where the locator does not say it |
/// | `_CA` | the private authority's certificates, in PEM: they, and nobody else, are trusted. Only a certificate with `CA:TRUE`, and with `keyCertSign` if it has a key usage, vouches for others. Any other one is trusted if the server presents that very certificate, with good dates, purpose and name; PostgreSQL and MySQL on sqlx refuse it |
/// | `_CLIENT_CERT`, `_CLIENT_KEY` | the client's certificate (its chain behind it) and its key, in PEM. It is a login if the server asks for it on that very connection, and gets it; without a password beside it, a connection on which that does not happen is refused |
/// | `_PIN` | the SHA-256 digest of the server's public key, `sha256//` and base64 as curl writes it, several with a `;`: that key and no other is trusted, whatever its certificate says; beside a `_CA`, both have to hold |
/// | `_ENDPOINT` | where to dial, as `https://host:port`, for a service whose locator names no host: S3's names a bucket |
/// | `_HOST`, `_PORT`, `_DATABASE` | the locator's parts, where a platform gives those instead of a `_URL` |
///
/// Each may come as a file: `NAME_FILE` holds its absolute path. One line end behind the value is dropped. `NAME` and `NAME_FILE` together are an error. An
/// empty value is as good as none.
///
/// [`source`](crate::source) holds the other places that they may come from, and [`Sources`](crate::Sources) the order.
pub mod variables {}

/// What is assumed of a service and of the way to it, and what holds against each attacker.
///
/// | attacker | what holds |
/// |---|---|
/// | on the path, without a certificate | nothing but the protocol's own request for TLS is sent before TLS; a refusal ends the attempt; what was said before TLS is forgotten, and what was slipped in ends the attempt |
/// | with a certificate of somebody else, or for another host | full verification, by one configuration; a private authority is trusted alone |
/// | the service itself, turned hostile | what it may send is bounded, or documented where a driver cannot be bounded; it is asked who we are, and its silence is a refusal; what it says is escaped and cut before it is shown, loses our own secrets, and is mostly not shown at all; it cannot lead us to another host; a deadline covers it all |
/// | a neighbour with the environment, the folders or the logs | variables that would steer a driver are refused or overwritten; files that others can write, replace or own are refused, up to the root; no value is in a report or a log |
///
/// **A stolen key of a server** is trusted until its certificate ends: revocation is not checked (ASVS 5.0, V12.1.4), neither by OCSP nor by a list. Both
/// have to be fetched from a host that the certificate names, and a check that gives up if it gets no answer stops nobody who controls the network. Limit the damage with
/// certificates that live for days, with a private authority for these services alone, or with a `_PIN`: replacing a `_CA` or a `_PIN` takes no restart
/// (`reattach`, `follow`).
///
/// What does not hold: a program in the same process, or with its user's rights, reads its memory; secrets are wiped from ours when they are dropped, but drivers
/// keep copies of their own. And a native client that you clone out of its guard is out of our sight.
pub mod threats {}
