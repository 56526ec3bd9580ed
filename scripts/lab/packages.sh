# SPDX-License-Identifier: GPL-2.0-only
# What is installed: on the host, in the root file system that builds, in the one that guests run.
# shellcheck shell=bash disable=SC2034

host_packages=(mmdebstrap debian-archive-keyring qemu-system-x86 python3 xz-utils util-linux)

# The kernel was built with this compiler and this rustc: both belong to trixie.
build_packages=(
	rustc rust-src rust-clippy rustfmt cargo bindgen clang lld llvm gcc-14 make flex bison bc python3
	libelf-dev libssl-dev zlib1g-dev pahole kmod xz-utils zstd cpio erofs-utils
)

# No udev: it would triple the time that a guest takes to start, and nothing here needs it.
guest_packages=(
	mount drbd-utils fio iproute2 iputils-ping e2fsprogs xfsprogs util-linux procps busybox-static tcpdump kmod
	python3-minimal
)

# From trixie-backports; @ stands for the release, such as 7.3.4+deb13-amd64.
kernel_packages=(linux-headers-@ linux-binary-@ linux-modules-@ linux-source-7.3 linux-config-7.3)
