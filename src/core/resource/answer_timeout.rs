// SPDX-License-Identifier: GPL-2.0-only

//! A peer that answers pings, and nothing else: its disk hangs, or it lies.
//!
//! `ko-count` times `timeout` is what it has for each request of an application, writes and reads, and for each barrier: a
//! write that it has confirmed is kept until its barrier is. What waits in the queue of this node does not count: a socket
//! that takes nothing is watched by who fills it ([`send_stalled`](Resource::send_stalled)). `ko-count 0` waits for ever.

use super::log::LogMessage;
use super::timers::deciseconds;
use super::Resource;

/// How often the age of what the peer was asked is looked at, in milliseconds.
pub(super) const ANSWER_INTERVAL: u64 = 1000;

impl Resource<'_> {
    /// Whether the peer owes an answer, and has a limited time for it.
    pub(super) fn waits_for_answers(&self) -> bool {
        self.patience().is_some()
            && (self.connection.barriers > 0
                || self.present().any(|(_, device)| device.pending > 0))
    }

    /// `ko-count` and `timeout`, where they bound anything.
    fn patience(&self) -> Option<(u32, u32)> {
        let conf = self.connection.conf.as_ref()?;
        (conf.ko_count > 0).then_some((conf.ko_count, conf.timeout))
    }

    /// Whether an answer has not come in time: the connection is to be given up.
    pub(super) fn answer_is_overdue(&mut self) -> bool {
        let Some((ko_count, timeout)) = self.patience() else {
            return false;
        };
        // A resync calls the timer a hundred times a second, and there may be thousands of requests.
        if self.now.saturating_sub(self.connection.answers_checked) < ANSWER_INTERVAL {
            return false;
        }
        self.connection.answers_checked = self.now;
        let limit = deciseconds(timeout).saturating_mul(u64::from(ko_count));
        let is_old = |since: u64| self.now.saturating_sub(since) > limit;
        let request = self.present().any(|(_, device)| {
            device.pending > 0
                && device
                    .requests
                    .iter()
                    .any(|(_, request)| request.owes_answer() && is_old(request.asked_at))
        });
        let barrier = self.connection.barriers > 0 && is_old(self.connection.barrier_at);
        if request {
            self.log(None, LogMessage::RequestTimedOut { ko_count, timeout });
        } else if barrier {
            self.log(None, LogMessage::BarrierTimedOut { ko_count, timeout });
        }
        request || barrier
    }
}
