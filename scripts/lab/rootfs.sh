# SPDX-License-Identifier: GPL-2.0-only
# The root file system: Debian 13 with the toolchain of the stock kernel, that kernel, and what a guest needs.
# shellcheck shell=bash

missing_host_packages() {
	local package
	for package in "${host_packages[@]}"; do
		dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q ' installed$' || echo "$package"
	done
}

make_host_packages() {
	local missing
	missing=$(missing_host_packages)
	if [ -n "$missing" ]; then
		as_root apt-get update
		# shellcheck disable=SC2086
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $missing
	fi
}

# mmdebstrap uses the apt of the host, so its proxy and its other settings hold. The packages are kept in the lab: a
# second attempt downloads nothing twice. An own mirror can be given in DRBD_LAB_MIRROR. The keys are named: the apt of
# Ubuntu does not trust those of Debian by itself.
make_rootfs() {
	local include
	include=$(IFS=,; echo "${build_packages[*]},${guest_packages[*]}")
	[ ! -e "$rootfs" ] || as_root rm -rf --one-file-system "$rootfs"
	mkdir -p "$lab/packages"
	as_root mmdebstrap --mode=root --variant=apt --format=directory --include="$include" \
		--keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
		--aptopt='APT::Install-Recommends "false"' \
		--skip=download/empty --skip=essential/unlink --skip=cleanup/apt \
		--setup-hook='mkdir -p "$1/var/cache/apt/archives"' \
		--setup-hook="sync-in $lab/packages /var/cache/apt/archives" \
		--setup-hook="$tree/scripts/lab/hook-backports"' "$1"' \
		--customize-hook="sync-out /var/cache/apt/archives $lab/packages" \
		--customize-hook="$tree/scripts/lab/hook-kernel"' "$1"'" $series ${kernel_packages[*]}" \
		--customize-hook="sync-out /var/cache/apt/archives $lab/packages" \
		--customize-hook='rm -rf "$1"/var/cache/apt/archives/*.deb' \
		trixie "$rootfs" ${DRBD_LAB_MIRROR:+"$DRBD_LAB_MIRROR"}
	as_root rm -rf "$lab/packages/partial" "$lab/packages/lock"
	as_root rm -f "$rootfs/etc/resolv.conf"
	cp "$rootfs/etc/drbd-lab-kernel" "$lab/kernel-release"
}
