# SPDX-License-Identifier: Apache-2.0
#
# The main job: `sbx run` in a project, again, with options of creation, and what stays.

bats_require_minimum_version 1.5.0
load helper

setup_file() {
	world_make
	project proj >"$WORLD/path"
}

teardown_file() {
	world_drop
}

setup() {
	cd "$(cat "$WORLD/path")"
}

@test "run shell: another kernel, the same path, agent, and the caller's file; the exit status comes through" {
	run -7 --separate-stderr timeout 300 sbx run -m 1g shell -- -c 'uname -r; pwd; id -un; echo made-inside > made; exit 7' </dev/null
	[ "${lines[0]}" != "$(uname -r)" ]
	[ "${lines[1]}" = "$PWD" ]
	[ "${lines[2]}" = agent ]
	[ "${#lines[@]}" = 3 ]
	[ "$(cat made)" = made-inside ]
	[ "$(stat -c %u made)" = "$(id -u)" ]
	[[ $stderr == *"Creating new sandbox 'shell-proj'..."* ]]
	[[ $stderr == *"✓ Created sandbox 'shell-proj'"* ]]
	[[ $stderr == *"  Workspace: $PWD (direct mount)"* ]]
	[[ $stderr == *"Starting shell agent in sandbox 'shell-proj'..."* ]]
	[ "$(sbx ls -q)" = shell-proj ]
}

@test "running again attaches to the same sandbox, from here by the agent and from anywhere by its name" {
	run -0 --separate-stderr sbx run shell -- -c 'echo kept > ~/kept; cat /etc/hostname' </dev/null
	[ "$output" = shell-proj ]
	[ -z "$stderr" ]
	cd /
	run -0 --separate-stderr sbx run shell-proj -- -c 'cat ~/kept; pwd' </dev/null
	[ "$output" = $'kept\n'"$(cat "$WORLD/path")" ]
	run -0 --separate-stderr sbx run --name shell-proj -- -c 'cat ~/kept' </dev/null
	[ "$output" = kept ]
	[ "$(sbx ls -q)" = shell-proj ]
}

@test "arguments replace the agent's command where the first is no option" {
	run -0 --separate-stderr sbx run shell -- printf '<%s>' a 'b c' '' </dev/null
	[ "$output" = '<a><b c><>' ]
	run -127 --separate-stderr sbx run shell -- no-such-program </dev/null
	[[ $stderr == "error: "*"no-such-program"* ]]
}

@test "variables: of the sandbox for every session, of a run for that run" {
	printf 'A=file\nB=file\n' >"$WORLD/env"
	mkdir -p "$WORLD/vars" && cd "$WORLD/vars"
	run -0 --separate-stderr timeout 300 sbx run -m 1g --name vars -e A=flag --env-file "$WORLD/env" shell -- -c 'echo $A $B' </dev/null
	[ "$output" = "flag file" ]
	run -0 --separate-stderr sbx run -e B=once vars -- -c 'echo $A $B' </dev/null
	[ "$output" = "flag once" ]
	run -0 --separate-stderr sbx exec vars sh -c 'echo $A $B'
	[ "$output" = "flag file" ]
	sbx rm -f vars
}

@test "state survives stop" {
	sbx exec shell-proj sh -c 'echo kept > ~/over-stop'
	run -0 sbx stop shell-proj
	[ "$output" = "Sandbox 'shell-proj' stopped" ]
	[ "$(state_of shell-proj)" = stopped ]
	run -0 --separate-stderr timeout 300 sbx run shell -- -c 'cat ~/over-stop' </dev/null
	[ "$output" = kept ]
}

@test "--rm, sizes, a read-only folder and a single file" {
	mkdir -p "$WORLD/extra" "$WORLD/other"
	echo secret >"$WORLD/extra/a"
	echo one >"$WORLD/other/file"
	echo two >"$WORLD/other/hidden"
	mkdir -p "$WORLD/short" && cd "$WORLD/short"
	run -5 --separate-stderr timeout 300 sbx run --rm -m 700m --cpus 1 shell . "$WORLD/extra:ro" "$WORLD/other/file" -- -c "
		nproc; cat $WORLD/extra/a; touch $WORLD/extra/b 2>/dev/null || echo read-only
		ls $WORLD/other; echo changed > $WORLD/other/file; exit 5" </dev/null
	[ "$output" = $'1\nsecret\nread-only\nfile' ]
	[ "$(cat "$WORLD/other/file")" = changed ]
	[ ! -e "$WORLD/extra/b" ]
	[ "$(sbx ls -q)" = shell-proj ]
}

@test "sbx-image is asked once for all sandboxes, and again when the template is another file" {
	asked() { grep -c event=build_started "$XDG_STATE_HOME/sbx/sandboxd.log"; }
	mkdir -p "$WORLD/asked"
	before=$(asked)
	sbx create --name asked-1 shell "$WORLD/asked" >&2
	sbx create --name asked-2 shell "$WORLD/asked" >&2
	[ "$(asked)" = "$before" ]
	touch -c "$XDG_CACHE_HOME/sbx/templates/base.json"
	sbx create --name asked-3 shell "$WORLD/asked" >&2
	[ "$(asked)" = $((before + 1)) ]
	sbx rm --force asked-1 asked-2 asked-3 >&2
}

@test "-d prints the id, starts, and keeps it running" {
	mkdir -p "$WORLD/detached" && cd "$WORLD/detached"
	run -0 --separate-stderr timeout 300 sbx run -d -m 1g shell </dev/null
	[ "$output" = "$(sbx inspect --json shell-detached | jq -r .id)" ]
	[ "$(state_of shell-detached)" = running ]
	[ "$(sbx inspect --json shell-detached | jq .keep)" = true ]
}

@test "a removal by force: a program is killed, and what it wrote to mapped pages of a workspace is kept" {
	cd "$WORLD/detached"
	sbx exec shell-detached python3 -c 'import mmap, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
f = open("mapped", "w+b"); f.truncate(1 << 20)
m = mmap.mmap(f.fileno(), 1 << 20); m[:] = b"x" * (1 << 20)
print("written", flush=True); signal.pause()' >"$WORLD/said" 2>&1 3>&- &
	wait_for 60 grep -q written "$WORLD/said"
	id=$(sbx inspect --json shell-detached | jq -r .id)
	run -0 sbx rm -f shell-detached
	[ "$output" = $'Deleting sandbox shell-detached...\nSandbox \'shell-detached\' removed' ]
	wait "$!" || [ "$?" != 0 ]
	[ "$(tr -d x <mapped | wc -c)" = 0 ]
	[ "$(wc -c <mapped)" = 1048576 ]
	[ ! -e "$XDG_STATE_HOME/sbx/sandboxes/$id" ]
	[ ! -e "$XDG_RUNTIME_DIR/sbx/vm/$id.sock" ]
	[ -z "$(sbx ls -q | grep detached)" ]
}

@test "on a terminal: a prompt, and its exit status" {
	run bash -c '{ printf "echo sum-\$((40+2))\r"; printf "exit 4\r"; } | script -qefc "sbx run shell" /dev/null | tr -d "\r"; exit ${PIPESTATUS[1]}'
	[ "$status" = 4 ]
	[[ $output == *"Starting shell agent in sandbox 'shell-proj'..."* ]]
	[[ $output == *$'\n'*"sum-42"* ]]
}
