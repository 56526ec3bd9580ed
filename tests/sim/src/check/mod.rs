// SPDX-License-Identifier: GPL-2.0-only

//! What must never happen. No file here asks the engine why: they look at what applications were told, and at disks.

pub mod acknowledged;
pub mod durable;
pub mod equal;
pub mod promotion;
pub mod reads;
