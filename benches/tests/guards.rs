//! Nothing costs more than its bound in `bounds`. The counts are the same each time, and on every
//! machine with the same compiler.

#![allow(clippy::unwrap_used, reason = "a guard that cannot count has to stop the test")]

use std::process::Command;

use benches::load::environment;

fn bound(name: &str) -> f64 {
    let bounds = include_str!("../bounds");
    let line = bounds
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_else(|| panic!("{name} has no bound"));
    line.trim().parse().unwrap()
}

fn printed(mut command: Command) -> String {
    let output = command
        .env_clear()
        .envs(environment())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn load_allocates_no_more() {
    let mut guard = Command::new(env!("CARGO_BIN_EXE_guard"));
    guard.arg("allocations");
    let printed = printed(guard);
    let ours = printed.lines().find_map(|line| line.strip_prefix("ours ")).unwrap();
    let (count, bytes) = ours.split_once(' ').unwrap();
    let (count, bytes): (f64, f64) = (count.parse().unwrap(), bytes.parse().unwrap());
    assert!(count <= bound("load_allocations"), "{count} allocations");
    assert!(bytes <= bound("load_bytes"), "{bytes} bytes");
}

/// The instructions of one call, as valgrind counts them. Both runs include the one-time work at
/// the start, so it cancels out.
fn instructions(who: &str) -> f64 {
    let count = |times: &str| {
        let mut valgrind = Command::new("/usr/bin/valgrind");
        valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
        valgrind.args([env!("CARGO_BIN_EXE_guard"), who, times]);
        let printed = printed(valgrind);
        let refs = printed
            .lines()
            .find_map(|line| line.split_once("I   refs:").or(line.split_once("I refs:")))
            .unwrap()
            .1;
        refs.chars().filter(char::is_ascii_digit).collect::<String>().parse::<f64>().unwrap()
    };
    (count("60") - count("10")) / 50.0
}

#[test]
fn load_takes_no_more_instructions() {
    let (ours, by_hand) = (instructions("ours"), instructions("hand-written"));
    assert!(
        ours <= by_hand * bound("load_instructions"),
        "{ours} instructions, and {by_hand} by hand"
    );
}

#[test]
fn client_allocates_nothing() {
    let mut guard = Command::new(env!("CARGO_BIN_EXE_guard"));
    guard.arg("client");
    assert_eq!(printed(guard).trim(), "0");
}

#[test]
fn swaps_leave_nothing_behind() {
    let mut guard = Command::new(env!("CARGO_BIN_EXE_guard"));
    guard.args(["swaps", "ours", "200"]);
    let printed = printed(guard);
    let heap: f64 = printed.split_whitespace().next().unwrap().parse().unwrap();
    assert!(heap <= bound("swap_heap"), "{heap} bytes are left of 200 swaps");
}
