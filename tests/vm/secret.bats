# SPDX-License-Identifier: Apache-2.0
#
# What a program in a sandbox has of a secret: the placeholder, in the service's variable, and nothing else.

load helper

VALUE=sk-ant-0123456789-abcdef

setup_file() {
	world_make
	mkdir "$WORLD/p"
	sbx secret set -g anthropic <<<"$VALUE" >&2
	sbx create --name box shell "$WORLD/p" >&2
	sbx secret set box --host api.example.com --env EXAMPLE_KEY --placeholder sbx-cs-example-0001 example <<<"$VALUE" >&2
}
teardown_file() { world_drop; }

@test "programs get placeholders, those for all and the sandbox's own; -e comes before them" {
	run -0 --separate-stderr sbx exec box sh -c 'echo "$ANTHROPIC_API_KEY $EXAMPLE_KEY ${OPENAI_API_KEY-none}"'
	[ "$output" = "proxy-managed sbx-cs-example-0001 none" ]
	run -0 --separate-stderr sbx exec -e EXAMPLE_KEY=mine box printenv EXAMPLE_KEY
	[ "$output" = mine ]
	run -0 --separate-stderr sbx run box -- -c 'printenv ANTHROPIC_API_KEY'
	[ "$output" = proxy-managed ]
}

@test "the value is nowhere in the machine" {
	# A pattern that does not find itself.
	run -0 --separate-stderr sbx exec -u root box sh -c \
		'cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline /run/* /etc/* /tmp/* 2>/dev/null | grep -ac "sk-ant-[0]123456789-abcdef" || true'
	[ "$output" = 0 ]
	run -0 sbx exec -e "X=$VALUE" box sh -c 'cat /proc/self/environ | grep -ac "sk-ant-[0]123456789-abcdef"'
	run ! grep -rlF -- "$VALUE" "$XDG_STATE_HOME/sbx/sandboxes"
}

@test "removed is removed" {
	sbx secret rm -g anthropic
	run -0 --separate-stderr sbx exec box sh -c 'echo "${ANTHROPIC_API_KEY-none}"'
	[ "$output" = none ]
}
