//! An arcade with as many resources as a page must have room for. One server can serve all but a
//! few of them.

#![allow(
    missing_debug_implementations,
    dead_code,
    reason = "only the command line uses the fields, and nothing prints them"
)]

use backing_services::secrecy::SecretString;
use backing_services::{BackingServices, Nats, Redis, Resource, Sqlite};

/// Lets people play, and keeps the scores.
#[derive(BackingServices)]
#[services(prefix = "ARCADE", deadline = 20)]
struct Services {
    /// Who plays, and since when.
    players: Resource<Redis>,
    /// Coins, tokens and what was won.
    coins: Resource<Redis>,
    /// The best ten of each machine.
    scores: Resource<Redis>,
    /// Which machine is out of order.
    #[service(allow(
        weak_password,
        reason = "the vendor's appliance, replaced in spring",
        until = "2099-03-31"
    ))]
    machines: Resource<Redis>,
    /// Prizes.
    prizes: Prizes,
    /// Bookings for birthdays.
    birthdays: Resource<Redis>,
    /// The pinball hall, which has machines of its own.
    pinball: Resource<Redis>,
    /// Tickets.
    tickets: Resource<Redis>,
    /// What the doors have seen.
    doors: Resource<Redis>,
    /// The cash desk's ledger.
    ledger: Resource<Sqlite>,
    /// Rumours from other arcades.
    rumours: Option<Resource<Nats>>,
    /// Music.
    #[service(
        allow(superuser_account, reason = "the jukebox knows `default` alone"),
        allow(weak_authentication, reason = "as above", until = "2099-01-31")
    )]
    jukebox: Resource<Redis>,
    /// Signs the tickets.
    ticket_key: SecretString,
    /// How many may be in at once.
    #[setting(default = 120)]
    guests: u16,
}

/// Prizes.
#[derive(BackingServices)]
struct Prizes {
    /// What is on the shelves.
    shelves: Resource<Redis>,
    #[doc = " What has been ordered, from whom, and when it will be there: the longest of all the \
             comments in this struct, which has to find its place, too."]
    orders_from_suppliers: Resource<Redis>,
}

fn main() -> std::process::ExitCode {
    backing_services::cli::run::<Services>()
}
