// SPDX-License-Identifier: GPL-2.0-only

//! The DRBD kernel module: its entry, its parameters, and the rooms that it is made of.

#![crate_name = "drbd"]
#![expect(
    clippy::result_large_err,
    reason = "a refusal carries its words, and is made only where an administrator asks for what cannot be"
)]

use kernel::prelude::*;

mod admin;
#[path = "../rust-bindings/bindings.rs"]
mod bindings;
mod disk;
mod kernel_api;
mod net;
mod resource;

module! {
    type: DrbdModule,
    name: "drbd",
    authors: ["The drbd-rust contributors"],
    description: "drbd - Distributed Replicated Block Device",
    license: "GPL",
    alias: ["block-major-147-*"],
}

/// What lives from load to unload.
struct DrbdModule {
    interfaces: Option<admin::Interfaces>,
}

impl kernel::Module for DrbdModule {
    fn init(module: &'static ThisModule) -> Result<Self> {
        Ok(DrbdModule {
            interfaces: Some(admin::Interfaces::start(module)?),
        })
    }
}

impl Drop for DrbdModule {
    fn drop(&mut self) {
        drop(self.interfaces.take());
        pr_info!("module cleanup done.\n");
    }
}
