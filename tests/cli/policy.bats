# SPDX-License-Identifier: Apache-2.0
#
# The network policy by its commands: the choice of a preset, rules and which of them decides, the file that a sandbox gets, and
# the log.

load helper

setup() { world_make; }
teardown() { world_drop; }

# id: STATE/sandboxes/<id> of the only sandbox.
home_of() {
	echo "$XDG_STATE_HOME/sbx/sandboxes/$(sbx inspect --json "$1" | jq -er .id)"
}

# started NAME: starts a sandbox, which fails for want of a template; its policy was written before.
started() {
	! sbx exec "$1" true 2>/dev/null
}

@test "without a policy nothing starts, and the error says what to do" {
	template_make
	fails 125 "not been initialised.*sbx policy init open\|balanced\|locked-down" sbx run shell .
	fails 1 "not been initialised.*sbx policy init" sbx create shell .
	fails 1 "not been initialised" sbx policy allow example.com
	fails 1 "not been initialised" sbx policy check example.com
	[ "$(sbx ls -q | wc -l)" = 0 ]
	run -0 sbx policy ls
	[[ $output == *"No network policy was chosen yet."* ]]
	[ "$(sbx policy ls --json | jq -r .initialised)" = false ]
	# What is wrong with the command itself is said first.
	fails 125 "neither an agent" sbx run cluade
	fails 125 "does not exist" sbx run shell nothing
}

@test "the preset is chosen once" {
	fails 1 'no preset "permissive".*open, balanced, locked-down or strict' sbx policy init permissive
	run -0 sbx policy init balanced
	[[ $output == *"Network policy: Balanced"*"sbx policy allow network <host>"*"sbx policy reset"* ]]
	run -0 sbx policy init balanced
	fails 1 "is balanced already.*sbx policy reset" sbx policy init open
	[ "$(sbx policy ls --json | jq -r '.preset, .default, .tls' | tr '\n' ' ')" = "balanced deny auto " ]
	fails 1 "use --force.*try: sbx policy reset --force" sbx policy reset
	run -0 sbx policy reset --force
	run -0 sbx policy set-default deny-all
	[ "$(sbx policy ls --json | jq -r .preset)" = locked-down ]
	[ "$(sbx policy ls --json | jq '.rules | length')" = 0 ]
}

@test "a menu on the terminal: Enter, digits, arrows, Esc" {
	run -0 on_terminal $'\r' sbx policy init
	[[ $output == *"1. Open"*"2. Balanced"*"3. Locked Down"*"Network policy: Balanced"* ]]
	sbx policy reset -f
	run -0 on_terminal 3 sbx policy init
	[[ $output == *"Network policy: Locked Down"* ]]
	sbx policy reset -f
	run -0 on_terminal $'\e[A\r' sbx policy init
	[[ $output == *"Network policy: Open"* ]]
	sbx policy reset -f
	run -0 on_terminal $'\e[B\e[B\e[B7\r' sbx policy init
	[[ $output == *"Network policy: Balanced"* ]]
	sbx policy reset -f
	run -1 on_terminal $'\e' sbx policy init
	[[ $output == *"no network policy was chosen"*"sbx policy init"* ]]
	[ "$(sbx policy ls --json | jq -r .initialised)" = false ]
	# run asks, too, before it makes anything.
	template_make
	run -125 on_terminal $'\e' sbx run shell .
	[[ $output == *"Which network policy"*"no network policy was chosen"* ]]
	[ "$(sbx ls -q | wc -l)" = 0 ]
	run -125 on_terminal '' env SBX_NONINTERACTIVE=1 sbx run shell .
	[[ $output == *"not been initialised"* ]]
}

