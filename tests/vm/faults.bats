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
	up box
	vm=$(vm_pid box vm)
	mkfifo "$WORLD/in"
	: >"$WORLD/out"
	sbx exec -i box sh -c 'echo begun; read line; echo "heard $line"' <"$WORLD/in" >"$WORLD/out" 3>&- &
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
	[ "$(state_of box)" = running ]
	[ "$(daemon_pid)" != "$old" ]
	[ "$(vm_pid box vm)" = "$vm" ]
	[ "$(sbx exec box echo again)" = again ]
}

@test "kill -9 of sbx-vm: listed as stopped, clean on the next start, the other one undisturbed" {
	up box
	(cd "$(cat "$WORLD/other")" && timeout 120 sbx run -d --name other -m 1g shell </dev/null)
	other=$(vm_pid other vm)
	sbx exec box sh -c 'echo kept > ~/kept; sync'
	sbx exec box sh -c 'echo unsynced > ~/unsynced'
	vm=$(vm_pid box vm) qemu=$(vm_pid box qemu) fs=$(vm_pid box fs)
	kill -KILL "$vm"
	wait_for 20 is_state box stopped
	for p in "$qemu" "$fs"; do
		wait_for 10 is_gone "$p"
	done
	up box
	[ "$(sbx exec box cat /home/agent/kept)" = kept ]
	# Mounted read-write, and the journal had no complaint.
	sbx exec box sh -c 'touch ~/writable'
	sbx exec -u root box dmesg >"$WORLD/dmesg"
	! grep -iE 'ext4.*(error|corrupt)' "$WORLD/dmesg"
	[ "$(vm_pid other vm)" = "$other" ]
	[ "$(sbx exec other echo fine)" = fine ]
	sbx rm -f other
}

@test "kill -9 of QEMU: an exec that runs says so, listed as stopped, starts again" {
	up box
	rm -f begun
	sbx exec box sh -c 'touch begun; exec sleep 1000' 2>"$WORLD/err" 3>&- &
	client=$!
	wait_for 20 test -e begun
	kill -KILL "$(vm_pid box qemu)"
	code=0
	wait "$client" || code=$?
	[ "$code" = 125 ]
	grep -q '^error: ' "$WORLD/err"
	wait_for 20 is_state box stopped
	[ "$(timeout 120 sbx exec box echo again)" = again ]
}

@test "kill -9 of sbx-fs: the workspace gives errors, the machine lives, and a restart mends it" {
	up box
	kill -KILL "$(vm_pid box fs)"
	broken() { ! timeout 10 sbx exec -w / box sh -c 'ls "$WORKSPACE_DIR"' >/dev/null 2>&1; }
	wait_for 20 broken
	[ "$(sbx exec -w / box echo alive)" = alive ]
	sbx stop box
	up box
	sbx exec box ls README.md
}

@test "a host that booted anew: everything is listed as stopped, and starts" {
	up box
	sbx exec box sh -c 'echo kept > ~/before; sync'
	vm=$(vm_pid box vm)
	kill -KILL "$(daemon_pid)" "$vm" "$(vm_pid box qemu 2>/dev/null || echo "$vm")" 2>/dev/null || true
	wait_for 10 is_gone "$vm"
	rm -rf "${XDG_RUNTIME_DIR:?}"/*
	[ "$(state_of box)" = stopped ]
	[ "$(timeout 120 sbx exec box cat /home/agent/before)" = kept ]
}

@test "poweroff inside: listed as stopped, starts again" {
	up box
	sbx exec -u root box sh -c 'kill -TERM 1; sleep 0.2; poweroff -f || echo o > /proc/sysrq-trigger' || true
	wait_for 30 is_state box stopped
	[ "$(timeout 120 sbx exec box echo again)" = again ]
}

@test "a guest that panics: listed as stopped, starts again" {
	up box
	timeout 60 sbx exec -u root box sh -c 'echo c > /proc/sysrq-trigger' || true
	wait_for 30 is_state box stopped
	[ "$(timeout 120 sbx exec box echo again)" = again ]
}
