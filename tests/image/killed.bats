# SPDX-License-Identifier: Apache-2.0
#
# A build of the base template that is killed, wherever, leaves no half image, and the next one continues. sbx-image is
# the real one; Debian's tools, and the system they would make, are small stand-ins (tool), so that a whole build takes a
# fraction of a second and can be killed at each step.

bats_require_minimum_version 1.5.0

setup_file() {
	local root
	root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	WORLD=$(readlink -f "$(mktemp -d "${TMPDIR:-/var/tmp}/sbx-image-test.XXXXXX")")
	BUILD=${SBX_BUILD:-$root/build}
	mkdir "$WORLD/tools" "$WORLD/lists"
	ln -s "$(PATH=$PATH:/usr/sbin:/sbin command -v tar2sqfs)" "$WORLD/real-tar2sqfs"
	for name in apt-get apt-config apt-cache mmdebstrap tar2sqfs; do
		ln -s "$BATS_TEST_DIRNAME/tool" "$WORLD/tools/$name"
	done
	mkfifo "$WORLD/never"
	printf 'Origin: Debian\nLabel: Debian\n' >"$WORLD/lists/x_InRelease"
	PATH=$WORLD/tools:$PATH
	export WORLD BUILD PATH
	python3 - "$root/templates/base/modules" "$WORLD" <<-'PYTHON'
		import gzip, io, struct, sys, tarfile
		names = [l.strip() for l in open(sys.argv[1]) if l.strip() and l[0] != "#"]
		base = "./usr/lib/modules/6.12.0-test/"
		files = {f"{base}kernel/{n}.ko": n.encode() * 50 for n in names}
		files[base + "modules.dep"] = "".join(f"kernel/{n}.ko:\n" for n in names).encode()
		files |= {base + "modules.softdep": b"", base + "modules.builtin": b""}
		with tarfile.open(sys.argv[2] + "/rootfs.tar", "w") as tar:
		    for name, content in files.items():
		        info = tarfile.TarInfo(name)
		        info.size = len(content)
		        tar.addfile(info, io.BytesIO(content))
		# A boot image: one sector of setup code, its header, and a packed ELF file (Documentation/arch/x86/boot.rst).
		payload = gzip.compress(b"\x7fELF\x02\x01" + b"kernel" * 1000)
		head = bytearray(1024)
		head[0x1F1] = 1
		head[0x1FE:0x200] = b"\x55\xaa"
		head[0x202:0x206] = b"HdrS"
		struct.pack_into("<H", head, 0x206, 0x20F)
		struct.pack_into("<II", head, 0x248, 0, len(payload))
		open(sys.argv[2] + "/vmlinuz", "wb").write(head + payload)
	PYTHON
}

teardown_file() {
	rm -rf "${WORLD:?}"
}

setup() {
	fresh
}

# An empty cache, and nothing done yet.
fresh() {
	rm -rf "${WORLD:?}/cache" "$WORLD/paused"
	mkdir "$WORLD/cache"
	: >"$WORLD/steps"
	CACHE=$WORLD/cache/sbx/templates
}

ensure() {
	XDG_CACHE_HOME=$WORLD/cache timeout -k 5 30 "$BUILD/bin/sbx-image" ensure base 3>&-
}

check() {
	XDG_CACHE_HOME=$WORLD/cache "$BUILD/bin/sbx-image" check base 2>/dev/null
}

wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		read -rt 0.02 <> <(:) || true
	done
}

# killed_in STEP: a build whose every process ends with it, by SIGKILL, halfway through the step.
killed_in() {
	rm -f "$WORLD/paused"
	SBX_PAUSE=$1 XDG_CACHE_HOME=$WORLD/cache "$BUILD/bin/sbx-image" ensure base >"$WORLD/out" 2>&1 3>&- &
	local pid=$! code
	wait_for 15 test -s "$WORLD/paused" || { cat "$WORLD/out"; kill -KILL "$pid"; false; }
	kill -KILL "$pid"
	code=0
	wait "$pid" || code=$?
	[ "$code" = 137 ]
	# The tools die with it: the lock that one of them held is free.
	flock -w 10 "$WORLD/alive" true
}

