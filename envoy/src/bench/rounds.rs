//! Rounds: every cell of the table is measured for a moment, then the next, in an order that shifts from round to round, so that
//! a slow minute of the machine weighs on all of them. Ratios are taken within a round.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::time::Duration;

use super::load::{self, Requests};
use super::machine::processor_time;
use super::wrk;

/// One row to be: what is sent where.
pub(super) struct Cell {
    /// Which filter, as the table names it.
    pub(super) filter: String,
    /// What is sent, as the table names it.
    pub(super) what: String,
    pub(super) address: SocketAddr,
    pub(super) requests: Requests,
    pub(super) connections: usize,
    /// The processes whose time counts beside Envoy's.
    pub(super) beside: Option<u32>,
    /// What each round measured.
    pub(super) samples: Vec<Sample>,
}

/// What one round measured of one cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// Requests a second.
    pub(super) rate: f64,
    /// Latency in microseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// Processor time for a request in microseconds: Envoy's, and that of the server beside it.
    pub(super) envoy: f64,
    pub(super) beside: f64,
}

impl Sample {
    /// The processor time of all that a request needs.
    pub(super) fn processor(&self) -> f64 {
        self.envoy + self.beside
    }
}

/// How long it is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) rounds: usize,
    /// How many starts the rounds of the main tables are spread over: where the parts of a process come to lie in memory, and with it
    /// in the caches, differs from start to start, and the same module is faster by a twentieth in one than in the next.
    pub(super) starts: usize,
    /// How many rounds there were before, in other starts of the same.
    pub(super) before: usize,
    pub(super) time: Duration,
    /// Whether `wrk` sends what is the same again and again.
    pub(super) wrk: bool,
}

impl Plan {
    /// Its rounds, spread evenly over its starts.
    pub(super) fn shares(self) -> Vec<Self> {
        let each = self.rounds.div_ceil(self.starts.max(1)).max(1);
        let begins = (0..self.rounds).step_by(each);
        begins.map(|before| Self { rounds: each.min(self.rounds - before), before, ..self }).collect()
    }
}

/// Adds the rounds of another start to those of the same cells before.
pub(super) fn join(cells: &mut Vec<Cell>, others: Vec<Cell>) {
    if cells.is_empty() {
        cells.extend(others);
    } else {
        cells.iter_mut().zip(others).for_each(|(cell, other)| cell.samples.extend(other.samples));
    }
}

/// How long a cell is warmed up.
const WARM: Duration = Duration::from_millis(80);

/// Measures every cell in every round, after a round that warms up. A round begins elsewhere than the one before and goes the other
/// way round, so that no cell of two is always the later one.
///
/// # Errors
/// When a load fails; the text names the cell.
pub(super) async fn measure(cells: &mut [Cell], envoy: u32, plan: Plan) -> Result<()> {
    for round in 0..=plan.rounds {
        let plan = if round == 0 { Plan { time: WARM, wrk: false, ..plan } } else { plan };
        for index in order(cells.len(), plan.before + round) {
            let Some(cell) = cells.get_mut(index) else { continue };
            let sample = cell.measure(envoy, plan).await.with_context(|| format!("{}, {}", cell.filter, cell.what))?;
            if round > 0 {
                cell.samples.push(sample);
            }
        }
        eprintln!("round {round} of {} done", plan.rounds);
    }
    Ok(())
}

/// The order in which a round measures so many cells.
fn order(cells: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..cells).map(move |place| {
        let index = (place + round * 3) % cells;
        if round.is_multiple_of(2) { index } else { cells - 1 - index }
    })
}

/// What a row without a check is sent: as many bytes as with one.
pub(super) fn unchecked(what: &str) -> String {
    format!("{what}, not checked")
}

/// The row of this filter and what it was sent.
///
/// # Errors
/// When there is none.
pub(super) fn find<'a>(cells: &'a [Cell], filter: &str, what: &str) -> Result<&'a Cell> {
    let found = cells.iter().find(|cell| cell.filter == filter && cell.what == what);
    found.with_context(|| format!("nothing measured of {filter}, {what}"))
}

impl Cell {
    pub(super) fn new(filter: &str, what: &str, address: SocketAddr, requests: Requests, connections: usize) -> Self {
        let (filter, what) = (filter.to_owned(), what.to_owned());
        Self { filter, what, address, requests, connections, beside: None, samples: Vec::new() }
    }

