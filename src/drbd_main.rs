// SPDX-License-Identifier: GPL-2.0-only

//! The DRBD kernel module: its entry, its parameters, and the rooms that it is made of.

#![crate_name = "drbd"]

use kernel::prelude::*;

#[path = "../rust-bindings/bindings.rs"]
mod bindings;
mod kernel_api;

module! {
    type: DrbdModule,
    name: "drbd",
    authors: ["The drbd-rust contributors"],
    description: "drbd - Distributed Replicated Block Device",
    license: "GPL",
    alias: ["block-major-147-*"],
}

/// What lives from load to unload.
struct DrbdModule;

impl kernel::Module for DrbdModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!(
            "initialized, written in Rust; a block has {} bytes\n",
            drbd_core::num::BLOCK_SIZE
        );
        Ok(DrbdModule)
    }
}

impl Drop for DrbdModule {
    fn drop(&mut self) {
        pr_info!("module cleanup done.\n");
    }
}
