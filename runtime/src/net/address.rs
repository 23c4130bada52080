//! Addresses that a backing service cannot have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use backing_services_rules::rule::{FORBIDDEN_ADDRESS, UNLISTED_HOST};

use crate::locator::Host;
use crate::report::finding::Finding;

/// Names of the metadata services of clouds: Google's, Amazon's, Tencent's, IBM's and Equinix's.
/// Other names are resolved, and their addresses are checked against the lists below.
const METADATA_NAMES: &[&str] = &[
    "metadata", "metadata.google.internal", "metadata.goog", "instance-data",
    "instance-data.ec2.internal", "metadata.tencentyun.com", "api.metadata.cloud.ibm.com",
    "metadata.packet.net", "metadata.platformequinix.com",
];

/// Addresses of metadata services outside of the link-local block: Alibaba's, Azure's and Oracle's.
const METADATA_V4: &[Ipv4Addr] = &[
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// The block that Amazon reserves for services inside a machine: metadata (`fd00:ec2::254`), the
/// credentials of a pod (`::23`), name server (`::253`) and clock (`::123`).
const AMAZON_V6: [u16; 2] = [0xfd00, 0xec2];

/// The other metadata services with IPv6 addresses.
const METADATA_V6: &[Ipv6Addr] = &[
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), // Google
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), // Oracle
    Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200), // Alibaba
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),  // Scaleway
    Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1), // Akamai (Linode)
];

/// Checks a locator's host against the address rules and the field's list of hosts.
pub(crate) fn check_host(host: &Host, listed: &[&str]) -> Vec<Finding> {
    let forbidden = match host {
        Host::Address(address) => forbidden(*address),
        Host::Name(name) => {
            METADATA_NAMES.contains(&name.as_str()).then_some("the metadata service of a cloud")
        }
    };
    let forbidden =
        forbidden.map(|what| Finding::new(&FORBIDDEN_ADDRESS, format!("its host is {what}")));
    let is_unlisted = !listed.is_empty() && !listed.iter().any(|pattern| is_listed(host, pattern));
    let unlisted = is_unlisted
        .then(|| Finding::new(&UNLISTED_HOST, "its host is none of those that the field lists"));
    forbidden.into_iter().chain(unlisted).collect()
}

/// Checks the addresses of a resolved name against the address rules.
pub(crate) fn check_resolved(addresses: impl IntoIterator<Item = IpAddr>) -> Option<Finding> {
    addresses
        .into_iter()
        .find_map(forbidden)
        .map(|what| Finding::new(&FORBIDDEN_ADDRESS, format!("its host's name leads to {what}")))
}

/// The kind of a forbidden address; `None` for an allowed one. An IPv6 address that embeds IPv4
/// addresses counts as each of them.
pub(crate) fn forbidden(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => forbidden_v4(address),
        IpAddr::V6(address) => forbidden_v6(address)
            .or_else(|| carried(address).into_iter().flatten().find_map(forbidden_v4))
            .or_else(|| translated(address)),
    }
}

/// The kind of a metadata service's address. Such a service answers with credentials.
fn metadata_v4(address: Ipv4Addr) -> Option<&'static str> {
    if METADATA_V4.contains(&address) {
        Some("the metadata service of a cloud")
    } else if address.is_link_local() {
        // This includes 169.254.169.254.
        Some("a link-local address, such as a cloud's metadata service has")
    } else {
        None
    }
}

fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    metadata_v4(address).or_else(|| match address.octets()[0] {
        // All of 0.0.0.0/8 means "this host on this network" (RFC 1122, 3.2.1.3), and Linux
        // connects it to the machine itself.
        0 => Some("an unspecified address"),
        224..=239 => Some("a multicast address"),
        _ if address.is_broadcast() => Some("the broadcast address"),
        // Class E (RFC 1112, 4). Some networks route it, and no other rule covers it.
        240..=255 => Some("a reserved address"),
        _ => None,
    })
}

fn forbidden_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    if METADATA_V6.contains(&address) || segments[..2] == AMAZON_V6 {
        Some("the metadata service of a cloud")
    } else if address.is_unicast_link_local() {
        Some("a link-local address")
    } else if segments[0] & 0xffc0 == 0xfec0 {
        // RFC 3879 deprecated these: their destination depends on the site.
        Some("a site-local address")
    } else if address.is_unspecified() {
        Some("an unspecified address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else {
        None
    }
}

