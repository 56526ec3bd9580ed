# SPDX-License-Identifier: GPL-2.0-only
# What guests start from: the stock kernel, an initramfs with the few modules that find the root file system, and the
# root file system itself as a read-only image, without the toolchain.
# shellcheck shell=bash

# In the order in which they are loaded; what they depend on comes by itself.
guest_modules=(virtio_blk erofs overlay virtio_net virtio_rng)

image_excludes=(
	'^(proc|sys|dev|tmp|drbd|boot)/' '^usr/(src|include|libexec)/' '^usr/lib/(llvm-19|rustlib|gcc|debug|linux-kbuild-)'
	'^usr/share/(doc|man|locale|info|zoneinfo)/' '^var/(cache|tmp|lib/apt|lib/dpkg)/'
	'^usr/lib/x86_64-linux-gnu/(libLLVM|libclang|librustc_driver|lib[atluh]*san|libz3|libicu|gconv|.*\.a$)'
	'^usr/bin/(rust|cargo|clippy|bindgen|.*lldb|.*lto-dump|.*-gcc|.*-cpp)'
)

make_image() {
	local release exclude options=()
	release=$(lab_kernel)
	for exclude in "${image_excludes[@]}"; do
		options+=("--exclude-regex=$exclude")
	done
	mkdir -p "$lab/guest"
	as_root rm -f "$rootfs/var/tmp/root.erofs"
	# Seen through a bind mount, so that what is mounted in the root file system meanwhile is not in the image.
	ENTER_AS_ROOT=1 "$tree/scripts/lab/enter" sh -c 'mount --bind / /mnt && exec mkfs.erofs "$@" /var/tmp/root.erofs /mnt' \
		mkfs "${options[@]}"
	as_root install -m 644 "$rootfs/var/tmp/root.erofs" "$lab/guest/root.erofs"
	as_root rm "$rootfs/var/tmp/root.erofs"

	# shellcheck disable=SC2016
	ENTER_AS_ROOT=1 "$tree/scripts/lab/enter" bash -euo pipefail -c '
		release=$1 folder=$(mktemp -d)
		shift
		mkdir "$folder/bin" "$folder/modules"
		cp /usr/bin/busybox "$folder/bin/"
		number=100
		for module in "$@"; do
			for file in $(modprobe -S "$release" --show-depends "$module" | sed -n "s/^insmod \([^ ]*\).*/\1/p"); do
				name=${file##*/}
				name=${name%.xz}
				[ -e "$folder"/modules/*-"$name" ] || xz -dc "$file" >"$folder/modules/$number-$name"
				number=$((number + 1))
			done
		done
		cd "$folder"
		find . | sort | cpio --quiet -o -H newc -R 0:0 >/var/tmp/initramfs.cpio
	' initramfs "$release" "${guest_modules[@]}"
	as_root install -m 644 "$rootfs/var/tmp/initramfs.cpio" "$lab/guest/initramfs.cpio"
	as_root install -m 644 "$rootfs/usr/lib/modules/$release/vmlinuz" "$lab/guest/vmlinuz"
	unpack_kernel
	as_root rm "$rootfs/var/tmp/initramfs.cpio"
}

# An emulated processor needs two seconds to unpack the kernel, so it is done here once. The zstd archive inside vmlinuz
# begins with a magic number and ends before other data: zstd complains about that after it has written all of the kernel.
unpack_kernel() {
	local offset
	for offset in $(LC_ALL=C grep -abo $'\x28\xb5\x2f\xfd' "$lab/guest/vmlinuz" | cut -d: -f1); do
		tail -c "+$((offset + 1))" "$lab/guest/vmlinuz" |
			"$tree/scripts/lab/enter" zstd -dcq >"$lab/guest/vmlinux" 2>/dev/null || true
		[ "$(head -c 4 "$lab/guest/vmlinux")" != $'\x7fELF' ] || return 0
	done
	rm -f "$lab/guest/vmlinux"
	echo "no zstd archive with a kernel in vmlinuz; guests start from vmlinuz itself"
}
