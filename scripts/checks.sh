# SPDX-License-Identifier: GPL-2.0-only
# Runs checks, shows the output of those that fail, and counts.
# shellcheck shell=bash

passed=0
failed=0

# check NAME COMMAND...: one check.
check() {
	local name=$1 start=$SECONDS output
	shift
	if output=$("$@" 2>&1); then
		passed=$((passed + 1))
		printf 'ok      %s (%s s)\n' "$name" "$((SECONDS - start))"
	else
		failed=$((failed + 1))
		printf '%s\n' "$output" | tail -n 60
		printf 'FAILED  %s (%s s)\n' "$name" "$((SECONDS - start))"
	fi
}

# The last line, and the exit code.
checks_done() {
	printf '%s passed, %s failed\n' "$passed" "$failed"
	[ "$failed" = 0 ]
}
