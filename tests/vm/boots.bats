# SPDX-License-Identifier: Apache-2.0
#
# Twenty cold boots in a row while something else keeps one core busy: the clock calibration that fails under load
# without our flags would show here. Woken machines calibrate nothing: warm.bats has those.

load helper

setup_file() {
	world_make
	project p >"$WORLD/path"
}

teardown_file() {
	world_drop
}

teardown() {
	[ -z "${busy-}" ] || kill "$busy" 2>/dev/null || true
}

@test "20 boots in a row with one core kept busy" {
	cd "$(cat "$WORLD/path")"
	(while :; do :; done) 3>&- &
	busy=$!
	good=0
	for i in $(seq 20); do
		if [ "$(timeout 120 sbx run --cold --rm --name "boot-$i" -m 1g shell -- -c 'echo up' </dev/null)" = up ]; then
			good=$((good + 1))
		fi
	done
	[ "$good" = 20 ]
}
