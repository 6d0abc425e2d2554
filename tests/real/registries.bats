# SPDX-License-Identifier: Apache-2.0
#
# The package managers of the image against the registries that this host uses, under Balanced. Needs the internet, or
# what stands for it here, so that the check does not run it; run it by hand:
#
#	bats tests/real/registries.bats
#
# Where names resolve into special ranges, SBX_REAL_RANGES names them ("203.0.113.0/24"). Certificates that this host's
# administrator has added are handed on. No registry is named here: the image and npm's configuration know theirs.

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
	jq -n "${extra[@]}" '{"network.permittedRanges": ($ENV.SBX_REAL_RANGES // "" | split(" ")),
		"network.tlsDefault": ($ENV.SBX_REAL_TLS // "auto")} + (if $ARGS.named.ca then {"network.extraCaFile": $ARGS.named.ca} else {} end)' \
		>"$XDG_CONFIG_HOME/sbx/settings.json"
	project p >"$WORLD/path"
	cd "$(cat "$WORLD/path")" || return 1
	sbx run -d --name real -m 2g shell </dev/null
}

teardown_file() {
	world_drop
}

@test "apt-get update, and a package" {
	timeout 600 sbx exec real sudo apt-get update >&2
	timeout 600 sbx exec real sudo apt-get install -y hello >&2
	[ "$(sbx exec real hello)" = 'Hello, world!' ]
}

@test "npm install of a package with more than 50 dependencies" {
	registry=$(npm config get registry 2>/dev/null || true)
	timeout 900 sbx exec -e "npm_config_registry=${registry:-}" real sh -c 'mkdir -p /tmp/np && cd /tmp/np && npm init -y >/dev/null &&
		npm install --no-audit --no-fund express && [ "$(ls node_modules | wc -l)" -ge 50 ] && node -e "require(\"express\")"' >&2
}

@test "what was allowed was logged, and nothing was refused" {
	log=("$XDG_STATE_HOME"/sbx/sandboxes/*/network.jsonl)
	jq -s 'map(select(.event == "decision")) | group_by(.verdict, .inspect) | map({n: length, verdict: .[0].verdict, inspect: .[0].inspect})' -c "${log[0]}" >&3
	jq -c 'select(.verdict == "deny") | {host, port, protocol, method, path, reason, rule}' "${log[0]}" >&3
	jq -e -s 'map(select(.event == "decision")) | length > 50 and all(.verdict == "allow")' "${log[0]}"
}
