//! The plugin's options: `-plugin file=…,out=…,image=…,window=START+LENGTH,text=START+LENGTH,send=ADDRESS`.

use std::ops::Range;
use std::path::PathBuf;

/// What the plugin is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
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

impl Options {
    /// Reads the options as QEMU passes them, `NAME=VALUE` each.
    pub fn parse<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut options = Self::default();
        for argument in arguments {
            let wrong = || format!("the option `{argument}` is not understood");
            let (name, value) = argument.split_once('=').ok_or_else(wrong)?;
            match name {
                "out" => options.out = value.into(),
                "image" => options.image = value.into(),
                "window" => options.window = range(value).ok_or_else(wrong)?,
                "text" => options.text = range(value).ok_or_else(wrong)?,
                "send" => options.send.push(number(value).ok_or_else(wrong)?),
                _ => return Err(wrong()),
            }
        }
        let missing = [
            ("out", options.out.as_os_str().is_empty()),
            ("image", options.image.as_os_str().is_empty()),
            ("window", options.window.is_empty()),
            ("text", options.text.is_empty()),
        ];
        match missing.iter().find(|(_, missing)| *missing) {
            Some((name, _)) => Err(format!("the option {name}= is missing")),
            None => Ok(options),
        }
    }
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
        let whole = ["out=/a", "image=/b", "window=0x100000000000+0x200000", "text=0x200000+0x10", "send=0x200004"];
        let options = Options::parse(whole).unwrap();
        assert_eq!(options.window, 0x1000_0000_0000..0x1000_0020_0000);
        assert_eq!((options.text, options.send), (0x20_0000..0x20_0010, vec![0x20_0004]));
        assert!(Options::parse(["out=/a", "image=/b", "text=0x1+0x1"]).unwrap_err().contains("window="));
        for wrong in ["window=1+2", "text=0x1", "send=0x", "colour=red", "out"] {
            assert!(Options::parse([wrong]).unwrap_err().contains(wrong), "{wrong}");
        }
    }
}
