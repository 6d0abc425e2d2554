# SPDX-License-Identifier: Apache-2.0
#
# Helpers of the machine tests. Each file has a world of its own (state, settings, sockets, home) below a new
# directory, and shares only the template cache with the user:
#
#	load helper
#	setup_file() { world_make; }
#	teardown_file() { world_drop; }
#
# The programs under test are those of build/bin (SBX_BUILD names another build directory).

bats_require_minimum_version 1.5.0

# world_make: exports WORLD, the XDG directories, HOME and PATH, and chooses a network policy: WORLD_POLICY, else one that allows nothing.
world_make() {
	local root
	# No key of a test's secrets goes into the user's own keyring.
	unset DBUS_SESSION_BUS_ADDRESS
	root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd) || return 1
	SBX_BUILD=${SBX_BUILD:-$root/build}
	XDG_CACHE_HOME=${XDG_CACHE_HOME:-$HOME/.cache}
	WORLD=$(mktemp -d "${TMPDIR:-/tmp}/sbx-world.XXXXXX") || return 1
	WORLD=$(readlink -f "$WORLD")
	XDG_STATE_HOME=$WORLD/state XDG_CONFIG_HOME=$WORLD/config XDG_RUNTIME_DIR=$WORLD/run HOME=$WORLD/home
	mkdir -m 0700 "$XDG_STATE_HOME" "$XDG_CONFIG_HOME" "$XDG_RUNTIME_DIR" "$HOME" || return 1
	PATH=$SBX_BUILD/bin:$SBX_BUILD/tests:$PATH
	export SBX_BUILD WORLD XDG_STATE_HOME XDG_CACHE_HOME XDG_CONFIG_HOME XDG_RUNTIME_DIR HOME PATH
	git config --file "$HOME/.gitconfig" user.name 'A Tester'
	git config --file "$HOME/.gitconfig" user.email tester@example.invalid
	git config --file "$HOME/.gitconfig" init.defaultBranch main
	sbx policy init "${WORLD_POLICY:-locked-down}" >&2
	# A test may want the daemon to start in another view of the host.
	sbx daemon stop >&2
}

# world_drop: stops and removes everything; fails where a process of the world outlives it.
world_drop() {
	local left
	[ -n "${WORLD-}" ] && [ -d "$WORLD" ] || return 0
	timeout 120 sbx rm --all --force >&2 || true
	timeout 60 sbx daemon stop >&2 || true
	keeper_end
	if ! wait_for 20 world_is_quiet; then
		left=$(world_pids)
		for pid in $left; do
			echo "left behind: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)" >&2
		done
		# shellcheck disable=SC2086
		kill -KILL $left 2>/dev/null
	fi
	rm -rf "$WORLD"
	[ -z "${left-}" ]
}

# keeper_end: ends this world's keeper and holder of frozen machines, which outlive the daemon.
keeper_end() {
	local pid
	for pid in $(world_pids sbx-keeper) $(world_pids sbx-frozen); do
		kill -TERM "$pid" || true
	done
}

# world_pids [PROGRAM]: the processes of this world: our programs and QEMU with its state or runtime directory in their
# environment (which every child inherits) or descriptors.
world_pids() {
	local p exe
	for p in /proc/[0-9]*; do
		exe=$(readlink "$p/exe" 2>/dev/null) || continue
		case ${exe##*/} in
		sandboxd | sbx-vm | sbx-fs | sbx-proxy | sbx-keeper | sbx-frozen | sbx-image | qemu-system-* | bwrap) ;;
		*) continue ;;
		esac
		[ "${1-${exe##*/}}" = "${exe##*/}" ] || continue
		if grep -qaF -- "$WORLD/" "$p/environ" 2>/dev/null || grep -qaF -- "$WORLD/" "$p/cmdline" 2>/dev/null ||
			find "$p/fd" -lname "$WORLD/*" 2>/dev/null | grep -q .; then
			echo "${p#/proc/}"
		fi
	done
}

world_is_quiet() {
	[ -z "$(world_pids)" ]
}

# wait_for SECONDS COMMAND...: until it succeeds; 1 when the time is over.
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		pause
	done
}

# pause: a tenth of a second between two looks at something, without a process.
pause() {
	read -rt 0.1 <> <(:) || true
}

# project NAME: a git repository with two commits in the world; prints its path.
project() {
	local dir=$WORLD/$1
	mkdir -p "$dir/src" && (
		cd "$dir" && git init -q . && echo '# A project' >README.md && git add . && git commit -qm 'Begin' &&
			printf 'int main(void)\n{\n\treturn 0;\n}\n' >src/main.c && git add . && git commit -qm 'Add a program'
	) >&2 && echo "$dir"
}

# state_of NAME: running, stopped, ... or nothing.
state_of() {
	sbx ls --json | jq -r --arg name "$1" '.sandboxes[] | select(.name == $name) | .status'
}

is_state() {
	[ "$(state_of "$1")" = "$2" ]
}

# vm_pid NAME vm|qemu|fs|proxy: the process id of one of a running sandbox's processes.
vm_pid() {
	sbx inspect --json "$1" | jq -er --arg what "$2" '.pids[$what]'
}

# rss_kib PID: its resident memory.
rss_kib() {
	awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"
}

# fails CODE PATTERN COMMAND...: it ends with CODE and says nothing but one line "error: ...", which matches PATTERN (an
# extended regular expression), and perhaps a line "try: ...".
fails() {
	local code=$1 pattern=$2 got=0 text
	shift 2
	text=$("$@" 2>&1 >/dev/null </dev/null) || got=$?
	[ "$got" = "$code" ] || { echo "exit $got, not $code: $text" >&2; return 1; }
	[[ $text =~ $pattern ]] || { echo "does not match '$pattern': $text" >&2; return 1; }
	[ "$(grep -cv '^try: ' <<<"$text")" = 1 ] || { echo "not one line: $text" >&2; return 1; }
}
