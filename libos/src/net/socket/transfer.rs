//! Sending and receiving, whole and in slices.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::{Socket, SocketType};
use crate::io::{IoSlices, IoSlicesMut, Ready};
use crate::net::error::Error;
use crate::net::service;
use crate::net::stack::Shutdown;

/// No datagram is longer than this (RFC 768).
const MAX_GATHERED: usize = 65_536;

impl Socket {
    /// Sends the bytes of `slices`, as many as there is room for and at least one, to the peer.
    pub fn send(&self, slices: &IoSlices<'_>) -> Result<usize, Error> {
        if self.socket_type == SocketType::Datagram {
            let mut all = slices.iter().filter(|slice| !slice.is_empty());
            return match (all.next(), all.next()) {
                (first, None) => self.send_to(first.unwrap_or_default(), None),
                // A datagram is one piece. More than a packet holds is refused all the same.
                _ => {
                    let mut gathered = Self::datagram_room()?;
                    gathered.extend(slices.iter().flatten().take(MAX_GATHERED));
                    self.send_to(&gathered, None)
                }
            };
        }
        let id = self.stream()?;
        self.block_on(Ready::OUT, &self.options.send_timeout, |stack, now| stack.send(id, slices.iter(), now))
    }

    /// Receives into `slices`, at least one byte, or zero at the end of the data.
    pub fn receive(&self, slices: &mut IoSlicesMut<'_>, peek: bool) -> Result<usize, Error> {
        if self.socket_type == SocketType::Datagram {
            let mut all = slices.iter_mut().filter(|slice| !slice.is_empty());
            return match (all.next(), all.next()) {
                (first, None) => self.receive_from(first.unwrap_or_default(), peek).map(|(len, _)| len),
                (first, second) => self.scatter(first.into_iter().chain(second).chain(all), peek),
            };
        }
        let id = self.stream()?;
        let timeout = &self.options.receive_timeout;
        self.block_on(Ready::IN, timeout, |stack, now| stack.receive(id, slices.iter_mut(), peek, now))
    }

    /// Room for the longest datagram.
    fn datagram_room() -> Result<Vec<u8>, Error> {
        let mut room = Vec::new();
        room.try_reserve_exact(MAX_GATHERED).map_err(|_| Error::NoBuffers)?;
        Ok(room)
    }

    /// Receives a datagram into several buffers.
    fn scatter<'b>(&self, slices: impl Iterator<Item = &'b mut [u8]>, peek: bool) -> Result<usize, Error> {
        let mut datagram = Self::datagram_room()?;
        datagram.resize(MAX_GATHERED, 0);
        let (len, _) = self.receive_from(&mut datagram, peek)?;
        let mut rest = &datagram[..len];
        for slice in slices {
            let (now, later) = rest.split_at(slice.len().min(rest.len()));
            slice[..now.len()].copy_from_slice(now);
            rest = later;
        }
        Ok(len - rest.len())
    }

    /// Sends one datagram to `to`, or to the connected peer. On a stream, `to` is ignored.
    pub fn send_to(&self, bytes: &[u8], to: Option<SocketAddr>) -> Result<usize, Error> {
        if self.socket_type == SocketType::Stream {
            return self.send(&IoSlices::one(bytes));
        }
        let to = to.map(|to| self.destination(to)).transpose()?;
        let id = self.datagram()?;
        if let Some(to) = to {
            Self::await_way(to.addr)?;
        }
        self.block_on(Ready::OUT, &self.options.send_timeout, |stack, now| stack.send_datagram(id, bytes, to, now))
    }

    /// Receives one datagram, and says who sent it. On a stream, that is the peer.
    pub fn receive_from(&self, into: &mut [u8], peek: bool) -> Result<(usize, SocketAddr), Error> {
        if self.socket_type == SocketType::Stream {
            let id = self.stream()?;
            return self.block_on(Ready::IN, &self.options.receive_timeout, |stack, now| {
                let len = stack.receive(id, core::iter::once(&mut *into), peek, now)?;
                Ok((len, self.shown(stack.ends(id)?.remote)))
            });
        }
        let id = self.datagram()?;
        self.block_on(Ready::IN, &self.options.receive_timeout, |stack, _| {
            let (len, from) = stack.datagrams().receive(id, into, peek)?;
            Ok((len, self.shown(from)))
        })
    }

    /// Closes halves of a connection.
    pub fn shutdown(&self, halves: Shutdown) -> Result<(), Error> {
        let id = self.stream()?;
        service::with(|stack, now| stack.shutdown(id, halves, now))
    }
}
