// SPDX-License-Identifier: GPL-2.0-only

//! The options of a connection.
//!
//! C header: [`include/uapi/linux/drbd_limits.h`](srctree/include/uapi/linux/drbd_limits.h)

use super::option::{
    options,
    Range, //
};
use super::policy::{
    AfterSplitBrain0p,
    AfterSplitBrain1p,
    AfterSplitBrain2p,
    OnCongestion,
    Protocol,
    RoleConflict, //
};
use super::text::{
    Secret,
    Text, //
};
use crate::netlink::group;

options! {
    /// How a connection behaves (`struct net_conf`).
    pub struct NetConf in group::NET_CONF;

    /// What both nodes know and nobody else does.
    shared_secret: Secret = Secret::EMPTY,
        1 "shared-secret" None Range::Any, AtRunTime;
    /// Digest that the peer proves knowledge of the secret with; empty is no authentication.
    cram_hmac_alg: Text<63> = Text::EMPTY,
        2 "cram-hmac-alg" None Range::Any, AtRunTime;
    /// Digest over the payload of each data packet; empty is none.
    integrity_alg: Text<63> = Text::EMPTY,
        3 "data-integrity-alg" None Range::Any, AtRunTime;
    /// Digest for online verify; empty is none.
    verify_alg: Text<63> = Text::EMPTY,
        4 "verify-alg" None Range::Any, AtRunTime;
    /// Digest for checksum-based resync; empty is none.
    csums_alg: Text<63> = Text::EMPTY,
        5 "csums-alg" None Range::Any, AtRunTime;
    /// What completes a write.
    wire_protocol: Protocol = Protocol::C,
        6 "protocol" None Range::Any, AtRunTime;
    /// Time between attempts to connect, in seconds.
    connect_int: u32 = 10,
        7 "connect-int" Seconds Range::Within(1, 120), AtRunTime;
    /// Time for the peer to answer, in tenths of a second.
    timeout: u32 = 60,
        8 "timeout" Deciseconds Range::Within(1, 600), AtRunTime;
    /// Idle time after which the peer is pinged, in seconds.
    ping_int: u32 = 10,
        9 "ping-int" Seconds Range::Within(1, 120), AtRunTime;
    /// Time for the peer to answer a ping, in tenths of a second.
    ping_timeo: u32 = 5,
        10 "ping-timeout" Deciseconds Range::Within(1, 300), AtRunTime;
    /// Send buffer of the data socket, in bytes; 0 lets TCP decide.
    sndbuf_size: u32 = 0,
        11 "sndbuf-size" Bytes Range::Within(0, 10 << 20), AtRunTime;
    /// Receive buffer of the data socket, in bytes; 0 lets TCP decide.
    rcvbuf_size: u32 = 0,
        12 "rcvbuf-size" Bytes Range::Within(0, 10 << 20), AtRunTime;
    /// Timeouts of one request until the peer is dropped; 0 never drops it.
    ko_count: u32 = 7,
        13 "ko-count" Count Range::Within(0, 200), AtRunTime;
    /// Memory for data from the peer, in pages.
    max_buffers: u32 = 2048,
        14 "max-buffers" Pages Range::Within(32, 131_072), AtRunTime;
    /// Most writes between two barriers.
    max_epoch_size: u32 = 2048,
        15 "max-epoch-size" Count Range::Within(1, 20_000), AtRunTime;
    /// Without effect; kept for user space.
    unplug_watermark: u32 = 128,
        16 "unplug-watermark" Count Range::Within(1, 131_072), AtRunTime;
    /// Who loses after split brain without Primary.
    after_sb_0p: AfterSplitBrain0p = AfterSplitBrain0p::Disconnect,
        17 "after-sb-0pri" None Range::Any, AtRunTime;
    /// Who loses after split brain with one Primary.
    after_sb_1p: AfterSplitBrain1p = AfterSplitBrain1p::Disconnect,
        18 "after-sb-1pri" None Range::Any, AtRunTime;
    /// Who loses after split brain with two Primaries.
    after_sb_2p: AfterSplitBrain2p = AfterSplitBrain2p::Disconnect,
        19 "after-sb-2pri" None Range::Any, AtRunTime;
    /// Reaction when a Primary would have to become sync target.
    rr_conflict: RoleConflict = RoleConflict::Disconnect,
        20 "rr-conflict" None Range::Any, AtRunTime;
    /// Reaction to a full send queue; protocol A only.
    on_congestion: OnCongestion = OnCongestion::Block,
        21 "on-congestion" None Range::Any, AtRunTime;
    /// Data in flight that counts as congestion, in sectors; 0 is no limit.
    cong_fill: u32 = 0,
        22 "congestion-fill" Sectors Range::Within(0, 10 << 21), AtRunTime;
    /// Hot extents that count as congestion.
    cong_extents: u32 = 1237,
        23 "congestion-extents" Count Range::Within(67, 0xfffe), AtRunTime;
    /// Both nodes may be Primary at once; protocol C only.
    two_primaries: bool = false,
        24 "allow-two-primaries" None Range::Any, AtRunTime;
    /// Give up the changes of this node, should the next handshake find split brain.
    discard_my_data: bool = false,
        25 "discard-my-data" None Range::Any, AtStart;
    /// Cork the data socket while a request is sent.
    tcp_cork: bool = true,
        26 "tcp-cork" None Range::Any, AtRunTime;
    /// Follow the split-brain policies even where the histories leave doubt.
    always_asbp: bool = false,
        27 "always-asbp" None Range::Any, AtRunTime;
    /// Only find out what the handshake would do.
    tentative: bool = false,
        28 "tentative" None Range::Any, AtStart;
    /// Send the bitmap run-length encoded.
    use_rle: bool = true,
        29 "use-rle" None Range::Any, AtRunTime;
    /// Resync by checksum only after the crash of a Primary.
    csums_after_crash_only: bool = false,
        33 "csums-after-crash-only" None Range::Any, AtRunTime;
    /// Time to prove that a new socket leads to the peer, in tenths of a second; 0 is [`Self::ping_timeo`].
    sock_check_timeo: u32 = 0,
        34 "socket-check-timeout" Deciseconds Range::Within(0, 300), AtRunTime;
}

impl NetConf {
    /// A copy for those who must not see the secret.
    pub fn without_secret(&self) -> Self {
        Self {
            shared_secret: Secret::EMPTY,
            ..self.clone()
        }
    }
}
