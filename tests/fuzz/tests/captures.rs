// SPDX-License-Identifier: GPL-2.0-only

//! What nodes with the kernel's own driver said to each other, and left on their disks: the core reads it, understands it
//! as the C headers say, and would write the same bytes.

use std::collections::BTreeMap;

use drbd_core::meta::layout::AlStripes;
use drbd_core::meta::superblock::{Superblock, SUPERBLOCK_BYTES};
use drbd_core::meta::transaction::{
    encode, encode_initialized, replay, seal, Kind, Transaction, FREE_EXTENT, TRANSACTION_BYTES,
};
use drbd_core::state::{Change, State};
use drbd_core::wire::bitmap_code::Encoder;
use drbd_core::wire::{
    encode_packet, BlockAck, BlockDescriptor, BlockRequest, Command, Data, FeatureFlags, Header,
    Packet, Protocol, RequestState, RequestStateReply, Runs, Socket, Trim, Zeroes, MAX_PACKET_HEAD,
};
use drbd_fuzz::capture::{files, packets, unhex, Captured};
use drbd_fuzz::is_without_meaning;

/// What both nodes of 7.3 agree on.
const FEATURES: FeatureFlags = FeatureFlags::SUPPORTED;

/// Before they agreed, packets have the oldest header.
fn agreed(captured: &Captured) -> u32 {
    if captured.header == 8 {
        80
    } else {
        101
    }
}

/// Header, packet, payload.
fn decode(captured: &Captured) -> (Header, Packet, &[u8]) {
    let place = &captured.place;
    let agreed = agreed(captured);
    let header = Header::decode(&captured.bytes, agreed).expect(place);
    let command = Command::try_from(header.command).expect(place);
    let fixed = Packet::fixed_size(command, header.length, agreed, FEATURES).expect(place);
    let (fixed, payload) = captured.bytes[captured.header..].split_at(fixed);
    let packet = Packet::decode(command, fixed, agreed, FEATURES).expect(place);
    (header, packet, payload)
}

fn all() -> impl Iterator<Item = Captured> {
    packets().into_iter().flat_map(|(_, packets)| packets)
}

#[test]
fn every_packet_is_known_where_it_comes() {
    for captured in all() {
        let (header, packet, payload) = decode(&captured);
        let socket = if captured.data_socket {
            Socket::Data
        } else {
            Socket::Meta
        };
        let first = packet.command().is_handshake();
        assert!(
            first || packet.command().accepted_on(socket),
            "{}",
            captured.place
        );
        let fixed = captured.bytes.len() - captured.header - payload.len();
        let length = fixed + payload.len() + captured.left_out;
        assert_eq!(header.length as usize, length, "{}", captured.place);
    }
}

#[test]
fn every_packet_encodes_to_the_same_bytes() {
    for captured in all() {
        let (header, packet, payload) = decode(&captured);
        let head = captured.bytes.len() - payload.len();
        let payload = (payload.len() + captured.left_out) as u32;
        let mut out = [0; MAX_PACKET_HEAD];
        let size = encode_packet(
            &packet,
            header.volume,
            payload,
            agreed(&captured),
            FEATURES,
            &mut out,
        );
        assert_eq!(size, Ok(head), "{}", captured.place);
        let fixed = &captured.bytes[captured.header..head];
        for (at, (one, other)) in out[..head].iter().zip(&captured.bytes).enumerate() {
            let padding = at >= captured.header
                && is_without_meaning(packet.command(), at - captured.header, fixed);
            // C does not always clear its buffer before it fills a packet in.
            assert!(
                one == other || padding,
                "{}: byte {at} of {packet:?}",
                captured.place
            );
        }
    }
}

#[test]
fn every_packet_means_what_the_headers_of_c_say() {
    for captured in all() {
        let (header, packet, _) = decode(&captured);
        let (name, _) = captured.meaning.split_once(' ').expect("a name and more");
        let mut text = format!("{name} volume={} length={}", header.volume, header.length);
        text.push_str(&fields(&packet));
        assert_eq!(text, captured.meaning, "{}", captured.place);
        assert_eq!(name, packet.command().name(), "{}", captured.place);
    }
}

