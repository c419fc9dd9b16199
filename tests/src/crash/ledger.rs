//! What a recovered pool may hold: at least everything that was acknowledged, at most what was asked for besides, each
//! operation wholly or not at all, and nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::crash::load::{Life, Operation, Pipeline};

/// What a pool holds: by key, the value and its expiry.
pub type Contents = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

/// What a key has that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    value: Vec<u8>,
    expires: Expiry,
}

/// When a key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    At(Option<u64>),
    /// At some moment that only the guest's clock knows.
    Soon,
}

/// What is known at one moment of a run.
#[derive(Clone, Debug)]
pub struct Ledger<'l> {
    lives: &'l [Life],
    life: usize,
    phase: usize,
    /// By client: the pipelines of the phase that were not begun.
    waiting: Vec<&'l [Pipeline]>,
    /// By client: the operations that may have been begun, and are not acknowledged.
    begun: Vec<VecDeque<&'l Operation>>,
    acknowledged: BTreeMap<&'l str, Held>,
    count: u64,
}

/// What is wrong with a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// In words.
    pub what: String,
    /// The key that shows it.
    pub key: String,
}

impl<'l> Ledger<'l> {
    /// The beginning of a run.
    pub fn new(lives: &'l [Life]) -> Self {
        let mut ledger = Self {
            lives,
            life: 0,
            phase: 0,
            waiting: Vec::new(),
            begun: Vec::new(),
            acknowledged: BTreeMap::new(),
            count: 0,
        };
        ledger.enter_phase();
        ledger
    }

    /// How many operations were acknowledged.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Goes on by an acknowledgement for this client. Returns the operation; `None` if the client has asked for
    /// nothing.
    pub fn acknowledge(&mut self, client: usize) -> Option<&'l Operation> {
        let operation = self.begun.get_mut(client)?.pop_front()?;
        for (key, held) in effects(operation) {
            match held {
                Some(held) => drop(self.acknowledged.insert(key, held)),
                None => drop(self.acknowledged.remove(key)),
            }
        }
        if *operation == Operation::Flush {
            self.acknowledged.clear();
        }
        self.count += 1;
        if self.begun[client].is_empty() {
            self.begin_next(client);
        }
        if self.begun.iter().all(VecDeque::is_empty) {
            self.phase += 1;
            self.enter_phase();
        }
        Some(operation)
    }

    /// Whether everything was acknowledged that the clients ask for in a life.
    pub fn is_over(&self, life: usize) -> bool {
        self.life > life
    }

    fn enter_phase(&mut self) {
        while let Some(life) = self.lives.get(self.life) {
            let Some(phase) = life.phases.get(self.phase) else {
                (self.life, self.phase) = (self.life + 1, 0);
                continue;
            };
            self.waiting = phase.clients.iter().map(Vec::as_slice).collect();
            self.begun = vec![VecDeque::new(); phase.clients.len()];
            (0..self.begun.len()).for_each(|client| self.begin_next(client));
            return;
        }
        (self.waiting, self.begun) = (Vec::new(), Vec::new());
    }

    fn begin_next(&mut self, client: usize) {
        if let Some((next, rest)) = self.waiting[client].split_first() {
            self.begun[client].extend(next);
            self.waiting[client] = rest;
        }
    }

    /// Judges what a pool holds.
    ///
    /// # Errors
    /// What is wrong.
    pub fn judge(&self, found: &Contents) -> Result<(), Wrong> {
        if self.begun.iter().flatten().any(|operation| **operation == Operation::Flush) {
            // It is alone.
            return if found.is_empty() { Ok(()) } else { self.judge_rest(found, &BTreeSet::new()) };
        }
        let open: BTreeSet<&str> = self.begun.iter().flatten().flat_map(|operation| keys(operation)).collect();
        self.judge_rest(found, &open)?;
        self.begun.iter().enumerate().try_for_each(|(client, begun)| self.judge_begun(client, begun, found))
    }

    /// Judges the keys that no unacknowledged operation is about.
    fn judge_rest(&self, found: &Contents, open: &BTreeSet<&str>) -> Result<(), Wrong> {
        for (key, held) in &self.acknowledged {
            if !open.contains(key) && !held.is(found.get(key.as_bytes())) {
                let what = format!("{key} has {}, but {} was acknowledged", shown(found, key), held.shown());
                return Err(Wrong { what, key: (*key).to_owned() });
            }
        }
        let known = |key: &&Vec<u8>| {
            std::str::from_utf8(key).is_ok_and(|key| open.contains(key) || self.acknowledged.contains_key(key))
        };
        match found.keys().find(|key| !known(key)) {
            None => Ok(()),
            Some(key) => {
                let key = String::from_utf8_lossy(key).into_owned();
                Err(Wrong { what: format!("{key} has {}, but was removed or never set", shown(found, &key)), key })
            }
        }
    }

    /// Judges the keys that a client's unacknowledged operations are about: some number of these was done, in order.
    fn judge_begun(&self, client: usize, begun: &VecDeque<&Operation>, found: &Contents) -> Result<(), Wrong> {
        let mut state: BTreeMap<&str, Option<Held>> = BTreeMap::new();
        for operation in begun {
            for key in keys(operation) {
                state.entry(key).or_insert_with(|| self.acknowledged.get(key).cloned());
            }
        }
        let disagreement = |state: &BTreeMap<&str, Option<Held>>| {
            let differs = |(key, held): &(&&str, &Option<Held>)| match held {
                Some(held) => !held.is(found.get(key.as_bytes())),
                None => found.contains_key(key.as_bytes()),
            };
            state.iter().find(differs).map(|(key, held)| {
                let wanted = held.as_ref().map_or("nothing".into(), Held::shown);
                Wrong { what: format!("{key} has {} instead of {wanted}", shown(found, key)), key: (*key).to_owned() }
            })
        };
        let mut wrong = None;
        for done in 0..=begun.len() {
            match disagreement(&state) {
                None => return Ok(()),
                Some(first) => drop(wrong.get_or_insert(first)),
            }
            if let Some(operation) = begun.get(done) {
                for (key, held) in effects(operation) {
                    state.insert(key, held);
                }
            }
        }
        let Some(mut wrong) = wrong else { return Ok(()) };
        wrong.what = format!(
            "after what was acknowledged, client {client} asked for {} operations, and the pool holds the effect of no number of \
             them ({})",
            begun.len(),
            wrong.what
        );
        Err(wrong)
    }
}

