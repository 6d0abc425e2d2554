# SPDX-License-Identifier: Apache-2.0
#
# What this host lacks is said at once, and not after the minutes that a base template takes. The world has no template;
# each daemon runs in a mount namespace where one thing is missing.

load helper

setup() { world_make; }
teardown() { world_drop; }

# as_if [BWRAP_ARGS...]: makes a host of these mounts, with a daemon and a network policy.
as_if() {
	HOST=(bwrap --dev-bind / / "$@")
	"${HOST[@]}" sbx policy init locked-down >&2
}

# at_once PATTERN: `sbx run shell` there fails like that within 2 seconds and has not begun to make a template.
at_once() {
	local begin=${EPOCHREALTIME/./}
	fails 125 "$1" "${HOST[@]}" sbx run shell
	[ $((${EPOCHREALTIME/./} - begin)) -lt 2000000 ] || { echo "took too long" >&2; return 1; }
	# The API's caller hears the same instead of a build.
	[[ $(curl -sS -m 5 --unix-socket "$SOCKET" -X POST http://localhost/v1/templates/base) == *'"unavailable"'* ]]
	[ ! -e "$XDG_CACHE_HOME/sbx/templates" ]
	! grep -q event=build_started "$LOG" || return 1
	[ "$(sbx ls -q | wc -l)" = 0 ]
}

@test "no QEMU" {
	as_if --bind /dev/null /usr/bin/qemu-system-x86_64
	at_once "QEMU is not installed .*: install the Debian package qemu-system-x86"
}

@test "no bubblewrap" {
	as_if --bind /dev/null /usr/bin/bwrap
	at_once "bubblewrap is not installed .*: install the Debian package bubblewrap"
}

@test "a full disk" {
	as_if --size $((32 << 20)) --tmpfs "$XDG_STATE_HOME"
	LOG=/proc/$(jq -r .pid <<<"$(sbx daemon status --json)")/root$LOG
	at_once "the disk that holds $XDG_STATE_HOME/sbx/sandboxes is full .*: free some space"
}

@test "a state directory that cannot be written any more" {
	local disks=$XDG_STATE_HOME/sbx/sandboxes
	sbx daemon start >&2
	sbx daemon stop >&2
	as_if --bind "$disks" "$disks"
	if [ "$(id -u)" = 0 ]; then # whom modes do not stop
		nsenter -m -t "$(sbx daemon status --json | jq .pid)" mount -o remount,bind,ro "$disks"
	else
		chmod 0500 "$disks"
	fi
	at_once "cannot write to $disks: (Read-only file system|Permission denied)"
	chmod 0700 "$disks"
}

@test "no network policy" {
	begin=${EPOCHREALTIME/./}
	fails 125 'the network policy has not been initialised: choose one with `sbx policy init' sbx run shell
	[ $((${EPOCHREALTIME/./} - begin)) -lt 2000000 ]
	[ ! -e "$XDG_CACHE_HOME/sbx/templates" ]
	! grep -q event=build_started "$LOG"
}

# meminfo TOTAL AVAILABLE: a /proc/meminfo with these, in MiB; prints its path.
meminfo() {
	printf 'MemTotal: %d kB\nMemAvailable: %d kB\n' $(($1 << 10)) $(($2 << 10)) >"$WORLD/meminfo"
	echo "$WORLD/meminfo"
}

@test "no memory: the figures, and what to do" {
	as_if --ro-bind "$(meminfo 8192 415)" /proc/meminfo
	at_once "there is no room for another sandbox: 415 MiB of memory are available, its start \\(with those under way\\) takes 160 MiB, \
and 256 MiB stay free \\(setting sandbox.memoryReserve\\): end programs, or stop a sandbox with \`sbx stop\`"
	# It is looked at anew each time, and what stays free is the user's choice: now the template is what is missing.
	mkdir -p "$XDG_CONFIG_HOME/sbx"
	echo '{"sandbox.memoryReserve": "255m"}' >"$XDG_CONFIG_HOME/sbx/settings.json"
	run curl -sS -m 5 --unix-socket "$SOCKET" -X POST http://localhost/v1/sandboxes \
		-d '{"agent": "shell", "workspaces": [{"path": "'"$PWD"'"}], "memory_mib": 1024}'
	[[ $output == *"there is no base template yet"* ]]
	# A size is a promise: it may be more than is available now, and not more than there is.
	fails 125 "9000 MiB of memory is more than this host has: at most 8192 MiB" "${HOST[@]}" sbx run -m 9000m shell
}