/// The IPv4 addresses that an IPv6 address embeds, at the places where a gateway reads them:
/// mapped, compatible (RFC 4291, 2.5.5) and translated (RFC 2765, and RFC 6052 with its well-known
/// prefix), 6to4 (RFC 3056), Teredo's server and client (RFC 4380), and ISATAP (RFC 5214).
fn carried(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let [a, b, c, d, e, f, y, z] = address.segments();
    match (a, b, c) {
        (0, 0, 0) if !address.is_loopback() => [Some(ipv4(y, z)), None],
        (0x64, 0xff9b, 0) => [Some(ipv4(y, z)), None],
        (0x2002, high, low) => [Some(ipv4(high, low)), None],
        (0x2001, 0, _) => [Some(ipv4(c, d)), Some(ipv4(!y, !z))],
        _ if matches!((e, f), (0 | 0x200, 0x5efe)) => [Some(ipv4(y, z)), None],
        _ => [None, None],
    }
}

fn ipv4(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

/// The kind of a forbidden IPv4 address in the block for translation inside a network,
/// `64:ff9b:1::/48` (RFC 8215). Each network chooses the length of its prefix. That length, which
/// is unknown here, decides where the IPv4 address is (RFC 6052, 2.2). A metadata service is
/// forbidden at any of these places. Any other kind is forbidden only if every reading that RFC
/// 6052 allows, with zeros behind the address, finds a forbidden address.
fn translated(address: Ipv6Addr) -> Option<&'static str> {
    let bytes = address.octets();
    if bytes[..6] != [0, 0x64, 0xff, 0x9b, 0, 1] {
        return None;
    }
    // The ninth byte is 0 in the three short forms, and the address continues after it.
    let readings =
        [([6, 7, 9, 10], 11), ([7, 9, 10, 11], 12), ([9, 10, 11, 12], 13), ([12, 13, 14, 15], 16)]
            .map(|(places, end)| {
                let is_allowed =
                    bytes[end..].iter().all(|byte| *byte == 0) && (end == 16 || bytes[8] == 0);
                (Ipv4Addr::from(places.map(|place| bytes[place])), is_allowed)
            });
    let allowed = || {
        readings
            .iter()
            .filter(|(_, is_allowed)| *is_allowed)
            .map(|(address, _)| forbidden_v4(*address))
    };
    readings.iter().find_map(|(address, _)| metadata_v4(*address)).or_else(|| {
        if allowed().all(|what| what.is_some()) { allowed().flatten().next() } else { None }
    })
}

/// Returns true if the pattern matches the host. `*.example.com` matches every name below
/// `example.com`, but not `example.com`.
fn is_listed(host: &Host, pattern: &str) -> bool {
    match host {
        Host::Name(name) => match pattern.strip_prefix("*.") {
            Some(domain) => name.len().checked_sub(domain.len() + 1).is_some_and(|at| {
                at > 0 && name.as_bytes()[at] == b'.' && name[at + 1..].eq_ignore_ascii_case(domain)
            }),
            None => name.eq_ignore_ascii_case(pattern),
        },
        Host::Address(address) => {
            pattern.trim_start_matches('[').trim_end_matches(']').parse() == Ok(*address)
        }
    }
}

#[cfg(test)]
mod tests {
    use backing_services_rules::Scheme;

    use super::*;
    use crate::locator::dialect::Login;
    use crate::locator::{Dialect, parse};

