// SPDX-License-Identifier: GPL-2.0-only
/*
 * The C that Rust cannot do without: inline functions and macros of the kernel, each behind a function of its own, and
 * nothing that decides anything. One file for each kernel subsystem, every function is called drbd_shim_*.
 *
 * bindgen reads this file too (through bindings.h) and declares the functions for Rust.
 */

#include "shims/block.c"
#include "shims/crypto.c"
#include "shims/genetlink.c"
#include "shims/memory.c"
#include "shims/module.c"
#include "shims/net.c"
#include "shims/params.c"
