//! What is told of the answers: how many came, and how long they took.

use std::time::Duration;

/// What clients saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Requests that were answered.
    requests: u64,
    /// From the first request to the last answer.
    took: Duration,
    /// How long each pipeline waited for its last answer, the shortest first.
    waits: Vec<Duration>,
}

impl Answers {
    pub(super) fn new(requests: u64, took: Duration, mut waits: Vec<Duration>) -> Self {
        waits.sort_unstable();
        Self { requests, took, waits }
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }

    /// Within how long so many of a hundred were answered; zero where there were none.
    pub fn percentile(&self, percent: usize) -> Duration {
        let number = (self.waits.len() * percent).div_ceil(100).saturating_sub(1);
        self.waits.get(number).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_answers_the_ninety_ninth_is_told() {
        let milliseconds = |number| Duration::from_millis(number);
        let answers = Answers::new(200, milliseconds(500), (1..=100).rev().map(milliseconds).collect());
        assert_eq!(answers.rate(), 400.0);
        assert_eq!([50, 99, 100].map(|percent| answers.percentile(percent)), [50, 99, 100].map(milliseconds));
        assert_eq!(Answers::new(0, milliseconds(1), Vec::new()).percentile(99), Duration::ZERO);
    }
}
