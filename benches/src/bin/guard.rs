//! The program that `tests/guards.rs` measures: `guard allocations`, or `guard ours 50` and
//! `guard hand-written 50` under valgrind. The benchmarks `client` and `memory` use it too.

#![allow(clippy::print_stdout, reason = "a command, which prints what it counted")]

use std::alloc::System;
use std::process::ExitCode;

use benches::Result;
use benches::live::memory;
use benches::load::{allocations, loaders};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[allow(clippy::print_stderr, reason = "a command, which prints what went wrong")]
fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match count(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn count(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["client"] => println!("{}", memory::allocations_of_client(ALLOCATOR)?),
        ["resources", who, count] => print(memory::resources(ALLOCATOR, who, count.parse()?)?),
        ["connections", who, count] => print(memory::connections(ALLOCATOR, who, count.parse()?)?),
        ["swaps", who, count] => print(memory::swaps(ALLOCATOR, who, count.parse()?)?),
        ["allocations"] => {
            for loader in loaders() {
                let (count, bytes) = allocations(ALLOCATOR, &loader.load);
                println!("{} {count} {bytes}", loader.name);
            }
        }
        [who, times] => {
            let times: u32 = times.parse()?;
            let loaders = loaders();
            let loader = loaders
                .iter()
                .find(|loader| loader.name == *who)
                .ok_or("there is no loader of this name")?;
            if (0..times).any(|_| !(loader.load)()) {
                return Err("the twelve fields cannot be loaded".into());
            }
        }
        _ => return Err("what is to be counted?".into()),
    }
    Ok(())
}

fn print([heap, resident]: [f64; 2]) {
    println!("{heap} {resident}");
}
