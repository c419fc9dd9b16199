//! The persistence domain: what is durable, and what is not yet.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::medium::LINE;
use crate::sim::Event;

/// Words of eight bytes with their places, in bytes from the medium's start.
pub type Words = Vec<(u64, [u8; 8])>;

/// What is durable, and what is not yet.
#[derive(Clone, Debug)]
pub struct Domain {
    durable: Vec<u8>,
    /// By line: the words stored and not yet durable, in program order.
    pending: BTreeMap<u64, Vec<Pending>>,
    /// How many words were ever stored.
    stored: u64,
}

/// A word stored and not yet durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// Its number among all words ever stored: program order, over all lines.
    pub order: u64,
    /// In bytes from the medium's start.
    pub offset: u64,
    pub value: [u8; 8],
    written_back: bool,
}

impl Domain {
    /// Begins with everything durable. Its length is a multiple of eight.
    pub fn new(durable: Vec<u8>) -> Domain {
        assert!(durable.len().is_multiple_of(8), "{} bytes are not whole words", durable.len());
        Domain { durable, pending: BTreeMap::new(), stored: 0 }
    }

    /// Goes on by one event. Returns the words that it made durable.
    pub fn apply(&mut self, event: &Event) -> Words {
        let mut durable = Words::new();
        match event {
            Event::Store { offset, bytes } => self.store(*offset, bytes),
            Event::WriteBack(range) => {
                let lines = range.start / LINE..range.end.div_ceil(LINE);
                for (_, words) in self.pending.range_mut(lines) {
                    words.iter_mut().for_each(|word| word.written_back = true);
                }
            }
            Event::Fence => {
                for words in self.pending.values_mut() {
                    for word in words.extract_if(.., |word| word.written_back) {
                        self.durable[word.offset as usize..][..8].copy_from_slice(&word.value);
                        durable.push((word.offset, word.value));
                    }
                }
                self.pending.retain(|_, words| !words.is_empty());
            }
        }
        durable
    }

    fn store(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        let mut word = offset / 8 * 8;
        while word < end {
            let (from, to) = (word.max(offset), (word + 8).min(end));
            // Only a word that is stored in part keeps something of what was there.
            let mut value = if to - from == 8 { [0; 8] } else { self.visible(word) };
            value[(from - word) as usize..(to - word) as usize]
                .copy_from_slice(&bytes[(from - offset) as usize..(to - offset) as usize]);
            let words = self.pending.entry(word / LINE).or_default();
            words.push(Pending { order: self.stored, offset: word, value, written_back: false });
            self.stored += 1;
            word += 8;
        }
    }

    /// A word as a load sees it.
    fn visible(&self, offset: u64) -> [u8; 8] {
        let words = self.pending.get(&(offset / LINE)).into_iter().flatten();
        words.filter(|word| word.offset == offset).fold(self.durable_word(offset), |_, word| word.value)
    }

    pub(super) fn durable_word(&self, offset: u64) -> [u8; 8] {
        let mut value = [0; 8];
        value.copy_from_slice(&self.durable[offset as usize..][..8]);
        value
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = &[Pending]> {
        self.pending.values().map(Vec::as_slice)
    }

    /// What is durable.
    pub fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// What is durable with some words stored over it, as [`Domain::images`] returns them.
    pub fn image(&self, words: &Words) -> Vec<u8> {
        let mut image = self.durable.clone();
        for (offset, value) in words {
            image[*offset as usize..][..8].copy_from_slice(value);
        }
        image
    }

    /// How many lines have stores that are not yet durable.
    pub fn pending_lines(&self) -> usize {
        self.pending.len()
    }

    /// How many lines have stores that were not even written back: at an acknowledgement, a defect.
    pub fn dirty_lines(&self) -> usize {
        self.pending.values().filter(|words| words.iter().any(|word| !word.written_back)).count()
    }
}
