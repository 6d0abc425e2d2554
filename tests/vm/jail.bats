# SPDX-License-Identifier: Apache-2.0
#
# What QEMU and sbx-fs can reach, asked from inside: the running processes are made to do the system calls.

load helper

setup_file() {
	world_make
	project p >"$WORLD/path"
	cd "$(cat "$WORLD/path")"
	echo secret >"$WORLD/secret"
	sbx run -d --name jail -m 1g shell </dev/null
	vm_pid jail qemu >"$WORLD/qemu.pid"
	vm_pid jail fs >"$WORLD/fs.pid"
}

teardown_file() {
	world_drop
}

# refused PID CALL...: the call gives an error; a kill by the filter is one too, but only where it was asked for last.
refused() {
	local out
	out=$(inject "$@")
	echo "$*: $out" >&2
	[[ $out =~ E[A-Z]+ ]] || [[ $out =~ killed ]]
}

@test "qemu sees no file of the host" {
	pid=$(cat "$WORLD/qemu.pid")
	for path in /etc/passwd /etc/shadow /root /home /proc/self/status /sys /dev/sda "$WORLD/secret" "$(cat "$WORLD/path")/README.md" \
		"$XDG_STATE_HOME/sbx/sbx.db" "$XDG_RUNTIME_DIR/sbx/sandboxd.sock" /bin/sh /usr/bin/env; do
		refused "$pid" openat "$path"
	done
	refused "$pid" creat /new
	refused "$pid" creat /usr/lib/new
}

@test "sbx-fs sees no file of the host but through its roots" {
	pid=$(cat "$WORLD/fs.pid")
	for path in /etc/passwd /etc/shadow /root /home "$WORLD/secret" "$XDG_STATE_HOME/sbx/sbx.db" "$XDG_RUNTIME_DIR/sbx/sandboxd.sock" /bin/sh; do
		refused "$pid" openat "$path"
	done
	refused "$pid" creat /new
}

@test "neither has a network" {
	for who in qemu fs; do
		pid=$(cat "$WORLD/$who.pid")
		# Its own namespace, with nothing but a loopback that is down.
		[ "$(readlink "/proc/$pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]
		[ "$(grep -c : "/proc/$pid/net/dev")" = 1 ]
		[ -z "$(tail -n +2 "/proc/$pid/net/route")" ]
		refused "$pid" connect-unix "$XDG_RUNTIME_DIR/sbx/sandboxd.sock"
	done
}

@test "both live in namespaces of their own, without capabilities, with a filter" {
	for who in qemu fs; do
		pid=$(cat "$WORLD/$who.pid")
		for ns in mnt pid net ipc uts; do
			[ "$(readlink "/proc/$pid/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ]
		done
		grep -q '^Seccomp:.2$' "/proc/$pid/status"
		grep -q '^NoNewPrivs:.1$' "/proc/$pid/status"
	done
	[ "$(readlink "/proc/$(cat "$WORLD/qemu.pid")/ns/user")" != "$(readlink /proc/self/ns/user)" ]
	grep -q '^CapEff:.0000000000000000$' "/proc/$(cat "$WORLD/qemu.pid")/status"
}

@test "diagnose says what each process can reach" {
	run -0 --separate-stderr sbx diagnose
	[[ $output == *jail* ]]
	[[ $output == *qemu* ]]
	[[ $output == *sbx-fs* ]]
	run -0 --separate-stderr sbx diagnose --json
	jq -e '.summary.fail == 0' <<<"$output"
}

# Last, because the filter may kill the process that tries.
@test "neither can start a program, nor a process" {
	fs=$(cat "$WORLD/fs.pid")
	refused "$fs" socket inet
	sbx run -d --name jail shell </dev/null
	refused "$(vm_pid jail fs)" execve /usr/bin/env || refused "$(vm_pid jail fs)" execve /bin/sh
	sbx stop jail
	sbx run -d --name jail shell </dev/null
	refused "$(vm_pid jail qemu)" execve /usr/bin/qemu-system-x86_64
	sbx stop jail || true
	sbx run -d --name jail shell </dev/null
	refused "$(vm_pid jail qemu)" fork
}

bats_require_minimum_version 1.5.0
