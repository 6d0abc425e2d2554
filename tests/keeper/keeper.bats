# SPDX-License-Identifier: Apache-2.0
#
# sbx-keeper as its clients see it: certificates that OpenSSL judges, refusals, modes, its life.

bats_require_minimum_version 1.5.0

A=00000000-0000-4000-8000-00000000000a
B=00000000-0000-4000-8000-00000000000b

setup() {
	SBX_BIN=${SBX_BIN:-${SBX_BUILD:-$BATS_TEST_DIRNAME/../../build}/bin}
	PEER=$BATS_TEST_DIRNAME/peer.py
	WORLD=$(mktemp -d "${TMPDIR:-/tmp}/sbx-keeper.XXXXXX")
	export XDG_STATE_HOME=$WORLD/state XDG_RUNTIME_DIR=$WORLD/run HOME=$WORLD
	unset DBUS_SESSION_BUS_ADDRESS
	mkdir -m 0700 "$XDG_STATE_HOME" "$XDG_RUNTIME_DIR"
	CA=$XDG_STATE_HOME/sbx/keeper/ca
	KEEPER=
	openssl ecparam -name prime256v1 -genkey -noout -out "$WORLD/key.pem"
}

teardown() {
	[ -z "$KEEPER" ] || { kill "$KEEPER" && wait "$KEEPER"; } 2>/dev/null || true
	rm -rf "$WORLD"
}

# wait_for SECONDS COMMAND...
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		read -rt 0.05 <> <(:) || true
	done
}

keeper_start() {
	"$SBX_BIN/sbx-keeper" "$@" 2>"$WORLD/log" 3>&- &
	KEEPER=$!
	wait_for 10 grep -q event=ready "$WORLD/log"
}

keeper_gone() { ! kill -0 "$KEEPER" 2>/dev/null; }

peer() { python3 "$PEER" "$@"; }
attach() { peer ask "{\"op\":\"attach\",\"sandbox\":\"$1\"}"; }

# ca_of ID: its certificate, as the keeper says it.
ca_of() { attach "$1" | jq -re .ca; }

@test "two sandboxes have CAs of their own, and a leaf is trusted by its own only" {
	keeper_start
	ca_of $A >"$WORLD/a.pem"
	ca_of $B >"$WORLD/b.pem"
	! cmp -s "$WORLD/a.pem" "$WORLD/b.pem"
	peer leaf $A www.example.test "$WORLD/key.pem" "$WORLD/leaf.pem"
	openssl verify -CAfile "$WORLD/a.pem" -purpose sslserver -verify_hostname www.example.test "$WORLD/leaf.pem"
	run ! openssl verify -CAfile "$WORLD/b.pem" "$WORLD/leaf.pem"
	run ! openssl verify -CAfile "$WORLD/a.pem" -verify_hostname example.test "$WORLD/leaf.pem"
	run ! openssl verify -CAfile "$WORLD/a.pem" -purpose sslclient "$WORLD/leaf.pem"
	[ "$(attach $A)" = "$(attach $A)" ]
}

