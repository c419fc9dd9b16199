//! What a page permits to everybody, whatever its key.

/// What may be done with a page. There is no way to say writable and executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// Read.
    Read,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    ReadExecute,
}
