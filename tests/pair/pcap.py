# SPDX-License-Identifier: GPL-2.0-only
"""DRBD packets out of what tcpdump wrote, as text: one line for each, with what the C headers say that it means.

This knows the structures of `drbd_protocol.h` on its own, so that the driver's decoder can be held against it.
"""

import struct

KEEP = 64  # bytes of payload that are worth keeping, where it is data

COMMANDS = {
    0x00: "Data", 0x01: "DataReply", 0x02: "RSDataReply", 0x03: "Barrier", 0x04: "ReportBitMap", 0x05: "BecomeSyncTarget",
    0x06: "BecomeSyncSource", 0x07: "UnplugRemote", 0x08: "DataRequest", 0x09: "RSDataRequest", 0x0a: "SyncParam",
    0x0b: "ReportProtocol", 0x0c: "ReportUUIDs", 0x0d: "ReportSizes", 0x0e: "ReportState", 0x0f: "ReportSyncUUID",
    0x10: "AuthChallenge", 0x11: "AuthResponse", 0x12: "StateChgRequest", 0x13: "Ping", 0x14: "PingAck", 0x15: "RecvAck",
    0x16: "WriteAck", 0x17: "RSWriteAck", 0x18: "Superseded", 0x19: "NegAck", 0x1a: "NegDReply", 0x1b: "NegRSDReply",
    0x1c: "BarrierAck", 0x1d: "StateChgReply", 0x1e: "OVRequest", 0x1f: "OVReply", 0x20: "OVResult", 0x21: "CsumRSRequest",
    0x22: "CsumRSIsInSync", 0x23: "SyncParam89", 0x24: "CBitmap", 0x27: "DelayProbe", 0x28: "OutOfSync", 0x29: "RSCancel",
    0x2a: "conn_st_chg_req", 0x2b: "conn_st_chg_reply", 0x2c: "RetryWrite", 0x2d: "protocol_update", 0x31: "Trim",
    0x32: "rs_thin_req", 0x33: "rs_deallocated", 0x34: "WriteSame", 0x36: "Zeroes", 0xfff1: "InitialMeta",
    0xfff2: "InitialData", 0xfffe: "ConnectionFeatures",
}  # fmt: skip

BLOCK_ACK = (">QQII", "sector id size seq")
BLOCK_REQUEST = (">QQII", "sector id size -")
DATA = (">QQII", "sector id seq flags")
STATE_REQUEST = (">II", "mask value")
FIELDS = {
    "Data": DATA, "DataReply": DATA, "RSDataReply": DATA, "Barrier": (">II", "barrier -"),
    "DataRequest": BLOCK_REQUEST, "RSDataRequest": BLOCK_REQUEST, "OVRequest": BLOCK_REQUEST, "OVReply": BLOCK_REQUEST,
    "CsumRSRequest": BLOCK_REQUEST, "rs_thin_req": BLOCK_REQUEST,
    "ReportUUIDs": (">6Q", "current bitmap history1 history2 bits flags"), "ReportSyncUUID": (">Q", "uuid"),
    "ReportState": (">I", "state"), "StateChgRequest": STATE_REQUEST, "conn_st_chg_req": STATE_REQUEST,
    "StateChgReply": (">i", "code"), "conn_st_chg_reply": (">i", "code"), "BarrierAck": (">II", "barrier count"),
    "RecvAck": BLOCK_ACK, "WriteAck": BLOCK_ACK, "RSWriteAck": BLOCK_ACK, "Superseded": BLOCK_ACK, "NegAck": BLOCK_ACK,
    "NegDReply": BLOCK_ACK, "NegRSDReply": BLOCK_ACK, "OVResult": BLOCK_ACK, "CsumRSIsInSync": BLOCK_ACK,
    "RSCancel": BLOCK_ACK, "RetryWrite": BLOCK_ACK, "OutOfSync": (">QI4x", "sector size"),
    "rs_deallocated": (">QI4x", "sector size"), "Trim": (">QQIII", "sector id seq flags size"),
    "Zeroes": (">QQIII", "sector id seq flags size"), "CBitmap": (">B", "encoding"),
    "ConnectionFeatures": (">III", "minimum features maximum"),
    "ReportProtocol": (">6I", "protocol after_sb_0p after_sb_1p after_sb_2p flags two_primaries"),
    "protocol_update": (">6I", "protocol after_sb_0p after_sb_1p after_sb_2p flags two_primaries"),
    "ReportSizes": (">QQQIHH", "disk user current max_bio order flags"),
    "SyncParam89": (">I64s64sIIII", "rate verify csums plan_ahead delay_target fill_target max_rate"),
}  # fmt: skip
HEADERS = [(0x83740267, ">IHH", 8), (0x8620EC20, ">IHHII", 16)]


