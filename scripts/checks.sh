#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Runs checks, shows the output of those that fail, and counts.
# shellcheck shell=bash

passed=0
failed=0
lanes=()

# check NAME COMMAND...: one check. Of the output of one that passes, it shows what was left out.
check() {
	local name=$1 start=$SECONDS output
	shift
	if output=$("$@" 2>&1); then
		passed=$((passed + 1))
		printf 'ok      %s (%s s)\n' "$name" "$((SECONDS - start))"
		grep '^left out' <<<"$output" || true
	else
		failed=$((failed + 1))
		printf '%s\nFAILED  %s (%s s)\n' "$(printf '%s\n' "$output" | tail -n 60)" "$name" "$((SECONDS - start))"
	fi
}

# lane FUNCTION: the checks in it run beside those of other lanes.
lane() {
	local count
	count=$(mktemp)
	lanes+=("$count")
	(
		passed=0 failed=0
		"$1"
		echo "$passed $failed" >"$count"
	) &
}

# job NAME COMMAND...: a check for whichever lane is the first to have nothing else to do.
jobs=()
job() {
	jobs+=("$(printf '%q ' "$@")")
}

# In a lane: does the jobs that no other lane has taken.
take_jobs() {
	local next
	while next=$(take_number) && [ "$next" -lt "${#jobs[@]}" ]; do
		eval "check ${jobs[next]}"
	done
}

# The numbers of the jobs, each of them once.
taken=$(mktemp)
take_number() {
	(
		flock 9
		number=$(wc -l <"$taken")
		echo >>"$taken"
		echo "$number"
	) 9<"$taken"
}

# The last line, and the exit code. A lane that did not get to its end is a failure.
checks_done() {
	local count more_passed more_failed
	wait
	for count in "${lanes[@]}"; do
		read -r more_passed more_failed <"$count" || more_failed=1
		passed=$((passed + ${more_passed:-0}))
		failed=$((failed + more_failed))
		rm -f "$count"
	done
	rm -f "$taken"
	printf '%s passed, %s failed\n' "$passed" "$failed"
	[ "$failed" = 0 ]
}
