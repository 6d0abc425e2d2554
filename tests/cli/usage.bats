# SPDX-License-Identifier: Apache-2.0
#
# What needs no daemon: help, options, and what is said about mistakes.

load helper

setup_file() { world_make; }
teardown_file() { world_drop; }

@test "no arguments, --help and help show the commands" {
	for how in "" --help -h help; do
		# shellcheck disable=SC2086
		run -0 sbx $how
		for command in create daemon diagnose exec inspect ls policy rm run stop version; do
			[[ $output == *"  $command "* ]]
		done
	done
}

@test "every command has help, with help before and --help after it" {
	for command in create daemon diagnose exec help inspect ls policy rm run stop version "daemon start" "daemon stop" "daemon status" \
		"policy init" "policy allow" "policy deny" "policy ls" "policy rm" "policy check" "policy explain" "policy log" "policy pending" \
		"policy approve" "policy reject" "policy reset"; do
		# shellcheck disable=SC2086
		run -0 --separate-stderr sbx $command --help
		[[ $output == "Usage: sbx $command "* ]]
		[ -z "$stderr" ]
		mine=$output
		# shellcheck disable=SC2086
		run -0 sbx help $command
		[ "$output" = "$mine" ]
	done
}

@test "docs/cli.md is what the tables say" {
	diff <(sbx help --markdown) "$SBX_ROOT/docs/cli.md"
}

@test "unknown commands and options are errors with the remedy" {
	fails 2 "unknown command 'rnu'" sbx rnu
	fails 2 "unknown command 'foo'" sbx daemon foo
	fails 1 "unknown command 'foo'" sbx help foo
	fails 2 "unknown command 'shell'.*try: sbx run shell" sbx shell
	fails 2 "unknown option '-x'" sbx -x ls
	fails 2 "unknown option '--frobnicate'" sbx ls --frobnicate
	fails 125 "unknown option '--frobnicate'" sbx run --frobnicate shell
	fails 2 "unexpected argument 'x'" sbx ls x
	fails 2 "missing argument" sbx inspect
	fails 2 "missing argument" sbx stop
	fails 2 "missing argument" sbx create shell
	fails 125 "missing argument" sbx run
	fails 125 "missing argument" sbx exec
	fails 125 "missing argument: COMMAND" sbx exec box
	fails 125 "missing argument: COMMAND" sbx exec box --
}

@test "long options are not abbreviated" {
	fails 2 "unknown option '--jso'.*try: sbx ls --json" sbx ls --jso
	fails 125 "unknown option '--mem'" sbx run --mem 1g shell
	fails 125 "unknown option '--det'" sbx run --det shell
}

@test "values of options are checked" {
	fails 125 "under the minimum of 512m" sbx run -m 511m shell
	fails 125 "under the minimum of 512m" sbx run -m 2048 shell
	fails 125 "is not a size" sbx run -m lots shell
	fails 125 "is not a size" sbx run -m -1g shell
	fails 125 "a value is missing after '-m'" sbx run shell -m
	fails 125 "no value belongs to '--detach'" sbx run --detach=yes shell
	fails 125 "not a number" sbx run --cpus many shell
	fails 125 "not a number" sbx run --cpus -1 shell
	fails 125 "--name is empty" sbx run --name '' shell
	fails 2 "under the minimum" sbx create -m 1m shell .
	fails 125 "exclude each other" sbx run --rm -d shell
	fails 125 "--detach starts no agent" sbx run -d shell -- -c true
	fails 2 "neither text nor json" sbx diagnose -o yaml
}

@test "variables and their files" {
	printf 'A=1\n\n# note\nB C=2\n' >"$WORLD/env"
	fails 125 "env, line 4: variable 'B C' has a blank" sbx run --env-file "$WORLD/env" shell
	fails 125 "env, line 4: " sbx exec --env-file "$WORLD/env" box true
	printf 'A=1\n=2\n' >"$WORLD/env"
	fails 125 "env, line 2: a variable's name is missing" sbx run --env-file "$WORLD/env" shell
	printf 'A=\0\n' >"$WORLD/env"
	fails 125 "env, line 1: .*zero byte" sbx run --env-file "$WORLD/env" shell
	fails 125 "cannot read env file .*/nothing: No such file" sbx run --env-file "$WORLD/nothing" shell
	fails 125 "cannot read env file" sbx run --env-file "$WORLD" shell
	fails 125 "name is missing" sbx run -e =x shell
	truncate -s 2M "$WORLD/env"
	fails 125 "larger than 1 MiB" sbx run --env-file "$WORLD/env" shell
}

@test "exec says at once what it does not do" {
	fails 125 "exec --detach is not supported.*try: sbx exec box sh -c" sbx exec -d box sleep 1
	fails 125 "-t needs a terminal" sbx exec -t box true
	fails 125 "must be an absolute path" sbx exec -w src box true
	fails 125 "--user is empty" sbx exec -u '' box true
}

@test "version starts no daemon" {
	run -0 --separate-stderr sbx version
	[[ $output =~ ^"sbx version: v"[0-9]+\.[0-9]+\.[0-9]+$ ]]
	run -0 --separate-stderr sbx version --debug
	[[ $output == *"server: unavailable"* ]]
	run -0 --separate-stderr sbx version --json
	[ "$(jq -r .server.state <<<"$output")" = unavailable ]
	[ "v$(jq -r .client.version <<<"$output")" = "$(sbx version | sed 's/.*: //')" ]
	[ ! -e "$SOCKET" ]
}

@test "a full disk under stdout is an error" {
	[ -e /dev/full ]
	run --separate-stderr sh -c 'sbx help >/dev/full'
	[ "$status" -ne 0 ]
}

@test "nothing of it started a daemon or made a directory" {
	[ ! -e "$XDG_STATE_HOME/sbx" ]
	[ ! -e "$XDG_RUNTIME_DIR/sbx" ]
}
