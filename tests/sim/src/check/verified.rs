// SPDX-License-Identifier: GPL-2.0-only

//! Online verify finds what differs, and nothing else.
//!
//! A disk that changes behind the driver's back is the only reason for a difference between two UpToDate disks: what a
//! verify reports at any time must be such a change. And one that ran over the whole device has found them all.

use drbd_core::resource::log::LogMessage;

use super::{Checker, Verdict};
use crate::world::{World, BLOCK_SECTORS};

pub struct Verified;

impl Checker for Verified {
    fn name(&self) -> &'static str {
        "verified"
    }

    fn logged(
        &mut self,
        world: &World<'_>,
        _node: usize,
        volume: Option<u8>,
        line: &LogMessage,
    ) -> Verdict {
        let (Some(volume), LogMessage::OutOfSync { sector, sectors }) = (volume, *line) else {
            return Ok(());
        };
        world.coverage.count("differences that a verify found");
        if world
            .plan
            .as_ref()
            .is_some_and(|plan| !plan.local_disk_always)
        {
            // What cannot be read counts as different.
            return Ok(());
        }
        let blocks = sector / BLOCK_SECTORS..(sector + sectors).div_ceil(BLOCK_SECTORS);
        for block in blocks {
            let rotten = world
                .rotten
                .iter()
                .any(|rot| rot.volume == volume && rot.block() == block);
            if !rotten {
                return Err(format!(
                    "block {block} of volume {volume} is said to differ, and it does not"
                ));
            }
        }
        Ok(())
    }

    fn verified(&mut self, world: &World<'_>, volume: u8) -> Verdict {
        for node in 0..2 {
            let marked = world.marked(node, volume);
            let missed = world.rotten.iter().find(|rot| {
                rot.volume == volume && world.is_still(rot) && !marked.contains(&rot.block())
            });
            if let Some(rot) = missed {
                return Err(format!("node {node} did not find {rot:?}"));
            }
        }
        world.coverage.count("verifies that found all");
        Ok(())
    }
}
