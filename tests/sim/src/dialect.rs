// SPDX-License-Identifier: GPL-2.0-only

//! What a peer understands that speaks an older protocol: nothing else may be sent to it.

use drbd_core::wire::data::max_bio_size;
use drbd_core::wire::{Command, FeatureFlags};

/// Why a peer with this protocol and these features cannot read such a packet, with `data` bytes of an application's data.
pub fn misunderstands(
    command: u16,
    protocol: u32,
    features: FeatureFlags,
    data: u32,
) -> Option<String> {
    let Ok(command) = Command::try_from(command) else {
        return Some(format!("packet {command:#x}"));
    };
    let known = match command {
        Command::SyncParam => protocol <= 88,
        Command::OvRequest | Command::OvReply | Command::OvResult => protocol >= 88,
        Command::SyncParam89 | Command::CsumResyncRequest | Command::ResyncIsInSync => {
            protocol >= 89
        }
        Command::CompressedBitmap => protocol >= 90,
        Command::OutOfSync | Command::ResyncCancel => protocol >= 96,
        Command::ConnStateChangeRequest
        | Command::ConnStateChangeReply
        | Command::RetryWrite
        | Command::ProtocolUpdate => protocol >= 100,
        Command::Trim => features.contains(FeatureFlags::TRIM),
        Command::ResyncThinRequest | Command::ResyncDeallocated => {
            features.contains(FeatureFlags::THIN_RESYNC)
        }
        Command::Zeroes => features.contains(FeatureFlags::WZEROES),
        _ => true,
    };
    if !known {
        return Some(format!("{} with protocol {protocol}", command.name()));
    }
    let most = max_bio_size(protocol);
    (data > most).then(|| {
        format!(
            "{} of {data} bytes with protocol {protocol}",
            command.name()
        )
    })
}