@test "a leaf has exactly one name, a week, and a serial of its own" {
	keeper_start
	for host in www.example.test 192.0.2.7 2001:db8::7; do
		peer leaf $A "$host" "$WORLD/key.pem" "$WORLD/leaf.pem"
		openssl x509 -in "$WORLD/leaf.pem" -noout -ext subjectAltName >"$WORLD/san"
		[ "$(wc -l <"$WORLD/san")" = 2 ]
		run -0 cat "$WORLD/san"
		case $host in
		www*) [[ ${lines[1]} == *"DNS:www.example.test" ]] ;;
		192*) [[ ${lines[1]} == *"IP Address:192.0.2.7" ]] ;;
		*) [[ ${lines[1]} == *"IP Address:2001:DB8:0:0:0:0:0:7" ]] ;;
		esac
		openssl x509 -in "$WORLD/leaf.pem" -noout -serial | cut -d= -f2 >>"$WORLD/serials"
	done
	[ "$(sort -u "$WORLD/serials" | wc -l)" = 3 ]
	# 159 bits with the highest one set: 40 digits that start with 4 to 7, and so positive.
	[ "$(grep -cE '^[4-7][0-9A-F]{39}$' "$WORLD/serials")" = 3 ]
	run -0 openssl x509 -in "$WORLD/leaf.pem" -noout -text
	[[ $output == *"ecdsa-with-SHA256"* && $output == *"CA:FALSE"* && $output == *"TLS Web Server Authentication"* ]]
	[[ $output == *"Digital Signature"* && $output != *"Certificate Sign"* && $output != *"Client Authentication"* ]]
	from=$(date -d "$(openssl x509 -in "$WORLD/leaf.pem" -noout -startdate | cut -d= -f2)" +%s)
	to=$(date -d "$(openssl x509 -in "$WORLD/leaf.pem" -noout -enddate | cut -d= -f2)" +%s)
	[ $((to - from)) = $((8 * 86400)) ]
	[ $(($(date +%s) - from)) -ge 86400 ] && [ $(($(date +%s) - from)) -lt 86520 ]
}

@test "the CA may sign servers and nothing more: a CA below it is refused" {
	keeper_start
	ca_of $A >"$WORLD/ca.pem"
	run -0 openssl x509 -in "$WORLD/ca.pem" -noout -text
	[[ $output == *"CN = sbx sandbox $A"* && $output == *"prime256v1"* ]]
	[[ $output == *"Basic Constraints: critical"*"CA:TRUE, pathlen:0"* ]]
	[[ $output == *"Key Usage: critical"*"Certificate Sign"* && $output != *"CRL Sign"* ]]
	[[ $output == *"TLS Web Server Authentication"* ]]
	cd "$WORLD"
	for name in sub end; do
		openssl ecparam -name prime256v1 -genkey -noout -out $name.key
		openssl req -new -key $name.key -subj "/CN=$name" -out $name.csr
	done
	printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n' >sub.ext
	printf 'subjectAltName=DNS:evil.test\n' >end.ext
	openssl x509 -req -in sub.csr -CA ca.pem -CAkey "$CA/$A.pem" -days 5 -extfile sub.ext -out sub.pem
	openssl x509 -req -in end.csr -CA sub.pem -CAkey sub.key -days 5 -extfile end.ext -out end.pem
	run ! openssl verify -CAfile ca.pem -untrusted sub.pem end.pem
	[[ $output == *"path length constraint exceeded"* ]]
}

@test "what is not asked for properly is refused, and the connection lives" {
	keeper_start
	spki=$(openssl pkey -in "$WORLD/key.pem" -pubout -outform DER | base64 -w0)
	run -0 peer ask \
		"{\"op\":\"leaf\",\"host\":\"a.test\",\"spki\":\"$spki\"}" \
		"{\"op\":\"attach\",\"sandbox\":\"../../etc/passwd\"}" \
		"{\"op\":\"attach\",\"sandbox\":\"$A\",\"more\":1}" \
		"{\"op\":\"attach\",\"sandbox\":\"$A\",\"sandbox\":\"$B\"}" \
		'[]' 'nonsense' '{"op":"sign"}' '{}' \
		"{\"op\":\"attach\",\"sandbox\":\"$A\"}" \
		"{\"op\":\"attach\",\"sandbox\":\"$B\"}" \
		"{\"op\":\"forget\",\"sandbox\":\"$B\"}" \
		"{\"op\":\"leaf\",\"host\":\"A.test\",\"spki\":\"$spki\"}" \
		"{\"op\":\"leaf\",\"host\":\"*.test\",\"spki\":\"$spki\"}" \
		"{\"op\":\"leaf\",\"host\":\"a.test,DNS:b.test\",\"spki\":\"$spki\"}" \
		"{\"op\":\"leaf\",\"host\":\"a.test\\u0000.b.test\",\"spki\":\"$spki\"}" \
		"{\"op\":\"leaf\",\"host\":\"a.test\",\"spki\":\"AAAA\"}" \
		'{"op":"version"}'
	kinds=$(jq -r '.error.kind // "ok"' <<<"$output" | tr '\n' ' ')
	[ "$kinds" = "denied invalid invalid invalid invalid invalid invalid invalid ok conflict denied invalid invalid invalid invalid invalid ok " ]
	openssl genrsa -out "$WORLD/short.pem" 1024
	[ "$(peer leaf $A a.test "$WORLD/short.pem" "$WORLD/x")" = invalid ]
	openssl genpkey -algorithm ed25519 -out "$WORLD/ed.pem"
	[ "$(peer leaf $A a.test "$WORLD/ed.pem" "$WORLD/x")" = invalid ]
	openssl genrsa -out "$WORLD/rsa.pem" 2048
	[ "$(peer leaf $A a.test "$WORLD/rsa.pem" "$WORLD/x")" = "" ]
}