/// The keys that an operation changes.
fn keys(operation: &Operation) -> impl Iterator<Item = &str> {
    effects(operation).map(|(key, _)| key)
}

/// What an operation makes of which keys. What FLUSHALL does is not among it.
fn effects(operation: &Operation) -> impl Iterator<Item = (&str, Option<Held>)> {
    let set = |key, value: &Vec<u8>, expires| (key, Some(Held { value: value.clone(), expires }));
    let effects: Vec<(&str, Option<Held>)> = match operation {
        Operation::Set(key, value, at) => vec![set(key.as_str(), value, Expiry::At(*at))],
        Operation::SetBriefly(key, value) => vec![set(key.as_str(), value, Expiry::Soon)],
        Operation::Delete(keys, _) => keys.iter().map(|key| (key.as_str(), None)).collect(),
        Operation::SetAll(pairs) => {
            pairs.iter().map(|(key, value)| set(key.as_str(), value, Expiry::At(None))).collect()
        }
        Operation::Flush => Vec::new(),
    };
    effects.into_iter()
}

impl Held {
    fn is(&self, found: Option<&(Vec<u8>, Option<u64>)>) -> bool {
        match (self.expires, found) {
            (Expiry::Soon, None) => true,
            (Expiry::Soon, Some((value, expires))) => *value == self.value && expires.is_some(),
            (Expiry::At(at), Some((value, expires))) => *value == self.value && *expires == at,
            (Expiry::At(_), None) => false,
        }
    }

    fn shown(&self) -> String {
        let expiry = match self.expires {
            Expiry::At(None) => String::new(),
            Expiry::At(Some(at)) => format!(" until {at}"),
            Expiry::Soon => " for a moment".into(),
        };
        format!("{} bytes{expiry}", self.value.len())
    }
}