def streams(data):
    """The TCP streams of a pcap file: (source, destination) with its bytes, in the order of their first segment."""
    found = {}
    little = data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1")
    order, at = "<" if little else ">", 24
    while at < len(data):
        _, _, kept, length = struct.unpack_from(order + "IIII", data, at)
        if kept != length:
            raise ValueError("tcpdump cut frames off")
        _segment(data[at + 16 : at + 16 + kept], found)
        at += 16 + kept
    return {key: _joined(key, start, parts) for key, (start, parts) in found.items()}


def _segment(frame, found):
    if frame[12:14] != b"\x08\x00" or frame[23] != 6:
        return
    ip = 14 + 4 * (frame[14] & 15)
    end = 14 + struct.unpack_from(">H", frame, 16)[0]
    source, target, sequence = struct.unpack_from(">HHI", frame, ip)
    payload = frame[ip + 4 * (frame[ip + 12] >> 4) : end]
    key = ((frame[26:30], source), (frame[30:34], target))
    if frame[ip + 13] & 2:  # SYN
        found[key] = (sequence + 1, {})
    elif key in found and payload:
        start, parts = found[key]
        offset = (sequence - start) & 0xFFFFFFFF
        if len(parts.get(offset, b"")) < len(payload):
            parts[offset] = payload


def _joined(key, _start, parts):
    text = bytearray()
    for offset in sorted(parts):
        if offset > len(text):
            raise ValueError(f"a hole in {key} at {len(text)}")
        text += parts[offset][len(text) - offset :]
    return bytes(text)


def packets(stream):
    """The packets of a stream: header format, volume, command, the bytes of the header, what follows it."""
    at = 0
    while at + 8 <= len(stream):
        magic = struct.unpack_from(">I", stream, at)[0]
        if magic == 0x83740267:
            (command, length), volume, size = struct.unpack_from(">HH", stream, at + 4), 0, 8
        elif magic == 0x8620EC20:
            (volume, command, length), size = struct.unpack_from(">HHI", stream, at + 4), 16
        elif magic >> 16 == 0x835A:
            (command, length), volume, size = struct.unpack_from(">HI", stream, at + 2), 0, 8
        else:
            raise ValueError(f"no header at {at}: {magic:08x}")
        body = stream[at + size : at + size + length]
        if len(body) < length:
            return  # cut off by the end of the connection
        yield volume, command, stream[at : at + size], body
        at += size + length


def meaning(volume, command, body):
    """What the C headers say of a packet: its name, its volume, its length, its fields."""
    name = COMMANDS[command]
    words = [name, f"volume={volume}", f"length={len(body)}"]
    form, names = FIELDS.get(name, (">", ""))
    if len(body) >= struct.calcsize(form):
        for field, value in zip(names.split(), struct.unpack_from(form, body)):
            if isinstance(value, bytes):
                value = value.split(b"\0")[0].decode() or "none"
            if field != "-":
                words.append(f"{field}={value}")
    return " ".join(words)


def lines(data, port=7788):
    """The lines for a capture: who sent it (a or b) on which socket, its bytes, how many are left out; what it means."""
    found = streams(data)
    hosts = sorted({key[0][0] for key in found})
    text = []
    for key, stream in found.items():
        back = found.get((key[1], key[0]), b"")
        firsts = [packet[1] for packet in [next(packets(stream), None), next(packets(back), None)] if packet]
        socket = "data" if 0xFFF2 in firsts else "meta" if 0xFFF1 in firsts else None
        if socket is None or port not in (key[0][1], key[1][1]):
            continue
        sender = "ab"[hosts.index(key[0][0])]
        for volume, command, header, body in packets(stream):
            name = COMMANDS[command]
            kept = body
            if name in ("Data", "DataReply", "RSDataReply"):
                kept = body[: 24 + KEEP]
            left_out = f"+{len(body) - len(kept)}" if len(kept) < len(body) else ""
            text.append(f"{sender} {socket} {header.hex()}.{kept.hex()}{left_out} {meaning(volume, command, body)}")
    return text