    /// One measurement.
    ///
    /// # Errors
    /// When the load fails or a process is gone.
    pub(super) async fn measure(&self, envoy: u32, plan: Plan) -> Result<Sample> {
        let used = || -> Result<(Duration, Duration)> {
            Ok((processor_time(envoy)?, self.beside.map_or(Ok(Duration::ZERO), processor_time)?))
        };
        let before = used()?;
        let measured = match &self.requests {
            Requests::Same(request) if plan.wrk => {
                wrk::run(self.address, request, self.connections, plan.time, 200).await?
            }
            requests => load::run(self.address, requests, self.connections, plan.time, 200).await?,
        };
        let after = used()?;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / measured.requests as f64;
        Ok(Sample {
            rate: measured.rate(),
            p50: measured.p50,
            p99: measured.p99,
            envoy: each(after.0.saturating_sub(before.0)),
            beside: each(after.1.saturating_sub(before.1)),
        })
    }

    /// The median of one figure.
    pub(super) fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(figure).collect())
    }

    /// The median of the ratios to another cell's figure, round by round.
    pub(super) fn ratio(&self, to: &Self, figure: impl Fn(&Sample) -> f64) -> Spread {
        let pairs = self.samples.iter().zip(&to.samples);
        Spread::of(pairs.map(|(mine, theirs)| figure(mine) / figure(theirs)).collect())
    }
}

/// A median and the quartiles, between which half of the values are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) lower: f64,
    pub(super) upper: f64,
}

impl Spread {
    pub(super) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let (lower, upper) = (at(values.len() / 4), at(values.len().saturating_sub(1 + values.len() / 4)));
        Self { median: median(values), lower, upper }
    }
}

/// The median; of an even number the mean of the two in the middle; not a number where there is none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), middle.checked_sub(1).and_then(|below| values.get(below))) {
        (Some(upper), Some(lower)) if values.len().is_multiple_of(2) => f64::midpoint(*lower, *upper),
        (Some(upper), _) => *upper,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(rates: &[f64]) -> Cell {
        let mut cell = Cell::new("a", "b", ([127, 0, 0, 1], 1).into(), Requests::same(Vec::new()), 1);
        cell.samples =
            rates.iter().map(|rate| Sample { rate: *rate, p50: 1.0, p99: 2.0, envoy: 3.0, beside: 4.0 }).collect();
        cell
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
        assert_eq!(cell(&[5.0, 1.0, 3.0]).median(|sample| sample.rate), 3.0);
        assert_eq!(cell(&[1.0]).median(Sample::processor), 7.0);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // a slow second round weighs on both
        let spread = cell(&[90.0, 9.0, 80.0]).ratio(&cell(&[100.0, 10.0, 100.0]), |sample| sample.rate);
        assert_eq!(spread, Spread { median: 0.9, lower: 0.8, upper: 0.9 });
    }

    #[test]
    fn rounds_are_spread_evenly_over_starts() {
        let plan = |rounds, starts| Plan { rounds, starts, before: 0, time: WARM, wrk: false };
        let shares = |rounds, starts| -> Vec<(usize, usize)> {
            plan(rounds, starts).shares().iter().map(|share| (share.before, share.rounds)).collect()
        };
        assert_eq!(shares(5, 2), [(0, 3), (3, 2)]);
        assert_eq!(shares(2, 4), [(0, 1), (1, 1)]);
        assert_eq!(shares(32, 16).len(), 16);
        assert_eq!(shares(0, 0), []);
    }

    #[test]
    fn each_round_measures_every_cell_and_neighbours_take_turns() {
        for (cells, round) in [(1, 1), (5, 0), (5, 3), (7, 4)] {
            let mut all: Vec<usize> = order(cells, round).collect();
            all.sort_unstable();
            assert_eq!(all, (0..cells).collect::<Vec<_>>());
        }
        assert_eq!(order(5, 2).collect::<Vec<_>>(), [1, 2, 3, 4, 0]);
        assert_eq!(order(5, 3).collect::<Vec<_>>(), [0, 4, 3, 2, 1]);
    }

    #[test]
    fn quartiles() {
        let spread = Spread::of((1..=9).rev().map(f64::from).collect());
        assert_eq!(spread, Spread { median: 5.0, lower: 3.0, upper: 7.0 });
        assert!(Spread::of(Vec::new()).lower.is_nan());
    }
}