@test "rules: added, listed, found again, removed" {
	sbx policy init locked-down
	[ "$(sbx policy allow network A.example.com.,b.example.com:443)" = "$(printf 'r1  allow a.example.com\nr2  allow b.example.com:443')" ]
	[[ $(sbx policy allow a.example.com) == "r1  allow a.example.com  (was there already)" ]]
	[ "$(sbx policy deny '**.bad.example')" = "r3  deny **.bad.example" ]
	[ "$(sbx policy allow --method head,GET --path '/v1/**' api.example.com:443)" = "r4  allow api.example.com:443  methods GET,HEAD  path /v1/**" ]
	[ "$(sbx policy allow --ask ask.example.com)" = "r5  ask ask.example.com" ]
	[ "$(sbx policy allow tcp ssh.example.com:22)" = "r6  allow tcp ssh.example.com:22" ]
	[ "$(sbx policy allow 'tcp [2606:2800::1]:22')" = "r7  allow [2606:2800::1]:22" ]
	[ "$(sbx policy allow localhost:11434)" = "r8  allow localhost:11434" ]
	[ "$(sbx policy allow 'bücher.example')" = "r9  allow xn--bcher-kva.example" ]
	run -0 sbx policy ls
	[[ ${lines[0]} == "Policy: locked-down   Default: deny   TLS: auto" ]]
	[[ ${lines[1]} == "ID "*"DECISION "*"RESOURCE "*"APPLIES TO "* ]]
	[ "${#lines[@]}" = 11 ]
	run -0 sbx policy ls --json
	[ "$(jq -c '.rules[3] | [.id, .action, .methods, .path, .origin]' <<<"$output")" = '["r4","allow",["GET","HEAD"],"/v1/**","user"]' ]
	# The last word about the very same counts.
	run -0 --separate-stderr sbx policy deny a.example.com
	[[ $output == "r10  deny a.example.com" && $stderr == *"takes the place of rule r1"* ]]
	[ "$(sbx policy rm network --id r10)" = "Removed r10  deny a.example.com" ]
	[ "$(sbx policy rm --resource B.example.com:443)" = "Removed r2  allow b.example.com:443" ]
	[ "$(sbx policy rm r3)" = "Removed r3  deny **.bad.example" ]
	[ "$(sbx policy rm 'tcp ssh.example.com:22')" = "Removed r6  allow tcp ssh.example.com:22" ]
	fails 1 "no rule 'r3'" sbx policy rm r3
	fails 1 "no rule for gone.example" sbx policy rm gone.example
	# All or none.
	fails 1 "no rule 'r99'" sbx policy rm --id r4,r99
	fails 1 "open every domain" sbx policy allow 'good.example,*.com'
	[ "$(sbx policy ls --json | jq -r '[.rules[].id] | join(" ")')" = "r4 r5 r7 r8 r9" ]
	# Numbers are not used again, whatever happens to the daemon.
	sbx daemon stop
	[[ $(sbx policy allow last.example) == "r11  allow last.example" ]]
	[ "$(sbx policy ls --json | jq -r '.rules[0].resource')" = api.example.com:443 ]
}

@test "rules without WebSocket, and for SSH alone" {
	sbx policy init locked-down
	[ "$(sbx policy allow chat.example)" = "r1  allow chat.example" ]
	# Says more than the rule that is there, and takes its place.
	run -0 --separate-stderr sbx policy allow --no-websocket chat.example
	[[ $output == "r2  allow chat.example  no WebSocket" && $stderr == *"takes the place of rule r1"* ]]
	[[ $(sbx policy allow --no-websocket chat.example) == "r2  allow chat.example  no WebSocket  (was there already)" ]]
	[ "$(sbx policy allow --expect ssh tcp git.example:22)" = "r3  allow tcp git.example:22  expects ssh" ]
	run -0 sbx policy ls
	[[ $output == *"chat.example "*"no WebSocket"* && $output == *"git.example:22 "*"expects ssh"* ]]
	[ "$(sbx policy ls --json | jq -c '[.rules[] | [.websocket, .expect]]')" = '[["deny",null],[null,"ssh"]]' ]
	# Rules are kept as they were said.
	sbx daemon stop
	run -1 sbx policy check --websocket chat.example
	[[ $output == *"Denied: chat.example:443"*"GET chat.example:443/: rule r2 allows chat.example, but no WebSocket"*"sbx policy rm network --id r2"* ]]
	run -0 sbx policy check --method GET chat.example
	run -0 sbx policy explain tcp git.example:22
	[[ $output == *"expects ssh"*"Bytes:  only what begins as ssh does"* ]]
	run -1 sbx policy check https://git.example:22/
	[[ $output == *"tcp git.example:22 is for ssh only"* ]]
	fails 1 "any bytes are allowed to one port" sbx policy allow --expect ssh git.example:22
	fails 1 'nothing is known of the expected bytes "smtp"' sbx policy allow --expect smtp tcp mail.example:25
	fails 1 "host name and HTTP" sbx policy allow --no-websocket tcp git.example:22
	fails 1 "HTTP's" sbx policy check --websocket tcp git.example:22
}

