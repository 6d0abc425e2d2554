# SPDX-License-Identifier: Apache-2.0
#
# Sandboxes that were never started: ls, inspect, stop, rm, and which of them run means.

load helper

setup() {
	world_make
	template_make
}
teardown() { world_drop; }

@test "ls without a sandbox" {
	run -0 --separate-stderr sbx ls
	[ "$output" = "No sandboxes found." ]
	[[ $stderr == *"sbx run shell"* ]]
	run -0 --separate-stderr sbx ls -q
	[ -z "$output$stderr" ]
	run -0 --separate-stderr sbx ls --json
	[ "$(jq -c . <<<"$output")" = '{"sandboxes":[]}' ]
}

@test "ls: aligned columns, names, JSON" {
	sandbox_make a-very-long-name "$WORLD/one"
	sandbox_make b1 "$WORLD/two"
	run -0 --separate-stderr sbx ls
	[ -z "$stderr" ]
	[ "${lines[0]}" = "SANDBOX           AGENT  STATUS   PORTS  WORKSPACE" ]
	[ "${lines[1]}" = "a-very-long-name  shell  stopped         $WORLD/one" ]
	[ "${lines[2]}" = "b1                shell  stopped         $WORLD/two" ]
	[ "$(sbx ls -q)" = $'a-very-long-name\nb1' ]
	run -0 --separate-stderr sbx ls --json
	[ "$(jq -c '.sandboxes[1] | [.name, .agent, .status, .ports, .workspaces, .workspace_missing]' <<<"$output")" = \
		"[\"b1\",\"shell\",\"stopped\",[],[\"$WORLD/two\"],false]" ]
	[[ $(jq -r '.sandboxes[1].id' <<<"$output") =~ ^[0-9a-f]{8}-[0-9a-f-]{27}$ ]]
	rmdir "$WORLD/two"
	[[ $(sbx ls) == *"$WORLD/two (missing)"* ]]
	[ "$(sbx ls --json | jq '.sandboxes[1].workspace_missing')" = true ]
}

@test "inspect" {
	sandbox_make box "$WORLD/one"
	run -0 --separate-stderr sbx inspect box
	[[ $output == *"Name:        box"* ]]
	[[ $output == *"State:       stopped"* ]]
	[[ $output == *"Workspaces:  $WORLD/one (rw)"* ]]
	[[ $output == *"Memory:      512 MiB"* ]]
	run -0 --separate-stderr sbx inspect --json box
	[ "$(jq -c '[.name, .state, .limits.cpus, .limits.memory_mib, .workspaces[0].path]' <<<"$output")" = \
		"[\"box\",\"stopped\",1,512,\"$WORLD/one\"]" ]
	[ "$(sbx inspect --json "$(jq -r .id <<<"$output")" | jq -r .name)" = box ]
}

@test "stop: what is off stays off, and an unknown name does not hold up the others" {
	sandbox_make box "$WORLD/one"
	run --separate-stderr sbx stop nothing box
	[ "$status" = 1 ]
	[ "$output" = "Sandbox 'box' stopped" ]
	[ "$stderr" = "error: sandbox 'nothing' not found" ]
}

@test "rm without a terminal demands --force" {
	sandbox_make box "$WORLD/one"
	fails 1 "stdin is not a terminal.*try: sbx rm --force box" sbx rm box
	fails 1 "stdin is not a terminal.*try: sbx rm --force --all" sbx rm --all
	fails 2 "missing argument" sbx rm
	fails 2 "exclude each other" sbx rm --all box
	[ "$(sbx ls -q)" = box ]
	run -0 --separate-stderr sbx rm --force box
	[ "$output" = $'Deleting sandbox box...\nSandbox \'box\' removed' ]
	[ -z "$(sbx ls -q)" ]
	[ -d "$WORLD/one" ]
}

@test "rm asks on a terminal, once for all, and a no is a failure" {
	sandbox_make a1 "$WORLD/one"
	sandbox_make b1 "$WORLD/two"
	for answer in n '' x; do
		run on_terminal "$answer"$'\n' sbx rm a1
		[ "$status" = 1 ]
		[[ $output == *"Remove sandbox 'a1' and everything in it? (y/N)"* ]]
		[[ $output == *"error: cancelled: nothing was removed"* ]]
	done
	SBX_NONINTERACTIVE=1 run on_terminal $'y\n' sbx rm a1
	[ "$status" = 1 ]
	[ "$(sbx ls -q)" = $'a1\nb1' ]
	run -0 on_terminal $'y\n' sbx rm --all
	[[ $output == *"Remove these 2 sandboxes"* ]]
	[ -z "$(sbx ls -q)" ]
	run -0 sbx rm --all --force
	[ "$output" = "No sandboxes found." ]
}

