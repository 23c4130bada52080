//! The requirements of the standards that the rules refer to, in our own words, so that a reader
//! can check whether a number fits.

/// A requirement of OWASP ASVS 5.0.
pub(crate) struct Requirement {
    pub(crate) number: &'static str,
    /// Its text.
    pub(crate) asks: &'static str,
}

const fn asks(number: &'static str, asks: &'static str) -> Requirement {
    Requirement { number, asks }
}

/// Every requirement that a rule or the page of rules names. The full text is at
/// <https://github.com/OWASP/ASVS/tree/v5.0.0>.
pub(crate) const REQUIREMENTS: &[Requirement] = &[
    asks(
        "V1.3.6",
        "what becomes the address of a call is checked against a list of allowed protocols, hosts, \
         paths and ports",
    ),
    asks(
        "V1.5.3",
        "all parsers of one kind of data read it in the same way, so that no difference between \
         them can be used",
    ),
    asks(
        "V2.2.1",
        "input is checked against what is expected of it: allowed values, patterns, ranges or a \
         structure",
    ),
    asks("V6.2.1", "a user's password has 8 characters or more, and better 15"),
    asks("V6.2.4", "a user's password is none of the most common ones"),
    asks("V11.4.3", "the hashes of signatures resist collisions, with 256 bits or more"),
    asks("V11.6.1", "keys are made, and signatures made and checked, by approved algorithms only"),
    asks("V12.1.1", "only current versions of TLS are enabled, and the newest is preferred"),
    asks("V12.1.2", "only recommended cipher suites are enabled, and the strongest is preferred"),
    asks("V12.1.4", "whether a certificate was revoked is checked"),
    asks(
        "V12.3.1",
        "every connection to another system is encrypted, and none falls back to plaintext",
    ),
    asks("V12.3.2", "a TLS client validates the server's certificate before it speaks to it"),
    asks(
        "V12.3.3",
        "HTTP between internal services is encrypted, and does not fall back to plaintext",
    ),
    asks(
        "V12.3.4",
        "internal services have certificates of a trusted authority, and only that authority is \
         trusted",
    ),
    asks("V12.3.5", "services prove to each other who they are, by means that cannot be replayed"),
    asks("V13.1.1", "what the application communicates with is documented"),
    asks(
        "V13.1.2",
        "the most connections to each service, and what happens at that limit, are documented",
    ),
    asks(
        "V13.1.3",
        "timeouts, retries and the release of resources are documented for each service",
    ),
    asks(
        "V13.2.1",
        "components authenticate to each other, each by an account or a certificate of its own",
    ),
    asks("V13.2.2", "components use accounts with the least privileges that they need"),
    asks("V13.2.3", "a credential for a service is not the default one"),
    asks("V13.2.4", "a list says which external systems the application may communicate with"),
    asks("V13.2.5", "a list says where the server may send requests to and load data from"),
    asks(
        "V13.2.6",
        "each connection follows its documented configuration: limits, timeouts and retries",
    ),
    asks(
        "V13.3.1",
        "secrets are kept in a solution for them, and are neither in the source nor in what is \
         built from it",
    ),
    asks("V13.3.2", "only who needs a secret can get at it"),
    asks("V13.3.4", "secrets expire, and are rotated as documented"),
    asks("V14.2.1", "no sensitive data is in a URL or its query"),
    asks(
        "V15.2.1",
        "no component is in use past the time in which its security fixes have to be applied",
    ),
    asks("V15.3.2", "calls to other systems follow no redirects, unless that is intended"),
    asks(
        "V16.2.5",
        "what is logged of sensitive data depends on its protection: credentials are not logged",
    ),
    asks("V16.4.1", "what is logged is encoded, so that nothing can be forged in a log"),
    asks(
        "V16.5.3",
        "the application fails securely, and does not go on in spite of an error in a check",
    ),
];

/// The requirements that no rule covers, each with the statement of whether it is met.
pub(crate) const BEYOND_THE_RULES: &[(&str, &str)] = &[
    (
        "V12.1.4",
        "**Not met.** Revocation is not checked. A `_PIN`, an authority of one's own in `_CA`, and \
         short-lived certificates limit what a stolen key is good for.",
    ),
    (
        "V13.1.1",
        "Met. The manifest names every service, variable, host and privilege, and the command line \
         writes it.",
    ),
    (
        "V13.1.2",
        "Met for pools: `max_connections` and its default are in the service's docs, and what a \
         full pool does is in `manual::defaults`. `Redis`, `Amqp` and `Nats` keep one connection. \
         **Not met** for `Https` and `S3`, which open one for each request that runs: the \
         application bounds those.",
    ),
    (
        "V13.1.3",
        "Met. Every timeout, retry and delay is in `manual::defaults` and in each service's docs, \
         with its reason.",
    ),
    (
        "V13.2.6",
        "Met. The documented limits and timeouts are set on each connection, not on the first \
         alone, and no variable of the process changes them (`ambient_override`).",
    ),
    (
        "V15.3.2",
        "Met. Neither redirects nor the addresses that a cluster or a broker advertises are \
         followed.",
    ),
    ("V16.4.1", "Met. What a server says is made printable before it is logged or reported."),
];

/// Every weakness that a rule names, with its name at <https://cwe.mitre.org>.
pub(crate) const WEAKNESSES: &[(u16, &str)] = &[
    (15, "External Control of System or Configuration Setting"),
    (232, "Improper Handling of Undefined Values"),
    (236, "Improper Handling of Undefined Parameters"),
    (250, "Execution with Unnecessary Privileges"),
    (280, "Improper Handling of Insufficient Permissions or Privileges"),
    (295, "Improper Certificate Validation"),
    (298, "Improper Validation of Certificate Expiration"),
    (306, "Missing Authentication for Critical Function"),
    (319, "Cleartext Transmission of Sensitive Information"),
    (324, "Use of a Key Past its Expiration Date"),
    (326, "Inadequate Encryption Strength"),
    (327, "Use of a Broken or Risky Cryptographic Algorithm"),
    (436, "Interpretation Conflict"),
    (455, "Non-exit on Failed Initialization"),
    (532, "Insertion of Sensitive Information into Log File"),
    (598, "Use of GET Request Method With Sensitive Query Strings"),
    (694, "Use of Multiple Resources with Duplicate Identifier"),
    (732, "Incorrect Permission Assignment for Critical Resource"),
    (757, "Selection of Less-Secure Algorithm During Negotiation"),
    (798, "Use of Hard-coded Credentials"),
    (918, "Server-Side Request Forgery"),
    (1059, "Insufficient Technical Documentation"),
    (1104, "Use of Unmaintained Third Party Components"),
    (1188, "Initialization of a Resource with an Insecure Default"),
    (1286, "Improper Validation of Syntactic Correctness of Input"),
    (1287, "Improper Validation of Specified Type of Input"),
    (1390, "Weak Authentication"),
    (1391, "Use of Weak Credentials"),
    (1392, "Use of Default Credentials"),
];

/// The text of a requirement.
pub(crate) fn requirement(number: &str) -> &'static str {
    REQUIREMENTS
        .iter()
        .find(|known| known.number == number)
        .unwrap_or_else(|| panic!("{number}: say in `REQUIREMENTS` what it asks"))
        .asks
}

/// The name of a weakness.
pub(crate) fn weakness(number: u16) -> &'static str {
    WEAKNESSES
        .iter()
        .find(|known| known.0 == number)
        .unwrap_or_else(|| panic!("CWE-{number}: say in `WEAKNESSES` what it is called"))
        .1
}
