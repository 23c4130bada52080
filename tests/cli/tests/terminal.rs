//! The output on a terminal while resources are attached, and in a log, with a server that does not
//! answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot do what it should has to stop, there and loudly"
)]

mod kiosk;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backing_services_tests::canary::PASSWORD;
use backing_services_tests::hostile::Hostile;
use backing_services_tests::port;
use kiosk::{ENOUGH, kiosk, on_a_terminal, on_a_terminal_of, said, screen, screens, settled};

/// A server that accepts connections, and sends nothing.
fn silent() -> Hostile {
    Hostile::start(async |peer| Ok(Some(peer)))
}

/// Orders at the silent server, and sessions on a port on which nothing listens.
fn environment(port: u16) -> Vec<(&'static str, String)> {
    let closed = port::free();
    vec![
        ("DATABASE_URL", format!("postgres://winkelier@localhost:{port}/shop")),
        ("DATABASE_PASSWORD", PASSWORD.to_owned()),
        ("KIOSK_SESSIONS_URL", format!("rediss://winkelier@localhost:{closed}")),
        ("KIOSK_SESSIONS_PASSWORD", PASSWORD.to_owned()),
        ("KIOSK_RECEIPT_KEY", PASSWORD.to_owned()),
    ]
}

fn borrowed<'a>(environment: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    environment.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

#[test]
fn a_line_is_printed_as_soon_as_its_resource_is_back() {
    let server = silent();
    let begun = Instant::now();
    let mut command = kiosk(&["attach", "--deadline", "30"]);
    let mut child = command
        .envs(environment(server.port))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(
        line.starts_with("refused  sessions          Redis       rediss://localhost:")
            && line.ends_with(" ms, unreachable\n"),
        "{line}"
    );
    assert!(
        child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(20),
        "the other one is waited for"
    );

    // A termination is obeyed at once, and no further result is printed.
    let asked = Instant::now();
    let status =
        Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let (mut rest, mut err) = (String::new(), String::new());
    out.read_to_string(&mut rest).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), rest.as_str(), err.as_str()), (Some(143), "", ""));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_silent_server_times_out() {
    let server = silent();
    let begun = Instant::now();
    let said = said(kiosk(&["attach", "--deadline", "1"]).envs(environment(server.port)));
    assert!((1..15).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!((said.status, said.err.as_str()), (1, ""));
    assert!(said.out.contains("error[timed_out]: it was not attached within 1 s"), "{}", said.out);
    // Each resource has one line, in the order in which they ended. The report follows.
    let states: Vec<_> = said
        .out
        .lines()
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().nth(1).unwrap())
        .collect();
    assert_eq!(states[..3], ["sessions", "orders", "feeds.editions"], "{}", said.out);
    assert_eq!(states.len(), 9, "{}", said.out);
    server.assert_all_closed().await;
}

/// A deadline beyond the time limit of one connection has no effect. The report must name both.
#[tokio::test]
async fn a_slow_connection_is_reported_with_its_time_limit() {
    let server = silent();
    let mut values = environment(server.port);
    values[0].1.push_str("?connect_timeout=1");
    let said = said(kiosk(&["attach", "--only", "orders", "--deadline", "30"]).envs(values));
    assert_eq!((said.status, said.err.as_str()), (1, ""));
    let help = "; `connect_timeout` in the locator, 10 s unless it is there, is the time for one \
                connection\n";
    assert!(said.out.contains("error[timed_out]: ") && said.out.contains(help), "{}", said.out);
    server.assert_all_closed().await;
}

#[test]
fn a_terminal_shows_what_each_resource_is_doing_and_in_the_end_the_table() {
    let server = silent();
    let values = environment(server.port);
    let shown = on_a_terminal(
        "\"$KIOSK\" attach --deadline 2; echo \"status $?\"",
        &borrowed(&values),
        None,
    );
    let screens = screens(&shown);
    let saw = |parts: &[&str]| {
        screens.iter().any(|screen| parts.iter().all(|part| screen.contains(part)))
    };
    // Both at once, aligned, and without the fields that are not connected.
    assert!(
        saw(&["orders    PostgreSQL  connecting", "sessions  Redis       refused"]),
        "{screens:#?}"
    );
    assert!(!saw(&["connecting", "feeds.prices"]), "{screens:#?}");

    let last = screen(&shown);
    let begin: Vec<_> = last.lines().take(3).collect();
    assert!(
        begin[0].starts_with("refused  orders            PostgreSQL  postgres://localhost:"),
        "{last}"
    );
    assert!(
        begin[1].starts_with("refused  sessions          Redis       rediss://localhost:"),
        "{last}"
    );
    assert_eq!(
        begin[2], "absent   feeds.editions    NATS        KIOSK_FEEDS_EDITIONS_URL",
        "{last}"
    );
    assert!(
        !last.contains("connecting") && last.ends_with("2 problems in 2 of 12 fields\nstatus 1"),
        "{last}"
    );
    assert!(shown.windows(4).any(|bytes| bytes == b"\x1b[1;"), "a terminal has colours");

    // The same without colours, if that is wanted, or if the terminal has none.
    for script in [
        "NO_COLOR=1 \"$KIOSK\" check",
        "CLICOLOR=0 \"$KIOSK\" check",
        "TERM=dumb \"$KIOSK\" check",
        "\"$KIOSK\" check --color never",
        "\"$KIOSK\" --help --color never",
    ] {
        let shown = on_a_terminal(&format!("{script}; :"), &[], None);
        assert!(!shown.contains(&b'\x1b') && !screen(&shown).is_empty(), "{script}");
    }
}

