# SPDX-License-Identifier: Apache-2.0
#
# Hosts that lack something, or whose /dev/kvm opens and runs nothing: a view of the file system where one thing is
# different (bubblewrap), with a daemon that is started in it.

bats_require_minimum_version 1.5.0
load helper

setup_file() {
	world_make
	project p >"$WORLD/path"
	sbx-image ensure base >&2
	# The template without the user's notes beside it.
	mkdir -p "$WORLD/cache/sbx"
	cp -al "$XDG_CACHE_HOME/sbx/templates" "$WORLD/cache/sbx/" 2>/dev/null || cp -a "$XDG_CACHE_HOME/sbx/templates" "$WORLD/cache/sbx/"
	export XDG_CACHE_HOME=$WORLD/cache
}

teardown_file() {
	world_drop
}

setup() {
	cd "$(cat "$WORLD/path")"
}

teardown() {
	sbx rm --all --force >&2
	sbx daemon stop >&2
}

# elsewhere BWRAP_OPTION... -- COMMAND...
elsewhere() {
	timeout 150 bwrap --dev-bind / / "$@"
}

nothing_left() {
	sbx daemon stop >&2
	[ -z "$(sbx ls -q)" ]
	[ -z "$(ls -A "$XDG_STATE_HOME/sbx/sandboxes" 2>/dev/null)" ]
	world_machines=$(world_pids | while read -r pid; do basename "$(readlink "/proc/$pid/exe")"; done | grep -vxE 'sandboxd|sbx-keeper|sbx-frozen' || true)
	[ -z "$world_machines" ]
}

@test "without QEMU or bubblewrap the error names the Debian package, and nothing is left" {
	fails 125 '/usr/bin/qemu-system-x86_64.*install the Debian package qemu-system-x86$' \
		elsewhere --ro-bind /dev/null /usr/bin/qemu-system-x86_64 -- sbx run shell
	nothing_left
	sbx daemon stop
	fails 125 '/usr/bin/bwrap.*install the Debian package bubblewrap$' elsewhere --ro-bind /dev/null /usr/bin/bwrap -- sbx run shell
	nothing_left
}

# memory TOTAL AVAILABLE: what /proc/meminfo says, in MiB.
memory() {
	printf 'MemTotal: %d kB\nMemAvailable: %d kB\n' $(($1 << 10)) $(($2 << 10)) >"$WORLD/meminfo"
}

@test "a host without memory for one machine more does not start it, and the sandbox stays" {
	memory 4096 4000
	elsewhere --ro-bind "$WORLD/meminfo" /proc/meminfo -- sbx create --name roomless -m 3g shell . >&2
	memory 4096 300
	fails 125 "no room for sandbox 'roomless': 300 MiB of memory are available, .* takes 160 MiB, and 256 MiB stay free" sbx run roomless
	memory 2048 2000
	fails 125 "sandbox 'roomless' was created with 3072 MiB of memory, and this host has 2048 MiB: .* \`-m 2048m\` or less$" sbx run roomless
	[ "$(state_of roomless)" = stopped ]
	sbx rm -f roomless
	nothing_left
}

@test "a full disk is said when a sandbox is made, and nothing is left" {
	for bytes in 262144 1000000 4000000; do
		fails 125 'the disk that holds .*/sandboxes is full \([0-3] MiB left\): free some space' \
			elsewhere --size "$bytes" --tmpfs "$XDG_STATE_HOME" -- sh -c 'sbx policy init locked-down 2>/dev/null; exec sbx run shell'
		sbx daemon stop
	done
	nothing_left
}

@test "a disk of the host that fills up under a running sandbox: the guest is told, the machine lives" {
	elsewhere --size 150000000 --tmpfs "$XDG_STATE_HOME" -- bash -c '
		set -e
		sbx policy init locked-down
		sbx run -d --name full -m 1g shell </dev/null
		timeout 100 sbx exec full sh -c "head -c 200M /dev/urandom >~/big; sync ~/big" || echo "ended with $?"
		[ "$(timeout 20 sbx exec full echo alive)" = alive ]
		timeout 60 sbx rm -f full
		sbx daemon stop' >&2
}

@test "a workspace on a full disk: the program gets ENOSPC" {
	run -1 --separate-stderr elsewhere --size 1000000 --tmpfs "$WORLD/p" -- timeout 100 sbx run --rm --name small -m 1g shell "$WORLD/p" \
		-- -c 'head -c 3000000 /dev/zero >big' </dev/null
	[[ $stderr == *"No space left on device"* ]]
}

@test "a machine whose file door does not open does not start" {
	mkdir "$WORLD/build"
	cp -r "$SBX_BUILD/share" "$WORLD/build/"
	mkdir "$WORLD/build/bin"
	for program in sbx sandboxd sbx-vm sbx-frozen sbx-image sbx-keeper sbx-proxy; do
		[ ! -e "$SBX_BUILD/bin/$program" ] || cp "$SBX_BUILD/bin/$program" "$WORLD/build/bin/"
	done
	cp /bin/true "$WORLD/build/bin/sbx-fs"
	PATH=$WORLD/build/bin:$PATH fails 125 . timeout 100 "$WORLD/build/bin/sbx" run --name doorless -m 1g shell
	nothing_left
}

@test "a /dev/kvm that cannot run a guest is noticed, told and remembered; the sandbox runs" {
	[ -e /dev/kvm ] || skip "no /dev/kvm to put another device over"
	# Where a part of /proc is hidden, the kernel lets no user namespace mount another one, which the jails of an ordinary user need.
	[ "$(id -u)" = 0 ] || skip "a changed /proc/cpuinfo leaves an ordinary user's jails without /proc"
	sed 's/^flags.*/& vmx/' /proc/cpuinfo >"$WORLD/cpuinfo"
	run -0 --separate-stderr elsewhere --ro-bind "$WORLD/cpuinfo" /proc/cpuinfo --dev-bind /dev/null /dev/kvm -- bash -c '
		sbx run -d --name kvm -m 1g shell </dev/null && sbx exec kvm uname -r && sbx inspect --json kvm; sbx rm -f kvm >&2; sbx daemon stop >&2'
	echo "$output" >&2
	[[ $output == *cloud-amd64* ]]
	[ "$(cat "$XDG_CACHE_HOME/sbx/kvm-failed")" = "$(cat /proc/sys/kernel/random/boot_id)" ]
	run --separate-stderr sbx diagnose
	[[ $output == *emulation* ]]
}