    /// Forbidden addresses, grouped by the provider or the RFC that defines them.
    const FORBIDDEN: &[&str] = &[
        // Link-local, and the metadata services in it: Amazon, Google, Azure, Oracle, ECS tasks,
        // EKS pods, Scaleway, Tencent.
        "169.254.169.254",
        "169.254.0.1",
        "169.254.255.255",
        "169.254.170.2",
        "169.254.170.23",
        "169.254.42.42",
        "169.254.0.23",
        // Metadata services outside the link-local block: Alibaba, Azure, Oracle.
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        // Amazon in IPv6: metadata, pods, name server, clock.
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd00:ec2::253",
        "fd00:ec2::123",
        // Google, Oracle, Alibaba, Scaleway, Akamai, OpenStack.
        "fd20:ce::254",
        "fd00:c1::a9fe:a9fe",
        "fd00:100::100:200",
        "fd00:42::42",
        "fd00:a9fe:a9fe::1",
        "fe80::a9fe:a9fe",
        // Unspecified, multicast, broadcast, class E.
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "240.0.0.1",
        "254.1.2.3",
        "255.255.255.254",
        "::",
        "fe80::1",
        "febf::1",
        "ff02::1",
        "ff0e::1",
        // Site-local.
        "fec0::1",
        "feff:ffff::1",
        "fed0:1:2::3",
        // Mapped, compatible, translated.
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "::ffff:240.0.0.1",
        "::ffff:100.100.100.200",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::168.63.129.16",
        "64:ff9b::240.0.0.1",
        // 6to4, Teredo's client and server, ISATAP.
        "2002:a9fe:a9fe::1",
        "2002:f000:1::1",
        "2001:0:1:2:3:4:5601:5601",
        "2001:0:a00:1:0:0:9b9b:9b37",
        "2001:0:a9fe:a9fe:0:0:f5ff:fffe",
        "2001:db8::5efe:169.254.169.254",
        "2001:db8::200:5efe:100.100.100.200",
        "fd12::5efe:169.254.169.254",
        // RFC 8215 at /48, /56, /64 and /96; then the same with bits set after the address.
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:a9:fe:a9fe::",
        "64:ff9b:1:0:a9:fea9:fe00:0",
        "64:ff9b:1::a9fe:a9fe",
        "64:ff9b:1:a9fe:a9:fe00:0:1",
        "64:ff9b:1:a9:fe:a9fe:1:1",
        "64:ff9b:1:7:a9:fea9:fe12:3456",
        "64:ff9b:1:2:3:4:a9fe:a9fe",
        "64:ff9b:1:a83f:81:1000::",
        "64:ff9b:1::100.100.100.200",
        "64:ff9b:1:fffe::240.0.0.1",
        // At /96 only: with 10.0.0.1 where /48 would have it, and with bits in the ninth byte.
        "64:ff9b:1:a00:0:100:240.0.0.1",
        "64:ff9b:1:0:100:0:240.0.0.1",
        "64:ff9b:1:e000:0:100::",
        "64:ff9b:1::",
        "64:ff9b:1::1",
    ];

    const ALLOWED: &[&str] = &[
        "127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "93.184.216.34",
        "223.255.255.255", "168.63.129.17", "100.100.100.201", "192.0.0.193", "2606:2800:220:1::1",
        "fd12:3456::1", "fd00:ec3::254", "fd00:42::43", "fd20:ce::255", "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1", "2002:a00:1::1", "2001:0:a00:1:0:0:f5ff:fffe",
        "2001:db8::5efe:10.0.0.1",
        // 10.0.0.1 at /48, /56, /64 and /96. The last one is also below a prefix that other lengths
        // would read as class E.
        "64:ff9b:1:a00:0:100::", "64:ff9b:1:a:0:1::", "64:ff9b:1:0:a:0:100:0",
        "64:ff9b:1::10.0.0.1", "64:ff9b:1:fffe::10.0.0.1",
    ];

