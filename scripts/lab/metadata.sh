# SPDX-License-Identifier: GPL-2.0-only
# The Rust metadata of the stock kernel, inside the root file system.
# shellcheck shell=bash

make_metadata() {
	local release
	release=$(lab_kernel)
	ENTER_AS_ROOT=1 "$tree/scripts/lab/enter" scripts/lab/rust-metadata "/usr/src/linux-headers-$release" \
		"/usr/src/linux-source-$series.tar.xz" "/usr/src/drbd-headers-$release"
}
