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
	for service in anthropic copilot cursor droid github google groq mistral nebius openai openrouter xai; do
		sbx secret set -g "$service" <<<"$VALUE"
	done
	[ "$(sbx secret ls --json | jq length)" = 12 ]
	[ "$(sbx secret ls --json | jq -r '.[] | select(.name == "github") | .bindings[] | select(.host == "github.com") | .format')" = "Basic x-access-token:%s" ]
}

@test "a secret of one's own" {
	sbx secret set -g --host api.example.com:8443 --env EXAMPLE_KEY --header X-Example --path '/v1/**' example <<<"$VALUE"
	[ "$(sbx secret ls --json | jq -c '.[0] | [.name, .env[0], .bindings[0].port, .bindings[0].header, .bindings[0].format, .bindings[0].path]')" = \
		'["example","EXAMPLE_KEY",8443,"x-example","%s","/v1/**"]' ]
	[[ $(sbx secret ls --json | jq -r '.[0].placeholder') =~ ^sbx-cs-[0-9a-f]{24}$ ]]
	fails 1 "is a service" sbx secret set -g --host x.example openai
	fails 1 "need --host" sbx secret set -g --env X openai
	sbx secret set -g --host q.example --query Key q <<<"$VALUE"
	[ "$(sbx secret ls --json | jq -c '.[] | select(.name == "q") | .bindings[0] | [.query, .format, .header]')" = '["Key","%s",null]' ]
	fails 1 "no valid \"query\"" bash -c "echo $VALUE | sbx secret set -g --host a.example --query 'a b' x"
	fails 1 "goes into one place" bash -c "echo $VALUE | sbx secret set -g --host a.example --query a --format '%s' x"
	fails 1 "goes into one place" bash -c "echo $VALUE | sbx secret set -g --host a.example --query a --body b x"
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
	fails 1 "no service; they are anthropic, copilot, cursor" sbx secret set -g nothing
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

@test "diagnose and ls say how they are kept" {
	run sbx diagnose
	[[ $output == *"secrets"*"none"* ]]
	sbx secret set -g openai <<<"$VALUE"
	run sbx diagnose
	[[ $output == *"not encrypted"* ]]
	run -0 --separate-stderr sbx secret ls
	[[ $stderr == *"not encrypted (no Secret Service; sbx secret protect)"* ]]
	sbx secret protect none
	run -0 --separate-stderr sbx secret ls
	[[ $stderr == *"not encrypted, by choice"* ]]
}

@test "a value from a command, or a variable" {
	run -0 --separate-stderr sbx secret set -g openai --command "echo asked >&2; echo $VALUE"
	[ "$stderr" = asked ]
	grep -qF "$VALUE" "$XDG_STATE_HOME/sbx/keeper/secrets/secrets.json"
	run -0 --separate-stderr sbx secret set -g openai --command 'read -r line; echo "$line-of-stdin"' <<<"$VALUE"
	grep -qF "$VALUE-of-stdin" "$XDG_STATE_HOME/sbx/keeper/secrets/secrets.json"
	before=$(sha256sum "$XDG_STATE_HOME/sbx/keeper/secrets/secrets.json")
	fails 1 "the command failed \(exit 3\): nothing was stored" sbx secret set -g openai --command "echo $VALUE; exit 3"
	fails 1 "no line breaks" sbx secret set -g openai --command "echo $VALUE; echo $VALUE"
	fails 1 "prints more than" sbx secret set -g openai --command "yes"
	fails 1 "8 to 8192 bytes" sbx secret set -g openai --command true
	fails 1 "exclude each other" sbx secret set -g openai --command true --from-env X
	fails 1 "X_KEY is not set" sbx secret set -g openai --from-env X_KEY
	[ "$(sha256sum "$XDG_STATE_HOME/sbx/keeper/secrets/secrets.json")" = "$before" ]
	X_KEY=$VALUE-of-env sbx secret set -g openai --from-env X_KEY
	grep -qF "$VALUE-of-env" "$XDG_STATE_HOME/sbx/keeper/secrets/secrets.json"
}

@test "HTTP Basic with a user's name" {
	sbx secret set -g --host registry.example --basic robot registry <<<"$VALUE"
	[ "$(sbx secret ls --json | jq -r '.[0].bindings[0] | .header + " " + .format')" = "authorization Basic robot:%s" ]
	fails 1 "in place of --header" sbx secret set -g --host a.example --basic u --format '%s' x
	fails 1 "without blanks" sbx secret set -g --host a.example --basic 'a:b' x
	fails 1 "need --host" sbx secret set -g --basic u openai
}

@test "import: what it would take is shown, values never; nothing is replaced unasked" {
	cat >"$WORLD/env" <<-END
		# keys
		export OPENAI_API_KEY="$VALUE-openai"
		GITHUB_TOKEN=$VALUE-second
		GH_TOKEN=$VALUE-first # the one that counts
		ANTHROPIC_API_KEY=proxy-managed
		GROQ_API_KEY=short
		DATABASE_URL=$VALUE-database
		what is this
	END
	fails 1 "say from where" sbx secret import
	run -1 --separate-stderr sbx secret import "$WORLD/env"
	[[ $stderr == *"use --yes"* && $stderr == *"line 8 is not NAME=VALUE"* && $stderr$output != *"$VALUE"* ]]
	[ "$(sbx secret ls --json)" = "[]" ]
	run -0 --separate-stderr sbx secret import --yes "$WORLD/env"
	[[ $output != *"$VALUE"* && $output == *"openai"*"OPENAI_API_KEY"*"new"* && $output == *"github"*"GH_TOKEN"*"new"* ]]
	[[ $output == *"anthropic"*"left out: a placeholder"* && $output == *"groq"*"not a secret's value"* && $output == *"Stored 2 for all sandboxes"* ]]
	[ "$(sbx secret ls --json | jq -r '.[].name' | sort | tr '\n' ' ')" = "github openai " ]
	grep -qF "$VALUE-first" "$XDG_STATE_HOME/sbx/keeper/secrets/secrets.json"
	run ! grep -qE "$VALUE-(second|database)" "$XDG_STATE_HOME/sbx/keeper/secrets/secrets.json"
	OPENAI_API_KEY=$VALUE-newer run -0 --separate-stderr sbx secret import --yes --env
	[[ $output == *"left out: stored already"* && $output == *"Stored 0"* ]]
	OPENAI_API_KEY=$VALUE-newer run -0 --separate-stderr sbx secret import --yes --force --env
	[[ $output == *"replaces the stored one"*"Stored 1"* ]]
	grep -qF "$VALUE-newer" "$XDG_STATE_HOME/sbx/keeper/secrets/secrets.json"
	sbx secret import --yes - <<<"XAI_API_KEY=$VALUE"
	[ "$(sbx secret ls --json | jq length)" = 3 ]
}

@test "a passphrase: asked for after a restart of the machine, and by no other time" {
	sbx secret set -g openai <<<"$VALUE"
	fails 1 "at least 8 bytes" bash -c "echo short | sbx secret protect passphrase"
	run -0 --separate-stderr sbx secret protect passphrase <<<"correct horse"
	[[ $output == *"encrypted with a passphrase"* ]]
	run ! grep -rlF "$VALUE" "$XDG_STATE_HOME"
	run -0 --separate-stderr sbx secret ls
	[[ $stderr == *"encrypted with a passphrase"* ]]
	sbx secret lock
	fails 1 "locked.*sbx secret unlock" bash -c "echo $VALUE | sbx secret set -g xai"
	run -0 --separate-stderr sbx secret ls
	[[ ${lines[1]} == openai* && $stderr == *"locked"* ]]
	run sbx diagnose
	[[ $output == *"secrets are locked"* ]]
	fails 1 "passphrase is wrong" bash -c "echo another one | sbx secret unlock"
	sbx secret unlock <<<"correct horse"
	sbx secret set -g xai <<<"$VALUE"
	# Another one; and none.
	sbx secret protect passphrase <<<"battery staple"
	sbx secret lock
	fails 1 "passphrase is wrong" bash -c "echo correct horse | sbx secret unlock"
	sbx secret unlock <<<"battery staple"
	sbx secret protect none
	[ "$(grep -rlF "$VALUE" "$XDG_STATE_HOME")" = "$XDG_STATE_HOME/sbx/keeper/secrets/secrets.json" ]
	run -1 --separate-stderr sbx secret protect service
	[[ $stderr == *"no session bus"* ]]
	sbx secret protect passphrase <<<"battery staple"
	sbx secret lock
	fails 1 "use --force" sbx secret reset
	sbx secret reset --force
	[ "$(sbx secret ls --json)" = "[]" ]
	sbx secret set -g openai <<<"$VALUE"
}

@test "what a program in a sandbox signed in for is listed, shared with all, and removed" {
	local id=0f8fad5b-d9cb-469f-a165-70867728950e
	sbx secret set -g openai <<<"$VALUE"
	python3 - "$XDG_RUNTIME_DIR/sbx/keeper.sock" $id <<-'END'
		import json, socket, sys
		s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		s.settimeout(10)
		s.connect(sys.argv[1])
		definition = {"service": "demo-oauth", "token": ["https://a.test/token"], "refresh": {"placeholder": "sk-ref01-proxy-managed"},
		              "access": {"placeholder": "sk-acc01-proxy-managed", "form": "opaque", "hosts": ["api.test"], "header": "authorization", "format": "Bearer %s"}}
		for m in ({"op": "attach", "sandbox": sys.argv[2]}, {"op": "oauth-define", "services": [definition]},
		          {"op": "oauth-store", "service": "demo-oauth", "ticket": 0, "access": "real-access-0123", "refresh": "real-refresh-0123", "id": None}):
		    s.send(json.dumps(m).encode())
		    assert json.loads(s.recv(65536))["ok"]
	END
	run -0 --separate-stderr sbx secret ls
	[[ $output == *"demo-oauth  $id  (oauth)  "*"sk-acc01-proxy-managed  api.test"* ]]
	[ "$(sbx secret ls --json | jq -c '.[1] | [.name, .sandbox, .kind, .refresh]')" = "[\"demo-oauth\",\"$id\",\"oauth\",\"sk-ref01-proxy-managed\"]" ]
	[[ $(sbx secret ls --json) != *real-access* ]]
	fails 1 "--from is for a sign-in" sbx secret set --from box demo-oauth
	fails 1 "no secret 'demo-oauth' for all sandboxes" sbx secret rm -g demo-oauth
	python3 - "$XDG_RUNTIME_DIR/sbx/keeper.sock" $id <<-'END'
		import json, socket, sys
		s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		s.settimeout(10)
		s.connect(sys.argv[1])
		s.send(json.dumps({"op": "oauth-share", "service": "demo-oauth", "sandbox": sys.argv[2]}).encode())
		assert json.loads(s.recv(65536)) == {"ok": True}
	END
	[ "$(sbx secret ls --json | jq -c '.[1] | [.name, .sandbox]')" = '["demo-oauth",null]' ]
	sbx secret rm -g demo-oauth
	[ "$(sbx secret ls --json | jq length)" = 1 ]
}

@test "what keepers of before said is kept up to a bound" {
	mkdir -p "$XDG_STATE_HOME/sbx"
	chmod 700 "$XDG_STATE_HOME/sbx"
	(umask 077 && truncate -s 3M "$XDG_STATE_HOME/sbx/keeper.log")
	sbx secret set -g anthropic <<<"$VALUE"
	[ "$(stat -c %s "$XDG_STATE_HOME/sbx/keeper.log")" -gt 3000000 ]
	pid=$(grep -ao 'event=ready pid=[0-9]*' "$XDG_STATE_HOME/sbx/keeper.log" | tail -1)
	kill "${pid##*=}"
	wait_for 10 run ! kill -0 "${pid##*=}"
	truncate -s 5M "$XDG_STATE_HOME/sbx/keeper.log"
	[[ $(sbx secret ls) == *anthropic* ]]
	[ "$(stat -c %s "$XDG_STATE_HOME/sbx/keeper.log")" -lt 10000 ]
}
