// SPDX-License-Identifier: GPL-2.0-only

//! What happens when nothing happens: pings, and peers that do not answer.

use super::ahead::LOOK_INTERVAL;
use super::answer_timeout::ANSWER_INTERVAL;
use super::connection::{MetaItem, Phase};
use super::log::LogMessage;
use super::Resource;
use crate::config::net::NetConf;
use crate::state::ConnectionState;

/// How often a resync that waits for its rate looks again, in milliseconds.
const RATE_INTERVAL: u64 = 10;
/// How often a source looks whether others use its disk, in milliseconds.
const COURTESY_INTERVAL: u64 = 100;
/// What the options count in tenths of a second, in milliseconds.
pub(super) fn deciseconds(count: u32) -> u64 {
    u64::from(count).saturating_mul(100)
}

/// How long the peer has for its first words.
fn handshake_time(conf: &NetConf) -> u64 {
    deciseconds(conf.ping_timeo).saturating_mul(4)
}

impl Resource<'_> {
    /// When [`timer`](Self::timer) wants to be called next; `None` for never. In milliseconds of the clock of
    /// [`at`](Self::at).
    pub fn deadline(&self) -> Option<u64> {
        let disks = self
            .disk_interval()
            .map(|interval| self.now.saturating_add(interval));
        match (self.link_deadline(), disks) {
            (Some(link), Some(disks)) => Some(link.min(disks)),
            (link, disks) => link.or(disks),
        }
    }

    /// Nobody has to be heard in time: there is no link, or it was given up and nobody has closed it yet.
    fn nothing_is_due(&self) -> bool {
        self.connection.phase == Phase::Down || self.connection.given_up
    }

    fn link_deadline(&self) -> Option<u64> {
        if self.nothing_is_due() {
            return None;
        }
        let conf = self.connection.conf.as_ref()?;
        let silence = self.connection.last_received;
        let ping = match self.connection.ping_sent {
            Some(sent) => sent.saturating_add(deciseconds(conf.ping_timeo)),
            None => silence.saturating_add(u64::from(conf.ping_int).saturating_mul(1000)),
        };
        let mut deadline = ping;
        if self.connection.phase != Phase::Open
            || self.connection.state == ConnectionState::TearDown
        {
            deadline = deadline.min(silence.saturating_add(handshake_time(conf)));
        }
        if self.waits_for_answers() {
            deadline = deadline.min(self.now.saturating_add(ANSWER_INTERVAL));
        }
        if self.looks_at_congestion() {
            deadline = deadline.min(self.now.saturating_add(LOOK_INTERVAL));
        }
        for (_, device) in self.present() {
            let interval = match device.state.connection {
                ConnectionState::SyncTarget | ConnectionState::VerifyS => RATE_INTERVAL,
                ConnectionState::SyncSource | ConnectionState::VerifyT => COURTESY_INTERVAL,
                _ => continue,
            };
            deadline = deadline.min(self.now.saturating_add(interval));
        }
        Some(deadline)
    }

    /// Some time has passed.
    pub fn timer(&mut self) {
        self.wishes.timer = true;
        self.check_disks();
        if self.nothing_is_due() {
            return;
        }
        let Some(conf) = self.connection.conf.as_ref() else {
            return;
        };
        let now = self.now;
        let silence = now.saturating_sub(self.connection.last_received);
        let handshake_over = silence >= handshake_time(conf);
        if self.connection.state == ConnectionState::TearDown {
            if handshake_over {
                self.shut_sockets();
            }
            return;
        }
        if self.connection.phase != Phase::Open {
            if handshake_over {
                self.connection_failed(ConnectionState::NetworkFailure);
            }
            return;
        }
        self.check_ping(silence);
        if self.answer_is_overdue() {
            self.connection_failed(ConnectionState::Timeout);
            return;
        }
        self.check_congestion();
        self.check_lost_answers();
        self.retry_paced_reads();
        if self.asks_for_blocks() {
            self.wishes.send_data = true;
        }
    }

    /// Whether a resync or verify of this node asks for blocks at a rate.
    fn asks_for_blocks(&self) -> bool {
        self.present().any(|(_, device)| {
            matches!(
                device.state.connection,
                ConnectionState::SyncTarget | ConnectionState::VerifyS
            )
        })
    }

    fn check_ping(&mut self, silence: u64) {
        let Some(conf) = self.connection.conf.as_ref() else {
            return;
        };
        let ping_int = u64::from(conf.ping_int).saturating_mul(1000);
        let ping_timeo = deciseconds(conf.ping_timeo);
        match self.connection.ping_sent {
            Some(sent) => {
                // Anything that came since is as good as the answer.
                if self.now.saturating_sub(sent) >= ping_timeo && silence >= ping_timeo {
                    self.log(None, LogMessage::PingTimedOut);
                    self.connection_failed(ConnectionState::NetworkFailure);
                } else if self.now.saturating_sub(sent) >= ping_timeo {
                    self.connection.ping_sent = None;
                }
            }
            None if silence >= ping_int => self.request_ping(),
            None => {}
        }
    }

    /// Asks the peer whether it is there.
    pub fn request_ping(&mut self) {
        if self.connection.phase == Phase::Open && self.connection.ping_sent.is_none() {
            self.send_ping();
        }
    }

    /// Queues a ping behind all acknowledgements so far; its answer is the answer number that this gives.
    pub(super) fn send_ping(&mut self) -> u64 {
        let now = self.now;
        let connection = &mut self.connection;
        connection.ping_sent = connection.ping_sent.or(Some(now));
        connection.pings = connection.pings.saturating_add(1);
        let number = connection.pings;
        self.send_meta(MetaItem::Ping);
        self.wishes.timer = true;
        number
    }

    /// `P_PING_ACK`
    pub(super) fn ping_acknowledged(&mut self) {
        let connection = &mut self.connection;
        connection.ping_sent = None;
        connection.pings_answered = connection.pings_answered.saturating_add(1);
        self.wishes.operations = true;
        for index in self.indices() {
            self.finish_resync_if_done(index);
            self.finish_verify_if_done(index);
        }
    }

    /// Whether a ping waits for its answer.
    pub fn ping_is_pending(&self) -> bool {
        self.connection.phase == Phase::Open && self.connection.ping_sent.is_some()
    }

    /// The data socket took nothing for a whole `timeout`. True where the connection is given up for it.
    pub fn send_stalled(&mut self) -> bool {
        let ko_count = self
            .connection
            .conf
            .as_ref()
            .map_or(0, |conf| conf.ko_count);
        self.connection.stalls = self.connection.stalls.saturating_add(1);
        if ko_count > 0 && self.connection.stalls >= ko_count {
            self.connection_failed(ConnectionState::Timeout);
            return true;
        }
        self.request_ping();
        self.connection.phase == Phase::Down
    }

    /// The data socket takes data again.
    pub fn send_goes_on(&mut self) {
        self.connection.stalls = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::authenticate::tests::{node_with, talk};
    use super::super::device::DeviceIndex;
    use super::super::effect::Event;
    use super::*;
    use crate::state::Change;

    /// Lets the timer do its work until it wants no more, for an hour at most; nobody takes an event meanwhile.
    fn hour_of_timers(node: &mut Resource<'_>) {
        let mut now = 0;
        while let Some(deadline) = node.at(now).deadline() {
            now = deadline.max(now + 1);
            if now > 3_600_000 {
                return;
            }
            node.at(now).timer();
        }
    }

    fn events(node: &mut Resource<'_>) -> (usize, usize) {
        let (mut lines, mut shut) = (0, 0);
        while let Some(event) = node.next_event() {
            match event {
                Event::Log {
                    message: LogMessage::PingTimedOut,
                    ..
                } => lines += 1,
                Event::ShutSockets => shut += 1,
                _ => {}
            }
        }
        (lines, shut)
    }

    /// The worker calls a helper that takes an hour, and the peer dies meanwhile.
    #[test]
    fn a_dead_peer_is_told_of_once() {
        let mut left = node_with(NetConf::default(), 0, 1);
        let mut right = node_with(NetConf::default(), 0, 2);
        assert_eq!(talk([&mut left, &mut right]), [Ok(()), Ok(())]);
        assert!(left.is_introduced());
        events(&mut left);
        hour_of_timers(&mut left);
        assert_eq!(left.connection().state(), ConnectionState::NetworkFailure);
        assert_eq!(events(&mut left), (1, 1));
        assert!(!left.is_broken());
        left.link_down();
        assert_eq!(events(&mut left), (0, 0));
    }

    /// The worker has so much to do that there is no room for one more order: it is given when there is.
    #[test]
    fn an_order_that_finds_no_room_is_not_lost() {
        let mut node = node_with(NetConf::default(), 0, 1);
        while node.events.room() > 0 {
            node.event(Event::None);
        }
        node.at(3_600_000).timer();
        assert!(node.deadline().is_some());
        assert_eq!(events(&mut node), (0, 0));
        node.timer();
        assert_eq!(events(&mut node), (0, 1));
        assert!(node.deadline().is_none());
    }

    /// While a helper runs, a resync goes on for hours: what it has to tell is lost, and the peer is still heard.
    #[test]
    fn progress_behind_a_helper_stops_nobody() {
        let mut node = node_with(NetConf::default(), 0, 1);
        for _ in 0..10_000 {
            node.event_if_room(Event::Progress {
                device: DeviceIndex(0),
            });
        }
        assert!(!node.is_behind_with_events());
        assert!(!node.is_broken());
    }

    /// While a helper runs, a peer comes and goes: it is let in again when the worker has heard of it, but nobody has to wait for
    /// that who wants to disconnect.
    #[test]
    fn no_new_link_behind_a_helper() {
        let mut node = node_with(NetConf::default(), 0, 1);
        node.link_down();
        assert!(node.link_is_drained());
        while !node.is_behind_with_events() {
            node.event(Event::None);
        }
        assert!(!node.link_is_drained());
        node.next_event();
        assert!(node.link_is_drained());
        node.event(Event::None);
        assert!(node
            .change_connection(
                Change::none().connection(ConnectionState::Disconnecting),
                true
            )
            .is_ok());
        assert!(node.link_is_drained());
    }

    /// The same with a peer that never says a word.
    #[test]
    fn a_silent_peer_is_given_up_once() {
        let mut node = node_with(NetConf::default(), 0, 1);
        hour_of_timers(&mut node);
        assert_eq!(events(&mut node), (0, 1));
        assert!(!node.is_broken());
    }
}
