// SPDX-License-Identifier: GPL-2.0-only

//! How two nodes find each other.
//!
//! Each node both connects and listens. The first socket that stands becomes the data socket, the second the meta socket;
//! a first packet on each says which it is. Where both nodes connect at the same moment, chance decides whose socket
//! stays. The node that accepted the meta socket resolves conflicts later on.

use drbd_core::{
    bytes::Writer,
    config::net::NetConf,
    wire::{
        Command,
        Header,
        HeaderFormat,
        PROTOCOL_VERSION_FIRST_CONTACT, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

use super::Link;
use crate::{
    kernel_api::{
        kthread::StopFlag,
        random,
        socket::{
            Patience,
            Protocol,
            SendOptions,
            TcpSocket, //
        },
        socket_address::SocketAddress, //
    },
    resource::Resource, //
};

/// Both sockets, and whether this node accepted the meta socket.
pub(crate) struct Established {
    pub(crate) data: TcpSocket,
    pub(crate) meta: TcpSocket,
    pub(crate) resolve_conflicts: bool,
}

/// What there is so far.
#[derive(Default)]
struct Pair {
    data: Option<TcpSocket>,
    meta: Option<TcpSocket>,
    resolve_conflicts: bool,
}

/// Looks for the peer until both sockets stand. `EINTR` where the connection is no longer wanted. Sleeps.
pub(crate) fn establish(resource: &Arc<Resource>, stop: &StopFlag) -> Result<Established> {
    let (mine, peer) = resource.addresses().ok_or(EINTR)?;
    let conf = resource
        .peek(|guarded| guarded.engine.connection().conf().cloned())
        .ok_or(EINTR)?;
    let listener = TcpSocket::new(mine.family(), Protocol::Tcp)?;
    listener.set_reuse_address(true)?;
    set_buffers(&listener, &conf)?;
    listener.bind(&mine)?;
    listener.listen(5)?;
    let link = Arc::new(Link::Listening(listener), GFP_KERNEL)?;
    resource.set_link(Some(link.clone()));
    let unwanted = || stop.should_stop() || !resource.is_connecting();
    let mut pair = Pair::default();
    while !unwanted() {
        try_connect(&mut pair, &mine, &peer, &conf);
        if pair.stands(&conf) {
            break;
        }
        if let Link::Listening(listener) = &*link {
            accept_some(&mut pair, listener, &conf, &unwanted);
        }
        if pair.stands(&conf) {
            break;
        }
    }
    if unwanted() {
        return Err(EINTR);
    }
    pair.into_established().ok_or(EINTR)
}

fn set_buffers(socket: &TcpSocket, conf: &NetConf) -> Result {
    socket.set_send_buffer(conf.sndbuf_size)?;
    socket.set_receive_buffer(conf.rcvbuf_size)
}

/// One attempt to connect the socket that is missing.
fn try_connect(pair: &mut Pair, mine: &SocketAddress, peer: &SocketAddress, conf: &NetConf) {
    if pair.data.is_some() && pair.meta.is_some() {
        return;
    }
    let Ok(socket) = connect(mine, peer, conf) else {
        return;
    };
    let is_data = pair.data.is_none();
    let command = if is_data {
        Command::InitialData
    } else {
        Command::InitialMeta
    };
    if send_first_packet(&socket, command).is_err() {
        return;
    }
    if is_data {
        pair.data = Some(socket);
    } else {
        pair.resolve_conflicts = false;
        pair.meta = Some(socket);
    }
}

fn connect(mine: &SocketAddress, peer: &SocketAddress, conf: &NetConf) -> Result<TcpSocket> {
    let socket = TcpSocket::new(mine.family(), Protocol::Tcp)?;
    set_buffers(&socket, conf)?;
    // From the configured address, but any port: the peer may check where we come from.
    socket.bind(&mine.with_port(0))?;
    socket.connect(peer, conf.connect_int.saturating_mul(1000))?;
    Ok(socket)
}

/// Waits for the peer to come, for about `connect-int`.
fn accept_some(
    pair: &mut Pair,
    listener: &TcpSocket,
    conf: &NetConf,
    unwanted: &impl Fn() -> bool,
) {
    // 28.5 percent to and fro, so that two nodes do not keep missing each other.
    let base = conf.connect_int.saturating_mul(1000);
    let mut wait = if random::random_u32() & 1 == 0 {
        base + base / 7
    } else {
        base - base / 7
    };
    loop {
        let Ok(socket) = listener.accept(wait, unwanted) else {
            return;
        };
        let time = conf.ping_timeo.saturating_mul(400);
        let first = receive_first_packet(&socket, time);
        // A peer that gave up its socket and comes again does not cross with itself.
        pair.forget_dead();
        let crossed = match first {
            Some(Command::InitialData) => pair.data.replace(socket).is_some(),
            Some(Command::InitialMeta) => {
                pair.resolve_conflicts = true;
                pair.meta.replace(socket).is_some()
            }
            _ => {
                pr_warn!("drbd: somebody connected who is no peer: wrong first packet\n");
                true
            }
        };
        // Strangers that come again and again must not keep this node from calling its peer.
        if !crossed || random::random_u32() & 1 == 0 {
            return;
        }
        wait = base / 7 + 1;
    }
}

fn send_first_packet(socket: &TcpSocket, command: Command) -> Result {
    let mut bytes = [0; 8];
    let header = Header {
        volume: 0,
        command: command.number(),
        length: 0,
    };
    header
        .encode(HeaderFormat::H80, &mut Writer::new(&mut bytes))
        .map_err(|_| EINVAL)?;
    if socket.send(&bytes, SendOptions::default())? == bytes.len() {
        Ok(())
    } else {
        Err(EIO)
    }
}

fn receive_first_packet(socket: &TcpSocket, milliseconds: u32) -> Option<Command> {
    let mut bytes = [0; 8];
    let received = socket
        .receive(&mut bytes, Patience::Milliseconds(milliseconds), true)
        .ok()?;
    if received != bytes.len() {
        return None;
    }
    let header = Header::decode(&bytes, PROTOCOL_VERSION_FIRST_CONTACT).ok()?;
    Command::try_from(header.command).ok()
}

impl Pair {
    /// Whether both sockets are there, and stay for a moment: the peer may be about to drop one.
    fn stands(&mut self, conf: &NetConf) -> bool {
        let time = if conf.sock_check_timeo == 0 {
            conf.ping_timeo
        } else {
            conf.sock_check_timeo
        };
        match (&self.data, &self.meta) {
            (Some(data), Some(_)) => {
                // Data in the socket is the peer's first word: it has made up its mind.
                data.wait(time.saturating_mul(100), || data.is_readable());
            }
            _ => return false,
        }
        self.forget_dead();
        self.data.is_some() && self.meta.is_some()
    }

    /// Lets go of what the other end has closed.
    fn forget_dead(&mut self) {
        for socket in [&mut self.data, &mut self.meta] {
            if socket.as_ref().is_some_and(|socket| !socket.is_alive()) {
                *socket = None;
            }
        }
    }

    fn into_established(self) -> Option<Established> {
        let established = Established {
            data: self.data?,
            meta: self.meta?,
            resolve_conflicts: self.resolve_conflicts,
        };
        for (socket, priority) in [(&established.data, 4), (&established.meta, 6)] {
            // Both work without.
            let _ = socket.set_no_delay(true);
            let _ = socket.set_priority(priority);
            let _ = socket.set_reuse_address(true);
        }
        Some(established)
    }
}
