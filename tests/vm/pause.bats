# SPDX-License-Identifier: Apache-2.0
#
# Machines to disk and back: pause and resume, checkpoint and restore, fork. One sandbox, whose program counts, goes through all.

load helper

setup_file() {
	world_make
	project p >"$WORLD/path"
	cat >"$(cat "$WORLD/path")/count.py" <<-'END'
		import time
		hold = bytearray(b"x" * (20 << 20))
		n = 0
		while True:
		    n += 1
		    with open("/tmp/count.new", "w") as f:
		        f.write(f"{n}\n")
		    __import__("os").rename("/tmp/count.new", "/tmp/count")
		    time.sleep(0.02)
	END
}

teardown_file() {
	world_drop
}

setup() {
	cd "$(cat "$WORLD/path")"
}

# home_of NAME: its directory.
home_of() {
	echo "$XDG_STATE_HOME/sbx/sandboxes/$(sbx inspect --json "$1" | jq -r .id)"
}

# count_in NAME: what its program has counted to.
count_in() {
	timeout 60 sbx exec "$1" cat /tmp/count
}

# counts_on NAME N: it goes on from N, and not from the beginning.
counts_on() {
	local now
	now=$(count_in "$1")
	[ "$now" -ge "$2" ] && wait_for 20 eval "[ \"\$(count_in $1)\" -gt $now ]"
}

@test "a paused sandbox has no process, and goes on where it was, also under another daemon" {
	timeout 120 sbx run --name box -d -m 1g shell </dev/null
	timeout 60 sbx exec box sh -c 'python3 count.py >/dev/null 2>&1 & echo $! >/tmp/pid; until [ -s /tmp/count ]; do sleep 0.1; done'
	before=$(count_in box)
	run -0 --separate-stderr timeout 60 sbx pause box
	[ "$output" = "Sandbox 'box' paused" ]
	[ "$(state_of box)" = paused ]
	[ -z "$(world_pids sbx-vm)$(world_pids sbx-fs)$(world_pids sbx-proxy)" ]
	[ -s "$(home_of box)/saved/manifest" ]
	fails 1 "only one that runs can be paused" sbx pause box
	fails 1 "sandbox 'box' is paused: only one that runs can be saved" sbx checkpoint box
	sbx daemon stop
	[ "$(state_of box)" = paused ]
	echo fresh >fresh
	run -0 --separate-stderr timeout 60 sbx resume box </dev/null
	[ "$output" = "Sandbox 'box' resumed" ]
	fails 125 "is running, not paused" sbx resume box
	counts_on box "$before"
	timeout 60 sbx exec box sh -c 'kill -0 $(cat /tmp/pid)'
	[ "$(timeout 60 sbx exec box cat fresh)" = fresh ]
	timeout 60 sbx exec box sh -c 'echo out >from-inside' && [ "$(cat from-inside)" = out ]
	now=$(timeout 60 sbx exec box date +%s)
	[ "$((now - $(date +%s)))" -ge -5 ] && [ "$((now - $(date +%s)))" -le 5 ]
	[ ! -e "$(home_of box)/saved" ] && [ ! -e "$(home_of box)/saved.old" ]
}

@test "a session outlives a pause: its client is told, and another one attaches" {
	timeout 90 sbx exec box sh -c 'i=0; while [ $i -lt 40 ]; do i=$((i + 1)); echo n$i; sleep 0.1; done; exit 3' >"$WORLD/out" 2>"$WORLD/err" 3>&- &
	client=$!
	wait_for 20 grep -q n5 "$WORLD/out"
	timeout 60 sbx pause box
	status=0
	wait "$client" || status=$?
	[ "$status" = 125 ]
	grep -q "sandbox 'box' was paused" "$WORLD/err" && grep -q 'sbx resume box' "$WORLD/err"
	# What uses a paused one resumes it, and says so.
	run -0 --separate-stderr timeout 60 sbx exec box true
	[[ "$stderr" == *"was paused"* ]]
	sbx inspect box | grep -q 'detached: sh'
	fails 125 "has no session 99999" sbx attach box 99999
	run -3 --separate-stderr timeout 60 sbx attach box </dev/null
	printf '%s\n' "$output" >>"$WORLD/out"
	seq -f 'n%.0f' 40 | diff - "$WORLD/out" >&2
	fails 125 "has no session to attach to" sbx attach box
}

