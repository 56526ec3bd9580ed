// SPDX-License-Identifier: GPL-2.0-only

//! The link to the peer: two sockets and the threads that move bytes between them and the engine.

mod answers;
pub(crate) mod establish;
mod reader;
pub(crate) mod receiver;
pub(crate) mod sender;

use drbd_core::{
    config::net::NetConf,
    resource::Disconnect,
    return_code::ReturnCode,
    state::{
        ConnectionState,
        StateCode, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

use crate::{
    kernel_api::{
        kthread::Thread,
        socket::TcpSocket,
        socket_address::SocketAddress, //
    },
    resource::{
        algorithms::Algorithms,
        Resource, //
    }, //
};

/// The sockets of a connection; while one is sought, the one that listens.
pub(crate) enum Link {
    /// Waiting for the peer to come.
    Listening(TcpSocket),
    /// Both sockets lead to the peer.
    Open {
        /// Carries data, and everything whose order matters.
        data: TcpSocket,
        /// Carries acknowledgements and pings.
        meta: TcpSocket,
    },
}

impl Link {
    /// Ends whatever waits in a socket. May sleep, shortly.
    pub(crate) fn shut(&self) {
        match self {
            Self::Listening(socket) => socket.wake(),
            Self::Open { data, meta } => {
                // A socket that is shut already has nothing to end.
                let _ = data.shutdown();
                let _ = meta.shutdown();
            }
        }
    }
}

/// A thread of the link cannot go on. Whoever waits for its end must not wait for a disk.
fn link_failed(resource: &Resource, state: ConnectionState) {
    resource.engine_in_irq(|guarded| guarded.engine.link_failed(state));
}

/// The engine has a connection to look for. Event thread.
pub(crate) fn start_receiver(resource: &Arc<Resource>) -> Result {
    let name = resource.thread_name("drbd_r_")?;
    let owner = resource.clone();
    let thread = Thread::spawn(&name, move |stop| receiver::run(&owner, stop))?;
    resource.set_receiver(Some(thread));
    Ok(())
}

impl Resource {
    /// Configures the connection, and starts to look for the peer.
    pub(crate) fn connect(
        self: &Arc<Self>,
        conf: NetConf,
        algorithms: Algorithms,
        my_addr: SocketAddress,
        peer_addr: SocketAddress,
    ) -> Result<(), ReturnCode> {
        if !self.peek(|guarded| guarded.engine.is_stand_alone()) {
            return Err(ReturnCode::NetConfigured);
        }
        // The receiver of the connection before has nothing more to do.
        self.set_receiver(None);
        self.set_addresses(Some((my_addr, peer_addr)));
        let digest = algorithms.size_of(&conf.integrity_alg);
        let (connected, old) = self.engine_in_irq(|guarded| {
            let old = core::mem::replace(&mut guarded.algorithms, algorithms);
            (guarded.engine.connect(conf, digest), old)
        });
        drop(old);
        connected.map_err(|_| {
            self.set_addresses(None);
            ReturnCode::NetConfigured
        })
    }

    /// Changes the options of the connection.
    pub(crate) fn change_net_options(self: &Arc<Self>, conf: NetConf, algorithms: Algorithms) {
        let mut algorithms = algorithms;
        let digest = algorithms.size_of(&conf.integrity_alg);
        let old = self.engine_in_irq(|guarded| {
            // Until the peer has heard of the new digest, data goes with the old one.
            algorithms.keep(&guarded.algorithms, guarded.engine.integrity().name());
            guarded.engine.set_net_options(conf, digest);
            core::mem::replace(&mut guarded.algorithms, algorithms)
        });
        drop(old);
    }

    /// Takes the connection down. Sleeps until it is StandAlone.
    pub(crate) fn disconnect(self: &Arc<Self>, force: bool) -> Result<(), StateCode> {
        let mut way = Disconnect::new(force);
        loop {
            let result = match self.engine_for_command(|engine| engine.disconnect(&way)) {
                Ok(None) => Ok(()),
                Ok(Some(ticket)) => {
                    let result = self.wait_for(ticket);
                    self.engine_for_command(|engine| engine.disconnected());
                    result
                }
                Err(code) => Err(code),
            };
            match result {
                Ok(()) => break,
                Err(StateCode::AlreadyStandAlone) => {
                    self.set_receiver(None);
                    return Err(StateCode::AlreadyStandAlone);
                }
                Err(StateCode::InTransientState) => {
                    let _ = self.operations.wait_event_timeout(100, || false);
                }
                Err(code) if way.next(code) => {}
                Err(code) => return Err(code),
            }
        }
        self.operations
            .wait_event(|| self.peek(|guarded| guarded.engine.is_stand_alone()));
        self.set_receiver(None);
        self.set_addresses(None);
        Ok(())
    }

    /// Whether the engine still looks for a peer.
    pub(crate) fn is_connecting(&self) -> bool {
        self.peek(|guarded| guarded.engine.connection().state() == ConnectionState::WFConnection)
    }
}