@test "garbage, empty and long messages" {
	keeper_start
	[ "$(peer raw 00 ff 7b '7b22*20000' | jq -r .error.kind | tr '\n' ' ')" = "invalid invalid invalid invalid " ]
	[ "$(peer raw '20*65537')" = closed ]
	[ "$(peer raw "")" = closed ]
	[ "$(peer ask '{"op":"version"}' | jq -r .ok)" = true ]
}

@test "another user is closed unread" {
	[ "$(id -u)" = 0 ] || skip "needs root to become somebody else"
	keeper_start
	chmod 0755 "$WORLD" "$XDG_RUNTIME_DIR" "$XDG_RUNTIME_DIR/sbx"
	chmod 0777 "$XDG_RUNTIME_DIR/sbx/keeper.sock"
	run -0 setpriv --reuid=12345 --regid=12345 --clear-groups /usr/bin/python3 - "$XDG_RUNTIME_DIR/sbx/keeper.sock" <<-'END'
		import socket, sys
		s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		s.connect(sys.argv[1])
		try:
		    s.send(b'{"op":"version"}')
		    print(s.recv(100))
		except (BrokenPipeError, ConnectionResetError):
		    print(b"")
	END
	[ "$output" = "b''" ]
	grep -q "event=refused reason=uid" "$WORLD/log"
	[ "$(peer ask '{"op":"version"}' | jq -r .ok)" = true ]
}

@test "at most 256 connections, and the silent ones are let go" {
	keeper_start
	[ "$(peer flood 300)" = 256 ]
	wait_for 5 eval 'peer ask "{\"op\":\"version\"}" | jq -e .ok >&2'
	[ "$(peer silent 15)" = closed ]
}

@test "killed and started again it keeps the CA; modes are tight" {
	keeper_start
	before=$(ca_of $A)
	kill -KILL "$KEEPER"
	wait_for 5 keeper_gone
	keeper_start
	[ "$(ca_of $A)" = "$before" ]
	[ "$(stat -c %a "$XDG_STATE_HOME/sbx/keeper" "$CA" "$CA/$A.pem" "$XDG_RUNTIME_DIR/sbx/keeper.sock" | tr '\n' ' ')" = "700 700 600 600 " ]
	[ "$(find "$CA" -type f | wc -l)" = 1 ]
}

