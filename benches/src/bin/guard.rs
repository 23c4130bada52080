//! What `tests/guards.rs` counts: `guard allocations`, or `guard ours 50` and `guard hand-written 50` under valgrind.

#![allow(clippy::print_stdout, reason = "a command, which prints what it counted")]

use std::alloc::System;
use std::process::ExitCode;

use benches::load::{allocations, loaders};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(what), times) = (arguments.next(), arguments.next()) else { return ExitCode::FAILURE };
    let times: u32 = times.and_then(|times| times.parse().ok()).unwrap_or(1);
    for loader in loaders() {
        if what == "allocations" {
            let (count, bytes) = allocations(ALLOCATOR, &loader.load);
            println!("{} {count} {bytes}", loader.name);
        } else if what == loader.name && (0..times).any(|_| !(loader.load)()) {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
