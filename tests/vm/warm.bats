# SPDX-License-Identifier: Apache-2.0
#
# Warm start: machines that were woken from one frozen machine have nothing random in common; what is broken in the cache is
# noticed; what cannot be thawed boots. WARM_COPIES: how many machines are compared.

load helper

setup_file() {
	world_make
	project p >"$WORLD/path"
}

teardown_file() {
	world_drop
}

setup() {
	cd "$(cat "$WORLD/path")"
}

# vm_log NAME: the log of its supervisor.
vm_log() {
	cat "$XDG_STATE_HOME/sbx/sandboxes/$(sbx inspect --json "$1" | jq -r .id)/vm.log"
}

holder_pid() {
	world_pids sbx-frozen | head -n 1
}

holder_end() {
	local pid
	pid=$(holder_pid)
	[ -z "$pid" ] || { kill "$pid" && wait_for 10 test ! -e "/proc/$pid"; }
}

@test "woken machines have no random number in common, know the time, and have their own names" {
	copies=${WARM_COPIES:-20}
	for copy in $(seq "$copies"); do
		run -0 --separate-stderr timeout 120 sbx run --name "copy-$copy" -d -m 1g shell </dev/null
		vm_log "copy-$copy" | grep -q 'start=warm'
		timeout 120 sbx exec "copy-$copy" bash -c '
			echo "uuid $(cat /proc/sys/kernel/random/uuid)"
			echo "boot $(cat /proc/sys/kernel/random/boot_id)"
			echo "urandom $(head -c 16 /dev/urandom | od -An -tx1 | tr -d " ")"
			echo "machine $(cat /etc/machine-id)"
			echo "node $(node -e "console.log(require(\"crypto\").randomBytes(16).toString(\"hex\"))")"
			echo "aslr $(grep -m1 "\[stack\]" /proc/self/maps | cut -d- -f1)"
			command -v ssh-keygen >/dev/null && ssh-keygen -q -t ed25519 -N "" -f /tmp/key && echo "ssh $(cut -d" " -f2 /tmp/key.pub)"
			echo "now $(date +%s)" >&2; echo "name $(hostname)" >&2' >>"$WORLD/random" 2>"$WORLD/said"
		now=$(sed -n 's/^now //p' "$WORLD/said")
		[ "$(($(date +%s) - now))" -le 5 ] && [ "$now" -le "$(($(date +%s) + 1))" ]
		[ "$(sed -n 's/^name //p' "$WORLD/said")" = "copy-$copy" ]
		timeout 60 sbx rm -f "copy-$copy"
	done
	for what in uuid boot urandom machine node; do
		[ "$(grep -c "^$what [0-9a-f-]\{32,\}$" "$WORLD/random")" = "$copies" ]
	done
	sort "$WORLD/random" | uniq -d >"$WORLD/same"
	cat "$WORLD/same" >&2
	[ ! -s "$WORLD/same" ]
}

@test "a restart wakes, too; --cold boots at each start" {
	timeout 120 sbx run --name again -d -m 1g shell </dev/null
	timeout 60 sbx stop again
	[ "$(timeout 120 sbx exec again echo up)" = up ]
	[ "$(vm_log again | grep -c 'event=boot .*start=warm')" = 2 ]
	timeout 60 sbx rm -f again
	timeout 120 sbx run --cold --name cold -d -m 1g shell </dev/null
	vm_log cold | grep -q 'event=boot .*start=cold'
	[ "$(timeout 60 sbx exec cold echo up)" = up ]
	[ "$(sbx inspect --json cold | jq .cold)" = true ]
	timeout 60 sbx rm -f cold
}

@test "nobody who has a descriptor of a frozen machine can change it" {
	timeout 120 sbx run --name sealed -d -m 1g shell </dev/null
	qemu=$(vm_pid sealed qemu)
	found=0
	for fd in "/proc/$qemu/fd/"*; do
		case $(readlink "$fd") in
		*sbx-memory* | *sbx-state*)
			found=$((found + 1))
			run ! dd if=/dev/zero of="$fd" bs=16 count=1 conv=notrunc
			;;
		esac
	done
	[ "$found" -ge 2 ]
	timeout 60 sbx rm -f sealed
}

private_kib() {
	awk '/^Private_Dirty:/ { print $2 }' "/proc/$1/smaps_rollup"
}

is_below() {
	[ "$(private_kib "$1")" -lt "$2" ]
}

@test "memory that a woken guest no longer uses comes back" {
	timeout 120 sbx run --name back -d -m 1g shell </dev/null
	vm_log back | grep -q 'start=warm'
	qemu=$(vm_pid back qemu)
	timeout 60 sbx exec back dd if=/dev/zero of=/dev/shm/much bs=1M count=128 status=none
	[ "$(private_kib "$qemu")" -gt 190000 ]
	timeout 60 sbx exec back rm /dev/shm/much
	wait_for 20 is_below "$qemu" 125000
	timeout 60 sbx rm -f back
}

@test "one that is not what its manifest says is thrown away and made again" {
	mkdir -p "$WORLD/cache/sbx"
	cp -r --reflink=auto "$XDG_CACHE_HOME/sbx/templates" "$WORLD/cache/sbx/"
	export XDG_CACHE_HOME=$WORLD/cache
	sbx daemon stop
	holder_end
	timeout 120 sbx run --name broken -d -m 1g shell </dev/null
	wait_for 20 test -e "$XDG_CACHE_HOME"/sbx/frozen/*/manifest
	timeout 60 sbx stop broken
	holder_end
	memory=$(echo "$XDG_CACHE_HOME"/sbx/frozen/*/memory)
	chmod 0600 "$memory"
	printf X | dd of="$memory" bs=1 seek=20971520 conv=notrunc status=none
	[ "$(timeout 120 sbx exec broken echo up)" = up ]
	grep -q 'event=not_loaded' "$XDG_STATE_HOME/sbx/frozen.log"
	[ "$(grep -c 'event=frozen ' "$XDG_STATE_HOME/sbx/frozen.log")" -ge 2 ]
	vm_log broken | tail -n 20 | grep -q 'start=warm'
	timeout 60 sbx rm -f broken
	sbx daemon stop
	holder_end
}

@test "what cannot be thawed boots, and says why" {
	sbx daemon stop
	holder_end
	run -0 --separate-stderr timeout 150 bwrap --dev-bind / / --ro-bind /bin/false "$SBX_BUILD/bin/sbx-frozen" -- bash -c '
		sbx run --name plain -m 1g shell -- -c "echo up" </dev/null; sbx daemon stop >&2'
	[ "$output" = up ]
	vm_log plain | grep -q 'event=no_frozen_machine why="sbx-frozen did not start'
	vm_log plain | grep -q 'event=boot .*start=cold'
	timeout 60 sbx rm -f plain
	sbx daemon stop
}
