//! Medians and their spread.

use serde_json::{Value, json};

/// What several runs measured of one thing. The median is what to quote; a wide spread says that the computer was busy
/// with other work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least.
    pub least: f64,
    /// The one in the middle; of an even number, the mean of the two there.
    pub median: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of these values; of none, nothing can be said.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&least, &most) = (values.first()?, values.last()?);
        let upper = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[upper] } else { values[upper - 1].midpoint(values[upper]) };
        Some(Self { least, median, most })
    }

    /// For programs.
    pub fn to_json(self) -> Value {
        json!({ "least": self.least, "median": self.median, "most": self.most })
    }
}

/// A number with three digits that say something, for people: `75,131`, `2.25`, `0.062`.
pub fn display(value: f64) -> String {
    match value.abs() {
        1000.0.. => thousands(value.round() as i64),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn thousands(value: i64) -> String {
    match value / 1000 {
        0 => value.to_string(),
        more => format!("{},{:03}", thousands(more), (value % 1000).abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { least: 1.0, median: 2.0, most: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some(Spread { least: 1.0, median: 2.5, most: 4.0 }));
        assert_eq!(spread(&[7.0]), Some(Spread { least: 7.0, median: 7.0, most: 7.0 }));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn numbers_have_three_digits_that_say_something() {
        let shown = [75_131.48, 1_000_000.0, 999.6, 12.34, 2.249, 0.0617, 0.0].map(display);
        assert_eq!(shown, ["75,131", "1,000,000", "1000", "12.3", "2.25", "0.062", "0.000"]);
    }
}
