//! A histogram of times with a bounded relative error, in the manner of HdrHistogram: 64 buckets for each power of two, so that
//! a percentile is right to within 1.6 %, in constant memory.

use std::time::Duration;

/// Buckets for each power of two, as a power of two.
const BITS: u32 = 6;
/// How many buckets a power of two has.
const STEP: usize = 1 << BITS;

/// Counts of times in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; STEP * (64 - BITS as usize + 1)], total: 0 }
    }

    /// Counts one time.
    pub(super) fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(nanos)) {
            *count += 1;
            self.total += 1;
        }
    }

    /// Adds what another one counted.
    pub(super) fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.total += other.total;
    }

    /// How many times were counted.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The time that this part (0 to 1) of all stays at or below, in microseconds: the upper end of its bucket. 0 where nothing
    /// was counted.
    pub(super) fn percentile_us(&self, part: f64) -> f64 {
        let rank = ((self.total as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper(index) as f64 / 1e3;
            }
        }
        0.0
    }
}

/// Values below [`STEP`] have a bucket each; above, the leading [`BITS`] + 1 bits name the bucket.
fn bucket(nanos: u64) -> usize {
    let power = nanos.checked_ilog2().unwrap_or(0);
    if power < BITS {
        return nanos as usize;
    }
    let shift = power - BITS;
    (shift as usize + 1) * STEP + ((nanos >> shift) as usize - STEP)
}

/// The largest value of a bucket.
fn upper(index: usize) -> u64 {
    match index / STEP {
        0 => index as u64,
        row => {
            let shift = row - 1;
            (((index % STEP + STEP) as u64 + 1) << shift).wrapping_sub(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_in_its_bucket() {
        for value in (0..200_000).chain([u64::MAX / 3, u64::MAX - 1, u64::MAX]) {
            let index = bucket(value);
            assert!(upper(index) >= value, "{value}");
            assert!(index == 0 || upper(index - 1) < value, "{value}");
            assert!((upper(index) - value) as f64 <= value as f64 / STEP as f64, "{value}");
        }
    }

    #[test]
    fn percentiles_of_known_times() {
        let mut one = Histogram::new();
        let mut two = Histogram::new();
        for micros in 1..=1000 {
            let half = if micros % 2 == 0 { &mut one } else { &mut two };
            half.record(Duration::from_micros(micros));
        }
        one.add(&two);
        assert_eq!(one.total(), 1000);
        for (part, expected) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0), (0.0, 1.0)] {
            let found = one.percentile_us(part);
            assert!((expected..expected * 1.02).contains(&found), "{part}: {found}");
        }
        assert!(Histogram::new().percentile_us(0.5) == 0.0);
    }
}
