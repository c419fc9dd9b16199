use std::fs::{self, File};
use std::path::Path;

use super::*;
use crate::image::PmemImage;
use crate::size::MIB;

fn message(path: &Path) -> String {
    format!("{:#}", info(path, false).unwrap_err())
}

/// An image with a pool of a few keys.
fn sample(path: &Path) {
    create(path, 16 * MIB, "sample", Some(64 << 10)).unwrap();
    let mut pool = Pool::open(Device::open(path).unwrap()).unwrap();
    for number in 0..600u32 {
        let key = format!("key-{number}").into_bytes();
        pool.turn(|turn| turn.put(&key, &[number as u8; 200], (number == 5).then_some(77))).unwrap().0.unwrap();
    }
    pool.turn(|turn| turn.put(b"\xff\x00", b"\"text\" = \n\xfe", None)).unwrap().0.unwrap();
    pool.close().unwrap();
}

/// Flips a bit in each of these bytes.
fn harm(path: &Path, bytes: &[usize]) {
    let mut image = fs::read(path).unwrap();
    bytes.iter().for_each(|byte| image[*byte] ^= 4);
    fs::write(path, image).unwrap();
}

#[test]
fn a_pool_is_described_and_its_image_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pool.img");
    sample(&path);
    let before = fs::read(&path).unwrap();
    let text = info(&path, false).unwrap();
    assert!(text.contains("keys:      601\n") && text.contains("clean shutdown"), "{text}");
    assert!(text.contains("pool.img") && text.contains("sample"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&info(&path, true).unwrap()).unwrap();
    assert_eq!((json["keys"].as_u64(), json["end"]["kind"].as_str()), (Some(601), Some("clean")));
    assert!(check(&path, true, false).unwrap().sound);
    let mut text = Vec::new();
    assert_eq!(dump(&path, false, &mut text).unwrap(), (601, 0));
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("key-5 = ") && text.ends_with("\nend of the dump: 601 keys, 0 unreadable\n"));
    assert!(fs::read(&path).unwrap() == before);
}

#[test]
fn an_image_that_a_machine_uses_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pool.img");
    let _machine = PmemImage::open(&path, Some(64 * MIB)).unwrap();
    assert!(message(&path).contains("in use"));
    assert!(format!("{:#}", check(&path, true, false).unwrap_err()).contains("in use"));
}

#[test]
fn what_holds_no_pool_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blank.img");
    assert!(message(&path).contains("there is no image"));
    File::create(&path).unwrap();
    assert!(message(&path).contains("empty"));
    File::create(&path).unwrap().set_len(64 * MIB).unwrap();
    let blank = message(&path);
    fs::write(&path, vec![0x5a; 1 << 20]).unwrap();
    let foreign = message(&path);
    assert!(blank.contains("no pool") && foreign.contains("no pool") && blank != foreign, "{blank}\n{foreign}");
    assert!(message(directory.path()).contains("not a regular file"));
}

#[test]
fn harm_to_a_whole_image_has_a_message_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pool.img");
    sample(&path);
    let image = fs::read(&path).unwrap();
    let len = image.len();
    let told = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = image.clone();
        change(&mut changed);
        fs::write(&path, changed).unwrap();
        match check(&path, false, false) {
            Ok(verdict) => verdict.text,
            Err(error) => format!("{error:#}"),
        }
    };
    let zero = |image: &mut Vec<u8>, from: usize, to: usize| image[from..to].fill(0);
    let messages = [
        (
            told(&|image| image.truncate(10 << 20)),
            "without it, to save the rest: copy the file, then truncate -s 16777216 ",
        ),
        (
            told(&|image| {
                zero(image, 0, 4096);
                zero(image, len - 4096, len)
            }),
            "were zeroed",
        ),
        (told(&|image| zero(image, 0, len)), "is blank"),
        (told(&|image| image[64 << 10..192 << 10].rotate_left(64 << 10)), "were swapped"),
        (
            told(&|image| {
                image[3] ^= 1;
                image[len - 4096 + 3] ^= 1
            }),
            "damaged",
        ),
        (told(&|image| image[..1 << 20].fill(0x7f)), "one of the two superblocks"),
    ];
    for (number, (message, expected)) in messages.iter().enumerate() {
        assert!(message.contains(expected), "{number}: {message}");
        assert!(messages[..number].iter().all(|(other, _)| other != message), "{number}: {message}");
    }
}

