//! `cargo run -p benches --release -- [--rounds N] [NAME…]`: runs the named benchmarks, or all,
//! prints their results, and rewrites `benches/results/`, `benches/plots/`, `benches/RESULTS.md`
//! and the table in `docs/benchmarks.md`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command, which prints what it found"
)]

use std::process::{Command, ExitCode};

use benches::{ALL, Benchmark, Environment, Options, Result, outcome::Outcome, tables};

/// The argument for the child process that runs a benchmark in its own environment. No benchmark
/// has this name.
const TAKEN_ALONE: &str = "--alone";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut options = Options::default();
    let mut names = Vec::new();
    let mut alone = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => options.rounds = Some(arguments.next().ok_or("--rounds N")?.parse()?),
            TAKEN_ALONE => alone = true,
            _ => names.push(argument),
        }
    }
    let known: Vec<_> = ALL.iter().map(|benchmark| benchmark.name).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(
            format!("there is no benchmark `{name}`; there are {}", known.join(", ")).into()
        );
    }
    for benchmark in ALL
        .iter()
        .filter(|benchmark| names.is_empty() || names.iter().any(|name| name == benchmark.name))
    {
        match benchmark.environment {
            Some(environment) if !alone => {
                in_process_of_its_own(benchmark, environment(), options)?
            }
            _ => (benchmark.run)(options)?.save()?,
        }
        if !alone {
            println!("{}", tables::of(&Outcome::load(benchmark.name)?));
        }
    }
    if !alone {
        tables::write_all()?;
    }
    Ok(())
}

/// A process cannot safely change its environment while it runs, so the benchmark runs in a child
/// process that starts with it.
fn in_process_of_its_own(
    benchmark: &Benchmark,
    environment: Environment,
    options: Options,
) -> Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([TAKEN_ALONE, benchmark.name]).env_clear().envs(environment);
    if let Some(rounds) = options.rounds {
        command.args(["--rounds", &rounds.to_string()]);
    }
    if !command.status()?.success() {
        return Err(format!("{} was not taken", benchmark.name).into());
    }
    Ok(())
}
