# SPDX-License-Identifier: Apache-2.0
#
# The built-in agents from the registry that this host uses: their layers are built under Balanced, and each runs in a sandbox.
# Needs the internet, or what stands for it here, and half an hour where there is no hardware virtualization, so that the
# check does not run it; run it by hand:
#
#	bats tests/real/agents.bats
#
# SBX_REAL_RANGES and certificates are as in registries.bats. Times are printed; the layers stay in the user's cache.

load ../vm/helper

setup_file() {
	local extra=()
	export WORLD_POLICY=balanced
	world_make
	[ -z "$(find /usr/local/share/ca-certificates -name '*.crt' 2>/dev/null)" ] || {
		cat /usr/local/share/ca-certificates/*.crt >"$WORLD/extra.pem"
		extra=(--arg ca "$WORLD/extra.pem")
	}
	mkdir -p "$XDG_CONFIG_HOME/sbx"
	jq -n "${extra[@]}" '{"network.permittedRanges": ($ENV.SBX_REAL_RANGES // "" | split(" "))} +
		(if $ARGS.named.ca then {"network.extraCaFile": $ARGS.named.ca} else {} end)' >"$XDG_CONFIG_HOME/sbx/settings.json"
	project p >"$WORLD/path"
	cd "$(cat "$WORLD/path")" || return 1
}

teardown_file() {
	world_drop
}

# works AGENT: the layer, the version that the program says in a sandbox, and that its files are there.
works() {
	local begun=$SECONDS version bytes
	timeout 2400 sbx create --name "real-$1" "$1" . >&2
	echo "# $1: layer there after $((SECONDS - begun)) s" >&3
	version=$(sbx agent ls --json | jq -er --arg n "$1" '.agents[] | select(.name == $n).layer | select(.current).version')
	bytes=$(sbx agent ls --json | jq -er --arg n "$1" '.agents[] | select(.name == $n).layer.bytes')
	begun=$SECONDS
	run -0 --separate-stderr timeout 300 sbx run "real-$1" -- --version </dev/null
	echo "# $1 $version: $((bytes >> 20)) MiB, first --version in a new sandbox after $((SECONDS - begun)) s" >&3
	[[ $output == *"$version"* ]]
	sbx exec "real-$1" sh -c 'git status --porcelain' >"$WORLD/status"
	[ ! -s "$WORLD/status" ]
	sbx rm --force "real-$1" >&2
}

@test "claude" { works claude; }

@test "codex" { works codex; }

@test "gemini" { works gemini; }

@test "opencode" { works opencode; }