@test "rm: an unknown name is an error, and the others go" {
	sandbox_make box "$WORLD/one"
	run --separate-stderr sbx rm -f nothing box
	[ "$status" = 1 ]
	[[ $output == *"Sandbox 'box' removed"* ]]
	[ "$stderr" = "error: sandbox 'nothing' not found" ]
}

@test "run: what an existing sandbox was made with cannot be changed" {
	sandbox_make box "$WORLD/one"
	fails 125 "sandbox 'box' was created with --memory 512m" sbx run -m 1g box
	fails 125 "sandbox 'box' was created with --memory 512m" sbx run -m 1g shell "$WORLD/one"
	fails 125 "sandbox 'box' was created with --cpus 1" sbx run --cpus 2 box
	fails 125 "sandbox 'box' exists already: --rm is for" sbx run --rm box
	fails 125 "without the workspace $WORLD/project" sbx run box "$WORLD/project"
	fails 125 "without the workspace $WORLD/one:ro" sbx run box "$WORLD/one:ro"
	fails 125 "'box' is the name of a sandbox already" sbx run --name other box
	fails 125 "sandbox 'box' exists already for the folder $WORLD/one.*try: sbx run box" sbx run --name box shell
	sandbox_make second "$WORLD/one"
	fails 125 "several sandboxes belong to $WORLD/one \('box', 'second'\)" sbx run shell "$WORLD/one"
	[ "$(sbx ls -q)" = $'box\nsecond' ]
}

@test "diagnose: groups, a total, and JSON with the same counts" {
	sbx daemon start
	run --separate-stderr sbx diagnose
	for group in Installation Platform Storage Connection Network; do
		[[ $'\n'$output == *$'\n'"$group"* ]]
	done
	[[ ${lines[-1]} =~ ^([0-9]+)\ passed ]]
	passed=${BASH_REMATCH[1]}
	code=$status
	for how in --json "-o json"; do
		# shellcheck disable=SC2086
		run --separate-stderr sbx diagnose $how
		[ "$status" = "$code" ]
		[ "$(jq .summary.pass <<<"$output")" = "$passed" ]
		[ "$(jq '[.checks[] | select(.status == "pass")] | length' <<<"$output")" = "$passed" ]
		[ "$(jq '.summary | has("warn") and has("fail")' <<<"$output")" = true ]
	done
	sbx daemon stop
	run --separate-stderr sbx diagnose
	[[ $output == *"is not running; the next command that needs it starts it"* ]]
	[ "$(sbx daemon status --json | jq -r .state)" = stopped ]
}

@test "diagnose names the Debian package of a missing program" {
	hidden=$(command -v mmdebstrap) || skip "mmdebstrap is not installed"
	run --separate-stderr bwrap --dev-bind / / --ro-bind /dev/null "$hidden" sbx diagnose
	[ "$status" = 1 ]
	[[ $output == *"mmdebstrap: is not installed (Debian package mmdebstrap)"* ]]
	[[ $output == *"try: sudo apt-get install mmdebstrap"* ]]
}

@test "rm deletes the sandbox's CA, and a start of the daemon what a crash left" {
	sandbox_make box "$WORLD/one"
	sandbox_make other "$WORLD/two"
	ca=$XDG_STATE_HOME/sbx/keeper/ca
	mkdir -m 0700 "${ca%/ca}" "$ca"
	for name in box other; do
		install -m 0600 /dev/null "$ca/$(sbx inspect --json $name | jq -r .id).pem"
	done
	left=$ca/$(sbx inspect --json other | jq -r .id).pem
	sbx rm --force box
	[ "$(find "$ca" -type f)" = "$left" ]
	install -m 0600 /dev/null "$ca/00000000-0000-4000-8000-000000000000.pem"
	sbx daemon stop
	sbx daemon start
	wait_for 10 [ ! -e "$ca/00000000-0000-4000-8000-000000000000.pem" ]
	[ "$(find "$ca" -type f)" = "$left" ]
}
