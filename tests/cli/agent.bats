# SPDX-License-Identifier: Apache-2.0
#
# Agents: which there are, a user's own profiles and what is wrong with them, and names that nobody knows. No machine.

load helper

setup_file() {
	world_make
	mkdir -p "$XDG_CONFIG_HOME/sbx/agents"
}
teardown_file() { world_drop; }

setup() {
	rm -f "$XDG_CONFIG_HOME"/sbx/agents/*
}

own() {
	cat >"$XDG_CONFIG_HOME/sbx/agents/$1.yaml"
}

@test "the built-in agents, as a table and as JSON" {
	run --separate-stderr sbx agent ls
	[ "$status" = 0 ]
	[ -z "$stderr" ]
	[ "$(awk 'NR > 1 {print $1}' <<<"$output" | paste -sd,)" = amp,claude,codex,copilot,droid,gemini,opencode,shell ]
	sbx agent ls --json | jq -e '(.broken == []) and (.agents | length == 8) and (.agents | map(select(.name == "claude"))[0] |
		(.command == ["claude", "--dangerously-skip-permissions"]) and (.secrets == ["anthropic"]) and (.layer == null) and (has("files") | not)) and
		(.agents | map(select(.install == null)) | map(.name) == ["shell"])'
}

@test "one's own profile is listed, and stands for the built-in one of its name" {
	own mine <<<$'name: mine\ndescription: My own\ncommand: [cat]'
	own shell <<<$'name: shell\ndescription: Another shell\ncommand: [sh]'
	sbx agent ls --json | jq -e --arg dir "$XDG_CONFIG_HOME" '(.agents | map(select(.name == "mine"))[0] | .source == $dir + "/sbx/agents/mine.yaml") and
		(.agents | map(select(.name == "shell"))[0].command == ["sh"])'
}

@test "a broken profile is named with file and line, and is a fault of its own name only" {
	own mine <<<$'name: mine\ncommand: [cat]\ncolour: red'
	run --separate-stderr sbx agent ls
	[ "$status" = 0 ]
	[[ $stderr == "Note: the agent mine cannot be used: $XDG_CONFIG_HOME/sbx/agents/mine.yaml: line 3: there is no key 'colour'" ]]
	fails 125 "agents/mine.yaml: line 3: there is no key 'colour'" sbx run mine
	fails 1 "agents/mine.yaml: line 3: there is no key 'colour'" sbx create mine .
	own mine <<<$'name: other\ncommand: [cat]'
	fails 125 "agents/mine.yaml: line 1: 'name' must be as the file is called: mine" sbx run mine
	head -c 200000 /dev/zero | tr '\0' '#' | own mine
	fails 125 'mine.yaml has more than 128 KiB' sbx run mine
	rm "$XDG_CONFIG_HOME/sbx/agents/mine.yaml"
	mkfifo "$XDG_CONFIG_HOME/sbx/agents/mine.yaml"
	fails 125 'cannot read .*mine.yaml' sbx run mine
}

@test "an agent that nobody knows" {
	fails 1 "unknown agent 'clod': known agents are: amp, claude, codex, copilot, droid, gemini, opencode, shell" sbx create clod .
	fails 1 "unknown agent 'clod': known agents are: amp," sbx agent update clod
	fails 1 'the agent shell is part of the base template: there is nothing to update' sbx agent update shell
	fails 125 "'clod' is neither an agent \(known agents: amp, .*shell\) nor an existing sandbox.*try: sbx run shell" sbx run clod
	fails 125 "'../shell' is neither an agent" sbx run ../shell
}

@test "no layer is made where no policy was chosen, and none for an agent without one" {
	template_make
	sbx daemon start >&2
	own mine <<<$'name: mine\ninstall: {script: "true"}\ncommand: [cat]'
	run curl -sS --unix-socket "$SOCKET" -X POST -d '{"colour": 1}' http://localhost/v1/agents/mine/layer
	[[ $output == *'unknown key'* ]]
	run curl -sS --unix-socket "$SOCKET" -X POST -d '{}' http://localhost/v1/agents/mine/layer
	[[ $output == *'network policy has not been initialised'* ]]
	[ -z "$(ls "$XDG_STATE_HOME/sbx/sandboxes")" ]
	[ "$(curl -sS --unix-socket "$SOCKET" -X POST http://localhost/v1/agents/shell/layer)" = '{"agent":"shell","built":false}' ]
}

@test "a sandbox holds its template, and lets go of it" {
	template_make
	sandbox_make held "$WORLD/held"
	id=$(sbx ls --json | jq -r '.sandboxes[] | select(.name == "held").id')
	jq -e --arg holder "$XDG_STATE_HOME/sbx/sandboxes/$id" '.holder == $holder and (.layers | length == 1)' "$XDG_CACHE_HOME/sbx/templates/refs/$id.json"
	[ -d "$XDG_STATE_HOME/sbx/sandboxes/$id" ]
	sbx rm --force held >&2
	[ ! -e "$XDG_CACHE_HOME/sbx/templates/refs/$id.json" ]
}
