// SPDX-License-Identifier: GPL-2.0-only

//! Sends what the engine has for the meta socket.
//!
//! A thread of its own does that, and so does the receiver before it starts what it received: with protocol B an
//! application waits for nothing else. One of them at a time, so that packets stay whole and in order.

use drbd_core::{
    resource::SEND_BUFFER,
    state::ConnectionState, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

use super::{
    link_failed,
    sender::send_bytes,
    Link, //
};
use crate::{
    kernel_api::{
        kthread::StopFlag,
        noio::NoIo,
        socket::TcpSocket, //
    },
    resource::{
        Guarded,
        Resource, //
    }, //
};

/// Somebody who sends on the meta socket.
pub(super) struct Answers<'a> {
    resource: &'a Arc<Resource>,
    socket: &'a TcpSocket,
    buffer: KVec<u8>,
}

impl<'a> Answers<'a> {
    pub(super) fn new(resource: &'a Arc<Resource>, socket: &'a TcpSocket) -> Result<Self> {
        Ok(Self {
            resource,
            socket,
            buffer: KVec::from_elem(0, SEND_BUFFER, GFP_KERNEL)?,
        })
    }

    /// Sends all there is. Sleeps.
    fn send_all(&mut self) -> Result {
        loop {
            let turn = self.resource.meta_turn.lock();
            let mut filled = None;
            // Block I/O that waits to be started is no matter of this thread.
            self.resource.engine_in_irq(|guarded| {
                filled = guarded.engine.next_meta_packets(&mut self.buffer);
            });
            let Some(count) = filled else {
                return Ok(());
            };
            send(self.resource, self.socket, &self.buffer, count)?;
            drop(turn);
        }
    }

    /// Uses the engine, and sends what it then has for the meta socket, as far as one call takes it, before the block I/O that
    /// it asks for is started. Where the other sender is at work, that is left to it. Sleeps.
    pub(super) fn send_after<R>(&mut self, f: impl FnOnce(&mut Guarded) -> R) -> Result<R> {
        let Self {
            resource,
            socket,
            buffer,
        } = self;
        let Some(turn) = resource.meta_turn.try_lock() else {
            return Ok(resource.guarded(f));
        };
        let mut sent = Ok(());
        let (result, ..) = resource.guarded_then(
            |guarded| {
                let result = f(guarded);
                let filled = guarded.engine.next_meta_packets(buffer);
                (result, filled, buffer)
            },
            |(_, filled, buffer)| {
                if let Some(count) = filled {
                    sent = send(resource, socket, buffer, *count);
                }
                drop(turn);
            },
        );
        sent.map(|()| result)
    }
}

/// Sends the first `count` bytes of `buffer`. Sleeps.
fn send(resource: &Arc<Resource>, socket: &TcpSocket, buffer: &[u8], count: usize) -> Result {
    send_bytes(resource, socket, buffer.get(..count).ok_or(EINVAL)?, false)
}

/// The thread that sends on the meta socket.
pub(crate) fn run(resource: &Arc<Resource>, link: &Arc<Link>, stop: &StopFlag) {
    let _noio = NoIo::enter();
    let Link::Open { meta, .. } = &**link else {
        return;
    };
    let Ok(mut answers) = Answers::new(resource, meta) else {
        return link_failed(resource, ConnectionState::NetworkFailure);
    };
    while resource.meta_work.wait(stop) {
        if answers.send_all().is_err() {
            return link_failed(resource, ConnectionState::NetworkFailure);
        }
    }
}
