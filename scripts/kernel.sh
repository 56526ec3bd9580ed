# SPDX-License-Identifier: GPL-2.0-only
# Which kernel this tree is built for, and where: on this machine, or inside the lab.
# shellcheck shell=bash

# DRBD_KERNEL: another installed kernel than the one that runs; `debug` is that of `make lab-debug`, which is in the lab.
release=${DRBD_KERNEL:-$(uname -r)}
headers=$(readlink -f "/lib/modules/$release/build" || true)

# The kernel here is of our series, and this rustc is the one that it was built with.
is_native() {
	[ -n "$headers" ] && [ "${release#"$series".}" != "$release" ] && type rustc bindgen >/dev/null 2>&1 &&
		grep -qxF "CONFIG_RUSTC_VERSION_TEXT=\"$(rustc --version)\"" "$headers/.config"
}

headers_with_metadata() {
	local source=/usr/src/linux-source-$series.tar.xz copy=$lab/headers-$release
	if [ -e "$headers/rust/libkernel.rmeta" ]; then
		echo "$headers"
		return
	fi
	if [ ! -e "$copy/rust/libkernel.rmeta" ]; then
		[ -e "$source" ] || fail "the headers lack Rust metadata; to make it, install linux-source-$series"
		mkdir -p "$lab"
		say "making the Rust metadata of $release, once, about 200 s" >&2
		"$tree/scripts/lab/rust-metadata" "$headers" "$source" "$copy" >&2
	fi
	echo "$copy"
}

# on_kernel COMMAND...: runs a command where this tree is built, here or inside the lab. @headers@ in a word becomes the
# path of the kernel's headers there, @tree@ that of this tree.
on_kernel() {
	local place=$tree path
	if is_native; then
		path=$(headers_with_metadata)
		set -- "${@//@headers@/$path}"
		"${@//@tree@/$place}"
	else
		[ -e "$lab/stamps/rust-metadata" ] || fail "there is no lab in $lab to build in; make it with: make lab"
		path=/usr/src/drbd-headers-$(lab_kernel)
		if [ "$release" = debug ]; then
			path=$debug_kernel
			[ -e "$lab/stamps/debug-guest" ] || fail "there is no debug kernel in $lab; make it with: make lab-debug"
		fi
		set -- "${@//@headers@/$path}"
		"$tree/scripts/lab/enter" "${@//@tree@//drbd}" 2> >(sed -u 's|/drbd/||g' >&2)
	fi
}