    #[test]
    fn every_form_of_a_forbidden_address_is_detected() {
        for address in FORBIDDEN {
            assert!(forbidden(address.parse().unwrap()).is_some(), "{address}");
        }
        for address in ALLOWED {
            assert_eq!(forbidden(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn a_name_is_forbidden_if_one_of_its_addresses_is() {
        for address in FORBIDDEN {
            let addresses = ["10.0.0.1", address].map(|address| address.parse().unwrap());
            let finding = check_resolved(addresses).unwrap_or_else(|| panic!("{address}"));
            assert_eq!(finding.rule(), &FORBIDDEN_ADDRESS);
        }
        assert!(check_resolved(ALLOWED.iter().map(|address| address.parse().unwrap())).is_none());
    }

    /// Parsers of addresses accept different spellings. The grammar reads each of them as the
    /// address.
    #[test]
    fn a_forbidden_address_is_detected_in_any_spelling() {
        const DIALECT: Dialect = Dialect {
            schemes: &[Scheme::tls("rediss")],
            parameters: &[],
            added: &[],
            login: Login::None,
            path: None,
            several_hosts: false,
            secret_path: false,
            plaintext_waiver: None,
            plaintext_loopback: false,
        };
        let spelt = |address: IpAddr| match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                let number = u32::from(address);
                vec![
                    address.to_string(),
                    format!("{address}."),
                    number.to_string(),
                    format!("0x{number:x}"),
                    format!("0{number:o}"),
                    format!("{a}.{b}.{}", u16::from_be_bytes([c, d])),
                    format!("{a}.{}", u32::from_be_bytes([0, b, c, d])),
                    format!("0x{a:x}.0{b:o}.{c}.0x{d:X}"),
                    format!("[::ffff:{address}]"),
                    format!("[0:0:0:0:0:FFFF:{address}]"),
                    format!("[64:ff9b::{address}]"),
                ]
            }
            IpAddr::V6(address) => {
                let full: Vec<_> =
                    address.segments().iter().map(|segment| format!("{segment:04X}")).collect();
                vec![format!("[{address}]"), format!("[{}]", full.join(":"))]
            }
        };
        for address in FORBIDDEN {
            for host in spelt(address.parse().unwrap()) {
                let parsed = parse(&format!("rediss://{host}"), &DIALECT)
                    .unwrap_or_else(|found| panic!("{host}: {found:?}"));
                let findings = check_host(parsed.locator.host().unwrap(), &[]);
                assert_eq!(findings.first().map(Finding::rule), Some(&FORBIDDEN_ADDRESS), "{host}");
            }
        }
        for name in METADATA_NAMES {
            let findings = check_host(&Host::Name((*name).to_owned()), &[]);
            assert_eq!(findings.len(), 1, "{name}");
        }
    }

    #[test]
    fn a_finding_names_the_kind_of_the_address() {
        for (address, kind) in [
            ("169.254.169.254", "a link-local address, such as a cloud's metadata service has"),
            ("168.63.129.16", "the metadata service of a cloud"),
            ("0.0.0.0", "an unspecified address"),
            ("224.0.0.1", "a multicast address"),
            ("255.255.255.255", "the broadcast address"),
            ("255.255.255.254", "a reserved address"),
            ("fe80::1", "a link-local address"),
            ("fec0::1", "a site-local address"),
            ("ff02::1", "a multicast address"),
        ] {
            assert_eq!(forbidden(address.parse().unwrap()), Some(kind), "{address}");
        }
    }

    #[test]
    fn a_host_has_to_be_listed_if_the_field_lists_hosts() {
        let host = Host::Name("db.example.com".to_owned());
        for (listed, rules) in [
            (&[][..], &[][..]),
            (&["*.example.com"], &[]),
            (&["cache.example.com", "db.example.com"], &[]),
            (&["cache.example.com"], &[&UNLISTED_HOST]),
        ] {
            let findings = check_host(&host, listed);
            assert_eq!(findings.iter().map(Finding::rule).collect::<Vec<_>>(), rules, "{listed:?}");
        }
        let metadata = Host::Address("169.254.169.254".parse().unwrap());
        let findings = check_host(&metadata, &["169.254.169.254"]);
        assert_eq!(findings.len(), 1, "a list permits no forbidden address: {findings:?}");
    }

    #[test]
    fn host_patterns_match_whole_labels() {
        let name = |name: &str| Host::Name(name.to_owned());
        assert!(is_listed(&name("db.example.com"), "*.example.com"));
        assert!(is_listed(&name("a.db.example.com"), "*.Example.com"));
        assert!(!is_listed(&name("example.com"), "*.example.com"));
        assert!(!is_listed(&name("evilexample.com"), "*.example.com"));
        assert!(!is_listed(&name(".example.com"), "*.example.com"));
        assert!(is_listed(&name("db.example.com"), "DB.example.com"));
        assert!(is_listed(&Host::Address("::1".parse().unwrap()), "[::1]"));
        assert!(!is_listed(&Host::Address("10.0.0.1".parse().unwrap()), "10.0.0.2"));
    }
}
