# SPDX-License-Identifier: Apache-2.0
#
# Helpers of the command line's tests, which need no machine. Each file has a world of its own: state, cache, settings,
# sockets and home below a new directory, so nothing of the user is read or changed:
#
#	load helper
#	setup_file() { world_make; }
#	teardown_file() { world_drop; }
#
# The programs under test are those of build/bin; SBX_BIN names another directory.

bats_require_minimum_version 1.5.0

world_make() {
	local root
	# No key of a test's secrets goes into the user's own keyring.
	unset DBUS_SESSION_BUS_ADDRESS
	root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd) || return 1
	SBX_ROOT=$root
	SBX_BIN=${SBX_BIN:-${SBX_BUILD:-$root/build}/bin}
	WORLD=$(mktemp -d "${TMPDIR:-/tmp}/sbx-cli.XXXXXX") || return 1
	WORLD=$(readlink -f "$WORLD")
	XDG_STATE_HOME=$WORLD/state XDG_CACHE_HOME=$WORLD/cache XDG_CONFIG_HOME=$WORLD/config XDG_RUNTIME_DIR=$WORLD/run
	HOME=$WORLD/home
	PATH=$SBX_BIN:$PATH
	SOCKET=$XDG_RUNTIME_DIR/sbx/sandboxd.sock
	LOG=$XDG_STATE_HOME/sbx/sandboxd.log
	mkdir -m 0700 "$XDG_STATE_HOME" "$XDG_CACHE_HOME" "$XDG_CONFIG_HOME" "$XDG_RUNTIME_DIR" "$HOME" "$WORLD/project" ||
		return 1
	unset SBX_NONINTERACTIVE
	export SBX_ROOT SBX_BIN WORLD XDG_STATE_HOME XDG_CACHE_HOME XDG_CONFIG_HOME XDG_RUNTIME_DIR HOME PATH SOCKET LOG
	cd "$WORLD/project" || return 1
}

world_drop() {
	[ -n "${WORLD-}" ] && [ -d "$WORLD" ] || return 0
	cd /
	timeout 60 sbx daemon stop >&2 || true
	rm -rf "$WORLD"
}

# fails CODE PATTERN COMMAND...: it ends with CODE, prints nothing on stdout, and says one line "error: ..." that
# matches PATTERN (an extended regular expression), and perhaps a line "try: ...".
fails() {
	local code=$1 pattern=$2
	shift 2
	run --separate-stderr "$@" </dev/null
	[ "$status" = "$code" ] || { echo "exit $status, not $code: $stderr" >&2; return 1; }
	[ -z "$output" ] || { echo "on stdout: $output" >&2; return 1; }
	[[ $stderr == "error: "* ]] || { echo "no error: $stderr" >&2; return 1; }
	[[ $stderr =~ $pattern ]] || { echo "does not match '$pattern': $stderr" >&2; return 1; }
	[ "$(grep -cv '^try: ' <<<"$stderr")" = 1 ] || { echo "not one line: $stderr" >&2; return 1; }
}

# template_make: what looks like a base template, so that sandboxes can be made (not started) through the API.
template_make() {
	local dir=$XDG_CACHE_HOME/sbx/templates digest
	mkdir -p "$dir/blobs"
	printf blob >"$WORLD/blob"
	digest=$(sha256sum "$WORLD/blob" | cut -d' ' -f1)
	mv "$WORLD/blob" "$dir/blobs/$digest"
	jq -n --arg d "$digest" '{schema: 1, name: "base", inputs: $d, created: "2026-01-01T00:00:00Z",
		layers: [{digest: $d, bytes: 4, format: "squashfs"}], kernel: {digest: $d, bytes: 4, release: "6.12.0"},
		modules: {digest: $d, bytes: 4}}' >"$dir/base.json"
}

# sandbox_make NAME FOLDER: a sandbox that was never started. A network policy is chosen where there is none.
sandbox_make() {
	sbx daemon start >&2
	sbx policy init locked-down >&2 || true
	mkdir -p "$2"
	jq -n --arg name "$1" --arg path "$2" '{agent: "shell", name: $name, memory_mib: 512, cpus: 1, workspaces: [{path: $path}]}' |
		curl -sSf --unix-socket "$SOCKET" -X POST -d @- http://localhost/v1/sandboxes >&2
}

# on_terminal INPUT COMMAND...: runs it with a terminal that types INPUT; its output, without carriage returns.
on_terminal() {
	local input=$1
	shift
	printf '%s' "$input" | script -qefc "$(printf '%q ' "$@")" /dev/null | tr -d '\r'
	return "${PIPESTATUS[1]}"
}

# wait_for SECONDS COMMAND...: until it succeeds; 1 when the time is over.
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		read -rt 0.05 <> <(:) || true
	done
}