#[test]
fn damage_is_named_and_repaired() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pool.img");
    sample(&path);
    let (record, superblock) = ((64 << 10) + 9000, 50);
    harm(&path, &[record, superblock, 5000]);
    let found = check(&path, false, false).unwrap();
    assert!(!found.sound && found.text.matches("damaged: bytes 0x").count() == 3, "{}", found.text);
    let json: serde_json::Value = serde_json::from_str(&check(&path, false, true).unwrap().text).unwrap();
    let covers = |damage: &serde_json::Value, byte: usize| {
        let from = damage["offset"].as_u64().unwrap();
        (from..from + damage["bytes"].as_u64().unwrap()).contains(&(byte as u64))
    };
    for byte in [record, superblock, 5000] {
        assert!(json["damage"].as_array().unwrap().iter().any(|damage| covers(damage, byte)), "{byte}: {json:#}");
    }
    let repaired = check(&path, true, false).unwrap();
    assert!(repaired.sound && repaired.text.contains("repaired:"), "{}", repaired.text);
    let after = check(&path, false, false).unwrap();
    assert!(after.sound && after.text.contains("no damage") && after.text.contains("600 keys"), "{}", after.text);
}

#[test]
fn a_dump_is_loaded_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("pool.img"), directory.path().join("copy.img"));
    sample(&path);
    let mut lines = Vec::new();
    dump(&path, true, &mut lines).unwrap();
    create(&copy, 16 * MIB, "", None).unwrap();
    assert_eq!(load(&copy, lines.as_slice()).unwrap(), 601);
    let mut again = Vec::new();
    dump(&copy, true, &mut again).unwrap();
    let sorted = |lines: &[u8]| {
        let mut lines: Vec<_> = lines.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        lines.sort();
        lines
    };
    assert!(sorted(&lines) == sorted(&again));
    assert!(lines.windows(18).any(|window| window == b"\"expires_at_ms\":77"));
    let last = lines[..lines.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    assert_eq!(lines[last..], *b"{\"end\":true,\"keys\":601,\"unreadable\":0}\n");
    for bad in [
        "{",
        "{\"key\":\"k\",\"value\":\"\",\"type\":\"heap\"}",
        "{\"key\":1,\"value\":\"\"}",
        "{\"key\":{\"hex\":\"zz\"},\"value\":\"\"}",
        "{\"key\":\"k\"}",
    ] {
        let error = format!("{:#}", load(&copy, bad.as_bytes()).unwrap_err());
        assert!(error.contains("line 1"), "{error}");
    }
}

#[test]
fn a_dump_says_of_which_type_a_value_is() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("pool.img"), directory.path().join("copy.img"));
    create(&path, 16 * MIB, "", None).unwrap();
    let lines = "{\"key\":\"h\",\"type\":\"hash\",\"value\":\"v\"}\n{\"expires_at_ms\":7,\"key\":\"u\",\"type\":200,\"value\":\"\"}\n\
        {\"key\":\"s\",\"value\":\"v\"}\n{\"end\":true,\"keys\":3,\"unreadable\":0}\n";
    assert_eq!(load(&path, lines.as_bytes()).unwrap(), 3);
    let (mut dumped, mut text, mut again) = (Vec::new(), Vec::new(), Vec::new());
    dump(&path, true, &mut dumped).unwrap();
    create(&copy, 16 * MIB, "", None).unwrap();
    load(&copy, dumped.as_slice()).unwrap();
    dump(&copy, true, &mut again).unwrap();
    let sorted = |lines: &[u8]| {
        let mut lines: Vec<_> = std::str::from_utf8(lines).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&dumped), sorted(lines.as_bytes()));
    assert_eq!(sorted(&again), sorted(lines.as_bytes()));
    dump(&path, false, &mut text).unwrap();
    let text = sorted(&text);
    assert!(text.contains(&"h = v  (hash)".into()) && text.contains(&"s = v".into()), "{text:?}");
    assert!(text.contains(&"u =   (type 200)  (expires 7 ms after 1970)".into()), "{text:?}");
    for wrong in ["\"heap\"", "256", "-1", "[]"] {
        let line = format!("{{\"key\":\"k\",\"type\":{wrong},\"value\":\"\"}}");
        assert!(format!("{:#}", load(&copy, line.as_bytes()).unwrap_err()).contains("`type`"), "{wrong}");
    }
}

