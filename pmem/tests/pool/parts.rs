//! Long records lie in parts, segments that count when another one joins them: what power cuts, damage and old copies
//! of their headers come to.

use pmem::pool::{Checkpoint, DamageKind};
use pmem::sim::{Domain, Event, Memory};
use pmem::{FormatOptions, Pool};

const LEN: usize = 1 << 20;
const SEGMENT: usize = 64 << 10;
const SEGMENTS: usize = 14;
static OLD: [u8; 60_000] = [1; 60_000];

/// Where a segment begins.
fn start(segment: usize) -> usize {
    (1 + segment) * SEGMENT
}

/// The state and the generation that a header says.
fn header(image: &[u8], at: usize) -> (&[u8], u64) {
    (&image[at..at + 8], u64::from_le_bytes(image[at + 8..at + 16].try_into().unwrap()))
}

/// The states of both headers of a segment.
fn states(image: &[u8], segment: usize) -> [&[u8]; 2] {
    [start(segment), start(segment + 1) - 64].map(|at| header(image, at).0)
}

/// A value that takes chunks.
fn with_value() -> Pool<Memory> {
    let mut pool = Pool::format(Memory::new(LEN as u64), &FormatOptions::new([7; 16])).unwrap();
    pool.turn(|turn| turn.put(b"key", &OLD, None)).unwrap().0.unwrap();
    pool
}

/// Changes more of it than a frame takes.
fn change(pool: &mut Pool<Memory>) {
    pool.turn(|turn| turn.put_range(b"key", 0, &[2; 40_000])).unwrap().0.unwrap();
}

fn changed() -> Vec<u8> {
    [&[2; 40_000][..], &OLD[40_000..]].concat()
}

fn value(pool: &mut Pool<Memory>) -> Vec<u8> {
    let mut value = Vec::new();
    pool.turn(|turn| turn.get(b"key", &mut value)).unwrap().0.unwrap().unwrap();
    value
}

fn open(image: &[u8]) -> Pool<Memory> {
    Pool::open(Memory::from(image.to_vec())).unwrap()
}

/// What a long record leaves when it is there and the segment that joined its part was cleaned since, and which segment
/// the part is.
fn without_joiner(close: bool) -> (Vec<u8>, usize) {
    let mut pool = with_value();
    change(&mut pool);
    let image = pool.medium().image();
    let in_use = (0..SEGMENTS).filter(|segment| header(&image, start(*segment)).0 == b"HFSEGUSE");
    let mut newest: Vec<usize> = in_use.collect();
    newest.sort_by_key(|segment| header(&image, start(*segment)).1);
    let [.., part, joiner] = newest[..] else { panic!("{newest:?}") };
    let joined_from = u64::from_le_bytes(image[start(joiner) + 44..][..8].try_into().unwrap());
    assert_eq!(joined_from, header(&image, start(part)).1);
    let generation = header(&image, start(joiner)).1;
    while header(&pool.medium().image(), start(joiner)) == (b"HFSEGUSE", generation) {
        for number in 0..50u8 {
            pool.turn(|turn| turn.put(&[number], &[number; 300], None)).unwrap().0.unwrap();
        }
    }
    let image = if close { pool.close().unwrap().image() } else { pool.medium().image() };
    assert_eq!(states(&image, part), [b"HFSEGUSE"; 2]);
    assert_eq!(header(&image, start(part)).1, joined_from);
    (image, part)
}

#[test]
fn an_old_copy_of_a_parts_first_page_is_found_and_costs_nothing_though_its_joiner_is_gone() {
    for close in [false, true] {
        let (mut image, part) = without_joiner(close);
        // All else in the page is as it was before the part was joined.
        image[start(part)..][..8].copy_from_slice(b"HFSEGPRT");
        let mut pool = open(&image);
        let damage = &pool.report().damage;
        let kinds: Vec<_> = damage.iter().map(|damage| (damage.kind, damage.offset)).collect();
        assert_eq!(kinds, [(DamageKind::SegmentHeader, start(part) as u64)], "closed: {close}");
        assert!(value(&mut pool) == changed());
        assert_eq!(states(&pool.medium().image(), part), [b"HFSEGUSE"; 2]);
        let mut pool = Pool::open(pool.close().unwrap()).unwrap();
        assert!(pool.report().damage.is_empty() && value(&mut pool) == changed());
    }
}

