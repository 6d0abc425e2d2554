# SPDX-License-Identifier: Apache-2.0
#
# Back-pressure and many sessions at once: what nobody reads stays where it was made, and no process of ours grows.

load helper

setup_file() {
	world_make
	project p >"$WORLD/path"
	cd "$(cat "$WORLD/path")"
	sbx run -d --name flow -m 1g shell </dev/null
}

teardown_file() {
	world_drop
}

# The most that the host's processes (not QEMU's guest memory) held at one moment, in KiB.
host_rss() {
	local sum=0 pid
	for pid in "$(vm_pid flow vm)" "$(vm_pid flow fs)" "$(cat "$XDG_RUNTIME_DIR/sbx/sandboxd.pid")" "$@"; do
		sum=$((sum + $(rss_kib "$pid")))
	done
	echo "$sum"
}

@test "500 MB to a slow reader: no process of the host grows" {
	mkfifo "$WORLD/pipe"
	sbx exec flow head -c 500M /dev/zero >"$WORLD/pipe" 3>&- &
	client=$!
	exec 5<"$WORLD/pipe"
	# The first bytes are there: the stream runs.
	head -c 65536 <&5 >/dev/null
	before=$(host_rss "$client")
	qemu_before=$(rss_kib "$(vm_pid flow qemu)")
	total=65536
	most=$before
	# A reader that takes 1 MB at a time and looks at the processes in between.
	for _ in $(seq 40); do
		head -c 1000000 <&5 >/dev/null
		total=$((total + 1000000))
		now=$(host_rss "$client")
		[ "$now" -le "$most" ] || most=$now
	done
	echo "host processes: $before KiB before, $most KiB at most; qemu $qemu_before -> $(rss_kib "$(vm_pid flow qemu)")" >&3
	[ "$((most - before))" -le 4096 ]
	[ "$(($(rss_kib "$(vm_pid flow qemu)") - qemu_before))" -le 65536 ]
	# The rest at full speed, and not a byte is missing.
	rest=$(cat <&5 | wc -c)
	exec 5<&-
	wait "$client"
	[ "$((total + rest))" = $((500 * 1024 * 1024)) ]
}

@test "a yes that nobody reads grows no memory, and ends with its client" {
	mkfifo "$WORLD/pipe2"
	sbx exec flow yes >"$WORLD/pipe2" 3>&- &
	client=$!
	exec 5<"$WORLD/pipe2"
	head -c 1000000 <&5 >/dev/null
	before=$(host_rss "$client")
	guest_before=$(sbx exec flow awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
	for _ in $(seq 30); do
		pause
	done
	after=$(host_rss "$client")
	guest_after=$(sbx exec flow awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
	echo "host processes: $before -> $after KiB; guest available: $guest_before -> $guest_after KiB" >&3
	[ "$((after - before))" -le 2048 ]
	[ "$((guest_before - guest_after))" -le 32768 ]
	# Before the reader goes: that would end the client, too.
	kill -KILL "$client"
	exec 5<&-
	gone() { ! sbx exec flow pgrep -x yes >/dev/null; }
	wait_for 10 gone
}

@test "50 execs at once all end with 0" {
	pids=()
	for _ in $(seq 50); do
		timeout 120 sbx exec flow true </dev/null 3>&- &
		pids+=($!)
	done
	bad=0
	for p in "${pids[@]}"; do
		wait "$p" || bad=$((bad + 1))
	done
	[ "$bad" = 0 ]
}

@test "50 MB in and out again arrive whole" {
	head -c 50000000 /dev/urandom >"$WORLD/blob"
	sbx exec -i flow cat <"$WORLD/blob" >"$WORLD/back"
	cmp "$WORLD/blob" "$WORLD/back"
}
