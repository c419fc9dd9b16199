//! Paths: bytes between slashes. There is no current directory but the root, so a relative path begins there too.

use super::Error;

/// The most bytes of a path, without the zero that ends it.
const LONGEST_PATH: usize = 4095;
/// The most bytes of a name.
pub(super) const LONGEST_NAME: usize = 255;

/// A path that is not too long and not empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'a>(&'a [u8]);

/// What stands between two slashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Component<'a> {
    /// `.`
    Current,
    /// `..`
    Parent,
    /// A name.
    Name(&'a [u8]),
}

impl<'a> Path<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        match bytes.len() {
            0 => Err(Error::NotFound),
            // A name with a zero byte in it could not be listed.
            _ if bytes.contains(&0) => Err(Error::Invalid),
            1..=LONGEST_PATH => Ok(Self(bytes)),
            _ => Err(Error::NameTooLong),
        }
    }

    /// Its components, in order; an error in place of a name that is too long.
    pub(super) fn components(self) -> impl Iterator<Item = Result<Component<'a>, Error>> {
        self.0.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).map(|part| match part {
            b"." => Ok(Component::Current),
            b".." => Ok(Component::Parent),
            name if name.len() > LONGEST_NAME => Err(Error::NameTooLong),
            name => Ok(Component::Name(name)),
        })
    }

    /// Whether it ends with a slash, so that what it names has to be a directory.
    pub(super) fn ends_with_slash(self) -> bool {
        self.0.last() == Some(&b'/')
    }
}
