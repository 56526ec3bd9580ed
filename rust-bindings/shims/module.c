// SPDX-License-Identifier: GPL-2.0-only
/* What the module! macro of Rust cannot say about a module. */
#include <linux/module.h>

#ifndef __BINDGEN__
MODULE_VERSION("8.4.11");
#endif