@test "rules that are refused say why" {
	sbx policy init balanced
	fails 1 "sbx policy init open" sbx policy allow '**'
	fails 1 "one label" sbx policy allow '*'
	fails 1 "anybody registers" sbx policy allow '**.co.uk'
	fails 1 "without a scheme" sbx policy allow https://example.com
	fails 1 "see --path" sbx policy allow example.com/path
	fails 1 "port" sbx policy allow example.com:0
	fails 1 "port" sbx policy deny example.com:0443
	fails 1 "number" sbx policy allow 127.1
	fails 1 "beginning only" sbx policy allow 'a.*.example'
	fails 1 "bits behind its prefix" sbx policy allow 10.0.0.1/8
	fails 1 "too wide" sbx policy allow 0.0.0.0/0
	fails 1 "localhost:PORT" sbx policy allow localhost
	fails 1 "localhost:PORT" sbx policy allow host.docker.internal:80
	fails 1 "host name and HTTP" sbx policy allow --method GET 10.0.0.0/8
	fails 1 "list of HTTP methods" sbx policy allow --method 'GET POST' example.com
	fails 1 "path pattern" sbx policy allow --path 'x' example.com
	fails 1 "sandbox 'box' not found" sbx policy allow --sandbox box example.com
	fails 1 "IDNA" sbx policy allow xn--a.example
	fails 1 "unexpected argument 'b.example'.*commas" sbx policy allow a.example b.example
	fails 2 "missing argument" sbx policy allow
	fails 1 "give --id or --resource" sbx policy rm
	[ "$(sbx policy ls --json | jq '[.rules[] | select(.origin == "user")] | length')" = 0 ]
	run -0 sbx policy deny '**,**.com,0.0.0.0/0'
}

@test "check says what is decided, by its status, too" {
	sbx policy init balanced
	run -0 sbx policy check github.com
	[ "$output" = "Allowed: github.com:443" ]
	run -1 --separate-stderr sbx policy check network evil.example
	[ "$output" = "$(printf 'Denied: evil.example:443\nReason: no rule allows evil.example:443')" ]
	[[ $stderr == *"sbx policy allow network evil.example:443" ]]
	run -1 sbx policy check https://github.com:8443/x
	[[ $output == *"github.com:443 is for another port"* ]]
	run -1 sbx policy check http://169.254.169.254/latest
	[[ $output == *"cloud metadata service"* ]]
	run -1 sbx policy check 1.1.1.1
	[[ $output == *"an address without a name"* ]]
	run -1 sbx policy check --address 10.0.0.1 github.com
	[[ $output == *"github.com:443 at 10.0.0.1 is not on the internet: RFC 1918"* ]]
	run -1 sbx policy check tcp github.com:22
	run -1 sbx policy check localhost:8080
	sbx policy allow localhost:8080
	run -0 sbx policy check localhost:8080
	sbx policy deny 'github.com'
	run -1 sbx policy check GitHub.com.
	[[ $output == *"rule r2 denies github.com"*"sbx policy rm network --id r2"* ]]
	sbx policy allow --method GET --path '/v1/**' api.example.com
	run -0 sbx policy check https://api.example.com/v1/x
	run -1 sbx policy check --method POST https://api.example.com/v1/x
	[[ $output == *"api.example.com is for GET only"* ]]
	run -1 sbx policy check --path /v1/../admin api.example.com
	[[ $output == *"two readings"* ]]
	run -1 sbx policy check --json evil.example
	[ "$(jq -r '.allowed, .action, .reason, .rule, .origin' <<<"$output" | tr '\n' ' ')" = "false deny no_rule default-deny preset balanced " ]
	sbx policy allow --ask ask.example
	run -1 sbx policy check ask.example
	[[ $output == "Asked about: ask.example:443"* ]]
	run -0 sbx policy explain api.example.com
	[[ $output == *"terminated, so that requests can be seen"*"Rules that concern it:"*"r3"*"allow api.example.com GET /v1/**"* ]]
	fails 1 "no IPv4 address" sbx policy check 0x7f.1
	fails 1 "port" sbx policy check github.com:99999
	fails 1 "no host" sbx policy check github.com/x
	# What a remedy says helps.
	sh -c "$(sbx policy check --json evil.example | jq -r .remedy)"
	run -0 sbx policy check evil.example
}