#[test]
fn a_dump_that_broke_off_is_no_success_of_the_load() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pool.img");
    create(&path, 16 * MIB, "", None).unwrap();
    let lines = r#"{"key":"a","value":"1"}
{"key":"b","value":"2"}
"#;
    let end = |keys, unreadable| format!("{{\"end\":true,\"keys\":{keys},\"unreadable\":{unreadable}}}\n");
    let loaded = |text: String| load(&path, text.as_bytes()).map_err(|error| format!("{error:#}"));
    assert_eq!(loaded(lines.to_owned() + &end(2, 0)), Ok(2));
    for (text, reason) in [
        // What a dump that was killed leaves, or one of an older version.
        (lines.to_owned(), "the dump broke off"),
        (String::new(), "the dump broke off"),
        (lines.to_owned() + &end(3, 0), "says that it has 3 keys"),
        (lines.to_owned() + &end(2, 1), "lacks 1 keys that could not be read"),
        (end(0, 0) + lines, "line 2 follows the end"),
        ("{\"end\":true}".to_owned(), "`keys` is no number"),
    ] {
        let error = loaded(text).unwrap_err();
        assert!(error.contains(reason) && error.contains("keys were put"), "{error}");
    }
}

/// Segments as small as can be make many of them in a small image.
#[test]
fn making_a_large_pool_says_how_far_it_is() {
    let mut said = Vec::new();
    let options = FormatOptions { segment_size: Some(64 << 10), ..FormatOptions::new([1; 16]) };
    let medium = pmem::sim::Memory::new(1 << 30);
    Pool::format_with(medium, &options, |progress| said.push(progress.bytes * 100 / progress.of_bytes)).unwrap();
    assert_eq!(said, [25, 50, 75]);
}

/// What version 1 of the format has written.
fn of_version_1(path: &Path) {
    let fixture = crate::workspace::root().join("pmem/tests/fixtures/v1-torn.img");
    fs::copy(fixture, path).unwrap();
    // A size that an image of ours may have.
    File::options().write(true).open(path).unwrap().set_len(2 * MIB).unwrap();
}

#[test]
fn a_pool_of_version_1_is_migrated_and_grows_then() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pool.img");
    of_version_1(&path);
    let before = fs::read(&path).unwrap();
    let error = format!("{:#}", grow(&path, 16 * MIB).unwrap_err());
    assert!(error.contains("format version 1") && error.contains("cargo xtask pool migrate"), "{error}");
    assert!(fs::read(&path).unwrap() == before, "it was changed");
    assert!(migrate(&path).unwrap().ends_with("version 1 became version 2"));
    assert!(migrate(&path).unwrap().ends_with("is version 2 already"));
    assert!(grow(&path, 16 * MIB).unwrap().ends_with("16777216 bytes now, with 246 segments more"));
    assert!(grow(&path, 16 * MIB).unwrap().ends_with("is 16777216 bytes long already"));
    let verdict = check(&path, false, false).unwrap();
    assert!(verdict.sound && verdict.text.contains("7 keys"), "{}", verdict.text);
    let mut lines = Vec::new();
    assert_eq!(dump(&path, true, &mut lines).unwrap(), (7, 0));
}

#[test]
fn a_pool_grows_to_no_size_that_would_lose_something() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pool.img");
    sample(&path);
    let before = fs::read(&path).unwrap();
    for (size, reason) in [(8 * MIB, "does not shrink"), (17 * MIB, "not a multiple"), (0, "too small")] {
        let error = format!("{:#}", grow(&path, size).unwrap_err());
        assert!(error.contains(reason), "{error}");
    }
    assert!(grow(&path, 16 * MIB).unwrap().contains("already"));
    assert!(fs::read(&path).unwrap() == before, "it was changed");
    let machine = PmemImage::open(&path, None).unwrap();
    for error in [grow(&path, 32 * MIB).unwrap_err(), migrate(&path).unwrap_err()] {
        assert!(format!("{error:#}").contains("in use"), "{error:#}");
    }
    drop(machine);
    // A file that something else has made longer.
    File::options().write(true).open(&path).unwrap().set_len(32 * MIB).unwrap();
    assert!(info(&path, false).unwrap().contains("unused:    16777216 bytes"));
    assert!(grow(&path, 32 * MIB).unwrap().contains("33554432 bytes now"));
    assert!(check(&path, false, false).unwrap().text.contains("601 keys"));
}

#[test]
fn creating_never_overwrites_and_leaves_nothing_after_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pool.img");
    create(&path, 16 * MIB, "", None).unwrap();
    assert!(format!("{:#}", create(&path, 16 * MIB, "", None).unwrap_err()).contains("exists"));
    let other = directory.path().join("other.img");
    assert!(create(&other, 16 * MIB, &"long".repeat(20), None).is_err());
    assert!(create(&other, 16 * MIB, "", Some(100)).is_err());
    assert!(create(&other, 12345, "", None).is_err());
    assert!(!other.exists());
}
