// SPDX-License-Identifier: GPL-2.0-only

//! Headers and packets of every kind and version. Bytes: protocol version, features, then header, fixed part, payload.

use drbd_core::state::{Change, State};
use drbd_core::wire::{
    encode_packet, Command, FeatureFlags, Header, HeaderFormat, Packet, MAX_PACKET_HEAD,
};

use super::Source;

pub fn run(data: &[u8]) {
    let mut source = Source(data);
    let agreed = 80 + u32::from(source.byte()) % 22;
    let features = FeatureFlags::from_bits(source.byte().into());
    let bytes = source.0;
    let Ok(header) = Header::decode(bytes, agreed) else {
        return;
    };
    let header_size = HeaderFormat::for_protocol(agreed).size();
    header_encodes_again(&header, &bytes[..header_size], agreed);
    let Ok(command) = Command::try_from(header.command) else {
        return;
    };
    let Ok(fixed) = Packet::fixed_size(command, header.length, agreed, features) else {
        return;
    };
    assert!(
        fixed <= header.length as usize,
        "{command:?}: reads beyond its length"
    );
    assert!(
        header_size + fixed <= MAX_PACKET_HEAD,
        "{command:?}: has no room"
    );
    let Some(bytes) = bytes[header_size..].get(..fixed) else {
        return;
    };
    let packet = Packet::decode(command, bytes, agreed, features);
    let packet = packet.expect("a packet of an allowed length is decoded");
    assert_eq!(packet.command(), command);
    packet_encodes_again(&packet, &header, bytes, agreed, features);
    states(&packet);
}

/// What a sender of this version would write is the same, byte for byte. A receiver also takes the form of another one.
fn header_encodes_again(header: &Header, bytes: &[u8], agreed: u32) {
    let mut again = [0; 16];
    let mut writer = drbd_core::bytes::Writer::new(&mut again);
    let format = match (bytes[0], bytes[1]) {
        (0x83, 0x5a) => HeaderFormat::H95,
        _ => HeaderFormat::for_protocol(agreed),
    };
    let encoded = header.encode(format, &mut writer);
    encoded.expect("what was decoded can be encoded");
    assert_eq!(&again[..bytes.len()], bytes);
}

fn packet_encodes_again(
    packet: &Packet,
    header: &Header,
    bytes: &[u8],
    agreed: u32,
    features: FeatureFlags,
) {
    let command = packet.command();
    let payload = header.length - bytes.len() as u32;
    let mut out = [0; MAX_PACKET_HEAD];
    let encoded = encode_packet(packet, header.volume, payload, agreed, features, &mut out);
    let Ok(size) = encoded else {
        // A short header that came in the long form may be too long for the form that is sent.
        assert!(
            agreed < 95,
            "{command:?} cannot be sent as it came: {encoded:?}"
        );
        return;
    };
    let fixed = &out[HeaderFormat::for_protocol(agreed).size()..size];
    let again = Packet::decode(command, fixed, agreed, features);
    assert_eq!(again.as_ref(), Ok(packet), "{command:?} changes on its way");
    if fixed.len() != bytes.len() {
        // Names of algorithms may come without the zeros behind them.
        return;
    }
    let differs = fixed
        .iter()
        .zip(bytes)
        .position(|(one, other)| one != other);
    if let Some(at) = differs {
        let what = is_without_meaning(command, at, bytes);
        assert!(
            what,
            "{command:?}: byte {at} is {} and becomes {}",
            bytes[at], fixed[at]
        );
    }
}

/// Bytes that carry nothing: padding, and what stands behind the zero that ends a name. The last byte of a name is its end,
/// whatever it is.
pub fn is_without_meaning(command: Command, at: usize, bytes: &[u8]) -> bool {
    let ends_name = |start: usize| {
        at >= start && at < start + 64 && (at == start + 63 || bytes[start..at].contains(&0))
    };
    match command {
        Command::Protocol | Command::ProtocolUpdate => ends_name(24),
        Command::SyncParam | Command::SyncParam89 => ends_name(4) || ends_name(68),
        Command::Barrier => at >= 4,
        Command::OutOfSync | Command::ResyncDeallocated => at >= 12,
        Command::DataRequest
        | Command::ResyncDataRequest
        | Command::OvRequest
        | Command::OvReply
        | Command::CsumResyncRequest
        | Command::ResyncThinRequest => at >= 20,
        Command::ConnectionFeatures => at >= 12 || (4..8).contains(&at),
        Command::Sizes => at >= 30,
        _ => false,
    }
}

/// Words that stand for states are refused, or are what we would say in their place.
fn states(packet: &Packet) {
    match packet {
        Packet::State(state) => {
            if let Ok(known) = State::from_wire(state.state) {
                assert_eq!(State::from_wire(known.to_wire()), Ok(known));
            }
        }
        Packet::StateChangeRequest(request) | Packet::ConnStateChangeRequest(request) => {
            if let Ok(change) = Change::from_wire(request.mask, request.val) {
                let (mask, value) = change.to_wire();
                assert_eq!(Change::from_wire(mask, value), Ok(change));
                assert_eq!(value & !mask, 0);
            }
        }
        _ => {}
    }
}
