//! The client against a stub that plays a script.

use std::io::{BufReader, Read, Write};
use std::thread::{self, JoinHandle};

use super::packet::frame;
use super::*;

const SHORT: Duration = Duration::from_millis(50);

/// One thing that the stub does.
enum Play {
    /// Sends these bytes as they are.
    Send(Vec<u8>),
    /// Reads a packet, which has to be this one, and acknowledges it.
    Expect(&'static str),
    /// Reads one byte, which has to be this one.
    Byte(u8),
}
use Play::{Byte, Expect, Send};

fn reply(data: &str) -> Play {
    Send(frame(data))
}

/// A client that has greeted the stub, and the stub, which then plays `script`.
fn connected(script: Vec<Play>) -> (Gdb, JoinHandle<()>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    // What a debugger finds: the news of the stop that its connection caused is on its way before the first answer.
    let greeting = [
        reply("T02thread:01;"),
        Byte(b'+'),
        Expect("qSupported"),
        reply("PacketSize=1000"),
        Byte(b'+'),
        Expect("qXfer:features:read:target.xml:0,800"),
        reply("l<target><include href=\"i386-64bit.xml\"/></target>"),
        Byte(b'+'),
    ];
    let stub = thread::spawn(move || play(theirs, greeting.into_iter().chain(script)));
    (Gdb::new(ours).unwrap(), stub)
}

fn play(stream: UnixStream, script: impl Iterator<Item = Play>) {
    let mut stream = BufReader::new(stream);
    let byte = |stream: &mut BufReader<UnixStream>| {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        byte[0]
    };
    let mut sent_early = Vec::new();
    for step in script {
        match step {
            Send(bytes) => stream.get_mut().write_all(&bytes).unwrap(),
            Byte(expected) => {
                // The client's packets and acknowledgements cross; what is a packet's is kept for later.
                let found = byte(&mut stream);
                if found == b'$' && expected == b'+' {
                    sent_early.push(b'$');
                    while !sent_early.ends_with(b"#") {
                        sent_early.push(byte(&mut stream));
                    }
                    sent_early.extend([byte(&mut stream), byte(&mut stream)]);
                    assert_eq!(byte(&mut stream), expected);
                } else {
                    assert_eq!(char::from(found), char::from(expected));
                }
            }
            Expect(data) => {
                let mut found = std::mem::take(&mut sent_early);
                while found.len() < frame(data).len() {
                    found.push(byte(&mut stream));
                }
                assert_eq!(String::from_utf8(found), String::from_utf8(frame(data)));
                stream.get_mut().write_all(b"+").unwrap();
            }
        }
    }
}

#[test]
fn memory_is_read_in_pieces_and_written() {
    let script = vec![
        Expect("m1000,400"),
        Send(frame(&"ab".repeat(1024))),
        Byte(b'+'),
        Expect("m1400,2"),
        reply("01f0"),
        Byte(b'+'),
        Expect("M2000,3:000aff"),
        reply("OK"),
        Byte(b'+'),
        Expect("m0,8"),
        reply("E14"),
        Byte(b'+'),
    ];
    let (mut gdb, stub) = connected(script);
    let bytes = gdb.read(0x1000, 1026).unwrap();
    assert_eq!((bytes[0], bytes[1023], &bytes[1024..]), (0xab, 0xab, &[0x01, 0xf0][..]));
    gdb.write(0x2000, &[0, 10, 255]).unwrap();
    assert!(matches!(gdb.read_u64(0), Err(GdbError::Refused(0x14))));
    stub.join().unwrap();
}

#[test]
fn a_damaged_packet_is_asked_for_again() {
    let script = vec![
        Expect("Hg2"),
        Send(b"$OK#00".to_vec()),
        Byte(b'-'),
        Send(b"$OK#zz".to_vec()),
        Byte(b'-'),
        // Cut short, and sent again from its beginning.
        Send(b"$O$OK#9a".to_vec()),
        Byte(b'+'),
    ];
    let (mut gdb, stub) = connected(script);
    gdb.select(2).unwrap();
    stub.join().unwrap();
}

#[test]
fn a_stub_that_never_sends_a_whole_packet_is_given_up() {
    let mut script = vec![Expect("Hg1")];
    script.extend((0..5).flat_map(|_| [Send(b"$OK#00".to_vec()), Byte(b'-')]));
    let (mut gdb, stub) = connected(script);
    assert!(matches!(gdb.select(1), Err(GdbError::Protocol(_))));
    stub.join().unwrap();
}

#[test]
fn what_the_stub_asks_for_again_is_sent_again() {
    let packet = || frame("qfThreadInfo").into_iter().map(Byte);
    let mut script: Vec<Play> = packet().collect();
    script.push(Send(b"-".to_vec()));
    script.extend(packet());
    script.extend([Send(b"+".to_vec()), reply("m01,02"), Byte(b'+')]);
    script.extend([Expect("qsThreadInfo"), reply("m0a"), Byte(b'+'), Expect("qsThreadInfo"), reply("l"), Byte(b'+')]);
    let (mut gdb, stub) = connected(script);
    assert_eq!(gdb.cpus().unwrap(), [1, 2, 10]);
    stub.join().unwrap();
}

#[test]
fn the_guest_runs_until_it_stops_or_is_stopped() {
    let script = vec![
        Expect("Z2,3000,8"),
        reply("OK"),
        Byte(b'+'),
        Expect("vCont;c"),
        reply("T05thread:02;watch:3004;"),
        Byte(b'+'),
        Expect("vCont;c"),
        Byte(3),
        reply("T02thread:01;"),
        Byte(b'+'),
        Expect("vCont;s:2"),
        reply("T05thread:02;"),
        Byte(b'+'),
    ];
    let (mut gdb, stub) = connected(script);
    gdb.insert(StopPoint::Write(8), 0x3000).unwrap();
    gdb.resume().unwrap();
    assert_eq!(gdb.wait(PATIENCE).unwrap(), Some(Stop { signal: 5, cpu: 2, watched: Some(0x3004) }));
    gdb.resume().unwrap();
    assert!(gdb.is_running());
    assert!(gdb.wait(SHORT).unwrap().is_none());
    assert!(matches!(gdb.registers(), Err(GdbError::Protocol(_))), "any byte would stop the guest");
    assert_eq!(gdb.halt().unwrap(), Stop { signal: 2, cpu: 1, watched: None });
    assert_eq!(gdb.step(2).unwrap().cpu, 2);
    assert!(!gdb.is_running());
    stub.join().unwrap();
}

#[test]
fn the_machines_end_is_told() {
    let (mut gdb, stub) = connected(vec![Expect("vCont;c"), reply("W00"), Byte(b'+')]);
    gdb.resume().unwrap();
    assert!(matches!(gdb.wait(PATIENCE), Err(GdbError::Gone)));
    stub.join().unwrap();
    let (mut gdb, stub) = connected(vec![]);
    stub.join().unwrap();
    assert!(matches!(gdb.select(1), Err(GdbError::Gone)));
}

#[test]
fn nonsense_is_an_error_and_no_panic() {
    let answers = ["zz", "abc", "0", "m", "OK"];
    for answer in answers {
        let (mut gdb, stub) = connected(vec![Expect("g"), reply(answer), Byte(b'+')]);
        assert!(matches!(gdb.registers(), Err(GdbError::Protocol(_))), "{answer}");
        stub.join().unwrap();
    }
    for stop in ["T", "Tzz", "T05thread:x;", "OK"] {
        let (mut gdb, stub) = connected(vec![Expect("vCont;c"), reply(stop), Byte(b'+')]);
        gdb.resume().unwrap();
        assert!(matches!(gdb.wait(PATIENCE), Err(GdbError::Protocol(_))), "{stop}");
        stub.join().unwrap();
    }
    let (mut gdb, stub) = connected(vec![Expect("Qqemu.PhyMemMode:1"), reply(""), Byte(b'+')]);
    assert!(matches!(gdb.use_physical_addresses(true), Err(GdbError::Unknown(_))));
    stub.join().unwrap();
}

#[test]
fn a_register_is_read_and_written_in_its_width() {
    let script = vec![
        Expect("P10=efcdab0000000000"),
        reply("OK"),
        Byte(b'+'),
        Expect("P11=02000000"),
        reply("OK"),
        Byte(b'+'),
        Expect("p11"),
        reply("46020000"),
        Byte(b'+'),
        Expect("p0"),
        reply("46020000"),
        Byte(b'+'),
    ];
    let (mut gdb, stub) = connected(script);
    gdb.set_register(Register::RIP, 0xab_cdef).unwrap();
    gdb.set_register(Register::RFLAGS, 0x1_0000_0002).unwrap();
    assert_eq!(gdb.register(Register::RFLAGS).unwrap(), 0x246);
    assert!(matches!(gdb.register(Register::RAX), Err(GdbError::Protocol(_))), "four bytes are no RAX");
    stub.join().unwrap();
}

#[test]
fn a_step_that_is_not_made_is_taken_back() {
    let script = vec![
        Expect("Hc2"),
        reply("OK"),
        Byte(b'+'),
        Expect("vCont;s:2"),
        Byte(3),
        reply("T02thread:02;"),
        Byte(b'+'),
        Expect("Hc1"),
        reply("OK"),
        Byte(b'+'),
        Expect("vCont;s:1"),
        Byte(3),
        reply("T05thread:01;"),
        Byte(b'+'),
    ];
    let (mut gdb, stub) = connected(script);
    assert_eq!(gdb.try_step(2, SHORT).unwrap(), None);
    assert_eq!(gdb.try_step(1, SHORT).unwrap().map(|stop| stop.cpu), Some(1), "it was made at the last moment");
    stub.join().unwrap();
}

#[test]
fn a_cpu_that_waits_for_an_interrupt_is_idle() {
    let text = |text: &str| reply(&to_hex(text.as_bytes()));
    let script = vec![
        Expect("qThreadExtraInfo,1"),
        text("CPU#0 [running]"),
        Byte(b'+'),
        Expect("qThreadExtraInfo,2"),
        text("CPU#1 [halted ]"),
        Byte(b'+'),
    ];
    let (mut gdb, stub) = connected(script);
    assert_eq!((gdb.is_idle(1).unwrap(), gdb.is_idle(2).unwrap()), (false, true));
    stub.join().unwrap();
}
