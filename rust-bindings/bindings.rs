// SPDX-License-Identifier: GPL-2.0-only

//! The wall around generated code: what bindgen made of `rust-bindings/`, with its lints off.
//!
//! Only `kernel_api` uses this, and gives it on as something safe.

#![allow(
    dead_code,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::cast_lossless,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_imports
)]

include!(concat!(env!("DRBD_BINDINGS"), "/bindings_generated.rs"));
