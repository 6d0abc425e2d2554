# SPDX-License-Identifier: Apache-2.0
#
# Bad input to run and create: one line that names the thing, at once (no template is made for it), nothing left behind.

load helper

setup_file() { world_make; }
teardown_file() { world_drop; }

nothing_left() {
	[ "$(sbx ls -q | wc -l)" = 0 ]
	[ -z "$(ls -A "$XDG_STATE_HOME/sbx/sandboxes" 2>/dev/null)" ]
	[ ! -e "$XDG_CACHE_HOME/sbx/templates" ]
}

@test "unknown agents and sandboxes" {
	fails 125 "'cluade' is neither an agent \(known agents: .*shell\) nor an existing sandbox.*try: sbx run shell" sbx run cluade
	fails 125 "neither an agent" sbx run cluade .
	fails 125 "sandbox 'box' not found.*try: sbx run --name box shell" sbx run --name box
	fails 1 "unknown agent 'cluade'" sbx create cluade .
	fails 125 "sandbox 'box' not found" sbx exec box true
	fails 125 "cannot be a sandbox's name" sbx exec .. true
	fails 125 "sandbox '../../version' not found" sbx exec ../../version true
	fails 1 "sandbox 'box' not found" sbx inspect box
	fails 1 "sandbox 'box' not found" sbx stop box
	fails 1 "sandbox 'box' not found" sbx rm -f box
	nothing_left
}

@test "folders that are missing, files, or not for a guest" {
	fails 125 "workspace nothing does not exist.*try: mkdir -p nothing" sbx run shell nothing
	fails 125 "workspace nothing does not exist" sbx run shell . nothing:ro
	fails 125 "path is empty" sbx run shell ''
	echo >"$WORLD/file"
	fails 125 "first workspace must be a folder" sbx run shell "$WORLD/file"
	fails 125 "system folder" sbx run shell /
	fails 125 "system folder" sbx run shell /etc
	fails 125 "state directory" sbx run shell "$XDG_STATE_HOME/sbx"
	mkdir -p "$XDG_CACHE_HOME/sbx/mine"
	fails 125 "cache directory" sbx run shell "$XDG_CACHE_HOME/sbx/mine"
	fails 125 "contains sbx's own" sbx run shell "$WORLD"
	fails 125 "given twice" sbx run shell . .
	fails 125 "read-only but lies inside" sbx run shell "$WORLD/project" "$(mkdir -p "$WORLD/project/in" && echo "$WORLD/project/in"):ro"
	# shellcheck disable=SC2046
	fails 125 "unexpected argument '16'" sbx run shell . $(seq 16)
	nothing_left
}

@test "a folder that went away under us" {
	mkdir "$WORLD/gone"
	cd "$WORLD/gone"
	rmdir "$WORLD/gone"
	fails 125 "the current folder does not exist any more" sbx run shell
}

@test "names" {
	for name in 'a b' a/b a 'x!' .. -x default "$(printf 'n%.0s' {1..64})" end- end.; do
		fails 125 "name" sbx run --name "$name" shell
	done
	nothing_left
}

@test "sizes that the host does not have" {
	fails 125 "more than this host has" sbx run -m 100000g shell
	fails 125 "more than this host has" sbx run --cpus 4096 shell
	nothing_left
}

@test "a state directory that cannot be written" {
	sbx daemon stop
	mkdir -m 0700 "$WORLD/read-only"
	XDG_STATE_HOME=$WORLD/read-only fails 125 "cannot make the directory $WORLD/read-only/sbx: " \
		bwrap --dev-bind / / --ro-bind "$WORLD/read-only" "$WORLD/read-only" sbx run shell
}

@test "arguments that are not UTF-8" {
	fails 125 "UTF-8" sbx run -e $'A=\xff' shell
	fails 125 "UTF-8" sbx exec box $'\xff'
	mkdir "$WORLD/"$'\xff'
	fails 125 "UTF-8" sbx run shell "$WORLD/"$'\xff'
}

@test "errors carry no terminal language" {
	run sbx run $'\033[31mred'
	[[ $output != *$'\033'* ]]
	[[ $output == *"?[31mred"* ]]
}
