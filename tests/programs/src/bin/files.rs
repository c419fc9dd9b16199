//! Files through `std::fs`: `files WAY`. Each thing that was seen to hold prints `ok …`.

fn main() {
    #[cfg(target_os = "hermit")]
    guest::main();
    #[cfg(not(target_os = "hermit"))]
    eprintln!("files runs in the guest");
}

#[cfg(target_os = "hermit")]
mod guest {
    use std::fs::{self, File, OpenOptions};
    use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
    use std::os::hermit::ffi::OsStrExt;
    use std::path::Path;
    use std::sync::{Arc, Barrier};
    use std::thread;
    use std::time::SystemTime;

    use libos as _;

    pub(crate) fn main() {
        let way = std::env::args().nth(1).unwrap_or_default();
        match way.as_str() {
            "std" => {
                ok("create, write, seek, read", contents);
                ok("open options", options);
                ok("directories", directories);
                ok("metadata and times", metadata);
                ok("removal", removal);
                ok("hostile paths", hostile);
                ok("what std refuses by itself", refused_by_std);
                ok("threads", threads);
                ok("devices", devices);
            }
            "full" => full(),
            "host" => host(),
            "scribble" => scribble(),
            _ => panic!("no such way"),
        }
    }

    fn ok(name: &str, test: fn()) {
        test();
        println!("ok {name}");
    }

    /// The error number of what has to fail.
    fn number<T>(outcome: std::io::Result<T>) -> Option<i32> {
        outcome.err().expect("this has to fail").raw_os_error()
    }

