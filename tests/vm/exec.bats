# SPDX-License-Identifier: Apache-2.0
#
# `sbx exec`: exit statuses, streams and their ends, signals, terminals, users and folders.

bats_require_minimum_version 1.5.0
load helper

setup_file() {
	world_make
	project exec >"$WORLD/path"
	cd "$(cat "$WORLD/path")"
	timeout 300 sbx run -d --name box -m 1g shell </dev/null
}

teardown_file() {
	world_drop
}

@test "exit statuses are those of a shell" {
	run -0 sbx exec box true
	run -1 sbx exec box false
	run -255 sbx exec box sh -c 'exit 255'
	run -127 --separate-stderr sbx exec box no-such-program
	[ "$stderr" = "error: no-such-program: command not found" ]
	run -126 --separate-stderr sbx exec box /etc/passwd
	run -126 --separate-stderr sbx exec box /etc
	run -137 sbx exec box sh -c 'kill -KILL $$'
	run -143 sbx exec box sh -c 'kill -TERM $$'
	run -125 --separate-stderr sbx exec -u no-such-user box true
}

@test "no shell is involved, and a leading -- is not the program" {
	run -0 sbx exec box -- printf '<%s>' '$HOME' '*' 'a  b' ''
	[ "$output" = '<$HOME><*><a  b><>' ]
	run -0 sbx exec box echo -- x
	[ "$output" = "-- x" ]
}

@test "stdout and stderr are two streams" {
	run -0 --separate-stderr sbx exec box sh -c 'echo out; echo err >&2'
	[ "$output" = out ]
	[ "$stderr" = err ]
}

@test "stdin: with -i until its end, without -i nothing" {
	[ "$(printf 'a\nb' | sbx exec -i box wc -c)" = 3 ]
	[ "$(echo data | sbx exec box wc -c)" = 0 ]
	# The end of stdin drops no output.
	[ "$(sbx exec -i box sh -c 'cat; sleep 0.5; echo late' </dev/null)" = late ]
	# A program that does not read its stdin ends all the same.
	run -0 bash -c 'yes | sbx exec -i box true'
}

@test "who goes away: the reader of stdout, the client" {
	run bash -c 'sbx exec box yes | head -1; echo ${PIPESTATUS[0]}'
	[ "$output" = $'y\n141' ]
	sbx exec box sleep 4242 3>&- &
	client=$!
	running() { sbx exec box pgrep -fx 'sleep 4242' >/dev/null; }
	wait_for 20 running
	kill -KILL "$client"
	gone() { ! running; }
	wait_for 20 gone
}

@test "signals reach the program" {
	for signal in INT TERM HUP QUIT; do
		# A job in the background has INT and QUIT ignored, and so has what it starts, unless env says otherwise.
		env --default-signal=INT,QUIT timeout --foreground 120 sbx exec box sh -c \
			"trap 'echo got-$signal; exit 9' $signal; echo ready; while :; do sleep 0.1; done" >"$WORLD/out" 3>&- &
		timeout=$!
		wait_for 20 grep -q ready "$WORLD/out"
		kill -s "$signal" "$(pgrep -P "$timeout")"
		code=0
		wait "$timeout" || code=$?
		[ "$code" = 9 ]
		[ "$(tail -1 "$WORLD/out")" = "got-$signal" ]
	done
}

@test "a terminal: size, type, ctrl-C" {
	run bash -c 'script -qefc "stty rows 33 cols 111; sbx exec -it box sh -c \"tty; stty size; echo \\\$TERM\"" /dev/null </dev/null | tr -d "\r"'
	[[ $output == *"/dev/pts/"* ]]
	[[ $output == *"33 111"* ]]
	[[ $output == *"xterm-256color"* ]]
	run bash -c '{ wait_for() { until grep -q begun "$WORLD/tty"; do read -rt 0.1 <> <(:); done; }
		wait_for; printf "\003"; } | script -qefc "sbx exec -it box sh -c \"echo begun; exec sleep 1000\"" "$WORLD/tty"'
	[ "$status" = 130 ]
}

@test "users, folders, variables" {
	run -0 sbx exec box id -un
	[ "$output" = agent ]
	run -0 sbx exec -u root box id -u
	[ "$output" = 0 ]
	run -0 sbx exec -u 1234:5678 box sh -c 'id -u; id -g'
	[ "$output" = $'1234\n5678' ]
	run -0 sbx exec --privileged box id -u
	[ "$output" = 0 ]
	run -0 sbx exec box pwd
	[ "$output" = "$(cat "$WORLD/path")" ]
	run -0 sbx exec -w /usr box pwd
	[ "$output" = /usr ]
	run -0 sbx exec -e A=1 -e 'B=x y' box sh -c 'echo "$A $B"'
	[ "$output" = "1 x y" ]
}

@test "a stopped sandbox is started first" {
	run -0 sbx stop box
	run -0 --separate-stderr timeout 300 sbx exec box echo awake
	[ "$output" = awake ]
}