@test "rules of one sandbox" {
	template_make
	sbx policy init balanced
	sandbox_make one "$WORLD/one"
	sandbox_make two "$WORLD/two"
	[ "$(sbx policy allow --sandbox one only.example)" = "r1  allow only.example  sandbox one" ]
	sbx policy deny --sandbox one github.com
	run -0 sbx policy check --sandbox one only.example
	run -1 sbx policy check --sandbox two only.example
	run -1 sbx policy check only.example
	run -1 sbx policy check --sandbox one github.com
	run -0 sbx policy check --sandbox two github.com
	[ "$(sbx policy ls two --json | jq '[.rules[] | select(.origin == "user")] | length')" = 0 ]
	[ "$(sbx policy ls --sandbox one --json | jq '[.rules[] | select(.origin == "user")] | length')" = 2 ]
	fails 1 "no rule for only.example" sbx policy rm --resource only.example
	[ "$(sbx policy rm --resource only.example --sandbox one)" = "Removed r1  allow only.example" ]
	# They go with it.
	sbx rm --force one
	[ "$(sbx policy ls --json | jq '[.rules[] | select(.origin == "user")] | length')" = 0 ]
	sbx daemon stop
	[ "$(sbx policy ls --json | jq '[.rules[] | select(.origin == "user")] | length')" = 0 ]
}

@test "a sandbox whose rules are refused is not made" {
	template_make
	sbx policy init balanced
	fails 1 "deny-network: .*without a scheme" sbx create --deny-network good.example,https://bad.example shell .
	fails 125 "deny-network: .*port" sbx run --deny-network bad.example:0 shell .
	[ "$(sbx ls -q | wc -l)" = 0 ]
	[ "$(sbx policy ls --json | jq '[.rules[] | select(.origin == "user")] | length')" = 0 ]
	sandbox_make shell-project "$WORLD/project"
	fails 125 "exists already: --deny-network is for a new one.*try: sbx policy deny --sandbox shell-project" \
		sbx run --deny-network good.example shell .
}

@test "rules of a preset can be taken away, until a reset" {
	sbx policy init balanced
	run -0 sbx policy check github.com
	[[ $(sbx policy rm --resource github.com:443) == "Removed default-code-and-containers:"*"allow github.com:443" ]]
	run -1 sbx policy check github.com
	sbx daemon stop
	run -1 sbx policy check github.com
	sbx policy reset -f
	sbx policy init balanced
	run -0 sbx policy check github.com
	[[ $(sbx policy ls) == *"github.com:443"*"balanced/default-code-and-containers  (exfiltration-capable)"* ]]
}

@test "a sandbox gets its policy at its start" {
	template_make
	mkdir -p "$XDG_CONFIG_HOME/sbx"
	echo '{"network.permittedRanges": ["10.8.0.0/16"], "network.tlsDefault": "intercept"}' >"$XDG_CONFIG_HOME/sbx/settings.json"
	sbx policy init locked-down
	sandbox_make one "$WORLD/one"
	sandbox_make two "$WORLD/two"
	sbx policy allow all.example
	sbx policy allow --sandbox one mine.example
	sbx policy allow --sandbox two other.example
	started one
	file=$(home_of one)/policy.json
	[ "$(stat -c %a "$file")" = 600 ]
	[ "$(jq -c '[.schema, .generation, .preset, .default, .tls, .permitted_ranges, [.rules[].resource]]' "$file")" = \
		'[1,4,"locked-down","deny","intercept",["10.8.0.0/16"],["all.example","mine.example"]]' ]
	sbx policy reset -f
	fails 125 "not been initialised" sbx exec one true
	# What is wrong in the settings is said before anything is changed.
	echo '{"network.permittedRanges": ["10.8.0.1/16"]}' >"$XDG_CONFIG_HOME/sbx/settings.json"
	fails 1 "network.permittedRanges" sbx policy init open
	[ "$(rm "$XDG_CONFIG_HOME/sbx/settings.json"; sbx policy ls --json | jq -r .initialised)" = false ]
}

