// SPDX-License-Identifier: GPL-2.0-only

//! Reads packets from a socket: takes whatever is there, so that small packets cost a fraction of a call.

use kernel::prelude::*;

use crate::kernel_api::{
    bio_vecs::BioVecsMut,
    socket::{
        Patience,
        TcpSocket, //
    }, //
};

/// A socket with what was read from it and not used.
///
/// # Invariants
///
/// `start <= end <= buffer.len()`.
pub(super) struct Reader<'a> {
    socket: &'a TcpSocket,
    buffer: KVec<u8>,
    start: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// A reader that takes up to `size` bytes at once.
    pub(super) fn new(socket: &'a TcpSocket, size: usize) -> Result<Self> {
        Ok(Self {
            socket,
            buffer: KVec::from_elem(0, size, GFP_KERNEL)?,
            start: 0,
            end: 0,
        })
    }

    /// The bytes that were read and not used.
    pub(super) fn waiting(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or(&[])
    }

    /// Uses `count` of the waiting bytes.
    pub(super) fn used(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// Waits for more bytes. `ECONNRESET` at the end of the stream; `ENOSPC` where the buffer holds no more.
    pub(super) fn fill(&mut self) -> Result {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let room = self
            .buffer
            .get_mut(self.end..)
            .filter(|room| !room.is_empty());
        match self
            .socket
            .receive(room.ok_or(ENOSPC)?, Patience::Endless, false)?
        {
            0 => Err(ECONNRESET),
            count => {
                self.end += count;
                Ok(())
            }
        }
    }

    /// Waits until at least `count` bytes are there, and answers them; they still have to be [used](Self::used).
    pub(super) fn wait(&mut self, count: usize) -> Result<&[u8]> {
        while self.end - self.start < count {
            self.fill()?;
        }
        self.buffer
            .get(self.start..self.start + count)
            .ok_or(EINVAL)
    }

    /// Reads into `target` until it is full: what waits here first, the rest straight from the socket.
    pub(super) fn read_pages(&mut self, target: &mut BioVecsMut<'_>) -> Result {
        let size = target.len();
        let mut filled = size.min(self.end - self.start);
        let waiting = self
            .buffer
            .get(self.start..self.start + filled)
            .ok_or(EINVAL)?;
        target.copy_in(0, waiting)?;
        self.start += filled;
        while filled < size {
            let mut rest = target.reborrow().range(filled, size - filled);
            match self
                .socket
                .receive_pages(&mut rest, Patience::Endless, true)?
            {
                0 => return Err(ECONNRESET),
                count => filled += count,
            }
        }
        Ok(())
    }

    /// Reads `count` bytes and forgets them.
    pub(super) fn skip(&mut self, mut count: usize) -> Result {
        while count > 0 {
            if self.start == self.end {
                self.fill()?;
            }
            let part = count.min(self.end - self.start);
            self.start += part;
            count -= part;
        }
        Ok(())
    }
}
