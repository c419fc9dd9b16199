//! The judgement: what a run left in the images, compared with what it was told.
//!
//! Three questions, each of its own evidence:
//! - Was anything stored where nobody ever stores (the canary, unused parts of the pool, records that were sealed
//!   before)? The bytes are compared.
//! - Is what was stored readable? The pool's own code opens the image and checks every record's checksum.
//! - Is it what the clients were promised? Every key is read and compared with what was acknowledged.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::Path;

use pmem::pool::Tail;
use pmem::{Device, Pool};
use serde::{Deserialize, Serialize};

use super::load::{Known, Ledger, Value, length};
use super::template::{self, Area, Changes, Template};

/// How many findings of one sort are written down. Their number is kept in any case.
const MOST: usize = 8;

/// What a run left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Changes of the device that nobody had a grant for.
    pub canary: Findings,
    /// Changes of the pool's device where nothing had to be stored.
    pub overwritten: Findings,
    /// Records that are there and not readable, or why the pool cannot be opened.
    pub unreadable: Findings,
    /// Keys that do not have the value that was acknowledged, nor one sent later.
    pub wrong: Findings,
    /// How the log ended.
    pub tail: String,
}

/// Findings of one sort.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// How many there are.
    pub count: u64,
    /// The first ones, for people.
    pub first: Vec<String>,
}

impl Findings {
    fn note(&mut self, finding: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < MOST {
            self.first.push(finding());
        }
    }
}

/// What has become of the data, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Data {
    /// The device that nobody had a grant for has changed.
    CanaryChanged,
    /// Bytes of the pool's device were stored that nobody had to store, or stored otherwise than the pool computed
    /// them.
    Overwritten,
    /// All records are whole, but they do not say what was acknowledged: the mistake was made before, in RAM.
    WrongBeforeStore,
    /// Everything acknowledged is there.
    Intact,
}

impl Judgement {
    /// Judges the images that a run left, in which this has changed.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn new(template: &Template, pool: &Path, changes: &Changes, ledger: &Ledger) -> io::Result<Self> {
        let mut judgement = Self::default();
        for change in &changes.canary {
            judgement.canary.note(|| shown(change));
        }
        for (change, area) in template.overwritten(pool, &changes.pool)? {
            let place = match area {
                Area::Superblock => "a superblock",
                Area::Sealed => "records acknowledged before the run",
                Area::Unused | Area::Active => "unused space",
            };
            judgement.overwritten.note(|| format!("{} in {place}", shown(&change)));
        }
        match template::open(pool) {
            Ok(mut pool) => judgement.read(&mut pool, template, ledger),
            Err(error) => judgement.unreadable.note(|| error),
        }
        Ok(judgement)
    }

    fn read(&mut self, pool: &mut Pool<Device>, template: &Template, ledger: &Ledger) {
        let tail = pool.report().tail;
        self.tail = template::tail(tail);
        for damage in &pool.report().damage {
            self.unreadable.note(|| damage.to_string());
        }
        let wrong_before = self.wrong.count;
        for (key, known) in template.ledger.iter().chain(ledger) {
            match read(pool, key) {
                Ok(found) => self.compare(key, known, &found),
                Err(error) => self.unreadable.note(|| format!("{key}: {error}")),
            }
        }
        self.find_strangers(pool, template, ledger);
        // The end of the log is torn if the machine was killed in the middle of a batch, and then nothing is missing.
        // If something is, it was stored otherwise than its checksum says.
        if let Tail::Torn { offset, .. } = tail
            && self.wrong.count > wrong_before
        {
            self.unreadable.note(|| format!("the log ends at {offset:#x} although more was acknowledged"));
        }
    }

    fn compare(&mut self, key: &str, known: &Known, found: &Value) {
        if *found == known.acknowledged || known.sent.contains(found) {
            return;
        }
        let what = if known.older.contains(found) {
            "an older value"
        } else if found.is_none() {
            "nothing"
        } else {
            "a value that nobody sent"
        };
        let (found, acknowledged) = (length(found), length(&known.acknowledged));
        self.wrong.note(|| format!("{key} has {what} ({found}) instead of the one acknowledged ({acknowledged})"));
    }

    fn find_strangers(&mut self, pool: &mut Pool<Device>, template: &Template, ledger: &Ledger) {
        let mut keys = BTreeSet::new();
        let mut cursor = 0;
        loop {
            let scanned = pool.turn(|turn| {
                turn.scan(cursor, 256, |key, _| {
                    keys.insert(key.to_vec());
                })
            });
            match scanned {
                Ok((Ok(0), _)) => break,
                Ok((Ok(next), _)) => cursor = next,
                Ok((Err(error), _)) | Err(error) => return self.unreadable.note(|| error.to_string()),
            }
        }
        for key in keys {
            let name = String::from_utf8_lossy(&key).into_owned();
            if !template.ledger.contains_key(&name) && !ledger.contains_key(&name) {
                self.wrong.note(|| format!("nobody wrote the key {name:?}"));
            }
        }
    }

    /// What has become of the data.
    pub fn data(&self) -> Data {
        if self.canary.count > 0 {
            Data::CanaryChanged
        } else if self.overwritten.count > 0 || self.unreadable.count > 0 {
            Data::Overwritten
        } else if self.wrong.count > 0 {
            Data::WrongBeforeStore
        } else {
            Data::Intact
        }
    }

    /// Whether something acknowledged is lost or altered.
    pub fn lost_acknowledged(&self) -> bool {
        self.wrong.count > 0 || self.unreadable.count > 0
    }
}

