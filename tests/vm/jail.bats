# SPDX-License-Identifier: Apache-2.0
#
# What QEMU, sbx-fs and sbx-proxy can reach, asked from inside: the running processes are made to do the system calls.

load helper

setup_file() {
	world_make
	project p >"$WORLD/path"
	cd "$(cat "$WORLD/path")"
	echo secret >"$WORLD/secret"
	sbx run -d --name jail -m 1g shell </dev/null
	vm_pid jail qemu >"$WORLD/qemu.pid"
	vm_pid jail fs >"$WORLD/fs.pid"
	vm_pid jail proxy >"$WORLD/proxy.pid"
}

teardown_file() {
	world_drop
}

# refused PID CALL...: the call gives an error and the process goes on.
refused() {
	local out
	out=$(inject "$@")
	echo "$*: $out" >&2
	[[ $out =~ ^[a-z:\ ]*E[A-Z0-9]+$ ]] && [ -d "/proc/$1" ]
}

# stopped PID CALL...: an error, or the filter kills the process for it.
stopped() {
	local out
	out=$(inject "$@")
	echo "$*: $out" >&2
	[[ $out =~ ^[a-z:\ ]*E[A-Z0-9]+$ ]] || [ "$out" = 'killed SIGSYS' ]
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

@test "sbx-proxy sees no file of the host" {
	pid=$(cat "$WORLD/proxy.pid")
	for path in /etc/passwd /etc/shadow /etc/resolv.conf /root /home /proc/self/status /sys "$WORLD/secret" "$(cat "$WORLD/path")/README.md" \
		"$XDG_STATE_HOME/sbx/sbx.db" "$XDG_STATE_HOME/sbx/keeper" "$XDG_RUNTIME_DIR/sbx/keeper.sock" /bin/sh /usr/bin/env; do
		refused "$pid" openat "$path"
	done
	[ ! -e "/proc/$pid/root/etc" ]
	[ ! -e "/proc/$pid/root/proc/1" ]
}

@test "sbx-proxy has the host's network, but none of its Unix sockets, abstract ones neither" {
	pid=$(cat "$WORLD/proxy.pid")
	[ "$(readlink "/proc/$pid/ns/net")" = "$(readlink /proc/self/ns/net)" ]
	run -0 inject "$pid" socket inet
	[[ $output =~ ^[0-9]+$ ]]
	refused "$pid" socket unix
	refused "$pid" socket packet
}

@test "neither qemu nor sbx-fs has a network" {
	for who in qemu fs; do
		pid=$(cat "$WORLD/$who.pid")
		# Its own namespace, with nothing but a loopback that is down.
		[ "$(readlink "/proc/$pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]
		[ "$(grep -c : "/proc/$pid/net/dev")" = 1 ]
		[ -z "$(tail -n +2 "/proc/$pid/net/route")" ]
	done
	# QEMU may make sockets; there is nothing to connect them to.
	refused "$(cat "$WORLD/qemu.pid")" connect-unix "$XDG_RUNTIME_DIR/sbx/sandboxd.sock"
}

@test "all live in namespaces of their own, without capabilities, with a filter" {
	for who in qemu fs proxy; do
		pid=$(cat "$WORLD/$who.pid")
		for ns in mnt pid ipc uts; do
			[ "$(readlink "/proc/$pid/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ]
		done
		grep -q '^Seccomp:.2$' "/proc/$pid/status"
		grep -q '^NoNewPrivs:.1$' "/proc/$pid/status"
	done
	for who in qemu proxy; do
		pid=$(cat "$WORLD/$who.pid")
		[ "$(readlink "/proc/$pid/ns/user")" != "$(readlink /proc/self/ns/user)" ]
		grep -q '^CapEff:.0000000000000000$' "/proc/$pid/status"
		grep -q '^CapBnd:.0000000000000000$' "/proc/$pid/status"
	done
}

@test "diagnose says what each process can reach" {
	run -0 --separate-stderr sbx diagnose
	[[ $output == *jail* ]]
	[[ $output == *qemu* ]]
	[[ $output == *sbx-fs* ]]
	[[ $output == *sbx-proxy* ]]
	run -0 --separate-stderr sbx diagnose --json
	jq -e '.summary.fail == 0' <<<"$output"
}

# Last, because the filter may kill the process that tries: each round has new ones.
@test "none can start a program or a process, and sbx-fs cannot even make a socket" {
	for call in 'execve /bin/sh' fork 'socket inet' "connect-unix $XDG_RUNTIME_DIR/sbx/sandboxd.sock"; do
		sbx stop jail
		sbx run -d --name jail shell </dev/null
		# shellcheck disable=SC2086
		stopped "$(vm_pid jail fs)" $call
		case $call in
		execve* | fork) # shellcheck disable=SC2086
			stopped "$(vm_pid jail proxy)" $call
			# shellcheck disable=SC2086
			stopped "$(vm_pid jail qemu)" $call ;;
		esac
	done
}
