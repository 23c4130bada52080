//! The benchmarks: ours and the peers in turns, in the same run.
//!
//! What is compared is always a ratio: absolute times on a shared machine mean nothing. Each benchmark gives an [`Outcome`](outcome::Outcome), which is data and
//! is kept in `benches/results/NAME.json`; the tables and the plots are written from all of them, so that one can be taken again alone.

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

/// What went wrong, in words: a benchmark that cannot be taken ends the run.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// How often, and what else was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How many rounds, where that is not the benchmark's own number.
    pub rounds: Option<usize>,
}

impl Options {
    /// How many rounds to take, where a benchmark usually takes `usual`.
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
    /// The environment that it is taken in, where that is not the one of the command: then it is taken in a process of its own.
    pub environment: Option<fn() -> Environment>,
    /// Takes it.
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
    Benchmark { name: "swap", environment: None, run: live::swap::run },
    Benchmark { name: "memory", environment: None, run: live::memory::run },
    Benchmark { name: "size", environment: None, run: program::run_size },
];
