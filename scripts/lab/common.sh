# SPDX-License-Identifier: GPL-2.0-only
# What the lab scripts share: where the lab is, how a step is skipped, reported and run as root.
# shellcheck shell=bash

set -euo pipefail

lab=${DRBD_LAB:-$HOME/.cache/drbd-lab}
rootfs=$lab/rootfs
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
series=7.3
# Where the debug kernel is built, inside the root file system.
debug_kernel=/usr/src/drbd-debug-kernel

say() { printf 'lab: %s\n' "$*"; }
fail() { printf 'lab: error: %s\n' "$*" >&2; exit 1; }

# Runs a command as root, through sudo where the caller is not root.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# The release of the kernel that the lab was made for, such as 7.3.4+deb13-amd64.
lab_kernel() { cat "$lab/kernel-release"; }

# step NAME RECIPE SECONDS FUNCTION: runs FUNCTION once. It runs again when RECIPE, the number of what it does, changes.
# A step that fails or is interrupted leaves no stamp, so the next set-up starts with it.
step() {
	local name=$1 recipe=$2 expected=$3 function=$4 stamp=$lab/stamps/$1 start=$SECONDS
	if [ "$(cat "$stamp" 2>/dev/null)" = "$recipe" ]; then
		say "$name: there already"
		return
	fi
	rm -f "$stamp"
	say "$name: starts, takes about ${expected} s; log: $lab/log/$name"
	(
		while sleep 15; do
			say "$name: $((SECONDS - start)) s of about ${expected} s"
		done
	) &
	local ticker=$! work
	# shellcheck disable=SC2064
	trap "kill $ticker 2>/dev/null" EXIT
	# Not in the condition itself: there the shell would go on after an error.
	("$function") >"$lab/log/$name" 2>&1 &
	work=$!
	if ! wait "$work"; then
		kill "$ticker" 2>/dev/null
		tail -n 25 "$lab/log/$name" >&2
		fail "$name failed; the whole log is $lab/log/$name"
	fi
	kill "$ticker" 2>/dev/null
	wait "$ticker" 2>/dev/null || true
	trap - EXIT
	echo "$recipe" >"$stamp"
	say "$name: done in $((SECONDS - start)) s"
}
