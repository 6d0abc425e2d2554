# SPDX-License-Identifier: Apache-2.0
#
# The way out of a real machine, and published ports into it. The origin is a server of the test on this host's loopback,
# which the sandbox reaches as host.docker.internal by a rule for localhost:PORT; nothing here leaves this host.

load helper

setup_file() {
	world_make
	project p >"$WORLD/path"
	cd "$(cat "$WORLD/path")" || return 1
	mkfifo "$WORLD/origin.in"
	python3 "$BATS_TEST_DIRNAME/origin.py" "$WORLD/origin.port" <"$WORLD/origin.in" >&2 3>&- &
	exec 7>"$WORLD/origin.in"
	wait_for 10 test -s "$WORLD/origin.port"
	sbx run -d --name net -m 1g -p 3000 -p 3001 -p 3002 -p 3003 shell </dev/null
}

teardown_file() {
	exec 7>&-
	world_drop
}

setup() {
	PORT=$(cat "$WORLD/origin.port")
	ORIGIN=http://host.docker.internal:$PORT
}

guest() {
	timeout 60 sbx exec net "$@" </dev/null
}

guest_sh() {
	guest sh -c "$1"
}

allow_origin() {
	sbx policy allow network "localhost:$PORT" >&2
}

deny_origin() {
	sbx policy rm network --resource "localhost:$PORT" >&2
}