# record TIME VERDICT HOST PORT ENTRY INSPECT RULE REASON [MORE]
record() {
	echo "{\"v\":1,\"event\":\"decision\",\"seq\":1,\"time\":\"2026-11-24T$1Z\",\"sandbox\":\"x\",\"conn\":\"c1\",\"req\":0,\"entry\":\"$5\",\"protocol\":\"tls\",\"host\":\"$3\",\"port\":$4,\"method\":null,\"path\":null,\"verdict\":\"$2\",\"reason\":\"$8\",\"rule\":\"$7\",\"origin\":\"default\",\"inspect\":\"$6\",\"injected\":\"none:no_secret\"${9-}}"
}

@test "the log, summed up" {
	template_make
	sandbox_make one "$WORLD/one"
	sandbox_make two "$WORLD/two"
	run -0 sbx policy log
	[ "$output" = "No network activity was logged yet." ]
	one=$(home_of one) two=$(home_of two)
	record 10:00:00.000 deny evil.example 443 transparent none default-deny no_rule >"$one/network.jsonl.2"
	record 11:00:00.500 deny evil.example 443 transparent none default-deny no_rule ',"repeated":5' >"$one/network.jsonl"
	record 12:00:00.000 allow ok.example 443 forward splice r1 rule >>"$one/network.jsonl"
	record 12:00:01.000 allow ok.example 443 forward intercept r1 rule >>"$two/network.jsonl"
	echo '{"v":1,"event":"end","seq":2,"time":"2026-11-24T12:00:02.000Z","conn":"c1","req":0}' >>"$two/network.jsonl"
	run -0 env TZ=UTC sbx policy log
	[ "${lines[0]}" = "Blocked requests:" ]
	[[ ${lines[1]} =~ ^SANDBOX\ +TYPE\ +HOST\ +PROXY\ +RULE\ +REASON\ +LAST\ SEEN\ +COUNT$ ]]
	[[ ${lines[2]} =~ ^one\ +network\ +evil.example:443\ +transparent\ +default-deny\ +no_rule\ +11:00:00\ 24-Nov\ +7$ ]]
	[ "${lines[3]}" = "Allowed requests:" ]
	[[ ${lines[5]} =~ ^two\ +network\ +ok.example:443\ +forward\ +r1\ +rule\ +12:00:01\ 24-Nov\ +1$ ]]
	[[ ${lines[6]} =~ ^one\ +network\ +ok.example:443\ +forward-bypass\  ]]
	[ "${#lines[@]}" = 7 ]
	run -0 sbx policy log one --json
	[ "$(jq -c '[.blocked_hosts[0] | .host, .vm_name, .proxy_type, .count_since, .since, .last_seen]' <<<"$output")" = \
		'["evil.example:443","one","transparent",7,"2026-11-24T10:00:00.000Z","2026-11-24T11:00:00.500Z"]' ]
	[ "$(jq '.allowed_hosts | length' <<<"$output")" = 1 ]
	[ "$(sbx policy log --sandbox two -q)" = ok.example:443 ]
	[ "$(sbx policy log --limit 1 --json | jq '.allowed_hosts | length')" = 1 ]
	fails 1 "sandbox 'three' not found" sbx policy log three
}

