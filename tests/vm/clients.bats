# SPDX-License-Identifier: Apache-2.0
#
# Everyday programs of a real machine and the network: git over HTTPS with a server of the test's own on this host's loopback (host.docker.internal by a
# rule for localhost:PORT), relayed and terminated; and what apt, npm and git say where nothing is allowed.

load helper

setup_file() {
	world_make
	project p >"$WORLD/path"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=host -keyout "$WORLD/key.pem" -out "$WORLD/cert.pem" \
		-addext subjectAltName=DNS:host.docker.internal >&2 2>&1
	mkdir -p "$XDG_CONFIG_HOME/sbx" "$WORLD/repos"
	jq -n --arg ca "$WORLD/cert.pem" '{"network.extraCaFile": $ca}' >"$XDG_CONFIG_HOME/sbx/settings.json"
	git clone -q --bare "$(cat "$WORLD/path")" "$WORLD/repos/p.git" >&2
	git -C "$WORLD/repos/p.git" config http.receivepack true
	mkfifo "$WORLD/git.in"
	python3 "$BATS_TEST_DIRNAME/githost.py" "$WORLD/git.port" "$WORLD/repos" "$WORLD/cert.pem" "$WORLD/key.pem" <"$WORLD/git.in" >&2 3>&- &
	exec 7>"$WORLD/git.in"
	wait_for 10 test -s "$WORLD/git.port"
	cd "$(cat "$WORLD/path")" || return 1
	sbx run -d --name git -m 1g shell </dev/null
}

teardown_file() {
	exec 7>&-
	world_drop
}

guest_sh() {
	timeout 120 sbx exec git sh -c "$1" </dev/null
}

url() {
	echo "https://host.docker.internal:$(cat "$WORLD/git.port")/p.git"
}

@test "locked down: apt, npm and git fail at once, with a message that names the rule" {
	# The refusal itself takes a fraction of a second; the programs need longer than that to start, where the machine is emulated.
	run -0 guest_sh "curl -sS -m 20 -o /dev/null -w '%{http_code} %{time_total}' https://locked.example/"
	echo "refusal: $output" >&3
	[[ $output == "403 "[0-4].* ]]
	run guest_sh 'echo "deb http://apt.example/debian stable main" >/tmp/one.list
		sudo apt-get -o Dir::Etc::SourceList=/tmp/one.list -o Dir::Etc::SourceParts=- -o Acquire::Retries=0 update 2>&1'
	[[ $output == *"Blocked by network policy: rule default-deny"* ]]
	run guest_sh 'cd /tmp && npm view --registry=https://npm.example/ --fetch-retries=0 left-pad 2>&1'
	[ "$status" != 0 ]
	[[ $output == *"Blocked by network policy: rule default-deny"* ]]
	run guest_sh 'git clone https://git.example/x.git /tmp/x 2>&1'
	[ "$status" != 0 ]
	[[ $output == *"Blocked by network policy"*"rule: default-deny"* ]]
}

@test "git clones and pushes over HTTPS" {
	sbx policy allow network "localhost:$(cat "$WORLD/git.port")" >&2
	guest_sh "git clone -q $(url) /tmp/clone && cd /tmp/clone && git log --oneline | wc -l" | grep -qx 2
	guest_sh 'cd /tmp/clone && echo more >>README.md && git -c user.name=a -c user.email=a@example.invalid commit -qam more && git push -q origin HEAD:refs/heads/from-inside'
	[ "$(git -C "$WORLD/repos/p.git" log --format=%s -1 from-inside)" = more ]
}

@test "rules with methods and paths: fetch may pass, push may not" {
	sbx policy rm network --resource "localhost:$(cat "$WORLD/git.port")" >&2
	sbx policy allow network --method GET --path '/p.git/**' "localhost:$(cat "$WORLD/git.port")" >&2
	sbx policy allow network --method POST --path '/p.git/git-upload-pack' "localhost:$(cat "$WORLD/git.port")" >&2
	guest_sh "rm -rf /tmp/clone && git clone -q $(url) /tmp/clone && cd /tmp/clone && git rev-parse HEAD" | grep -qxE '[0-9a-f]{40}'
	run guest_sh 'cd /tmp/clone && echo again >>README.md && git -c user.name=a -c user.email=a@example.invalid commit -qam again && git push origin HEAD:refs/heads/again 2>&1'
	[ "$status" != 0 ]
	[[ $output == *"Blocked by network policy"* ]]
	run git -C "$WORLD/repos/p.git" rev-parse --verify -q refs/heads/again
	[ "$status" != 0 ]
}
