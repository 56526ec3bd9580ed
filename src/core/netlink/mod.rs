// SPDX-License-Identifier: GPL-2.0-only

//! The generic netlink family `drbd`: what `drbdsetup` asks, and what it is told.
//!
//! A message is a user header of eight bytes (minor, then flags or return code) and attributes in named groups. This
//! module turns the attributes of a request into values ([`request`]) and values into the attributes of replies and
//! notifications ([`messages`]); the shell moves the bytes.
//!
//! C header: [`include/uapi/linux/drbd_genl.h`](srctree/include/uapi/linux/drbd_genl.h)

pub mod attribute;
pub mod command;
pub mod context;
pub mod group;
pub mod messages;
pub mod reply;
pub mod request;