# The functions from here on end at the first thing that is not so, in a condition too, where bash does not by itself.

whole() {
	local b
	for b in "$CACHE"/blobs/*; do
		[[ -e $b && $b != *.part ]] || continue
		[ "$(sha256sum <"$b" | cut -d' ' -f1)" = "${b##*/}" ] || { echo "$b is not what it is called"; return 1; }
	done
}

no_mount() {
	! grep -F "$WORLD" /proc/self/mountinfo
}

# What a killed build may leave: no manifest but that of a whole template, and no blob that is not what it is called.
nothing_half() {
	if [ -e "$CACHE/base.json" ]; then
		check || { echo "a manifest without its blobs"; return 1; }
	else
		! check || { echo "a template without a manifest"; return 1; }
	fi
	whole && no_mount
}

same() {
	[ "$1" = "$2" ] || { echo "'$1' and not '$2'"; return 1; }
}

# What there is after a build that was not killed, whatever was before: the template and nothing else.
complete() {
	local m=$CACHE/base.json blobs
	check || { echo "no template"; return 1; }
	blobs=$(jq -r '.layers[].digest, .kernel.digest, .modules.digest' "$m") || return 1
	same "$(ls -A "$WORLD/cache/sbx")" templates || return 1
	same "$(ls -A "$CACHE" | sort | tr '\n' ' ')" "base.json blobs lock " || return 1
	same "$(ls -A "$CACHE/blobs" | sort)" "$(sort <<<"$blobs")" || return 1
	same "$(head -c 6 "$CACHE/blobs/$(jq -r .kernel.digest "$m")" | od -An -tx1)" " 7f 45 4c 46 02 01" || return 1
	same "$(head -c 4 "$CACHE/blobs/$(jq -r '.layers[0].digest' "$m")")" hsqs || return 1
	whole && no_mount
}

times() {
	grep -cx "$1" "$WORLD/steps" || true
}

@test "a build that is not killed does each step once, and another none" {
	ensure
	complete
	[ "$(tr '\n' ,  <"$WORLD/steps")" = "update,download,download one,install,pack," ]
	ensure
	[ "$(wc -l <"$WORLD/steps")" = 5 ]
}

@test "killed while it downloads: what was downloaded is not downloaded again" {
	killed_in download
	nothing_half
	[ ! -e "$CACHE/base.json" ]
	ensure
	complete
	[ "$(times download)" = 2 ]
	[ "$(times 'download one')" = 1 ]
}

@test "killed while it installs: half a system is thrown away" {
	killed_in install
	nothing_half
	[ ! -e "$CACHE/base.json" ]
	compgen -G "$CACHE/work/*/rootfs.tar.part"
	killed_in install
	nothing_half
	ensure
	complete
	[ "$(times 'download one')" = 1 ]
	[ "$(times install)" = 3 ]
}

@test "killed while it packs: the installed system is used as it is" {
	killed_in pack
	nothing_half
	[ ! -e "$CACHE/base.json" ]
	ensure
	complete
	[ "$(times update),$(times install),$(times pack)" = 1,1,2 ]
}

@test "killed before any of its own changes to the disk: nothing half, and the next one completes" {
	n=1 places=0 code=137
	while [ "$code" = 137 ]; do
		fresh
		code=0
		LD_PRELOAD=$BUILD/tests/libkillat.so SBX_KILL_AT=$n ensure >"$WORLD/out" 2>&1 || code=$?
		[ "$code" = 137 ] || continue
		echo "killed at call $n"
		places=$((places + 1))
		nothing_half
		# Once the manifest stands there are only the many files of the build to be removed.
		if [ -e "$CACHE/base.json" ]; then n=$((n + 9)); else n=$((n + 1)); fi
		installed=$(times install) packed=$(times pack) finished=$(compgen -G "$CACHE/work/*/rootfs.tar" || true)
		ensure >"$WORLD/out" 2>&1
		complete
		[ -z "$finished" ] || same "$(times install)" "$installed"
		[ "$packed" = 0 ] || same "$(times install)" "$installed"
	done
	same "$code" 0
	complete
	[ "$places" -gt 20 ]
	echo "# killed at $places places" >&3
}