@test "a checkpoint is gone back to: memory and disk, and not the workspace; tags are checked" {
	timeout 60 sbx exec box sh -c 'echo one >~/state; echo one >shared'
	at=$(count_in box)
	run -0 --separate-stderr timeout 60 sbx checkpoint box good
	[ "$output" = good ]
	[[ "$stderr" == *"Disk: "* && "$stderr" == *"workspaces are the host's"* ]]
	after=$(count_in box)
	counts_on box "$after"
	timeout 60 sbx exec box sh -c 'echo two >~/state; echo two >shared'
	fails 1 "has a checkpoint 'good' already" sbx checkpoint box good
	fails 1 "bad tag '../x'" sbx checkpoint box ../x
	fails 1 "no checkpoint 'bad': there is good" sbx restore --force box bad
	# What a crash left of another is no checkpoint, and goes when nobody can be writing it.
	mkdir "$(home_of box)/checkpoints/half.new"
	[ "$(sbx checkpoint box --ls --json | jq -r '.[].tag')" = good ]
	run -0 --separate-stderr timeout 60 sbx restore --force box good
	[[ "$stderr" == *"neither copied nor rolled back"* ]]
	[ "$(timeout 60 sbx exec box sh -c 'cat ~/state; cat shared' | xargs)" = "one two" ]
	counts_on box "$at"
}

@test "a fork goes on beside its original, as another sandbox with the same rules" {
	sbx policy deny --sandbox box fork.example.com
	at=$(count_in box)
	fails 1 "sandbox 'box' exists already" sbx fork box box
	fails 1 "bad sandbox name" sbx fork box 'a b'
	run -0 --separate-stderr timeout 60 sbx fork box other
	[[ "$stderr" == *"Disk: "* ]]
	counts_on other "$at"
	counts_on box "$at"
	[ "$(timeout 60 sbx exec other hostname)" = other ]
	[ "$(timeout 60 sbx exec box hostname)" = box ]
	[ "$(timeout 60 sbx exec box cat /etc/machine-id)" != "$(timeout 60 sbx exec other cat /etc/machine-id)" ]
	[ "$(timeout 60 sbx exec box cat /proc/sys/kernel/random/uuid)" != "$(timeout 60 sbx exec other cat /proc/sys/kernel/random/uuid)" ]
	sbx policy ls --sandbox other | grep -q fork.example.com
	timeout 60 sbx rm -f other
}

@test "a memory that is damaged is refused and kept; stop drops it, and the disk starts" {
	timeout 60 sbx exec box sh -c 'echo kept >~/state'
	timeout 60 sbx pause box
	saved=$(home_of box)/saved
	[ ! -e "$(home_of box)/checkpoints/half.new" ] || [ "$(sbx checkpoint box --ls --json | jq length)" = 1 ]
	chmod 600 "$saved/state" && printf x | dd of="$saved/state" bs=1 seek=1000 conv=notrunc status=none
	fails 125 "damaged or incomplete" sbx resume box
	[ "$(state_of box)" = paused ]
	run -0 --separate-stderr timeout 60 sbx stop box
	[[ "$stderr" == *"in memory is dropped"* ]]
	[ "$(state_of box)" = stopped ] && [ ! -e "$saved" ]
	fails 125 "is stopped" sbx attach box
	[ "$(timeout 120 sbx exec box sh -c 'cat ~/state; ls /tmp/pid' | head -1)" = kept ]
}

@test "a full disk leaves the sandbox running" {
	[ "$(id -u)" = 0 ] || skip "needs a file system of its own"
	counting=$(timeout 60 sbx exec box sh -c 'rm /tmp/count; python3 count.py >/dev/null 2>&1 & echo $!; until [ -s /tmp/count ]; do sleep 0.1; done')
	home=$(home_of box)
	mount -t tmpfs -o size=4m,mode=700 none "$home/checkpoints"
	run --separate-stderr timeout 60 sbx checkpoint box full
	umount "$home/checkpoints"
	[ "$status" = 1 ]
	[[ "$stderr" == *"No space left on device"* ]]
	timeout 60 sbx exec box kill -0 "$counting"
	counts_on box 1
}

@test "an unused one pauses itself where the setting says so" {
	jq '."sandbox.autoPause" = "5s"' "$XDG_CONFIG_HOME/sbx/settings.json" >"$WORLD/settings" 2>/dev/null || echo '{"sandbox.autoPause": "5s"}' >"$WORLD/settings"
	mkdir -p "$XDG_CONFIG_HOME/sbx" && cp "$WORLD/settings" "$XDG_CONFIG_HOME/sbx/settings.json"
	timeout 60 sbx pause box
	timeout 60 sbx resume -d box
	wait_for 40 eval '[ "$(state_of box)" = paused ]'
	timeout 60 sbx rm -f box
	[ -z "$(ls "$XDG_STATE_HOME/sbx/sandboxes")" ]
}
