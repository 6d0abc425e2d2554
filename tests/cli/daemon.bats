# SPDX-License-Identifier: Apache-2.0
#
# The daemon starts by itself, once, and is replaced where it is of another version.

load helper

setup() { world_make; }
teardown() { world_drop; }

@test "ten commands at once start one daemon" {
	pids=()
	for i in 1 2 3 4 5 6 7 8 9 10; do
		sbx ls >"$WORLD/out.$i" 2>"$WORLD/err.$i" 3>&- &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid"
	done
	for i in 1 2 3 4 5 6 7 8 9 10; do
		[ "$(cat "$WORLD/out.$i")" = "No sandboxes found." ]
	done
	[ "$(grep -c event=ready "$LOG")" = 1 ]
	[ "$(grep -vc event=ready "$LOG")" = 0 ]
	[ "$(stat -c %a "$LOG" "$SOCKET" "$XDG_STATE_HOME/sbx" "$XDG_RUNTIME_DIR/sbx" | tr '\n' ' ')" = "600 600 700 700 " ]
}

@test "start, status and stop say what is so, and twice is no error" {
	run -0 sbx daemon status
	[[ $output == *"State:   stopped"* ]]
	[ "$(sbx daemon status --json | jq -r .state)" = stopped ]
	run -0 sbx daemon start
	[[ $output == "sandboxd started (process "* ]]
	run -0 sbx daemon start
	[[ $output == "sandboxd is already running (process "* ]]
	run -0 sbx daemon status --json
	[ "$(jq -r .state <<<"$output")" = running ]
	[ "$(jq -r .socket <<<"$output")" = "$SOCKET" ]
	[ "$(jq -r .log <<<"$output")" = "$LOG" ]
	kill -0 "$(jq -r .pid <<<"$output")"
	run -0 sbx version --debug
	[[ $output == *"server: running"* ]]
	run -0 sbx daemon stop
	run -0 sbx daemon stop
	[ "$output" = "sandboxd is not running" ]
	[ "$(sbx daemon status --json | jq -r .state)" = stopped ]
}

@test "a daemon that was killed is started anew" {
	sbx daemon start
	kill -KILL "$(sbx daemon status --json | jq -r .pid)"
	run -0 sbx ls
	[ "$(grep -c event=ready "$LOG")" = 2 ]
}

@test "stop and ten starts at once end with one daemon" {
	for round in 1 2 3; do
		sbx daemon start
		sbx daemon stop 3>&- &
		pids=($!)
		for i in 1 2 3 4 5 6 7 8 9 10; do
			sbx ls >/dev/null 2>"$WORLD/err.$i" 3>&- &
			pids+=($!)
		done
		for pid in "${pids[@]}"; do
			wait "$pid" || { cat "$WORLD"/err.* >&2; false; }
		done
	done
	run -0 sbx ls
}

@test "a daemon of another version is replaced, with a word" {
	mkdir -m 0700 "$XDG_RUNTIME_DIR/sbx"
	python3 "$BATS_TEST_DIRNAME/old-daemon" "$SOCKET" 3>&- &
	old=$!
	wait_for 10 test -S "$SOCKET"
	run -0 --separate-stderr sbx version --debug
	[[ $output == *"version: v0.0.1"* ]]
	run -0 --separate-stderr sbx ls
	[ "$output" = "No sandboxes found." ]
	[[ $stderr == "sandboxd is v0.0.1 and sbx v"*"starting it anew; running sandboxes go on"* ]]
	wait "$old"
	run -0 --separate-stderr sbx ls
	[[ $stderr != *"starting it anew"* ]]
}

@test "a daemon that cannot start is an error with the last line of its log" {
	mkdir -m 0700 "$XDG_STATE_HOME/sbx"
	head -c 10000 /dev/urandom >"$XDG_STATE_HOME/sbx/sbx.db"
	fails 1 "sandboxd did not start: .*sbx.db.*try: tail $LOG" sbx ls
	fails 125 "sandboxd did not start: " sbx run shell
	rm "$XDG_STATE_HOME/sbx/sbx.db"
	run -0 sbx ls
}

@test "directories that cannot be used are named" {
	rmdir "$XDG_STATE_HOME"
	echo >"$XDG_STATE_HOME"
	fails 1 "$XDG_STATE_HOME/sbx" sbx ls
	rm "$XDG_STATE_HOME"
	rm -r "$XDG_RUNTIME_DIR"
	echo >"$XDG_RUNTIME_DIR"
	fails 1 "$XDG_RUNTIME_DIR/sbx" sbx ls
	rm "$XDG_RUNTIME_DIR"
	mkdir -m 0700 "$XDG_RUNTIME_DIR"
}

@test "without XDG_RUNTIME_DIR the socket is in the state directory, however long its path" {
	unset XDG_RUNTIME_DIR
	XDG_STATE_HOME=$XDG_STATE_HOME/$(printf 'x%.0s' {1..120})
	run -0 sbx ls
	[ -S "$XDG_STATE_HOME/sbx/run/sandboxd.sock" ]
	sbx daemon stop
}

@test "root does not start a daemon in somebody else's directories" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	mkdir -m 0700 "$XDG_RUNTIME_DIR/sbx"
	chown 65534 "$XDG_RUNTIME_DIR/sbx"
	fails 1 "belongs to another user \(uid 65534\)" sbx ls
	[ ! -e "$SOCKET" ]
}
