# SPDX-License-Identifier: Apache-2.0
#
# sbx secret: values go in, and never come out; where they are kept.

load helper

setup() { world_make; }
teardown() {
	local pid
	pid=$(sed -n 's/.*event=ready pid=\([0-9]*\).*/\1/p' "$XDG_STATE_HOME/sbx/keeper.log" 2>/dev/null | tail -1)
	[ -z "$pid" ] || kill "$pid" || true
	world_drop
}

VALUE=sk-ant-0123456789-abcdef

@test "store, list, replace, remove" {
	run -0 --separate-stderr sbx secret ls
	[ -z "$output" ]
	[[ $stderr == *"No secrets yet"* ]]
	[ "$(sbx secret ls --json | jq -c .)" = '[]' ]
	run -0 --separate-stderr sbx secret set -g anthropic <<<"$VALUE"
	[ "$output" = "Stored anthropic for all sandboxes" ]
	run -0 --separate-stderr sbx secret ls
	[[ ${lines[1]} == "anthropic  (all)    ANTHROPIC_API_KEY  proxy-managed  api.anthropic.com" ]]
	[ "$(sbx secret ls --json | jq -c '.[0] | [.name, .sandbox, .env, .bindings[0].header]')" = '["anthropic",null,["ANTHROPIC_API_KEY"],"x-api-key"]' ]
	[[ $(sbx secret ls --json) != *"$VALUE"* ]]
	sbx secret set -g anthropic <<<"another-value-1"
	[ "$(sbx secret ls --json | jq length)" = 1 ]
	run -0 --separate-stderr sbx secret rm -g anthropic
	[ "$output" = "Removed anthropic for all sandboxes" ]
	fails 1 "no secret 'anthropic' for all sandboxes" sbx secret rm -g anthropic
}

@test "the value is in the keeper's file, which is the user's alone, and in no log" {
	sbx secret set -g openai <<<"$VALUE"
	[ "$(stat -c %a "$XDG_STATE_HOME/sbx/keeper/secrets" "$XDG_STATE_HOME/sbx/keeper/secrets/secrets.json" | tr '\n' ' ')" = "700 600 " ]
	[ "$(grep -rlF "$VALUE" "$WORLD")" = "$XDG_STATE_HOME/sbx/keeper/secrets/secrets.json" ]
	sbx secret rm -g openai
	run ! grep -rlF "$VALUE" "$WORLD"
}

@test "each service is one" {
	for service in anthropic cursor droid github google groq mistral nebius openai openrouter xai; do
		sbx secret set -g "$service" <<<"$VALUE"
	done
	[ "$(sbx secret ls --json | jq length)" = 11 ]
	[ "$(sbx secret ls --json | jq -r '.[] | select(.name == "github") | .bindings[] | select(.host == "github.com") | .format')" = "Basic x-access-token:%s" ]
}

@test "a secret of one's own" {
	sbx secret set -g --host api.example.com:8443 --env EXAMPLE_KEY --header X-Example --path '/v1/**' example <<<"$VALUE"
	[ "$(sbx secret ls --json | jq -c '.[0] | [.name, .env[0], .bindings[0].port, .bindings[0].header, .bindings[0].format, .bindings[0].path]')" = \
		'["example","EXAMPLE_KEY",8443,"x-example","%s","/v1/**"]' ]
	[[ $(sbx secret ls --json | jq -r '.[0].placeholder') =~ ^sbx-cs-[0-9a-f]{24}$ ]]
	fails 1 "is a service" sbx secret set -g --host x.example openai
	fails 1 "need --host" sbx secret set -g --env X openai
	fails 1 "no valid \"format\"" bash -c "echo $VALUE | sbx secret set -g --host a.example --format 'no place' x"
	fails 1 "no valid \"header\"" bash -c "echo $VALUE | sbx secret set -g --host a.example --header Host x"
	fails 1 "must be written|path" bash -c "echo $VALUE | sbx secret set -g --host a.example --path '/a/../b' x"
}

@test "what is no value, no service, or for nobody" {
	fails 1 "8 to 8192 bytes" sbx secret set -g openai
	fails 1 "no line breaks" bash -c "printf '12345678\n12345678\n' | sbx secret set -g openai"
	fails 1 "no zero bytes" bash -c "printf '12345678\0001' | sbx secret set -g openai"
	fails 1 "8 to 8192 bytes" bash -c "head -c 9000 /dev/zero | tr '\0' x | sbx secret set -g openai"
	fails 1 "other scripts" bash -c "echo schlüssel-123 | sbx secret set -g openai"
	fails 1 "no service; they are anthropic, cursor" sbx secret set -g nothing
	fails 1 "say for whom" sbx secret set openai
	[ "$(sbx secret ls --json | jq length)" = 0 ]
}

@test "for one sandbox; removing it removes them" {
	template_make
	sandbox_make box "$WORLD/one"
	run -0 --separate-stderr sbx secret set box openai <<<"$VALUE"
	[ "$output" = "Stored openai for box" ]
	[ "$(sbx secret ls --json | jq -r '.[0].sandbox')" = "$(sbx inspect box --json | jq -r '.id // .[0].id')" ]
	fails 1 "sandbox 'nothing' not found" sbx secret set nothing openai
	sbx rm -f box
	[ "$(sbx secret ls --json | jq length)" = 0 ]
}

@test "diagnose says how they are kept" {
	run sbx diagnose
	[[ $output == *"not encrypted"* ]]
}
