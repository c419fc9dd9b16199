//! The plugin's options: `-plugin file=…,mode=record,out=…,image=…,window=START+LENGTH,text=START+LENGTH,send=ADDRESS`
//! or `-plugin file=…,mode=count,socket=…`.

use std::ops::Range;
use std::path::PathBuf;

/// What the plugin is told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Options {
    /// To record what the guest does to persistent memory.
    Record(Recording),
    /// To count what the guest executes.
    Count(Counting),
}

/// How to record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// The trace, a file to be made.
    pub out: PathBuf,
    /// The file behind the NVDIMM, which the values of stores are read from.
    pub image: PathBuf,
    /// Where persistent memory is, in virtual addresses.
    pub window: Range<u64>,
    /// Where the guest's code is. Other code runs in other modes of the processor (the firmware's), and means nothing
    /// here.
    pub text: Range<u64>,
    /// The functions, of the signature of `write`, by which the program hands bytes over to the network.
    pub send: Vec<u64>,
}

/// How to count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counting {
    /// Where the plugin listens: a socket to be made.
    pub socket: PathBuf,
}

impl Options {
    /// Reads the options as QEMU passes them, `NAME=VALUE` each.
    pub fn parse<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let pair = |argument: &'a str| {
            let pair = argument.split_once('=').ok_or_else(|| wrong(argument))?;
            Ok((argument, pair.0, pair.1))
        };
        let mut pairs = arguments.into_iter().map(pair).collect::<Result<Vec<_>, String>>()?;
        let mode = pairs.iter().position(|(_, name, _)| *name == "mode").ok_or_else(|| missing("mode"))?;
        match pairs.remove(mode) {
            (_, _, "record") => Recording::parse(pairs).map(Self::Record),
            (_, _, "count") => Counting::parse(pairs).map(Self::Count),
            (argument, ..) => Err(wrong(argument)),
        }
    }
}

/// An option as it was given, its name, and its value.
type Pair<'a> = (&'a str, &'a str, &'a str);

impl Recording {
    fn parse(pairs: Vec<Pair<'_>>) -> Result<Self, String> {
        let mut options = Self::default();
        for (argument, name, value) in pairs {
            match name {
                "out" => options.out = value.into(),
                "image" => options.image = value.into(),
                "window" => options.window = range(value).ok_or_else(|| wrong(argument))?,
                "text" => options.text = range(value).ok_or_else(|| wrong(argument))?,
                "send" => options.send.push(number(value).ok_or_else(|| wrong(argument))?),
                _ => return Err(wrong(argument)),
            }
        }
        let needed = [
            ("out", options.out.as_os_str().is_empty()),
            ("image", options.image.as_os_str().is_empty()),
            ("window", options.window.is_empty()),
            ("text", options.text.is_empty()),
        ];
        match needed.iter().find(|(_, missing)| *missing) {
            Some((name, _)) => Err(missing(name)),
            None => Ok(options),
        }
    }
}

impl Counting {
    fn parse(pairs: Vec<Pair<'_>>) -> Result<Self, String> {
        let mut options = Self::default();
        for (argument, name, value) in pairs {
            match name {
                "socket" => options.socket = value.into(),
                _ => return Err(wrong(argument)),
            }
        }
        if options.socket.as_os_str().is_empty() { Err(missing("socket")) } else { Ok(options) }
    }
}

fn wrong(argument: &str) -> String {
    format!("the option `{argument}` is not understood")
}

fn missing(name: &str) -> String {
    format!("the option {name}= is missing")
}

fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn range(text: &str) -> Option<Range<u64>> {
    let (start, length) = text.split_once('+')?;
    let start = number(start)?;
    Some(start..start.checked_add(number(length)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_what_is_missing_is_named() {
        let whole = [
            "mode=record",
            "out=/a",
            "image=/b",
            "window=0x100000000000+0x200000",
            "text=0x200000+0x10",
            "send=0x200004",
        ];
        let Ok(Options::Record(options)) = Options::parse(whole) else { panic!("it is a recording") };
        assert_eq!(options.window, 0x1000_0000_0000..0x1000_0020_0000);
        assert_eq!((options.text, options.send), (0x20_0000..0x20_0010, vec![0x20_0004]));
        assert!(Options::parse(["mode=record", "out=/a", "image=/b", "text=0x1+0x1"]).unwrap_err().contains("window="));
        for wrong in ["window=1+2", "text=0x1", "send=0x", "colour=red", "socket=/a", "out"] {
            assert!(Options::parse(["mode=record", wrong]).unwrap_err().contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn each_mode_has_its_own_options() {
        let counting = Options::parse(["socket=/a", "mode=count"]);
        assert_eq!(counting, Ok(Options::Count(Counting { socket: "/a".into() })));
        assert!(Options::parse(["mode=count"]).unwrap_err().contains("socket="));
        assert!(Options::parse(["mode=count", "socket=/a", "out=/b"]).unwrap_err().contains("out=/b"));
        assert!(Options::parse(["socket=/a"]).unwrap_err().contains("mode="));
        assert!(Options::parse(["mode=guess", "socket=/a"]).unwrap_err().contains("mode=guess"));
    }
}