@test "what others may read is refused and left alone" {
	keeper_start
	ca_of $A >/dev/null
	chmod 0640 "$CA/$A.pem"
	before=$(sha256sum "$CA/$A.pem")
	[ "$(attach $A | jq -r .error.kind)" = denied ]
	chmod 0600 "$CA/$A.pem"
	mv "$CA/$A.pem" "$WORLD/elsewhere.pem"
	ln -s "$WORLD/elsewhere.pem" "$CA/$A.pem"
	[ "$(attach $A | jq -r .error.kind)" != null ]
	rm "$CA/$A.pem"
	mv "$WORLD/elsewhere.pem" "$CA/$A.pem"
	[ "$(sha256sum "$CA/$A.pem")" = "$before" ]
	# Another sandbox's key under this name is no CA of this sandbox.
	cp -p "$CA/$A.pem" "$CA/$B.pem"
	[ "$(attach $B | jq -r .error.kind)" = internal ]
	head -c 300 "$CA/$A.pem" >"$CA/$B.pem"
	[ "$(attach $B | jq -r .error.kind)" = internal ]
	kill "$KEEPER"
	wait_for 5 keeper_gone
	chmod 0755 "$CA"
	run -1 "$SBX_BIN/sbx-keeper"
	[[ $output == *"may be used by others"* ]]
}

@test "forget deletes the CA, ends who is attached, and needs no keeper that runs" {
	keeper_start
	before=$(ca_of $A)
	ca_of $B >/dev/null
	mkfifo "$WORLD/hold"
	python3 "$PEER" hold $A <"$WORLD/hold" >"$WORLD/held" 3>&- &
	holder=$!
	exec 7>"$WORLD/hold"
	wait_for 10 grep -q attached "$WORLD/held"
	"$SBX_BIN/sbx-keeper" --forget $A
	[ ! -e "$CA/$A.pem" ] && [ -e "$CA/$B.pem" ]
	exec 7>&-
	wait "$holder"
	[ "$(tail -1 "$WORLD/held")" = closed ]
	[ "$(ca_of $A)" != "$before" ]
	"$SBX_BIN/sbx-keeper" --forget $A
	"$SBX_BIN/sbx-keeper" --forget $A
	kill "$KEEPER"
	wait_for 5 keeper_gone
	"$SBX_BIN/sbx-keeper" --forget $B
	[ "$(find "$CA" -type f | wc -l)" = 0 ]
	run -1 "$SBX_BIN/sbx-keeper" --forget ../x
}

@test "it ends when nobody is connected, and not while a sandbox is" {
	keeper_start --idle-exit 4
	mkfifo "$WORLD/hold"
	python3 "$PEER" hold $A <"$WORLD/hold" >"$WORLD/held" 3>&- &
	holder=$!
	exec 7>"$WORLD/hold"
	wait_for 10 grep -q attached "$WORLD/held"
	run ! wait_for 6 keeper_gone
	exec 7>&-
	wait "$holder"
	[ "$(tail -1 "$WORLD/held")" = open ]
	wait_for 10 keeper_gone
	wait "$KEEPER"
	grep -q "event=ended reason=idle" "$WORLD/log"
}

@test "a second keeper does not serve" {
	keeper_start
	run -1 "$SBX_BIN/sbx-keeper"
	[[ $output == *"another sbx-keeper runs"* ]]
	[ "$(peer ask '{"op":"version"}' | jq -r .pid)" = "$KEEPER" ]
}

@test "it has no privileges, no network, no dumps" {
	keeper_start
	[ "$(awk '/^(CapEff|CapPrm):/ {print $2}' /proc/$KEEPER/status | sort -u)" = 0000000000000000 ]
	[ "$(awk '/^(NoNewPrivs|Seccomp):/ {print $2}' /proc/$KEEPER/status | tr '\n' ' ')" = "1 2 " ]
	[ "$(awk '/^Max core file size/ {print $5 $6}' /proc/$KEEPER/limits)" = 00 ]
	if [ "$(peer ask '{"op":"version"}' | jq .netns)" = true ]; then
		[ "$(readlink /proc/$KEEPER/ns/net)" != "$(readlink /proc/self/ns/net)" ]
	fi
	[ "$(awk '/^VmLck:/ {print ($2 > 0)}' /proc/$KEEPER/status)" = 1 ]
}
