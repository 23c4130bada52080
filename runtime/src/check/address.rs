//! Addresses that no backing service has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use backing_services_rules::rule::{FORBIDDEN_ADDRESS, UNLISTED_HOST};

use crate::finding::Finding;
use crate::locator::Host;

/// Names that lead to a cloud's metadata service.
const METADATA_NAMES: &[&str] =
    &["metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"];

/// Addresses of metadata services outside of the link-local block: Alibaba's, Azure's and Oracle's, and Amazon's in IPv6.
const METADATA_V4: &[Ipv4Addr] =
    &[Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: &[Ipv6Addr] =
    &[Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// Holds a locator's host against the address rules, and against the hosts that the field lists.
pub(crate) fn check_host(host: &Host, listed: &[&str], findings: &mut Vec<Finding>) {
    let forbidden = match host {
        Host::Address(address) => forbidden(*address),
        Host::Name(name) => METADATA_NAMES.contains(&name.as_str()).then_some("the metadata service of a cloud"),
    };
    if let Some(what) = forbidden {
        findings.push(Finding::new(&FORBIDDEN_ADDRESS, format!("its host is {what}")));
    }
    if !listed.is_empty() && !listed.iter().any(|pattern| is_listed(host, pattern)) {
        findings.push(Finding::new(&UNLISTED_HOST, "its host is none of those that the field lists"));
    }
}

/// Holds the addresses that a name leads to against the address rules.
pub(crate) fn check_resolved(addresses: impl IntoIterator<Item = IpAddr>) -> Option<Finding> {
    addresses
        .into_iter()
        .find_map(forbidden)
        .map(|what| Finding::new(&FORBIDDEN_ADDRESS, format!("its host's name leads to {what}")))
}

/// What kind of address it is, where that is one that no service has. An IPv6 address that carries an IPv4 one is looked at as both.
pub(crate) fn forbidden(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => forbidden_v4(address),
        IpAddr::V6(address) => forbidden_v6(address).or_else(|| carried(address).and_then(forbidden_v4)),
    }
}

fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    if METADATA_V4.contains(&address) {
        Some("the metadata service of a cloud")
    } else if address.is_link_local() {
        // 169.254.169.254 is among them.
        Some("a link-local address, such as a cloud's metadata service has")
    } else if address.octets()[0] == 0 {
        // All of 0.0.0.0/8 means "this host on this network" (RFC 1122, 3.2.1.3), and Linux connects it to the machine itself.
        Some("an unspecified address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.is_broadcast() {
        Some("the broadcast address")
    } else {
        None
    }
}

fn forbidden_v6(address: Ipv6Addr) -> Option<&'static str> {
    if METADATA_V6.contains(&address) {
        Some("the metadata service of a cloud")
    } else if address.is_unicast_link_local() {
        Some("a link-local address")
    } else if address.is_unspecified() {
        Some("an unspecified address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else {
        None
    }
}

/// The IPv4 address that an IPv6 address carries: mapped and compatible (RFC 4291, 2.5.5), translated (RFC 6052 and 8215), 6to4 (RFC 3056) and
/// Teredo's client (RFC 4380). A gateway on the way unwraps it.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, .., y, z] = address.segments();
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match (a, b, c) {
        (0, 0, 0) if !address.is_loopback() => Some(from(y, z)),
        (0x64, 0xff9b, 0 | 1) => Some(from(y, z)),
        (0x2002, high, low) => Some(from(high, low)),
        (0x2001, 0, _) => Some(from(!y, !z)),
        _ => None,
    }
}

/// Whether a host is the one that a pattern names. `*.example.com` is every name below `example.com`, and not `example.com`.
fn is_listed(host: &Host, pattern: &str) -> bool {
    match host {
        Host::Name(name) => match pattern.strip_prefix("*.") {
            Some(domain) => name
                .len()
                .checked_sub(domain.len() + 1)
                .is_some_and(|at| at > 0 && name.as_bytes()[at] == b'.' && name[at + 1..].eq_ignore_ascii_case(domain)),
            None => name.eq_ignore_ascii_case(pattern),
        },
        Host::Address(address) => pattern.trim_start_matches('[').trim_end_matches(']').parse() == Ok(*address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_clothes_hide_a_forbidden_address() {
        for address in [
            "169.254.169.254", "169.254.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "100.100.100.200",
            "168.63.129.16", "192.0.0.192", "::", "fe80::1", "ff02::1", "fd00:ec2::254", "::ffff:169.254.169.254",
            "::169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1", "2001:0:1:2:3:4:5601:5601",
        ] {
            assert!(forbidden(address.parse().unwrap()).is_some(), "{address}");
        }
        for address in [
            "127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "93.184.216.34", "2606:2800:220:1::1", "fd12:3456::1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(forbidden(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn a_list_of_hosts_means_what_it_says() {
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