    fn contents() {
        let mut file = File::create("/one").unwrap();
        file.write_all(b"hello, world").unwrap();
        assert_eq!(file.seek(SeekFrom::Start(7)).unwrap(), 7);
        file.write_all(b"there").unwrap();
        assert_eq!(
            file.read(&mut [0; 8]).map_err(|error| error.raw_os_error()),
            Err(Some(9)),
            "it is open for writing alone"
        );
        drop(file);
        assert_eq!(fs::read_to_string("one").unwrap(), "hello, there", "a relative path begins at the root");
        // Larger than the parts that files are kept in, and with a hole.
        let bytes: Vec<u8> = (0..1_000_000u32).map(|number| (number % 251) as u8).collect();
        fs::write("/large", &bytes).unwrap();
        assert!(fs::read("/large").unwrap() == bytes);
        let mut file = OpenOptions::new().read(true).write(true).open("/large").unwrap();
        file.seek(SeekFrom::End(500_000)).unwrap();
        file.write_all(b"end").unwrap();
        file.seek(SeekFrom::Start(999_999)).unwrap();
        let mut rest = Vec::new();
        file.read_to_end(&mut rest).unwrap();
        assert_eq!((rest.len(), rest[1], &rest[500_001..]), (500_004, 0, &b"end"[..]));
        file.seek(SeekFrom::Start(0)).unwrap();
        assert_eq!(file.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cde")]).unwrap(), 5);
        file.seek(SeekFrom::Start(1)).unwrap();
        let (mut first, mut second) = ([0; 1], [0; 3]);
        let read = file.read_vectored(&mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)]).unwrap();
        assert_eq!((read, &first, &second), (4, b"b", b"cde"));
        assert_eq!(number(file.seek(SeekFrom::Current(-100))), Some(22));
        assert_eq!(file.stream_position().unwrap(), 5, "a position that cannot be leaves the old one");
    }

    fn options() {
        fs::write("/log", "one\n").unwrap();
        let mut log = OpenOptions::new().append(true).open("/log").unwrap();
        log.write_all(b"two\n").unwrap();
        assert_eq!(fs::read_to_string("/log").unwrap(), "one\ntwo\n");
        assert_eq!(File::create_new("/log").unwrap_err().kind(), ErrorKind::AlreadyExists);
        File::create_new("/new").unwrap();
        assert_eq!(File::open("/nothing").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(OpenOptions::new().write(true).open("/nothing").unwrap_err().kind(), ErrorKind::NotFound);
        drop(OpenOptions::new().write(true).truncate(true).open("/log").unwrap());
        assert_eq!(fs::metadata("/log").unwrap().len(), 0);
        let read = File::open("/log").unwrap();
        assert_eq!(number((&read).write(b"x")), Some(9));
    }

    fn directories() {
        fs::create_dir_all("/a/b/c").unwrap();
        fs::create_dir_all("/a/b/c").unwrap();
        fs::write("/a/b/file", "x").unwrap();
        assert_eq!(fs::create_dir("/a/b").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::create_dir("/a/x/y").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(number(fs::create_dir("/a/b/file/d")), Some(20));
        let mut names: Vec<_> = fs::read_dir("/a/b")
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                (entry.file_name().into_string().unwrap(), kind.is_dir(), kind.is_file())
            })
            .collect();
        names.sort();
        assert_eq!(names, [("c".to_owned(), true, false), ("file".to_owned(), false, true)]);
        // An empty directory: one entry that is neither, as docs/abi.md says.
        let only: Vec<_> = fs::read_dir("/a/b/c").unwrap().map(|entry| entry.unwrap()).collect();
        assert_eq!((only.len(), only[0].file_name().to_str()), (1, Some(".")));
        let kind = only[0].file_type().unwrap();
        assert!(!kind.is_dir() && !kind.is_file() && !kind.is_symlink());
        // More than std's first buffers hold.
        fs::create_dir("/many").unwrap();
        for number in 0..3000 {
            fs::write(format!("/many/a-file-with-the-number-{number}"), "").unwrap();
        }
        assert_eq!(fs::read_dir("/many").unwrap().count(), 3000);
        assert_eq!(fs::read_dir("/a/b/file").unwrap_err().raw_os_error(), Some(20));
        assert_eq!(fs::read_dir("/nothing").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(number(File::open("/a").unwrap().read(&mut [0; 4])), Some(21));
        assert_eq!(File::create("/a").unwrap_err().raw_os_error(), Some(21));
        fs::write(std::env::temp_dir().join("temporary"), "x").unwrap();
        assert!(Path::new("/a/b/../b/./file").exists() && !Path::new("/a/nothing/../b").exists());
    }

    fn metadata() {
        let before = SystemTime::now();
        fs::write("/m", "12345").unwrap();
        let metadata = fs::metadata("/m").unwrap();
        assert!(metadata.is_file() && !metadata.is_dir() && metadata.len() == 5 && !metadata.permissions().readonly());
        let times = [metadata.created().unwrap(), metadata.modified().unwrap(), metadata.accessed().unwrap()];
        assert!(times.iter().all(|&time| time >= before && time <= SystemTime::now()), "{times:?}");
        thread::sleep(std::time::Duration::from_millis(2));
        let mut file = OpenOptions::new().append(true).open("/m").unwrap();
        file.write_all(b"6").unwrap();
        let later = file.metadata().unwrap();
        assert!(later.modified().unwrap() > times[1] && later.created().unwrap() == times[0] && later.len() == 6);
        fs::read("/m").unwrap();
        assert!(fs::metadata("/m").unwrap().accessed().unwrap() > times[2]);
        assert!(fs::metadata("/").unwrap().is_dir() && fs::symlink_metadata("/m").unwrap().is_file());
    }

    fn removal() {
        fs::create_dir("/r").unwrap();
        fs::write("/r/f", "kept").unwrap();
        assert_eq!(number(fs::remove_dir("/r")), Some(39));
        assert_eq!(number(fs::remove_file("/r")), Some(21));
        assert_eq!(number(fs::remove_dir("/r/f")), Some(20));
        let mut open = File::open("/r/f").unwrap();
        fs::remove_file("/r/f").unwrap();
        assert!(!Path::new("/r/f").exists());
        let mut text = String::new();
        open.read_to_string(&mut text).unwrap();
        assert_eq!(text, "kept", "who has it open keeps it");
        fs::remove_dir("/r").unwrap();
        assert_eq!(fs::remove_dir("/r").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(number(fs::remove_dir("/")), Some(16));
    }

    /// What programs for other systems expect in `/dev`.
    fn devices() {
        let open = |name: &str| OpenOptions::new().read(true).write(true).open(format!("/dev/{name}")).unwrap();
        let mut buffer = [7; 64];
        assert_eq!(open("null").read(&mut buffer).unwrap(), 0);
        open("zero").read_exact(&mut buffer).unwrap();
        assert_eq!(buffer, [0; 64]);
        for name in ["random", "urandom"] {
            let (mut one, mut other) = ([0; 64], [0; 64]);
            let mut file = open(name);
            file.read_exact(&mut one).unwrap();
            file.read_exact(&mut other).unwrap();
            assert!(one != other && one != [0; 64] && other != [0; 64]);
        }
        for name in ["null", "zero", "random", "urandom"] {
            let mut file = open(name);
            file.write_all(&vec![1; 1 << 20]).unwrap();
            let about = file.metadata().unwrap();
            assert!(!about.is_file() && !about.is_dir() && about.len() == 0, "{name}");
            File::create(format!("/dev/{name}")).unwrap();
        }
        assert_eq!(fs::read_dir("/dev").unwrap().count(), 4);
        assert_eq!(fs::read("/dev/null").unwrap(), b"");
    }

    fn hostile() {
        let long = format!("/{}", "n".repeat(256));
        let deep = "/d".repeat(3000);
        // `std` has no kind for some of these numbers.
        for (path, error) in [("", 2), (&long, 36), (&deep, 36), ("/nothing/..", 2), ("/one/..", 20), ("/one/", 20)] {
            assert_eq!(number(File::open(path)), Some(error), "{path}");
            assert_eq!(number(fs::metadata(path)), Some(error), "{path}");
            assert_eq!(number(fs::remove_file(path)), Some(error), "{path}");
        }
        assert_eq!(File::open("a\0b").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(fs::metadata("../../..//./").unwrap().is_dir(), "above the root is the root");
        let odd = Path::new(std::ffi::OsStr::from_bytes(b"/\xff\xfe\n"));
        fs::write(odd, "odd").unwrap();
        assert!(fs::read_dir("/").unwrap().any(|entry| entry.unwrap().path() == odd));
        fs::remove_file(odd).unwrap();
    }

    /// These never reach libos; the documentation says so, and would be wrong if they did.
    fn refused_by_std() {
        let file = File::create("/s").unwrap();
        assert_eq!(number(file.sync_all()), Some(22));
        assert_eq!(number(file.set_len(0)), Some(22));
        assert_eq!(number(file.try_clone()), Some(22));
        assert_eq!(fs::rename("/s", "/t").unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(fs::remove_dir_all("/a").unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(fs::canonicalize("/s").unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(number(fs::copy("/s", "/t")), Some(22));
        assert!(Path::new("/t").exists(), "the copy was made before std failed");
    }

    /// Threads that append to one file, each with its own descriptor: no record is torn or lost.
    fn threads() {
        const THREADS: u8 = 4;
        const RECORDS: usize = 200;
        let barrier = Arc::new(Barrier::new(THREADS.into()));
        let workers: Vec<_> = (0..THREADS)
            .map(|number| {
                let barrier = barrier.clone();
                thread::spawn(move || {
                    let mut file = OpenOptions::new().append(true).create(true).open("/shared").unwrap();
                    barrier.wait();
                    for _ in 0..RECORDS {
                        assert_eq!(file.write(&[number; 100]).unwrap(), 100);
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        let bytes = fs::read("/shared").unwrap();
        assert_eq!(bytes.len(), usize::from(THREADS) * RECORDS * 100);
        assert!(bytes.chunks(100).all(|record| record.iter().all(|byte| *byte == record[0])));
    }

    /// Writes until there is no more room: an error, and the program goes on.
    fn full() {
        let mut file = File::create("/full").unwrap();
        let block = vec![1; 100_000];
        let mut written = 0u64;
        let error = loop {
            match file.write(&block) {
                Ok(count) => written += count as u64,
                Err(error) => break error,
            }
        };
        assert_eq!(error.raw_os_error(), Some(28), "{error}");
        println!("full after {} MiB", written >> 20);
        assert_eq!(file.metadata().unwrap().len(), written);
        drop(file);
        // The heap has room all the same.
        let heap = vec![2u8; 4 << 20];
        fs::remove_file("/full").unwrap();
        fs::write("/after", &heap).unwrap();
        assert!(fs::read("/after").unwrap() == heap);
        println!("ok full");
    }

    /// Tells of each argument's file of the host's, and tries to change it.
    fn host() {
        for path in std::env::args().skip(2) {
            let mut file = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            let metadata = file.metadata().unwrap();
            let (mut sum, mut length, mut buffer) = (0u64, 0u64, vec![0; 1 << 20]);
            loop {
                let count = file.read(&mut buffer).unwrap();
                if count == 0 {
                    break;
                }
                length += count as u64;
                sum = buffer[..count].iter().fold(sum, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
            }
            let modified = metadata.modified().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            println!("host {path}: {length} bytes, sum {sum:016x}, modified {modified}");
            assert_eq!(metadata.len(), length);
            assert!(metadata.permissions().readonly());
            assert_eq!(File::create(&path).unwrap_err().kind(), ErrorKind::PermissionDenied);
            assert_eq!(OpenOptions::new().append(true).open(&path).unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
        for entry in fs::read_dir("/").unwrap() {
            println!("root has {}", entry.unwrap().file_name().display());
        }
        println!("ok host");
    }

    /// Finds the bytes of the host's file `/f` at the end of RAM, where the boot loader put them, and stores there.
    fn scribble() {
        const TEXT: &[u8] = b"as the host has it";
        const PAGE: usize = 4096;
        assert_eq!(fs::read("/f").unwrap(), TEXT);
        let pages = (256..64 * 256)
            .rev()
            .map(|page| page * PAGE)
            .filter(|&page| libos::mm::translate(libos::addr::VirtAddr::new(page as u64)).is_some());
        for page in pages {
            // SAFETY: the page is mapped and none of persistent memory, since there is none; other threads may write
            // there meanwhile, which at worst hides what is looked for.
            let bytes = unsafe { std::slice::from_raw_parts(page as *const u8, PAGE) };
            if let Some(at) = bytes.windows(TEXT.len()).position(|window| window == TEXT) {
                println!("found at {:#x}", page + at);
                // SAFETY: none: the test wants the fault.
                unsafe { ((page + at) as *mut u8).write_volatile(b'A') };
                return;
            }
        }
    }
}
