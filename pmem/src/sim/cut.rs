//! The images that a power cut could leave: all of them when they are few, a sample when they are many.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::sim::domain::{Domain, Words};

/// The values that a word may have after a cut, besides the durable one.
type Choices = BTreeMap<u64, Vec<[u8; 8]>>;

impl Domain {
    /// Images that a power cut could leave now, each as the words in which it differs from what is durable, no two
    /// equal.
    ///
    /// Every word stored and not yet durable has any of its values, or still the durable one. If that makes at most
    /// `most` images, they are all returned. Otherwise about `most` are: nothing persisted, everything, and then kinds
    /// that find defects, drawn by `random` (which returns a number below its argument): whole lines, one line torn,
    /// everything up to some store, one word alone or missing, any mixture.
    pub fn images(&self, most: usize, random: &mut impl FnMut(u64) -> u64) -> Vec<Words> {
        match self.choices(most) {
            Some(choices) => all(&choices),
            None => self.sample(most, random),
        }
    }

    /// What every word may be, or `None` if that makes more than `most` images.
    fn choices(&self, most: usize) -> Option<Choices> {
        let mut choices = Choices::new();
        let mut images = 1usize;
        for word in self.pending().flatten() {
            if word.value == self.durable_word(word.offset) {
                continue;
            }
            let values = choices.entry(word.offset).or_default();
            if !values.contains(&word.value) {
                images = images / (values.len() + 1) * (values.len() + 2);
                values.push(word.value);
            }
            if images > most {
                return None;
            }
        }
        Some(choices)
    }

    fn sample(&self, most: usize, random: &mut impl FnMut(u64) -> u64) -> Vec<Words> {
        let mut images = BTreeSet::new();
        images.insert(self.keep(|_, _| false));
        images.insert(self.keep(|_, _| true));
        let lines = self.pending_lines();
        if lines < 16 && 4 << lines <= most {
            for subset in 1..(1u32 << lines) - 1 {
                images.insert(self.keep(|line, _| subset >> line & 1 == 1));
            }
        }
        let mut orders: Vec<u64> = self.pending().flatten().map(|word| word.order).collect();
        orders.sort_unstable();
        for _ in images.len()..most {
            let odd_line = random(lines as u64) as usize;
            let odd = orders[random(orders.len() as u64) as usize];
            images.insert(match random(8) {
                0 => self.keep(|line, _| line == odd_line),
                1 => self.keep(|line, _| line != odd_line),
                2 => self.keep(|_, order| order <= odd),
                3 => self.keep(|_, order| order == odd),
                4 => self.keep(|_, order| order != odd),
                5 => self.keep(|line, _| line != odd_line || random(2) == 0),
                6 => self.keep(|line, order| if line == odd_line { order <= odd } else { random(2) == 0 }),
                _ => {
                    let density = 1 + random(7);
                    self.keep(|_, _| random(8) < density)
                }
            });
        }
        images.into_iter().collect()
    }

    /// The image in which the stores persisted that `kept` says, by their line's position and their order.
    fn keep(&self, mut kept: impl FnMut(usize, u64) -> bool) -> Words {
        let mut words = BTreeMap::new();
        for (line, stores) in self.pending().enumerate() {
            for word in stores {
                if kept(line, word.order) {
                    words.insert(word.offset, word.value);
                }
            }
        }
        words.into_iter().filter(|(offset, value)| *value != self.durable_word(*offset)).collect()
    }
}

/// Every combination of the words' values.
fn all(choices: &Choices) -> Vec<Words> {
    let mut images = Vec::from([Words::new()]);
    for (offset, values) in choices {
        for image in 0..images.len() {
            for value in values {
                let mut more = images[image].clone();
                more.push((*offset, *value));
                images.push(more);
            }
        }
    }
    images
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use alloc::collections::BTreeSet;
    use alloc::vec;

    use crate::sim::{Domain, Event};

    fn store(offset: u64, byte: u8, len: usize) -> Event {
        Event::Store { offset, bytes: vec![byte; len] }
    }

    #[test]
    fn few_images_are_all_there() {
        let mut domain = Domain::new(vec![0; 256]);
        domain.apply(&store(0, 1, 8));
        domain.apply(&store(0, 2, 8));
        domain.apply(&store(64, 3, 12));
        domain.apply(&store(128, 0, 64));
        // A word with three values and two with two; storing what is there makes no difference.
        let images = domain.images(12, &mut |_| panic!("nothing to draw"));
        let distinct: BTreeSet<_> = images.iter().map(|image| domain.image(image)).collect();
        assert_eq!((images.len(), distinct.len()), (12, 12));
        assert!(distinct.iter().all(|image| image[64..72] == [0; 8] || image[64..72] == [3; 8]));
        assert!(distinct.iter().any(|image| image[0] == 1) && distinct.iter().any(|image| image[0] == 2));
        assert!(distinct.iter().all(|image| image[76..] == [0; 180]));
    }

    #[test]
    fn many_images_are_sampled_and_lines_persist_wholly_in_some() {
        let mut domain = Domain::new(vec![0; 4096]);
        domain.apply(&store(64, 7, 192));
        let mut generator = Rng::with_seed(1);
        let mut random = |below| generator.u64(..below);
        let images = domain.images(100, &mut random);
        assert!((60..=100).contains(&images.len()), "{}", images.len());
        let lines = |image: &[u8]| [64, 128, 192].map(|at| image[at..at + 64] == [7; 64]);
        let whole: BTreeSet<_> = images.iter().map(|image| lines(&domain.image(image))).collect();
        assert_eq!(whole.len(), 8);
    }

    #[test]
    fn only_a_fence_after_a_write_back_makes_durable() {
        let mut domain = Domain::new(vec![0; 256]);
        domain.apply(&store(0, 1, 16));
        domain.apply(&Event::Fence);
        assert_eq!((domain.durable()[0], domain.dirty_lines()), (0, 1));
        domain.apply(&Event::WriteBack(8..9));
        domain.apply(&store(16, 2, 8));
        assert_eq!(domain.apply(&Event::Fence).len(), 2);
        assert_eq!(domain.durable()[..24], [[1; 8], [1; 8], [0; 8]].concat());
        assert_eq!((domain.pending_lines(), domain.dirty_lines()), (1, 1));
    }
}