@test "locked down: the refusal says what, why, and what would help; and it is logged" {
	run guest_sh "curl -sS -m 20 $ORIGIN/hello"
	[[ $output == *"Blocked by network policy"* ]]
	[[ $output == *"host.docker.internal:$PORT"* ]]
	[[ $output == *"remedy: sbx policy allow network"* ]]
	[ "$(guest_sh "curl -sS -m 20 -o /dev/null -w '%{http_code}' $ORIGIN/hello")" = 403 ]
	[ "$(guest_sh "curl -sS -m 20 -o /dev/null -w '%{http_code}' http://example.com/")" = 403 ]
	log=("$XDG_STATE_HOME"/sbx/sandboxes/*/network.jsonl)
	jq -e -s 'any(.host == "example.com" and .verdict == "deny" and .event == "decision")' "${log[0]}"
	[ "$(stat -c %a "${log[0]}")" = 600 ]
}

@test "with a rule: through the proxy variables, and without them" {
	allow_origin
	[ "$(guest_sh "curl -sS -m 20 $ORIGIN/hello")" = "hello from the origin" ]
	[ "$(guest_sh "curl -sS -m 20 --noproxy '*' $ORIGIN/hello")" = "hello from the origin" ]
	[ "$(guest_sh "head -c 5000000 /dev/zero | curl -sS -m 40 --noproxy '*' --data-binary @- $ORIGIN/")" = "got 5000000" ]
	deny_origin
}

@test "what has no way out fails at once: UDP, ICMP, IPv6, an address, a name without a dot" {
	cat >"$(cat "$WORLD/path")/probe.py" <<-'P'
		import socket, sys, time
		begun = time.time()
		what = sys.argv[1]
		try:
		    if what == "udp":
		        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		        s.settimeout(8)
		        s.connect(("1.1.1.1", 443))
		        s.send(b"x")
		        s.recv(1)
		    elif what == "icmp":
		        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
		        s.settimeout(8)
		        s.sendto(bytes([8, 0, 0xf7, 0xff, 0, 0, 0, 0]), ("1.1.1.1", 0))
		        s.recv(1)
		    elif what == "v6":
		        socket.create_connection(("2606:4700:4700::1111", 443), 8)
		    elif what == "name":
		        socket.getaddrinfo("single-label", 80)
		    print("it worked")
		except OSError as e:
		    print("slow" if time.time() - begun > 3 else "refused", e)
	P
	for what in udp v6 name; do
		run -0 guest python3 "$(cat "$WORLD/path")/probe.py" "$what"
		echo "$what: $output" >&3
		[[ $output == refused* ]]
	done
	run -0 guest sudo python3 "$(cat "$WORLD/path")/probe.py" icmp
	echo "icmp: $output" >&3
	[[ $output == refused* ]]
	# An address without a name is refused as a name is: in words.
	run -0 guest_sh 'curl -sS -m 20 --noproxy "*" -w "%{http_code} %{time_total}\n" https://1.1.1.1/'
	echo "1.1.1.1: ${lines[-1]}" >&3
	[[ $output == *"Blocked by network policy"*1.1.1.1* ]]
	[[ ${lines[-1]} == "403 "[0-4].* ]]
	# The name server gives every name an address of its own, and asks nobody.
	[[ $(guest getent hosts nowhere.invalid) == 198.1[89].* ]]
}

# publish_port PORT: the host port that leads there.
host_port() {
	sbx ports net --json | jq -er --argjson p "$1" '.[] | select(.sandbox_port == $p) | .host_port'
}

@test "published ports lead to servers on 127.0.0.1, ::1 and all addresses, and stay over a restart" {
	guest_sh 'mkdir -p /tmp/www && cd /tmp/www && head -c 3000000 /dev/urandom >blob
		for at in "3000 127.0.0.1" "3001 ::1" "3002 0.0.0.0"; do
			set -- $at
			(python3 -m http.server "$1" --bind "$2" >/dev/null 2>&1 &)
		done'
	sum=$(guest sha256sum /tmp/www/blob | cut -d' ' -f1)
	for p in 3000 3001 3002; do
		url=http://127.0.0.1:$(host_port $p)/blob
		wait_for 30 curl -sSf -o /dev/null "$url"
		[ "$(curl -sS "$url" | sha256sum | cut -d' ' -f1)" = "$sum" ]
	done
	# Nobody listens: a reset, not a connection that hangs.
	run --separate-stderr curl -sS -m 20 "http://127.0.0.1:$(host_port 3003)/"
	[[ $stderr == *reset* ]]
	before=$(sbx ports net --json)
	sbx stop net
	run -7 --separate-stderr curl -sS -m 20 "http://127.0.0.1:$(jq '.[0].host_port' <<<"$before")/"
	sbx run -d --name net shell </dev/null
	[ "$(sbx ports net --json)" = "$before" ]
}

@test "a published address that is taken is named, and published again when it is free" {
	fails 1 "127.0.0.1:$PORT is in use on this host" sbx ports net --publish "$PORT:80"
	sbx ports net --publish 3005
	taken=$(host_port 3005)
	sbx ports net --unpublish 3005
	sbx ports net --publish "$taken:3006"
	[ "$(host_port 3006)" = "$taken" ]
	sbx ports net --unpublish 3006
}

# drip: a connection that goes on; its client's exit status goes to the file.
drip() {
	rm -f "$WORLD/drip" "$WORLD/drip.status"
	(
		status=0
		guest_sh "curl -sS -N --noproxy '*' $ORIGIN/drip" >"$WORLD/drip" 2>"$WORLD/drip.err" || status=$?
		echo "$status" >"$WORLD/drip.status"
	) 3>&- &
	wait_for 20 test -s "$WORLD/drip"
	[ ! -e "$WORLD/drip.status" ]
}

@test "kill -9 of the proxy: open connections are reset, the machine goes on, and the way out comes back" {
	allow_origin
	drip
	old=$(vm_pid net proxy)
	kill -KILL "$old"
	wait_for 10 test -s "$WORLD/drip.status"
	[ "$(cat "$WORLD/drip.status")" != 0 ]
	[ "$(state_of net)" = running ]
	back() { [ "$(guest_sh "curl -sS -m 5 $ORIGIN/hello" 2>/dev/null)" = "hello from the origin" ]; }
	wait_for 20 back
	[ "$(vm_pid net proxy)" != "$old" ]
	[ "$(sbx inspect --json net | jq .error)" = null ]
	deny_origin
}

# asked FILE: how many requests the guest's loop has begun.
asked() {
	wc -l <"$(cat "$WORLD/path")/asked"
}

more_asked() {
	[ "$(asked)" -ge "$1" ]
}

other_proxy() {
	local now
	now=$(vm_pid net proxy 2>/dev/null) && [ "$now" != "$1" ] && [ -e "/proc/$now" ]
}

@test "kill -9 of the proxy under load: while there is none nothing leaves; it is back within two seconds, with the same policy" {
	allow_origin
	other=$(cat "$WORLD/origin.port.other") box=$(cat "$WORLD/path")
	: >"$box/asked"
	guest_sh "while [ ! -e '$box/enough' ]; do
		echo x >>'$box/asked'
		curl -s -m 2 -o /dev/null --noproxy '*' $ORIGIN/loop
		curl -s -m 2 -o /dev/null --noproxy '*' http://host.docker.internal:$other/never
	done; true" >/dev/null 2>&1 3>&- 7>&- &
	loop=$!
	wait_for 20 more_asked 5
	grep -q "^$PORT /loop" "$WORLD/origin.port.log"
	vm=$(vm_pid net vm) old=$(vm_pid net proxy)
	# The test before this one killed one, too; that which dies within ten seconds of its start is missed for longer.
	steady() { [ "$(ps -o etimes= -p "$old")" -gt 10 ]; }
	wait_for 20 steady
	# Stopped, sbx-vm starts no other: the time without a proxy is as long as it is wanted.
	kill -STOP "$vm"
	kill -KILL "$old"
	gone() { [ ! -e "/proc/$old" ] || grep -q '^State:.Z' "/proc/$old/status"; }
	wait_for 5 gone || { kill -CONT "$vm"; false; }
	pause; pause; pause # what it had sent is read
	arrived=$(wc -l <"$WORLD/origin.port.log") begun=$(asked)
	wait_for 10 more_asked $((begun + 3)) || { kill -CONT "$vm"; false; }
	still=$(wc -l <"$WORLD/origin.port.log")
	kill -CONT "$vm"
	from=${EPOCHREALTIME/./}
	wait_for 10 other_proxy "$old"
	took=$(((${EPOCHREALTIME/./} - from) / 1000))
	echo "another proxy after $took ms; $(($(asked) - begun)) tries meanwhile" >&3
	[ "$still" = "$arrived" ]
	[ "$took" -lt 2000 ]
	more_arrived() { [ "$(wc -l <"$WORLD/origin.port.log")" -gt "$arrived" ]; }
	wait_for 20 more_arrived
	[ "$(guest_sh "curl -sS -m 20 -o /dev/null -w '%{http_code}' http://host.docker.internal:$other/never")" = 403 ]
	touch "$box/enough"
	wait "$loop"
	run ! grep -q "^$other " "$WORLD/origin.port.log"
	deny_origin
}

@test "a policy that changes cuts what it no longer allows" {
	allow_origin
	drip
	deny_origin
	wait_for 10 test -s "$WORLD/drip.status"
	[ "$(cat "$WORLD/drip.status")" != 0 ]
	[ "$(guest_sh "curl -sS -m 20 -o /dev/null -w '%{http_code}' $ORIGIN/hello")" = 403 ]
}

@test "programs are told of the proxy and the sandbox's own CA, under sudo too; the CA is in the bundle once, also after a restart" {
	said=$(guest_sh 'env | sort')
	for name in HTTP_PROXY HTTPS_PROXY http_proxy https_proxy; do
		grep -qx "$name=http://gateway.docker.internal:3128" <<<"$said"
	done
	grep -qx 'NO_PROXY=localhost,127.0.0.1,::1' <<<"$said"
	grep -qx 'NODE_USE_ENV_PROXY=1' <<<"$said"
	names='NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|GIT_SSL_CAINFO|PIP_CERT|CARGO_HTTP_CAINFO|AWS_CA_BUNDLE'
	[ "$(grep -cxE "($names)=/etc/ssl/certs/ca-certificates.crt" <<<"$said")" = 8 ]
	[ "$(guest sudo env | grep -cE "^($names|PROXY_CA_CERT_B64|NODE_USE_ENV_PROXY|https?_proxy|HTTPS?_PROXY|no_proxy|NO_PROXY)=")" = 16 ]
	guest_sh '[ "$(echo "$PROXY_CA_CERT_B64" | base64 -d)" = "$(cat /usr/local/share/ca-certificates/sbx.crt)" ]'
	once() { guest_sh 'grep -cxF "$(sed -n 2p /usr/local/share/ca-certificates/sbx.crt)" /etc/ssl/certs/ca-certificates.crt'; }
	[ "$(once)" = 1 ]
	# OpenSSL finds it by its name, too; and a Java runtime's store, here an empty one, is given it at the next start.
	guest_sh 'openssl verify -no-CAfile -CApath /etc/ssl/certs /usr/local/share/ca-certificates/sbx.crt'
	empty='\376\355\376\355\0\0\0\002\0\0\0\0\342\150\156\105\373\103\337\244\331\222\335\101\316\266\262\034\143\060\327\222'
	guest_sh "sudo mkdir /etc/ssl/certs/java && printf '$empty' | sudo tee /etc/ssl/certs/java/cacerts >/dev/null"
	guest_sh 'echo "192.0.2.7 mine" | sudo tee -a /etc/hosts'
	sbx stop net
	[ "$(once)" = 1 ]
	[ "$(guest find /etc/ssl/certs -lname sbx.pem | wc -l)" = 1 ]
	[ "$(guest_sh 'tail -c +13 /etc/ssl/certs/java/cacerts | grep -ac debian:sbx.pem; od -An -tu1 -j11 -N1 /etc/ssl/certs/java/cacerts' | xargs)" = '1 1' ]
	guest_sh 'sudo rm -r /etc/ssl/certs/java'
	# What the user wrote into /etc/hosts stays.
	[ "$(guest getent hosts mine gateway.docker.internal | awk '{print $1}' | xargs)" = '192.0.2.7 198.18.0.1' ]
	[ "$(guest cat /etc/resolv.conf)" = 'nameserver 198.18.0.1' ]
}

@test "a nested container's traffic goes the same way" {
	allow_origin
	guest_sh 'sudo sysctl -qw net.ipv4.ip_forward=1 && sudo ip netns add inner && sudo ip link add docker9 type veth peer name eth0 netns inner &&
		sudo ip addr add 172.29.0.1/16 dev docker9 && sudo ip link set docker9 up && sudo ip netns exec inner sh -c "
			ip addr add 172.29.0.2/16 dev eth0; ip link set lo up; ip link set eth0 up; ip route add default via 172.29.0.1"'
	[ "$(guest_sh "sudo ip netns exec inner curl -sS -m 20 --noproxy '*' $ORIGIN/hello")" = "hello from the origin" ]
	[ "$(guest_sh "sudo ip netns exec inner curl -sS -m 20 $ORIGIN/hello")" = "hello from the origin" ]
	run guest_sh "sudo ip netns exec inner curl -sS -m 20 --noproxy '*' http://10.1.2.3/"
	[[ $output == *"Blocked by network policy"* ]]
	cat >"$(cat "$WORLD/path")/inner.py" <<-'P'
		import socket
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.settimeout(20)
		s.connect(("1.1.1.1", 443))
		try:
		    s.send(b"x")
		    s.recv(1)
		except OSError as e:
		    print(type(e).__name__)
	P
	[ "$(guest sudo ip netns exec inner python3 "$(cat "$WORLD/path")/inner.py")" = ConnectionRefusedError ]
	guest_sh 'sudo ip link del docker9; sudo ip netns del inner'
	deny_origin
}

@test "root of the sandbox takes the rules and the device away: nothing leaves, and the next start has them again" {
	allow_origin
	guest_sh 'sudo ip link del sbx0'
	run -7 guest_sh "curl -sS -m 5 --noproxy '*' http://1.1.1.1/"
	[[ $output == *unreachable* || $output == *"Couldn't connect"* || $output == *"Could not connect"* ]]
	sbx stop net
	[ "$(guest_sh "curl -sS -m 20 --noproxy '*' $ORIGIN/hello")" = "hello from the origin" ]
	deny_origin
}

@test "what a rule asks about waits for the answer" {
	sbx policy allow --ask "localhost:$PORT" >&2
	waits() {
		[ "$(sbx policy pending --json | jq '.pending | length')" = 1 ]
	}
	guest_sh "curl -sS -m 50 $ORIGIN/hello" >"$WORLD/asked" 2>&1 3>&- 7>&- &
	asked=$!
	wait_for 20 waits
	[ "$(sbx policy pending --json | jq -r '.pending[0] | [.sandbox, .dest, .method, .path] | join(" ")')" = \
		"net host.docker.internal:$PORT GET /hello" ]
	[[ $(sbx policy pending) == *"net/"*"host.docker.internal:$PORT"*"GET /hello"* ]]
	[ ! -s "$WORLD/asked" ]
	sbx policy approve "$(sbx policy pending --json | jq -r '.pending[0].id')"
	wait "$asked"
	[ "$(cat "$WORLD/asked")" = "hello from the origin" ]
	guest_sh "curl -sS -m 50 $ORIGIN/hello" >"$WORLD/asked" 2>&1 3>&- 7>&- &
	asked=$!
	wait_for 20 waits
	id=$(sbx policy pending --json | jq -r '.pending[0].id')
	sbx policy reject "$id"
	wait "$asked"
	[[ $(cat "$WORLD/asked") == "Blocked by network policy"* ]]
	fails 1 "not open any more" sbx policy approve "$id"
	deny_origin
}

@test "sbx policy log tells what was decided; rules of one sandbox are made with it" {
	[[ $(sbx policy log net) == *"Blocked requests:"*"example.com:80"*"Allowed requests:"*"host.docker.internal:$PORT"* ]]
	[ "$(sbx policy log --json net | jq '.allowed_hosts | length > 0')" = true ]
	sbx create --name denied --deny-network a.example,b.example --deny-network '**.c.example' shell . </dev/null
	[ "$(sbx policy ls denied --json | jq -r '[.rules[] | select(.sandbox == "denied") | .action + " " + .resource] | join(", ")')" = \
		"deny a.example, deny b.example, deny **.c.example" ]
	sbx rm --force denied
}

@test "a full log is put away, and the next record stands in a new one" {
	dir=("$XDG_STATE_HOME"/sbx/sandboxes/*)
	# A proxy looks at its log's size when it gets it.
	sbx stop net
	truncate -s 11M "${dir[0]}/network.jsonl"
	sbx run -d --name net shell </dev/null
	rotated() {
		guest_sh "curl -sS -m 20 -o /dev/null http://full.example/" && [ -e "${dir[0]}/network.jsonl.1" ]
	}
	wait_for 20 rotated
	[ "$(stat -c %s "${dir[0]}/network.jsonl.1")" -gt 11000000 ]
	guest_sh "curl -sS -m 20 -o /dev/null http://new.example/"
	jq -e -s 'any(.host == "new.example") and all(.v == 1)' "${dir[0]}/network.jsonl"
	[ "$(stat -c %a "${dir[0]}/network.jsonl")" = 600 ]
}