#[test]
fn the_terminal_is_for_a_person_and_standard_output_for_a_program() {
    let server = silent();
    let values = environment(server.port);
    let file = tempfile::NamedTempFile::new().unwrap();
    let script = format!(
        "\"$KIOSK\" attach --deadline 1 --format json >{}; echo \"status $?\"",
        file.path().display()
    );
    let shown = on_a_terminal(&script, &borrowed(&values), None);
    assert!(
        screens(&shown).iter().any(|screen| screen.contains("orders    PostgreSQL  connecting"))
    );
    assert_eq!(screen(&shown), "status 1");
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(file.path()).unwrap()).unwrap();
    assert_eq!(report["fields"][0]["failures"][0]["kind"], "timed_out", "{report:#}");
    // Plain output to another place is written line by line, and a terminal beside it shows
    // nothing.
    let script =
        format!("\"$KIOSK\" attach --deadline 1 >{}; echo \"status $?\"", file.path().display());
    let shown = on_a_terminal(&script, &borrowed(&values), None);
    assert_eq!(screen(&shown), "status 1");
    assert!(
        settled(&std::fs::read_to_string(file.path()).unwrap(), server.port)
            .contains("postgres://localhost:PORT/shop, N ms, timed_out\n")
    );
}

#[tokio::test]
async fn an_interrupt_ends_it_at_once_and_leaves_the_terminal_in_order() {
    let server = silent();
    let values = environment(server.port);
    let begun = Instant::now();
    let script = "trap : INT; \"$KIOSK\" attach --deadline 30; echo \"status $?\"";
    let shown = on_a_terminal(script, &borrowed(&values), Some(("connecting", b"\x03")));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let last = screen(&shown);
    // The terminal's own `^C` shifts the removed lines by one, so one of them may stay.
    assert!(
        last.ends_with("status 130") && !last.contains("panicked") && last.lines().count() <= 3,
        "{last}"
    );
    server.assert_all_closed().await;
}

#[test]
fn a_terminal_breaks_no_word() {
    let shown = on_a_terminal(
        "\"$KIOSK\" check; \"$KIOSK\" explain; :",
        &[("DATABASE_URL", "postgres://winkelier@localhost/shop?sslmode=disable")],
        None,
    );
    let text = String::from_utf8(shown).unwrap();
    let plain = anstream::adapter::strip_str(&text).to_string();
    assert!(plain.lines().all(|line| line.trim_end().chars().count() <= 100), "{plain}");
    // The rest of a folded line is indented to its column, also in a line for a finished resource.
    assert!(plain.contains("\n                               "), "{plain}");
    let locator = format!("postgres://winkelier@localhost:1/{}", "shop-".repeat(7));
    let environment = [
        ("DATABASE_URL", locator.as_str()),
        ("DATABASE_PASSWORD", PASSWORD),
        ("KIOSK_RECEIPT_KEY", PASSWORD),
    ];
    let shown = screen(&on_a_terminal("\"$KIOSK\" attach 2>/dev/null; :", &environment, None));
    assert!(
        shown.starts_with("refused  orders            PostgreSQL  postgres://localhost:1/shop-"),
        "{shown}"
    );
    assert!(
        shown
            .lines()
            .nth(1)
            .is_some_and(|line| line.starts_with("                                       ")),
        "{shown}"
    );
}

#[test]
fn a_terminal_obeys_no_argument() {
    let script = "\"$KIOSK\" attach --only \"$(printf \
                  'or\\033]0;owned\\007\\033[2J\\rders\\342\\200\\256gnp')\"; echo \"status $?\"";
    let shown = String::from_utf8(on_a_terminal(script, &[], None)).unwrap();
    assert!(
        shown.contains(r"or\u{1b}]0;owned\u{7}\u{1b}[2J\rders\u{202e}gnp")
            && shown.contains("status 2"),
        "{shown:?}"
    );
    assert!(
        !shown.contains("\u{1b}]") && !shown.contains("\u{1b}[2J") && !shown.contains('\u{202e}'),
        "{shown:?}"
    );
    assert!(shown.replace("\r\n", "\n").find('\r').is_none(), "{shown:?}");
}

#[test]
fn every_width_shows_all_of_it() {
    let plain = [&["check"][..], &["explain"], &["attach", "--help"], &["--help"]]
        .map(|arguments| said(kiosk(arguments).envs(ENOUGH)).out);
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for columns in [20_u16, 40, 80, 500] {
        for (arguments, plain) in ["check", "explain", "attach --help", "--help"].iter().zip(&plain)
        {
            let script = format!("\"$KIOSK\" {arguments} --color never; :");
            let shown = String::from_utf8(on_a_terminal_of(columns, &script, &ENOUGH, None))
                .unwrap()
                .replace("\r\n", "\n");
            assert_eq!(
                words(&shown.replace("kiosk-services\n", "kiosk-services ")),
                words(plain),
                "{arguments} in {columns}"
            );
            // If there is enough room, no line is wider than the terminal. A word is never broken.
            if columns >= 40 {
                // clap does not fold the usage line.
                let lines = shown.lines().filter(|line| !line.starts_with("Usage: "));
                let broken = lines.filter(|line| line.split_whitespace().count() > 1);
                let widest =
                    broken.map(|line| line.trim_end().chars().count()).max().unwrap_or_default();
                assert!(
                    widest <= usize::from(columns),
                    "{arguments} in {columns}: {widest}\n{shown}"
                );
            }
            if columns == 500 && !arguments.contains("help") {
                assert_eq!(shown, *plain, "there is room for all of it");
            }
        }
    }
}
