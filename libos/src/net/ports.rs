//! Who uses which port, so that a packet's receiver is found without a look at everybody.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::slab::Id;

/// Sockets by port.
#[derive(Debug)]
pub struct Ports(BTreeMap<u16, Vec<Id>>);

impl Ports {
    /// No sockets.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds a socket.
    pub fn insert(&mut self, port: u16, id: Id) {
        self.0.entry(port).or_default().push(id);
    }

    /// Removes a socket.
    pub fn remove(&mut self, port: u16, id: Id) {
        if let Some(users) = self.0.get_mut(&port) {
            users.retain(|&user| user != id);
            if users.is_empty() {
                self.0.remove(&port);
            }
        }
    }

    /// The sockets at a port.
    pub fn at(&self, port: u16) -> &[Id] {
        self.0.get(&port).map_or(&[], Vec::as_slice)
    }
}
