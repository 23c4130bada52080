//! The end of security support for servers' releases.
//!
//! The dates are those that the vendors have published, as of May 2026; each product has its source
//! beside it. A release that is not listed is not judged, unless it is older than the oldest listed
//! one. A distribution may continue to patch a release that its vendor no longer supports: that is
//! why the rule only warns.

use crate::date::Date;

/// A product's releases.
#[derive(Debug)]
pub struct Product {
    /// Its name, as in a posture; case does not matter.
    pub name: &'static str,
    /// The page on which the vendor publishes the support dates.
    pub source: &'static str,
    /// Its known releases, the oldest first.
    releases: &'static [Release],
}

#[derive(Debug)]
struct Release {
    /// The first numbers of its versions.
    numbers: (u16, Option<u16>),
    /// The last day on which it is supported.
    ends: Date,
}

/// The release's end of life: the last day on which it gets security fixes, and the source of that
/// date; `None` for a release that is not in the table.
///
/// A release that is older than the oldest one in the table ended on that one's date or before.
#[must_use]
pub fn end_of_life(product: &str, version: &str) -> Option<(Date, &'static str)> {
    let product = PRODUCTS.iter().find(|known| known.name.eq_ignore_ascii_case(product))?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let major: u16 = numbers.next()?.parse().ok()?;
    let minor: Option<u16> = numbers.next().and_then(|number| number.parse().ok());
    let oldest = product.releases.first()?;
    if (major, minor) < (oldest.numbers.0, oldest.numbers.1) {
        return Some((oldest.ends, product.source));
    }
    let is_of = |release: &&Release| {
        release.numbers.0 == major && release.numbers.1.is_none_or(|number| Some(number) == minor)
    };
    product.releases.iter().find(is_of).map(|release| (release.ends, product.source))
}

macro_rules! products {
    ($($name:literal from $source:literal {
        $($major:literal $(. $minor:literal)?: $ends:literal,)*
    })*) => {
        /// The products whose releases are known.
        pub static PRODUCTS: &[Product] = &[$(Product {
            name: $name,
            source: $source,
            releases: &[$(Release {
                numbers: ($major, products!(@minor $($minor)?)),
                ends: match Date::parse($ends) { Some(date) => date, None => panic!("a date is \
                     written YYYY-MM-DD") },
            },)*],
        },)*];
    };
    (@minor) => { None };
    (@minor $minor:literal) => { Some($minor) };
}

products! {
    "PostgreSQL" from "https://www.postgresql.org/support/versioning/" {
        10: "2022-11-10",
        11: "2023-11-09",
        12: "2024-11-21",
        13: "2025-11-13",
        14: "2026-11-12",
        15: "2027-11-11",
        16: "2028-11-09",
        17: "2029-11-08",
        18: "2030-11-14",
    }
    "MySQL"
    from "https://www.oracle.com/us/support/library/lifetime-support-technology-069183.pdf" {
        5 . 6: "2021-02-28",
        5 . 7: "2023-10-31",
        8 . 0: "2026-04-30",
        8 . 1: "2023-10-25",
        8 . 2: "2023-12-14",
        8 . 3: "2024-04-10",
        8 . 4: "2032-04-30",
        9 . 0: "2024-10-15",
        9 . 1: "2025-01-21",
        9 . 2: "2025-04-15",
        9 . 3: "2025-07-22",
        9 . 4: "2025-10-21",
        9 . 5: "2026-01-20",
        9 . 6: "2026-04-21",
    }
    "MariaDB" from "https://mariadb.org/about/#maintenance-policy" {
        10 . 2: "2022-05-23",
        10 . 3: "2023-05-25",
        10 . 4: "2024-06-18",
        10 . 5: "2025-06-24",
        10 . 6: "2026-07-06",
        10 . 7: "2023-02-09",
        10 . 8: "2023-05-20",
        10 . 9: "2023-08-22",
        10 . 10: "2023-11-17",
        10 . 11: "2028-02-16",
        11 . 0: "2024-06-06",
        11 . 1: "2024-08-21",
        11 . 2: "2024-11-21",
        11 . 4: "2029-05-29",
    }
    "Redis" from "https://github.com/redis/redis/security" {
        5 . 0: "2022-04-27",
        6 . 0: "2022-05-31",
        7 . 0: "2024-07-29",
        8 . 0: "2026-02-11",
    }
    "Valkey" from "https://valkey.io/topics/releases/" {
        7 . 2: "2029-04-16",
        8 . 0: "2027-09-15",
        8 . 1: "2030-03-31",
        9 . 0: "2028-10-21",
    }
    "RabbitMQ" from "https://www.rabbitmq.com/release-information" {
        3 . 8: "2022-07-31",
        3 . 9: "2023-01-31",
        3 . 10: "2023-07-31",
        3 . 11: "2023-12-31",
        3 . 12: "2024-06-30",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::string::ToString;

    fn ends(product: &str, version: &str) -> Option<std::string::String> {
        end_of_life(product, version).map(|(date, _)| date.to_string())
    }

    #[test]
    fn a_release_is_identified_by_its_first_numbers() {
        assert_eq!(
            ends("PostgreSQL", "15.14 (Debian 15.14-0+deb12u1)").as_deref(),
            Some("2027-11-11")
        );
        assert_eq!(ends("postgresql", "18beta1").as_deref(), Some("2030-11-14"));
        assert_eq!(ends("MariaDB", "10.11.14-MariaDB-0+deb12u2").as_deref(), Some("2028-02-16"));
        assert_eq!(
            ends("MariaDB", "10.1.48").as_deref(),
            Some("2022-05-23"),
            "older than the oldest"
        );
        assert_eq!(ends("MySQL", "8.0.36").as_deref(), Some("2026-04-30"));
        assert_eq!(ends("redis", "7.0.15").as_deref(), Some("2024-07-29"));
        assert_eq!(ends("redis", "3.2").as_deref(), Some("2022-04-27"));
    }

    #[test]
    fn an_unknown_release_is_not_judged() {
        for (product, version) in [
            ("PostgreSQL", "19.1"),
            ("redis", "7.2.4"),
            ("redis", "6.2.14"),
            ("Oracle", "12"),
            ("PostgreSQL", ""),
            ("PostgreSQL", "fifteen"),
            ("PostgreSQL", "99999999999"),
            ("MySQL", "8"),
        ] {
            assert_eq!(ends(product, version), None, "{product} {version}");
        }
    }
}