fn shown(found: &Contents, key: &str) -> String {
    match found.get(key.as_bytes()) {
        None => "nothing".into(),
        Some((value, None)) => format!("{} bytes", value.len()),
        Some((value, Some(at))) => format!("{} bytes until {at}", value.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::load::Phase;

    fn set(key: &str, value: &str) -> Operation {
        Operation::Set(key.into(), value.into(), None)
    }

    fn contents(pairs: &[(&str, &str)]) -> Contents {
        pairs.iter().map(|(key, value)| (key.as_bytes().to_vec(), (value.as_bytes().to_vec(), None))).collect()
    }

    fn lives() -> Vec<Life> {
        let first = vec![vec![set("0:a", "1"), set("0:b", "2"), Operation::Delete(vec!["0:a".into()], 1)]];
        let second = vec![vec![Operation::SetAll(vec![("1:a".into(), b"3".into()), ("1:b".into(), b"3".into())])]];
        let work = Phase { clients: vec![first, second] };
        let flush = Phase { clients: vec![vec![vec![Operation::Flush]], vec![]] };
        vec![Life { phases: vec![work, flush] }]
    }

    #[test]
    fn every_number_of_a_clients_operations_may_be_there_and_nothing_by_halves() {
        let lives = lives();
        let ledger = Ledger::new(&lives);
        for good in [
            &[][..],
            &[("0:a", "1")],
            &[("0:a", "1"), ("0:b", "2")],
            &[("0:b", "2")],
            &[("1:a", "3"), ("1:b", "3")],
            &[("0:a", "1"), ("1:a", "3"), ("1:b", "3")],
        ] {
            assert_eq!(ledger.judge(&contents(good)), Ok(()), "{good:?}");
        }
        for bad in [&[("1:a", "3")][..], &[("0:a", "2")], &[("2:a", "1")], &[("0:b", "2"), ("0:a", "9")]] {
            assert!(ledger.judge(&contents(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_was_acknowledged_has_to_be_there() {
        let lives = lives();
        let mut ledger = Ledger::new(&lives);
        ledger.acknowledge(0);
        assert!(ledger.judge(&contents(&[])).is_err());
        ledger.acknowledge(1);
        let wrong = ledger.judge(&contents(&[("0:a", "1"), ("1:a", "3")])).unwrap_err();
        assert_eq!((wrong.key.as_str(), ledger.count()), ("1:b", 2));
        assert!(wrong.what.contains("was acknowledged"), "{wrong:?}");
        ledger.acknowledge(0);
        ledger.acknowledge(0);
        // Now only the flush may come.
        let all = contents(&[("0:b", "2"), ("1:a", "3"), ("1:b", "3")]);
        assert_eq!((ledger.judge(&all), ledger.judge(&contents(&[]))), (Ok(()), Ok(())));
        assert!(ledger.judge(&contents(&[("0:b", "2")])).is_err());
        assert_eq!(ledger.acknowledge(0), Some(&Operation::Flush));
        assert!(ledger.judge(&all).is_err() && ledger.is_over(0));
        assert_eq!((ledger.judge(&contents(&[])), ledger.acknowledge(0)), (Ok(()), None));
    }

    #[test]
    fn a_key_that_lives_briefly_may_be_gone_but_has_no_other_value() {
        let lives = [Life {
            phases: vec![Phase {
                clients: vec![vec![vec![
                    Operation::SetBriefly("0:brief:1".into(), b"1".into()),
                    Operation::SetBriefly("0:brief:1".into(), b"2".into()),
                ]]],
            }],
        }];
        let mut ledger = Ledger::new(&lives);
        ledger.acknowledge(0);
        ledger.acknowledge(0);
        let with = |value: &str| Contents::from([(b"0:brief:1".to_vec(), (value.into(), Some(5)))]);
        assert_eq!((ledger.judge(&contents(&[])), ledger.judge(&with("2"))), (Ok(()), Ok(())));
        assert!(ledger.judge(&with("1")).is_err());
    }
}
