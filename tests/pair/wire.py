# SPDX-License-Identifier: GPL-2.0-only
"""What the nodes say to each other, read off the cable: tcpdump in a guest, and the packets of the protocol in what it saw."""

import dataclasses
import struct

from .scenario import Failed

FIRST_CONTACT, LARGE, VOLUMES = 0x83740267, 0x835A, 0x8620EC20  # magic numbers of the three headers
DATA, BARRIER, BITMAP, COMPRESSED_BITMAP, TRIM = 0x00, 0x03, 0x04, 0x24, 0x31
THIN_REQUEST, DEALLOCATED = 0x32, 0x33
RECV_ACK, WRITE_ACK, RS_WRITE_ACK, NEG_ACK, BARRIER_ACK = 0x15, 0x16, 0x17, 0x19, 0x1C
SEND_RECEIVE_ACK, SEND_WRITE_ACK = 128, 256  # flags of DATA
FIN_OR_RESET = 0x05


@dataclasses.dataclass
class Packet:
    """One packet of the protocol; `source` is the IPv4 address that it came from."""

    source: str
    command: int
    volume: int
    body: bytes

    def numbers(self, form):
        """The fixed part that its body begins with, in the notation of struct, big endian."""
        return struct.unpack_from(">" + form, self.body)


class Capture:
    """From now on, everything that goes over the port of a resource. The connection is up and idle when it begins."""

    def __init__(self, node, port=7788):
        self._node = node
        self._running = node.spawn(f"exec tcpdump -i eth0 -U -B 8192 -s 0 -w /tmp/wire.pcap tcp port {port} 2>/tmp/wire.log")
        node.guest.wait_until("grep -q 'listening on' /tmp/wire.log", 60)

    def stop(self):
        """Ends it; answers all packets, each direction of each socket in its order."""
        return packets(self._file())

    def segments(self, source):
        """Ends it; answers in how many pieces what `source` said came out of the network."""
        return sum(len(pieces) for (address, *_), pieces in _streams(self._file()).items() if address == source)

    def _file(self):
        self._node.run("sleep 1")
        self._running.kill(2)
        self._running.wait(60)
        return self._node.guest.get("/tmp/wire.pcap")


def packets(capture):
    """The packets in a capture of IPv4 over Ethernet."""
    result = []
    for (source, *_), pieces in _streams(capture).items():
        result += _packets_of_stream(source, _join(pieces))
    return result


def _streams(capture):
    """(source, its port, destination, its port): {sequence number: bytes}"""
    streams, position = {}, 24
    while position + 16 <= len(capture):
        _, _, length, _ = struct.unpack_from("<IIII", capture, position)
        frame = capture[position + 16 : position + 16 + length]
        position += 16 + length
        header = 14 + (frame[14] & 15) * 4
        (total,) = struct.unpack_from(">H", frame, 16)
        source_port, target_port, sequence = struct.unpack_from(">HHI", frame, header)
        # A frame that was never cut into segments has a length of 0 here: then all of it counts.
        end = 14 + total if total else len(frame)
        payload = frame[header + (frame[header + 12] >> 4) * 4 : end]
        key = (".".join(map(str, frame[26:30])), source_port, frame[30:34], target_port)
        if payload and not frame[header + 13] & FIN_OR_RESET:
            streams.setdefault(key, {})[sequence] = payload
    return streams


def _join(pieces):
    """The bytes of a stream, without what was sent twice."""
    ordered = sorted(pieces.items())
    start = ordered[0][0]
    result = bytearray()
    for sequence, piece in ordered:
        offset = sequence - start
        if offset > len(result):
            raise Failed(f"the capture lacks {offset - len(result)} bytes of a stream")
        result[offset : offset + len(piece)] = piece
    return bytes(result)


def _packets_of_stream(source, stream):
    result, position = [], 0
    while position + 8 <= len(stream):
        magic, command, length = struct.unpack_from(">IHH", stream, position)
        volume, size = 0, 8
        if magic == VOLUMES and position + 16 <= len(stream):
            _, volume, command, length = struct.unpack_from(">IHHI", stream, position)
            size = 16
        elif magic >> 16 == LARGE:
            _, command, length = struct.unpack_from(">HHI", stream, position)
        elif magic != FIRST_CONTACT:
            raise Failed(f"no header at byte {position} of a stream from {source}: {stream[position : position + 16].hex()}")
        result.append(Packet(source, command, volume, stream[position + size : position + size + length]))
        position += size + length
    return result
