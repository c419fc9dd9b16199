//! Which key a client asks for next, and whether it reads or writes.

use super::Traffic;

/// The exponent of Zipf's law as YCSB has it: the first of 100,000 keys gets a twelfth of all requests.
const EXPONENT: f64 = 0.99;

/// How often each key is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Popularity {
    /// All equally often.
    Uniform,
    /// By Zipf's law: the n-th key in proportion to n to the power of -0.99.
    Zipf,
}

/// Chooses.
#[derive(Debug)]
pub(super) struct Choice {
    random: fastrand::Rng,
    keys: u64,
    reads: u32,
    /// For each key, where keys differ: how often it and those before it are asked for, in parts of what the last has.
    popularity: Vec<f64>,
}

impl Choice {
    /// One that makes the same choices for the same seed.
    pub fn new(traffic: &Traffic, seed: u64) -> Self {
        let popularity = match traffic.popularity {
            Popularity::Uniform => Vec::new(),
            Popularity::Zipf => zipf(traffic.keys),
        };
        Self { random: fastrand::Rng::with_seed(seed), keys: traffic.keys, reads: traffic.reads, popularity }
    }

    /// The next key's number.
    pub fn key(&mut self) -> u64 {
        let Some(all) = self.popularity.last() else { return self.random.u64(..self.keys) };
        let at = self.random.f64() * all;
        // Rounding can make it the whole.
        (self.popularity.partition_point(|&until| until <= at) as u64).min(self.keys - 1)
    }

    /// Whether the next request reads.
    pub fn reads(&mut self) -> bool {
        match self.reads {
            0 => false,
            100.. => true,
            some => self.random.u32(..100) < some,
        }
    }
}

fn zipf(keys: u64) -> Vec<f64> {
    let mut sum = 0.0;
    let until = |number: u64| {
        sum += (number as f64).powf(-EXPONENT);
        sum
    };
    (1..=keys).map(until).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: usize = 100_000;

    fn choice(popularity: Popularity, reads: u32) -> Choice {
        Choice::new(&Traffic { connections: 1, pipeline: 1, value: 1, keys: 1000, popularity, reads, writers: 0 }, 1)
    }

    /// How often each key was chosen.
    fn chosen(popularity: Popularity) -> Vec<usize> {
        let mut choice = choice(popularity, 0);
        let mut times = vec![0; 1000];
        (0..TIMES).for_each(|_| times[choice.key() as usize] += 1);
        times
    }

    #[test]
    fn keys_are_asked_for_as_often_as_their_law_says() {
        let uniform = chosen(Popularity::Uniform);
        assert!(uniform.iter().all(|times| (50..200).contains(times)), "{uniform:?}");
        // The sum of n^-0.99 for n from 1 to 1000 is 7.73.
        let zipf = chosen(Popularity::Zipf);
        let expected = |number: f64| TIMES as f64 * number.powf(-0.99) / 7.73;
        for number in [1, 2, 10] {
            let ratio = zipf[number - 1] as f64 / expected(number as f64);
            assert!((0.9..1.1).contains(&ratio), "{number}: {ratio}");
        }
        let last: usize = zipf[500..].iter().sum();
        assert!((0.07..0.12).contains(&(last as f64 / TIMES as f64)), "{last}");
    }

    #[test]
    fn so_many_of_a_hundred_read() {
        let reads = |share| {
            let mut choice = choice(Popularity::Uniform, share);
            (0..TIMES).filter(|_| choice.reads()).count()
        };
        assert_eq!([reads(0), reads(100)], [0, TIMES]);
        assert!((89_000..91_000).contains(&reads(90)), "{}", reads(90));
    }
}
