# SPDX-License-Identifier: Apache-2.0
#
# What happens when processes die: nothing is lost, nothing else is disturbed, and it can be run again.

load helper

setup_file() {
	world_make
	project p >"$WORLD/path"
	project q >"$WORLD/other"
}

teardown_file() {
	world_drop
}

setup() {
	cd "$(cat "$WORLD/path")"
}

up() {
	timeout 120 sbx run -d --name "$1" -m 1g shell </dev/null
}

daemon_pid() {
	cat "$XDG_RUNTIME_DIR/sbx/sandboxd.pid"
}

is_gone() {
	! [ -d "/proc/$1" ]
}

@test "kill -9 of sandboxd during an exec: the command goes on, and the next sbx re-adopts the machine" {
	up f
	vm=$(vm_pid f vm)
	sbx exec -i f sh -c 'echo begun; read line; echo "heard $line"' <"$(mkfifo "$WORLD/in" && echo "$WORLD/in")" >"$WORLD/out" 3>&- &
	client=$!
	exec 5>"$WORLD/in"
	begun() { grep -q begun "$WORLD/out"; }
	wait_for 20 begun
	old=$(daemon_pid)
	kill -KILL "$old"
	wait_for 10 is_gone "$old"
	echo still-here >&5
	exec 5>&-
	wait "$client"
	grep -q 'heard still-here' "$WORLD/out"
	[ "$(state_of f)" = running ]
	[ "$(daemon_pid)" != "$old" ]
	[ "$(vm_pid f vm)" = "$vm" ]
	[ "$(sbx exec f echo again)" = again ]
}

@test "kill -9 of sbx-vm: listed as stopped, clean on the next start, the other one undisturbed" {
	up f
	(cd "$(cat "$WORLD/other")" && timeout 120 sbx run -d --name other -m 1g shell </dev/null)
	other=$(vm_pid other vm)
	sbx exec f sh -c 'echo kept > ~/kept; sync'
	sbx exec f sh -c 'echo unsynced > ~/unsynced'
	vm=$(vm_pid f vm) qemu=$(vm_pid f qemu) fs=$(vm_pid f fs)
	kill -KILL "$vm"
	wait_for 20 is_state f stopped
	for p in "$qemu" "$fs"; do
		wait_for 10 is_gone "$p"
	done
	up f
	[ "$(sbx exec f cat /home/agent/kept)" = kept ]
	# Mounted read-write, and the journal had no complaint.
	sbx exec f sh -c 'touch ~/writable'
	sbx exec -u root f dmesg >"$WORLD/dmesg"
	! grep -iE 'ext4.*(error|corrupt)' "$WORLD/dmesg"
	[ "$(vm_pid other vm)" = "$other" ]
	[ "$(sbx exec other echo fine)" = fine ]
	sbx rm -f other
}

@test "kill -9 of QEMU: an exec that runs says so, listed as stopped, starts again" {
	up f
	sbx exec f sleep 1000 2>"$WORLD/err" 3>&- &
	client=$!
	sessions() { [ "$(sbx inspect --json f | jq .sessions)" -ge 1 ]; }
	wait_for 20 sessions
	kill -KILL "$(vm_pid f qemu)"
	code=0
	wait "$client" || code=$?
	[ "$code" = 125 ]
	grep -q '^error: ' "$WORLD/err"
	wait_for 20 is_state f stopped
	[ "$(timeout 120 sbx exec f echo again)" = again ]
}

@test "kill -9 of sbx-fs: the workspace gives errors, the machine lives, and a restart mends it" {
	up f
	kill -KILL "$(vm_pid f fs)"
	broken() { ! timeout 10 sbx exec -w / f sh -c 'ls "$WORKSPACE_DIR"' >/dev/null 2>&1; }
	wait_for 20 broken
	[ "$(sbx exec -w / f echo alive)" = alive ]
	sbx stop f
	up f
	sbx exec f ls README.md
}

@test "a host that booted anew: everything is listed as stopped, and starts" {
	up f
	sbx exec f sh -c 'echo kept > ~/before; sync'
	vm=$(vm_pid f vm)
	kill -KILL "$(daemon_pid)" "$vm" "$(vm_pid f qemu 2>/dev/null || echo "$vm")" 2>/dev/null || true
	wait_for 10 is_gone "$vm"
	rm -rf "${XDG_RUNTIME_DIR:?}"/*
	[ "$(state_of f)" = stopped ]
	[ "$(timeout 120 sbx exec f cat /home/agent/before)" = kept ]
}

@test "poweroff inside: listed as stopped, starts again" {
	up f
	sbx exec -u root f sh -c 'kill -TERM 1; sleep 0.2; poweroff -f || echo o > /proc/sysrq-trigger' || true
	wait_for 30 is_state f stopped
	[ "$(timeout 120 sbx exec f echo again)" = again ]
}

@test "a guest that panics: listed as stopped, starts again" {
	up f
	timeout 60 sbx exec -u root f sh -c 'echo c > /proc/sysrq-trigger' || true
	wait_for 30 is_state f stopped
	[ "$(timeout 120 sbx exec f echo again)" = again ]
}
