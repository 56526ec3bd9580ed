// SPDX-License-Identifier: GPL-2.0-only

//! Commands about the connection to the peer.

use drbd_core::{
    config::{
        check,
        check::{
            ConnectionFacts,
            DeviceFacts, //
        },
        NetConf, //
    },
    netlink::{
        messages::Announcement,
        request::{
            Change,
            Message,
            Request, //
        }, //
    },
    return_code::ReturnCode,
    state::{
        ConnectionState,
        Role,
        State,
        StateCode, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

use super::{
    event::end_connection,
    netlink::Target,
    notify::Teller,
    refused::{
        check_net_options,
        no_memory,
        refused,
        Outcome,
        DONE, //
    },
    registry::{
        self,
        Entry,
        CONFIGURATION, //
    },
    told::Addresses, //
};
use crate::{
    kernel_api::socket_address::SocketAddress,
    resource::{
        Engine,
        Refused, //
    }, //
};

/// `CONNECT`
pub(super) fn connect(target: &Target, message: &Message<'_>) -> Outcome {
    let (mine, theirs) = message.context.endpoints()?;
    let addresses = (address(mine)?, address(theirs)?);
    target.administer(|entry| {
        let _configuration = CONFIGURATION.lock();
        check_addresses(&addresses)?;
        if !entry.look(Engine::is_stand_alone) {
            return Err(ReturnCode::NetConfigured.into());
        }
        let Request::Connect { options, .. } = message.request()? else {
            return Err(ReturnCode::PacketNr.into());
        };
        entry.look(|engine| check_options(engine, None, &options))?;
        let algorithms = check_net_options(&options)?;
        entry.resource.settle();
        tell_of_connection(entry, &addresses);
        let (my_address, peer_address) = addresses;
        let connected = entry
            .resource
            .connect(options, algorithms, my_address, peer_address);
        if let Err(code) = connected {
            end_connection(entry, &mut entry.told.lock());
            return Err(code.into());
        }
        Ok(StateCode::Success.number())
    })
}

fn tell_of_connection(entry: &Entry, addresses: &Addresses) {
    let mut told = entry.told.lock();
    told.set_addresses(Some(*addresses));
    if let Some(mut teller) = Teller::begin() {
        teller.whole_connection(entry, &told, Announcement::Create);
    }
}

fn address(bytes: &[u8]) -> Result<SocketAddress, Refused> {
    SocketAddress::from_bytes(bytes).map_err(|error| {
        let words = if error == EAFNOSUPPORT {
            "only ipv4 and ipv6 addresses are supported by this driver"
        } else {
            "invalid address"
        };
        refused(ReturnCode::InvalidRequest, &words)
    })
}

/// No other connection has one of these addresses.
fn check_addresses((mine, theirs): &Addresses) -> Result<(), Refused> {
    for entry in registry::resources().map_err(no_memory)? {
        let Some((other_mine, other_theirs)) = entry.addresses() else {
            continue;
        };
        if other_mine.bytes() == mine.bytes() {
            return Err(ReturnCode::LocalAddr.into());
        }
        if other_theirs.bytes() == theirs.bytes() {
            return Err(ReturnCode::PeerAddr.into());
        }
    }
    Ok(())
}

/// Whether the options fit each other, and what is.
fn check_options(engine: &Engine, old: Option<&NetConf>, new: &NetConf) -> Result<(), ReturnCode> {
    let states = || {
        engine
            .device_indices()
            .filter_map(|index| engine.device(index))
            .map(|device| device.state())
    };
    let any = |is: fn(&State) -> bool| states().any(|state| is(&state));
    let connection = engine.connection();
    let introduced = connection.state() == ConnectionState::WFReportParams;
    let facts = ConnectionFacts {
        agreed_version: introduced.then(|| connection.agreed_protocol()),
        is_primary: any(|state| state.role == Role::Primary),
        peer_is_primary: any(|state| state.peer == Role::Primary),
        resync_running: any(|state| state.connection.is_resync()),
        verify_running: any(|state| state.connection.is_verify()),
    };
    let devices = engine
        .device_indices()
        .filter_map(|index| engine.device(index))
        .map(|device| DeviceFacts {
            fencing: device.disk().map(|disk| disk.conf.fencing),
            is_primary: device.state().role == Role::Primary,
        });
    check::net_options(old, new, &facts, devices)
}

/// `CHG_NET_OPTS`
pub(super) fn change_options(target: &Target, change: &Change<'_, NetConf>) -> Outcome {
    target.administer(|entry| {
        let old = entry.look(|engine| engine.connection().conf().cloned());
        let old = old
            .ok_or_else(|| refused(ReturnCode::InvalidRequest, &"net conf missing, try connect"))?;
        let new = change.apply_to(&old)?;
        entry.look(|engine| check_options(engine, Some(&old), &new))?;
        let algorithms = check_net_options(&new)?;
        entry.resource.change_net_options(new, algorithms);
        DONE
    })
}

/// `DISCONNECT`
pub(super) fn disconnect(target: &Target, force: bool) -> Outcome {
    target.administer(|entry| {
        take_down(entry, force)?;
        DONE
    })
}

/// Takes the connection down, if there is one. Sleeps until it is StandAlone, and all is told.
pub(super) fn take_down(entry: &Arc<Entry>, force: bool) -> Result<(), StateCode> {
    match entry.resource.disconnect(force) {
        Ok(()) | Err(StateCode::AlreadyStandAlone) => {}
        Err(code) if code.is_success() => {}
        Err(code) => return Err(code),
    }
    entry.resource.settle();
    // Without volumes there was no change of state to tell of.
    end_connection(entry, &mut entry.told.lock());
    Ok(())
}
