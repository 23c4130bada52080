//! The benchmarks: ours and the peers take turns in the same run.
//!
//! The result is always a ratio, because absolute times on a shared machine mean nothing. Each
//! benchmark returns an [`Outcome`](outcome::Outcome), which is stored in
//! `benches/results/NAME.json`. The tables and the plots are written from all stored outcomes, so
//! that a single benchmark can run again alone.

pub mod attach;
pub mod expand;
pub mod generated;
pub mod live;
pub mod load;
pub mod measure;
pub mod outcome;
pub mod plot;
pub mod program;
pub mod tables;

/// The error is a text: a benchmark that fails ends the run.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// The options of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The number of rounds, if it is not the benchmark's default.
    pub rounds: Option<usize>,
}

impl Options {
    /// The number of rounds, for a benchmark whose default is `usual`.
    #[must_use]
    pub fn rounds(self, usual: usize) -> usize {
        self.rounds.unwrap_or(usual).max(1)
    }
}

/// The variables of a process's environment, with their values.
pub type Environment = Vec<(String, String)>;

/// One benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Benchmark {
    /// Its name on the command line.
    pub name: &'static str,
    /// The environment for the benchmark, if it is not that of the command. It then runs in a
    /// process of its own.
    pub environment: Option<fn() -> Environment>,
    /// Runs it.
    pub run: fn(Options) -> Result<outcome::Outcome>,
}

/// Every benchmark, in the order of the tables.
pub const ALL: &[Benchmark] = &[
    Benchmark { name: "load", environment: Some(load::environment), run: load::run },
    Benchmark {
        name: "load_errors",
        environment: Some(load::environment_with_mistakes),
        run: load::run_errors,
    },
    Benchmark { name: "load_allocations", environment: None, run: load::run_allocations },
    Benchmark {
        name: "load_growth",
        environment: Some(load::grown::environment),
        run: load::grown::run,
    },
    Benchmark { name: "expand", environment: None, run: expand::run },
    Benchmark { name: "build", environment: None, run: program::run_build },
    Benchmark { name: "attach", environment: None, run: attach::run },
    Benchmark { name: "attach_many", environment: None, run: attach::run_many },
    Benchmark { name: "client", environment: None, run: live::client::run },
    Benchmark { name: "query", environment: None, run: live::query::run },
    Benchmark { name: "bulk", environment: None, run: live::bulk::run },
    Benchmark { name: "swap", environment: None, run: live::swap::run },
    Benchmark { name: "memory", environment: None, run: live::memory::run },
    Benchmark { name: "size", environment: None, run: program::run_size },
];