/// The fields as tests/pair/pcap.py names them.
fn fields(packet: &Packet) -> String {
    match packet {
        Packet::Data(data) | Packet::DataReply(data) | Packet::ResyncDataReply(data) => {
            let Data {
                sector,
                block_id,
                seq_num,
                flags,
            } = data;
            format!(
                " sector={sector} id={block_id} seq={seq_num} flags={}",
                flags.bits()
            )
        }
        Packet::Trim(Trim {
            sector,
            block_id,
            seq_num,
            flags,
            size,
        })
        | Packet::Zeroes(Zeroes {
            sector,
            block_id,
            seq_num,
            flags,
            size,
        }) => {
            format!(
                " sector={sector} id={block_id} seq={seq_num} flags={} size={size}",
                flags.bits()
            )
        }
        Packet::Barrier(barrier) => format!(" barrier={}", barrier.barrier),
        Packet::BarrierAck(ack) => format!(" barrier={} count={}", ack.barrier, ack.set_size),
        Packet::DataRequest(request)
        | Packet::ResyncDataRequest(request)
        | Packet::OvRequest(request)
        | Packet::OvReply(request)
        | Packet::CsumResyncRequest(request)
        | Packet::ResyncThinRequest(request) => {
            let BlockRequest {
                sector,
                block_id,
                size,
            } = request;
            format!(" sector={sector} id={block_id} size={size}")
        }
        Packet::RecvAck(ack)
        | Packet::WriteAck(ack)
        | Packet::ResyncWriteAck(ack)
        | Packet::Superseded(ack)
        | Packet::NegAck(ack)
        | Packet::NegDataReply(ack)
        | Packet::NegResyncDataReply(ack)
        | Packet::OvResult(ack)
        | Packet::ResyncIsInSync(ack)
        | Packet::ResyncCancel(ack)
        | Packet::RetryWrite(ack) => {
            let BlockAck {
                sector,
                block_id,
                size,
                seq_num,
            } = ack;
            format!(" sector={sector} id={block_id} size={size} seq={seq_num}")
        }
        Packet::OutOfSync(block) | Packet::ResyncDeallocated(block) => {
            let BlockDescriptor { sector, size } = block;
            format!(" sector={sector} size={size}")
        }
        Packet::Uuids(uuids) => {
            let [current, bitmap, one, two, bits, flags] = uuids.uuid;
            format!(" current={current} bitmap={bitmap} history1={one} history2={two} bits={bits} flags={flags}")
        }
        Packet::SyncUuid(uuid) => format!(" uuid={}", uuid.uuid),
        Packet::State(state) => format!(" state={}", state.state),
        Packet::StateChangeRequest(request) | Packet::ConnStateChangeRequest(request) => {
            let RequestState { mask, val } = request;
            format!(" mask={mask} value={val}")
        }
        Packet::StateChangeReply(reply) | Packet::ConnStateChangeReply(reply) => {
            let RequestStateReply { retcode } = reply;
            format!(" code={retcode}")
        }
        Packet::ConnectionFeatures(features) => format!(
            " minimum={} features={} maximum={}",
            features.protocol_min,
            features.feature_flags.bits(),
            features.protocol_max
        ),
        Packet::Protocol(protocol) | Packet::ProtocolUpdate(protocol) => of_protocol(protocol),
        Packet::Sizes(sizes) => format!(
            " disk={} user={} current={} max_bio={} order={} flags={}",
            sizes.d_size,
            sizes.u_size,
            sizes.c_size,
            sizes.max_bio_size,
            sizes.queue_order_type,
            sizes.dds_flags.bits()
        ),
        Packet::SyncParam89(param) => {
            let name = |name: &drbd_core::wire::AlgorithmName| match name.as_str() {
                Some("") | None => "none".to_owned(),
                Some(name) => name.to_owned(),
            };
            format!(
                " rate={} verify={} csums={} plan_ahead={} delay_target={} fill_target={} max_rate={}",
                param.resync_rate,
                name(&param.verify_alg),
                name(&param.csums_alg),
                param.c_plan_ahead,
                param.c_delay_target,
                param.c_fill_target,
                param.c_max_rate
            )
        }
        Packet::CompressedBitmap(encoding) => {
            let byte = encoding.code | encoding.pad_bits << 4 | u8::from(encoding.first_set) << 7;
            format!(" encoding={byte}")
        }
        _ => String::new(),
    }
}

fn of_protocol(protocol: &Protocol) -> String {
    format!(
        " protocol={} after_sb_0p={} after_sb_1p={} after_sb_2p={} flags={} two_primaries={}",
        protocol.protocol,
        protocol.after_sb_0p,
        protocol.after_sb_1p,
        protocol.after_sb_2p,
        protocol.conn_flags.bits(),
        protocol.two_primaries
    )
}

/// States, and wishes for states, are ones that exist, and are said again in the same words.
#[test]
fn every_state_is_one_that_exists() {
    let (mut states, mut wishes) = (0, 0);
    for captured in all() {
        match decode(&captured).1 {
            Packet::State(word) => {
                let state = State::from_wire(word.state).expect(&captured.place);
                assert_eq!(state.to_wire(), word.state, "{}", captured.place);
                states += 1;
            }
            Packet::StateChangeRequest(word) | Packet::ConnStateChangeRequest(word) => {
                let wish = Change::from_wire(word.mask, word.val).expect(&captured.place);
                assert_eq!(wish.to_wire(), (word.mask, word.val), "{}", captured.place);
                wishes += 1;
            }
            _ => {}
        }
    }
    assert!(
        states > 20 && wishes > 3,
        "{states} states, {wishes} wishes"
    );
}

