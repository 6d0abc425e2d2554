# SPDX-License-Identifier: Apache-2.0
#
# An agent of one's own, installed by a script that needs no network: its layer is made once, what it removes is gone, its
# command, variables, files and notes are there, and a build that fails or is killed leaves nothing.

load helper

setup_file() {
	local shared=${XDG_CACHE_HOME:-$HOME/.cache}/sbx/templates
	world_make
	# A cache of its own with the shared base template: agents' layers are written into it.
	mkdir -p "$WORLD/cache/sbx"
	sbx-image ensure base >&2
	cp -al "$shared" "$WORLD/cache/sbx/templates" 2>/dev/null || cp -a "$shared" "$WORLD/cache/sbx/templates"
	rm -f "$WORLD"/cache/sbx/templates/lock
	export XDG_CACHE_HOME=$WORLD/cache
	project p >"$WORLD/path"
	cd "$(cat "$WORLD/path")" || return 1
	profile 'true'
}

teardown_file() { world_drop; }

# profile SCRIPT: the agent, whose installation ends with the script.
profile() {
	mkdir -p "$XDG_CONFIG_HOME/sbx/agents"
	cat >"$XDG_CONFIG_HOME/sbx/agents/tiny.yaml" <<-END
		name: tiny
		description: A tiny agent
		install:
		  script: |
		    printf '#!/bin/sh\nif [ "\$1" = --version ]; then echo "tiny version 1.2.3."; else echo "tiny:\$TINY:\$*"; fi\n' >/usr/local/bin/tiny
		    chmod 0755 /usr/local/bin/tiny
		    rm /bin/nano
		    rm -r /usr/share/nano
		    mkdir /usr/share/nano
		    touch /tmp/left /var/cache/left /root/kept
		    $1
		version: [tiny, --version]
		command: [tiny, --flag]
		env: {TINY: "\${WORKDIR}"}
		files:
		- path: ~/.tiny/config.json
		  mode: "0600"
		  content: '{"\${WORKDIR}": "\${HOME}"}'
		notes: ~/.tiny/NOTES.md
		memory: 768
	END
}

# Nothing of a build: no sandbox of its own, no process, no piece of a layer.
nothing_left() {
	[ -z "$(find "$XDG_STATE_HOME/sbx/sandboxes" -mindepth 1 -maxdepth 1 -newer "$WORLD/before")" ] && [ -z "$(world_pids sbx-image)" ] &&
		[ ! -e "$XDG_CACHE_HOME/sbx/templates/tiny.json" ] && ! find "$XDG_CACHE_HOME/sbx/templates" -name '*.part' | grep -q .
}

@test "an installation that fails shows its last words, and leaves nothing" {
	touch "$WORLD/before"
	profile 'echo the disk is too round >&2; exit 7'
	run -1 --separate-stderr timeout 200 sbx create tiny .
	[[ $stderr == *'| the disk is too round'*'error: the agent tiny could not be installed: the script ended with status 7' ]]
	[ "$(sbx ls -q)" = '' ]
	nothing_left
}

@test "a build that is killed leaves nothing" {
	touch "$WORLD/before"
	profile 'sleep 1000'
	sbx create tiny . </dev/null >/dev/null 2>"$WORLD/killed" &
	create=$!
	wait_for 100 grep -q 'running the installation script' "$WORLD/killed"
	kill -KILL "$(world_pids sandboxd)"
	! wait "$create"
	# The next build does not wait for its sandbox to be gone.
	profile 'exit 7'
	run -1 --separate-stderr timeout 200 sbx create tiny .
	[[ $stderr == *'the script ended with status 7' ]]
	[ "$(sbx ls -q)" = '' ]
	wait_for 60 nothing_left
	! sbx ls --json | grep -q layer
}

@test "the layer is made once; command and arguments, variables, files and notes" {
	profile 'true'
	here=$(pwd)
	run -0 --separate-stderr timeout 300 sbx run --name one tiny . -- -x </dev/null
	[ "$output" = "tiny:$here:--flag -x" ]
	[[ $stderr == *'Installing the agent tiny'*'[4/5]'*"Starting tiny agent in sandbox 'one'"* ]]
	[ "$(sbx agent ls --json | jq -c '.agents | map(select(.name == "tiny"))[0].layer | [.version, .current]')" = '["1.2.3",true]' ]
	[ "$(sbx ls --json | jq '.sandboxes[] | select(.name == "one").memory_mib')" = 768 ]
	[ "$(sbx run one -- tiny a b </dev/null)" = "tiny:$here:a b" ]
	[ "$(sbx run one </dev/null)" = "tiny:$here:--flag" ]
	run -0 sbx exec one sh -c 'stat -c "%U %a" ~/.tiny/config.json; cat ~/.tiny/config.json; echo; ls -A /usr/share/nano; command -v nano;
		sudo ls /root /tmp /var/cache | grep -E "^(left|kept)"; grep -c "sbx policy allow network" ~/.tiny/NOTES.md; git status --porcelain'
	[ "$output" = "agent 600"$'\n'"{\"$here\": \"/home/agent\"}"$'\n'kept$'\n'1 ]
}

@test "files are written once, and never again" {
	sbx exec one sh -c 'echo mine >~/.tiny/config.json; rm ~/.tiny/NOTES.md'
	sbx stop one >&2
	[ "$(sbx exec one sh -c 'cat ~/.tiny/config.json; ls ~/.tiny')" = $'mine\nconfig.json' ]
	sbx rm --force one >&2
}

@test "another sandbox uses the layer; one whose profile changed does not" {
	touch "$WORLD/before"
	run -0 --separate-stderr sbx create --name two tiny .
	[[ $stderr != *Installing* ]]
		profile ': another'
	sbx agent ls --json | jq -e '.agents | map(select(.name == "tiny"))[0].layer.current == false'
	sbx rm --force two >&2
}