fn read(pool: &mut Pool<Device>, key: &str) -> Result<Value, pmem::Error> {
    let mut value = Vec::new();
    let (found, _receipt) = pool.turn(|turn| turn.get(key.as_bytes(), &mut value))?;
    Ok(found?.map(|_| value))
}

fn shown(range: &Range<u64>) -> String {
    format!("{} bytes at {:#x}", range.end - range.start, range.start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::template::{FIRST_SEGMENT, LENGTH, SEGMENT, doctor};
    use std::path::PathBuf;
    use std::sync::LazyLock;
    use tempfile::TempDir;

    static TEMPLATE: LazyLock<Template> = LazyLock::new(|| {
        let directory = tempfile::tempdir().unwrap();
        Template::make(directory.path()).unwrap()
    });

    struct Images {
        directory: TempDir,
        paths: [PathBuf; 2],
        ledger: Ledger,
    }

    impl Images {
        /// Images in which `put` was stored and acknowledged after the template, without a clean shutdown.
        fn with(put: &[(&str, &[u8])]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let paths = TEMPLATE.copy(directory.path()).unwrap();
            let mut pool = Pool::open(Device::open(&paths[0]).unwrap()).unwrap();
            let mut ledger = Ledger::new();
            for (key, value) in put {
                pool.turn(|turn| turn.put(key.as_bytes(), value, None)).unwrap().0.unwrap();
                let known = ledger.entry((*key).to_owned()).or_default();
                known.older.push(known.acknowledged.replace(value.to_vec()));
            }
            Self { directory, paths, ledger }
        }

        fn judge(&self) -> Judgement {
            assert!(self.directory.path().is_dir());
            let changes = TEMPLATE.changes([&self.paths[0], &self.paths[1]]).unwrap();
            Judgement::new(&TEMPLATE, &self.paths[0], &changes, &self.ledger).unwrap()
        }

        fn find(&self, bytes: &[u8]) -> u64 {
            let image = std::fs::read(&self.paths[0]).unwrap();
            image.windows(bytes.len()).position(|window| window == bytes).unwrap() as u64
        }
    }

    const VALUE: &[u8] = b"a value that is easily found again in the image";

    #[test]
    fn what_was_stored_as_it_should_is_intact() {
        let judgement = Images::with(&[]).judge();
        assert_eq!(judgement.data(), Data::Intact, "{judgement:?}");
        let big = vec![7; 3 * SEGMENT as usize];
        let many: Vec<(String, &[u8])> = (0..40).map(|n| (format!("key{n}"), &big[..SEGMENT as usize / 8])).collect();
        let many: Vec<(&str, &[u8])> = many.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let judgement = Images::with(&many).judge();
        assert_eq!((judgement.data(), judgement.tail.as_str()), (Data::Intact, "unclean"), "{judgement:?}");
    }

    #[test]
    fn one_changed_byte_of_the_canary_is_found_wherever_it_is() {
        for offset in [0, 4096 * 77 + 5, LENGTH - 1] {
            let images = Images::with(&[("key", VALUE)]);
            doctor(&images.paths[1], offset, &[0]).unwrap();
            let judgement = images.judge();
            assert_eq!(judgement.data(), Data::CanaryChanged, "{judgement:?}");
            assert_eq!(judgement.canary.first, [format!("1 bytes at {offset:#x}")]);
            assert!(!judgement.lost_acknowledged());
        }
    }

    #[test]
    fn what_a_run_has_changed_is_put_back() {
        let images = Images::with(&[("key", VALUE)]);
        doctor(&images.paths[1], 12345, &[0]).unwrap();
        let changes = TEMPLATE.changes([&images.paths[0], &images.paths[1]]).unwrap();
        assert!(images.judge().canary.count == 1 && !changes.pool.is_empty());
        TEMPLATE.restore(&images.paths, &changes).unwrap();
        let left = TEMPLATE.changes([&images.paths[0], &images.paths[1]]).unwrap();
        assert_eq!(left, Changes::default());
    }

    #[test]
    fn one_changed_byte_of_unused_space_is_found() {
        let unused = LENGTH - 3 * SEGMENT;
        let images = Images::with(&[("key", VALUE)]);
        doctor(&images.paths[0], unused, &[0]).unwrap();
        let judgement = images.judge();
        assert_eq!((judgement.data(), judgement.lost_acknowledged()), (Data::Overwritten, false), "{judgement:?}");
        assert!(judgement.overwritten.first[0].contains("unused space"), "{judgement:?}");
    }

    #[test]
    fn the_checkpoint_may_go_and_nothing_else_of_it_may_change() {
        let images = Images::with(&[("key", VALUE)]);
        // Opened, the pool has no checkpoint any more; its segment is freed by and by.
        let image = std::fs::read(&images.paths[0]).unwrap();
        assert_eq!(image[4096..4160], [0; 64]);
        let held = images.find(b"HFSEGCKP");
        doctor(&images.paths[0], held, b"HFSEGFRE").unwrap();
        assert_eq!(images.judge().data(), Data::Intact);
        doctor(&images.paths[0], held + 1000, &[!image[held as usize + 1000]]).unwrap();
        assert_eq!(images.judge().data(), Data::Overwritten);
        for offset in [4096, 4097, 8192] {
            let images = Images::with(&[("key", VALUE)]);
            doctor(&images.paths[0], offset, b"H").unwrap();
            let judgement = images.judge();
            assert_eq!((judgement.data(), judgement.lost_acknowledged()), (Data::Overwritten, false), "{judgement:?}");
        }
    }

    #[test]
    fn a_changed_record_is_overwritten_whether_it_is_old_or_new() {
        let images = Images::with(&[("key", VALUE)]);
        doctor(&images.paths[0], FIRST_SEGMENT + 5000, &[0xff; 8]).unwrap();
        let judgement = images.judge();
        assert_eq!((judgement.data(), judgement.lost_acknowledged()), (Data::Overwritten, true), "{judgement:?}");
        assert!(judgement.overwritten.first[0].contains("acknowledged before"), "{judgement:?}");

        let images = Images::with(&[("key", VALUE), ("another", b"behind it"), ("third", b"behind that")]);
        doctor(&images.paths[0], images.find(VALUE), b"A").unwrap();
        let judgement = images.judge();
        assert_eq!((judgement.data(), judgement.lost_acknowledged()), (Data::Overwritten, true), "{judgement:?}");
        assert_eq!(judgement.overwritten.count, 0);
    }

    #[test]
    fn the_last_record_is_not_taken_for_one_that_was_never_acknowledged() {
        let images = Images::with(&[("key", b"before"), ("key", VALUE)]);
        doctor(&images.paths[0], images.find(VALUE), b"A").unwrap();
        let judgement = images.judge();
        assert!(judgement.wrong.first[0].contains("an older value"), "{judgement:?}");
        assert_eq!((judgement.data(), judgement.lost_acknowledged()), (Data::Overwritten, true), "{judgement:?}");
    }

    #[test]
    fn superblocks_are_looked_at() {
        let images = Images::with(&[("key", VALUE)]);
        doctor(&images.paths[0], LENGTH - 100, &[1]).unwrap();
        let judgement = images.judge();
        assert!(judgement.overwritten.first[0].contains("superblock"), "{judgement:?}");
        doctor(&images.paths[0], 20, &[1]).unwrap();
        doctor(&images.paths[0], LENGTH - 4000, &[1]).unwrap();
        let judgement = images.judge();
        assert!(judgement.unreadable.count > 0 && judgement.data() == Data::Overwritten, "{judgement:?}");
    }

    #[test]
    fn a_whole_record_that_says_something_else_was_wrong_before_it_was_stored() {
        let mut images = Images::with(&[("key", VALUE), ("gone", b"x")]);
        let is_wrong = |images: &Images, what: &str| {
            let judgement = images.judge();
            assert_eq!(
                (judgement.data(), judgement.lost_acknowledged()),
                (Data::WrongBeforeStore, true),
                "{judgement:?}"
            );
            assert!(judgement.wrong.first[0].contains(what), "{judgement:?}");
        };
        let kept = images.ledger.clone();
        images.ledger.get_mut("key").unwrap().acknowledged = Some(b"another value".to_vec());
        is_wrong(&images, "that nobody sent");
        images.ledger.clone_from(&kept);
        images.ledger.insert("lost".into(), Known { acknowledged: Some(vec![1]), ..Known::default() });
        is_wrong(&images, "nothing");
        images.ledger.clone_from(&kept);
        images.ledger.remove("gone");
        is_wrong(&images, "nobody wrote the key \"gone\"");
    }

    #[test]
    fn what_was_sent_and_not_acknowledged_may_be_there_or_not() {
        let mut images = Images::with(&[("key", VALUE)]);
        let known = images.ledger.get_mut("key").unwrap();
        known.sent = vec![None, known.acknowledged.replace(b"before".to_vec())];
        assert_eq!(images.judge().data(), Data::Intact);
    }
}