/// Runs of C fill the bitmap exactly, and our encoder makes the same code of them.
#[test]
fn compressed_bitmaps_are_read_and_written_alike() {
    let mut count = 0;
    for (_, packets) in packets() {
        let mut bits = BTreeMap::new();
        let mut positions: BTreeMap<(char, u16), u64> = BTreeMap::new();
        for captured in &packets {
            let (header, packet, payload) = decode(captured);
            match packet {
                Packet::Sizes(sizes) => drop(bits.insert(header.volume, sizes.c_size.div_ceil(8))),
                Packet::CompressedBitmap(encoding) => {
                    let bits = bits[&header.volume];
                    let position = positions
                        .entry((captured.sender, header.volume))
                        .or_default();
                    let mut runs =
                        Runs::new(encoding, payload, *position, bits).expect(&captured.place);
                    let lengths: Vec<u64> = runs
                        .by_ref()
                        .map(|run| run.expect(&captured.place).length)
                        .collect();
                    *position = runs.position() % bits;
                    let mut buffer = [0; 4096];
                    let mut encoder = Encoder::new(&mut buffer);
                    assert!(lengths
                        .iter()
                        .all(|length| encoder.push_run(*length) == Ok(true)));
                    let (used, pad_bits) = encoder.finish();
                    assert_eq!(
                        (&buffer[..used], pad_bits),
                        (payload, encoding.pad_bits),
                        "{}",
                        captured.place
                    );
                    count += 1;
                }
                _ => {}
            }
        }
        assert!(
            positions.values().all(|position| *position == 0),
            "a bitmap that is not whole"
        );
    }
    assert!(count > 2);
}

/// The bytes of one part of the metadata in a file.
fn part(text: &str, name: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let [part, at, row] = words.as_slice() {
            if *part == name {
                let at = usize::from_str_radix(at, 16).expect("a place");
                let row = if *row == "ff" {
                    vec![0xff; 64]
                } else {
                    unhex(row)
                };
                bytes[at..at + row.len()].copy_from_slice(&row);
            }
        }
    }
    bytes
}

#[test]
fn superblocks_are_read_and_written_alike() {
    for (name, text) in files("metadata") {
        let bytes = part(&text, "superblock", SUPERBLOCK_BYTES);
        let (superblock, clean) = Superblock::decode_any(&bytes).expect(&name);
        let mut again = [0; SUPERBLOCK_BYTES];
        if clean {
            superblock.encode_clean(&mut again);
        } else {
            superblock.encode(&mut again);
        }
        assert!(again[..] == bytes[..], "{name}: other bytes");
        for (key, value) in said_by_drbdmeta(&text) {
            let [current, bitmap, one, two] = superblock.uuids;
            let ours = match key.as_str() {
                "la-size-sect" => superblock.effective_size.to_string(),
                "uuid" => format!("0x{current:016X}; 0x{bitmap:016X}; 0x{one:016X}; 0x{two:016X}",),
                "device-uuid" => format!("0x{:016X}", superblock.device_uuid),
                "al-stripes" => superblock.stripes.count().to_string(),
                "al-stripe-size-4k" => superblock.stripes.blocks_each().to_string(),
                "la-peer-max-bio-size" => superblock.la_peer_max_bio_size.to_string(),
                _ => continue,
            };
            assert_eq!(ours, value, "{name}: {key}");
        }
    }
}

/// `key value;` and the words between `uuid {` and `}`; not the flags: of unclean metadata drbdmeta shows none.
fn said_by_drbdmeta(text: &str) -> Vec<(String, String)> {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("drbdmeta "));
    let mut said = Vec::new();
    let mut uuid: Option<Vec<&str>> = None;
    for line in lines {
        let line = line
            .split('#')
            .next()
            .unwrap_or_default()
            .trim()
            .trim_end_matches(';');
        match (&mut uuid, line) {
            (None, "uuid {") => uuid = Some(Vec::new()),
            (Some(words), "}") => {
                said.push(("uuid".into(), words.join("; ")));
                uuid = None;
            }
            (Some(_), word) if word.starts_with("flags") => {}
            (Some(words), word) => words.push(word),
            (None, line) => {
                if let Some((key, value)) = line.split_once(' ') {
                    said.push((key.into(), value.into()));
                }
            }
        }
    }
    said
}

#[test]
fn activity_logs_are_read_and_written_alike() {
    let mut updates = 0;
    for (name, text) in files("metadata") {
        let log = part(&text, "log", 8 * TRANSACTION_BYTES);
        let blocks: Vec<&[u8]> = log.chunks_exact(TRANSACTION_BYTES).collect();
        for (number, block) in blocks.iter().enumerate() {
            let Ok(transaction) = Transaction::decode(block) else {
                assert!(
                    block.iter().all(|byte| *byte == 0),
                    "{name}: block {number} is damaged"
                );
                continue;
            };
            let mut again = [0; TRANSACTION_BYTES];
            if transaction.header().kind == Kind::Initialized {
                encode_initialized(&mut again);
            } else {
                let context = transaction.context().map(|(_, extent)| extent);
                encode(
                    &mut again,
                    transaction.header(),
                    transaction.updates(),
                    context,
                );
                seal(&mut again);
                updates += 1;
            }
            assert!(
                again[..] == **block,
                "{name}: block {number} has other bytes"
            );
        }
        let mut slots = vec![FREE_EXTENT; 65535];
        let found = replay(
            AlStripes::standard(),
            |block| blocks[block as usize],
            &mut slots,
        );
        found.expect(&name);
    }
    assert!(updates > 1);
}
