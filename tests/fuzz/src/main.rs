// SPDX-License-Identifier: GPL-2.0-only

//! The fuzzer: `DRBD_FUZZ_TARGET=packet drbd-fuzz -max_total_time=10 CORPUS`. `make fuzz` calls it.

#![no_main]

use std::sync::OnceLock;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("DRBD_FUZZ_TARGET").unwrap_or_default();
        drbd_fuzz::target(&name)
            .unwrap_or_else(|| panic!("DRBD_FUZZ_TARGET={name}: no such target"))
    });
    target(data);
});
