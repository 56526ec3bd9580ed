// SPDX-License-Identifier: GPL-2.0-only

//! Safe wrappers for what the kernel crate lacks, one file for each kernel concept. All `unsafe` of the module is here.

#![allow(
    dead_code,
    reason = "a wrapper offers what its concept has, not only what the driver uses today"
)]

pub(crate) mod bio;
pub(crate) mod bio_set;
pub(crate) mod bio_vecs;
pub(crate) mod block_device;
pub(crate) mod block_status;
pub(crate) mod clock;
pub(crate) mod digest;
pub(crate) mod gendisk;
pub(crate) mod genetlink;
pub(crate) mod global;
mod in_flight;
pub(crate) mod kthread;
pub(crate) mod memory;
pub(crate) mod module_params;
pub(crate) mod module_reference;
pub(crate) mod noio;
pub(crate) mod pages;
pub(crate) mod printk;
pub(crate) mod procfs;
pub(crate) mod queue_limits;
pub(crate) mod random;
pub(crate) mod socket;
pub(crate) mod socket_address;
pub(crate) mod timer;
pub(crate) mod usermode_helper;
pub(crate) mod wait;
pub(crate) mod workqueue;