@test "the log of a proxy that was taken over" {
	template_make
	sandbox_make one "$WORLD/one"
	log=$(home_of one)/network.jsonl
	record 10:00:00.000 deny evil.example 443 transparent none default-deny no_rule >"$log"
	{
		echo 'no json'
		head -c 100000 /dev/zero | tr '\0' a
		echo
		printf '\x1b[2J\n'
		record 10:00:00.000 deny $'EVIL.example\e[2J' 443 transparent none default-deny no_rule
		record 10:00:00.000 deny EVIL.example 443 transparent none default-deny no_rule
		record 10:00:00.000 deny evil.example 0 transparent none default-deny no_rule
		record 10:00:00.000 deny evil.example 443 transparent none 'a b' no_rule
		record 99:00:00.000 deny evil.example 443 transparent none default-deny no_rule
		record 10:00:00.000 deny evil.example 443 transparent none default-deny no_rule ',"repeated":-5'
		record 10:00:00.000 maybe evil.example 443 transparent none default-deny no_rule
		head -c 4096 /dev/urandom | tr -d '\n'
		echo
		printf '{"v":1,"event":"deci' # torn
	} >>"$log"
	run -0 --separate-stderr sbx policy log
	[ "${#lines[@]}" = 3 ]
	[[ ${lines[2]} =~ evil.example:443.*\ 1$ ]]
	[[ $stderr == "Note: 11 lines of the logs cannot be read and are left out" ]]
	# No link leads the daemon to another file.
	rm "$log"
	ln -s /etc/passwd "$log"
	run -0 sbx policy log
	[ "$output" = "No network activity was logged yet." ]
	rm "$log"
	mkfifo "$log"
	run -0 sbx policy log
	[ "$output" = "No network activity was logged yet." ]
}

@test "the log, followed, over a rotation" {
	template_make
	sandbox_make one "$WORLD/one"
	log=$(home_of one)/network.jsonl
	record 10:00:00.000 deny before.example 443 transparent none default-deny no_rule >"$log"
	TZ=UTC timeout 60 sbx policy log --follow >"$WORLD/followed" 3>&- &
	follower=$!
	timeout 60 sbx policy log --follow --json one >"$WORLD/followed.json" 3>&- &
	follower_json=$!
	# It begins when it is connected: write until something arrives.
	first_seen() {
		record 10:00:01.000 deny first.example 443 transparent none default-deny no_rule >>"$log"
		grep -q first.example "$WORLD/followed" && grep -q first.example "$WORLD/followed.json"
	}
	wait_for 20 first_seen
	record 10:00:02.000 allow last.example 443 transparent splice r1 rule >>"$log"
	mv "$log" "$log.1"
	record 10:00:03.000 allow next.example 443 transparent splice r1 rule >"$log"
	wait_for 20 grep -q next.example "$WORLD/followed"
	wait_for 20 grep -q next.example "$WORLD/followed.json"
	grep -qx '10:00:02 24-Nov  one  allow last.example:443  r1 (rule)' "$WORLD/followed"
	[ "$(grep -c before.example "$WORLD/followed")" = 0 ]
	[ "$(jq -r 'select(.host == "next.example") | .seq' "$WORLD/followed.json")" = 1 ]
	# The daemon's end ends it.
	sbx daemon stop
	wait "$follower" "$follower_json"
}

@test "nothing waits where nothing runs" {
	sbx policy init balanced
	run -0 sbx policy pending
	[ "$output" = "Nothing waits for an answer." ]
	[ "$(sbx policy pending --json | jq -c .)" = '{"pending":[]}' ]
	fails 1 "no question 7" sbx policy approve 7
	fails 1 "no id of" sbx policy reject x
	fails 1 "sandbox 'box' not found" sbx policy reject box/7
	template_make
	sandbox_make one "$WORLD/one"
	fails 1 "does not run" sbx policy approve one/7
	fails 1 "does not run" sbx policy approve --sandbox one 7
}

@test "a registry of the version before is taken over" {
	template_make
	sandbox_make one "$WORLD/one"
	sbx daemon stop
	db=$XDG_STATE_HOME/sbx/sbx.db
	sqlite3 "$db" 'ALTER TABLE sandboxes DROP COLUMN cold; DROP TABLE hidden; DROP TABLE rules; DROP TABLE policy; PRAGMA user_version = 2'
	[ "$(sbx ls -q)" = one ]
	[ "$(sbx policy ls --json | jq -r .initialised)" = false ]
	sbx policy init balanced
	run -0 sbx policy check github.com
}
