//! Measurement in alternating rounds, and the statistics of the samples.
//!
//! criterion and divan measure one subject to its end before they begin with the next. Then the
//! ratio includes everything else that the machine did meanwhile. So the loop is ours: each round
//! takes one sample of every subject, one after the other, and the ratio is the median of the
//! rounds' own ratios.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The statistics of many samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Half of the samples are below.
    pub median: f64,
    /// A quarter of the samples is below.
    pub lower: f64,
    /// A quarter of the samples is above.
    pub upper: f64,
    /// The smallest sample.
    pub least: f64,
    /// The largest sample.
    pub most: f64,
    /// The number of samples.
    pub samples: usize,
}

impl Summary {
    /// The summary of samples. All fields are zero if there are none.
    #[must_use]
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
            let place = part * last as f64;
            let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            low + (high - low) * place.fract()
        };
        Self {
            median: at(0.5),
            lower: at(0.25),
            upper: at(0.75),
            least: at(0.0),
            most: at(1.0),
            samples: sorted.len(),
        }
    }

    /// The summary of a figure that is the same each time: a count, a size.
    #[must_use]
    pub const fn exactly(figure: f64) -> Self {
        Self {
            median: figure,
            lower: figure,
            upper: figure,
            least: figure,
            most: figure,
            samples: 1,
        }
    }
}

/// The ratio of two subjects, round by round: changes between the rounds do not affect it.
#[must_use]
pub fn ratio(ours: &[f64], theirs: &[f64]) -> Summary {
    let ratios: Vec<_> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    Summary::of(&ratios)
}

/// A subject of the measurement: its name, and a function that takes one sample.
pub struct Subject<'a> {
    /// Its name in the tables.
    pub name: &'a str,
    /// Takes one sample, in any unit.
    pub sample: Box<dyn FnMut() -> f64 + 'a>,
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> Subject<'a> {
    /// A subject whose samples are the results of `sample`.
    pub fn new(name: &'a str, sample: impl FnMut() -> f64 + 'a) -> Self {
        Self { name, sample: Box::new(sample) }
    }

    /// A subject whose samples are the nanoseconds of a call: the mean of as many calls as take
    /// about a millisecond, and the least of five such means, because time that another process
    /// takes is not a cost of the call.
    pub fn timed<T>(name: &'a str, mut call: impl FnMut() -> T + 'a) -> Self {
        let mut calls = None;
        Self::new(name, move || {
            let calls = *calls.get_or_insert_with(|| calls_in(Duration::from_millis(1), &mut call));
            let mut mean = || {
                let begun = Instant::now();
                for _ in 0..calls {
                    black_box(call());
                }
                begun.elapsed().as_nanos() as f64 / calls as f64
            };
            (0..5).map(|_| mean()).fold(f64::INFINITY, f64::min)
        })
    }
}

/// The number of calls that take about this long. The first calls warm the caches.
fn calls_in<T>(time: Duration, call: &mut impl FnMut() -> T) -> u64 {
    let mut calls = 1;
    loop {
        let begun = Instant::now();
        for _ in 0..calls {
            black_box(call());
        }
        let elapsed = begun.elapsed();
        if elapsed * 4 >= time || calls >= 1 << 30 {
            let each = (elapsed.as_nanos() as u64 / calls).max(1);
            return (time.as_nanos() as u64 / each).max(1);
        }
        calls *= 4;
    }
}

/// The samples of each subject, one per round. The first round is not counted.
pub fn in_turns(rounds: usize, subjects: &mut [Subject<'_>]) -> Vec<Vec<f64>> {
    each_once(subjects);
    in_turns_at_once(rounds, subjects)
}

/// The same for a subject without a warm-up, such as a process: every round counts.
pub fn in_turns_at_once(rounds: usize, subjects: &mut [Subject<'_>]) -> Vec<Vec<f64>> {
    let mut samples = vec![Vec::with_capacity(rounds); subjects.len()];
    for _ in 0..rounds {
        for (samples, sample) in samples.iter_mut().zip(each_once(subjects)) {
            samples.push(sample);
        }
    }
    samples
}

fn each_once(subjects: &mut [Subject<'_>]) -> Vec<f64> {
    subjects.iter_mut().map(|subject| (subject.sample)()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_of_all_samples() {
        let summary = Summary::of(&[4.0, 1.0, 3.0, 2.0, 5.0]);
        assert_eq!(
            summary,
            Summary { median: 3.0, lower: 2.0, upper: 4.0, least: 1.0, most: 5.0, samples: 5 }
        );
        assert_eq!(Summary::of(&[]).samples, 0);
        assert_eq!(ratio(&[2.0, 30.0, 4.0], &[1.0, 10.0, 2.0]).median, 2.0);
    }

    #[test]
    fn a_round_takes_each_in_turn() {
        let order = std::cell::RefCell::new(String::new());
        let subject = |name| {
            Subject::new(name, || {
                order.borrow_mut().push_str(name);
                1.0
            })
        };
        let samples = in_turns(2, &mut [subject("a"), subject("b")]);
        assert_eq!(samples, [[1.0, 1.0], [1.0, 1.0]]);
        assert_eq!(*order.borrow(), "ababab");
    }
}