#[test]
fn after_a_shutdown_an_old_copy_of_a_part_that_did_not_count_yet_is_found() {
    let (mut image, part) = without_joiner(true);
    for header in [start(part), start(part + 1) - 64] {
        image[header..][..8].copy_from_slice(b"HFSEGPRT");
    }
    let pool = open(&image);
    let damage = &pool.report().damage;
    assert_eq!((damage[0].kind, damage[0].offset), (DamageKind::Outdated, start(part) as u64), "{damage:?}");
}

/// Images of a long record that is being written, with what is durable at each fence, before and after it.
fn cuts() -> Vec<Vec<u8>> {
    let mut pool = with_value();
    let mut domain = Domain::new(pool.medium().image());
    pool.medium().record();
    change(&mut pool);
    let mut images = Vec::new();
    for event in pool.medium().record() {
        if event == Event::Fence {
            images.extend(domain.images(4, &mut |below| below - 1).iter().map(|words| domain.image(words)));
        }
        domain.apply(&event);
    }
    images
}

/// The headers of a part that was freed are equal, as those of every free segment: else the next shutdown's checkpoint
/// would be taken for a doubtful one.
#[test]
fn after_a_power_cut_in_a_long_record_the_next_shutdown_is_as_good_as_any() {
    let mut freed = 0;
    for image in cuts() {
        let mut pool = open(&image);
        assert_eq!(pool.report().damage, []);
        freed += usize::from((0..SEGMENTS).any(|segment| header(&image, start(segment)).0 == b"HFSEGPRT"));
        let before = value(&mut pool);
        assert!(before == OLD || before == changed());
        let mut pool = Pool::open(pool.close().unwrap()).unwrap();
        let report = pool.report();
        assert!(report.damage.is_empty() && matches!(report.checkpoint, Checkpoint::Used { .. }), "{report:?}");
        assert!(value(&mut pool) == before);
    }
    assert!(freed > 0);
}

/// Whichever header of a part is damaged when the power goes: where the part is joined it counts, and the header is
/// named and written anew.
#[test]
fn a_damaged_header_of_a_part_is_mended_and_named_where_the_part_counts() {
    let (mut joined, mut void) = (0, 0);
    for image in cuts() {
        let is_part = |segment: &usize| states(&image, *segment).contains(&&b"HFSEGPRT"[..]);
        let says_so = |state: &&[u8]| *state == b"HFSEGPRT" || *state == b"HFSEGUSE";
        let Some(part) = (0..SEGMENTS).find(is_part).filter(|part| states(&image, *part).iter().all(says_so)) else {
            continue;
        };
        let expected = value(&mut open(&image));
        for place in [start(part), start(part + 1) - 64] {
            let mut image = image.clone();
            image[place + 20] ^= 1;
            let mut pool = open(&image);
            assert!(value(&mut pool) == expected);
            let damage: Vec<_> = pool.report().damage.iter().map(|damage| damage.offset).collect();
            let mut pool = Pool::open(pool.close().unwrap()).unwrap();
            assert_eq!(pool.report().damage, []);
            assert!(value(&mut pool) == expected);
            let checkpoint = pool.report().checkpoint;
            if expected == OLD {
                assert!(matches!(checkpoint, Checkpoint::Used { .. }), "{checkpoint:?}");
                void += 1;
            } else {
                assert_eq!(damage, [place as u64]);
                joined += 1;
            }
        }
    }
    assert!(joined > 1 && void > 1, "{joined} joined, {void} void");
}
