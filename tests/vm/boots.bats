# SPDX-License-Identifier: Apache-2.0
#
# Twenty cold boots in a row while something else keeps one core busy: the clock calibration that fails under load
# without our flags would show here.

load helper

setup_file() {
	world_make
	project p >"$WORLD/path"
}

teardown_file() {
	[ -z "${BUSY-}" ] || kill "$BUSY" 2>/dev/null || true
	world_drop
}

@test "20 boots in a row with one core kept busy" {
	cd "$(cat "$WORLD/path")"
	(while :; do :; done) 3>&- &
	busy=$!
	good=0
	for i in $(seq 20); do
		if [ "$(timeout 120 sbx run --rm --name "boot-$i" -m 1g shell -- -c 'echo up' </dev/null)" = up ]; then
			good=$((good + 1))
		fi
	done
	kill "$busy"
	[ "$good" = 20 ]
}
