// SPDX-License-Identifier: GPL-2.0-only

//! What must never happen. No checker asks the engine why: they look at what applications and administrators were told,
//! and at disks.
//!
//! A new checker is a file with a type that implements [`Checker`], and a line in [`all`].

mod acknowledged;
mod believed;
mod discarded;
mod durable;
mod durable_there;
mod equal;
mod identity;
mod no_data;
mod order;
mod prepared;
mod promotion;
mod read_errors;
mod reads;
mod verified;

use drbd_core::resource::log::LogMessage;
use drbd_core::state::State;

use crate::app::Record;
use crate::world::World;

/// What a checker says of what it saw: an error is a promise that was broken.
pub type Verdict = Result<(), String>;

/// One who looks on. All methods answer that all is well unless a checker says what it wants to see.
pub trait Checker {
    /// As a failure names it.
    fn name(&self) -> &'static str;

    /// The content of a volume before anybody writes to it.
    fn begins_with(&mut self, _volume: u8, _content: &[u64]) -> Verdict {
        Ok(())
    }

    /// An application submitted a request.
    fn begins(&mut self, _world: &World<'_>, _number: u64, _record: &Record) -> Verdict {
        Ok(())
    }

    /// An application was told how its request ended: `record.ended`.
    fn ends(&mut self, _world: &World<'_>, _number: u64, _record: &Record) -> Verdict {
        Ok(())
    }

    /// A node was told that the state of a volume changed.
    fn state_changed(
        &mut self,
        _world: &World<'_>,
        _node: usize,
        _volume: u8,
        _old: &State,
        _new: &State,
    ) -> Verdict {
        Ok(())
    }

    /// A node lost power. Its disks are as they will be found; its engine is as it was.
    fn crashed(&mut self, _world: &World<'_>, _crash: &Crash) -> Verdict {
        Ok(())
    }

    /// A node has a line for its log, about a volume or about the connection.
    fn logged(
        &mut self,
        _world: &World<'_>,
        _node: usize,
        _volume: Option<u8>,
        _line: &LogMessage,
    ) -> Verdict {
        Ok(())
    }

    /// A disk is about to change because of a resync.
    fn resync_writes(
        &mut self,
        _world: &World<'_>,
        _node: usize,
        _volume: u8,
        _sector: u64,
        _values: &[u64],
    ) -> Verdict {
        Ok(())
    }

    /// From this moment on a node takes both disks for UpToDate.
    fn believes(&mut self, _world: &World<'_>, _node: usize, _volume: u8) -> Verdict {
        Ok(())
    }

    /// A verify ran over the whole volume, and nothing came in between.
    fn verified(&mut self, _world: &World<'_>, _volume: u8) -> Verdict {
        Ok(())
    }

    /// A moment between two troubles, and the end of a world that healed.
    fn moment(&mut self, _world: &World<'_>) -> Verdict {
        Ok(())
    }
}

/// A node that lost power.
pub struct Crash {
    pub node: usize,
    /// What applications had under way there.
    pub open: Vec<(u64, Record)>,
    /// By volume: sectors that hold something older now, and what they held before.
    pub lost: Vec<Vec<(u64, u64)>>,
}

/// Every checker, as a world begins.
pub fn all() -> Vec<Box<dyn Checker>> {
    vec![
        Box::new(acknowledged::Acknowledged),
        Box::new(believed::Believed),
        Box::new(discarded::Discarded::default()),
        Box::new(durable::Durable::default()),
        Box::new(durable_there::DurableThere::default()),
        Box::new(equal::Equal),
        Box::new(identity::Identity),
        Box::new(no_data::NoData::default()),
        Box::new(order::Order::default()),
        Box::new(prepared::Prepared),
        Box::new(promotion::Promotion),
        Box::new(read_errors::ReadErrors),
        Box::new(reads::Reads::default()),
        Box::new(verified::Verified),
    ]
}
