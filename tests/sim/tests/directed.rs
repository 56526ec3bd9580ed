// SPDX-License-Identifier: GPL-2.0-only

//! The directed stories, with all their seeds.

use drbd_sim::directed::{play, ALL};

#[test]
fn every_story() {
    let mut failed = Vec::new();
    for story in ALL {
        for seed in 1..=story.seeds {
            if let Some((why, who)) = play(story, seed, false) {
                failed.push(format!("{}, seed {seed}: {why} [{who}]", story.name));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
