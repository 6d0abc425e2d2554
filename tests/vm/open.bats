# SPDX-License-Identifier: Apache-2.0
#
# Programs in a sandbox that want a URL opened: what reaches the host's browser, what does not, and the way back of a sign-in.

load helper

setup_file() {
	world_make
	mkdir "$WORLD/p"
	sbx policy allow auth.example.com >&2
	sbx create --name box shell "$WORLD/p" >&2
	# Writes each argument on a line of its own, and a line for the end.
	printf '#!/bin/sh\nprintf "<%%s>\\n" "$@" >>"%s/opened"\necho end >>"%s/opened"\n' "$WORLD" "$WORLD" >"$WORLD/browser"
	chmod +x "$WORLD/browser"
	export BROWSER=$WORLD/browser
}
teardown_file() { world_drop; }
setup() { rm -f "$WORLD/opened"; }

# session COMMAND...: runs it in the sandbox with a terminal; prints what it says.
session() {
	script -qefc "$(printf '%q ' sbx exec -it box "$@")" /dev/null </dev/null | tr -d '\r'
}

# guest COMMAND: without a terminal.
guest() {
	sbx exec box sh -c "$1"
}


@test "what is no URL for a browser is refused" {
	run -4 guest 'xdg-open javascript:alert\(1\)'
	[[ $output == *"xdg-open: not opened: only http:// and https:// can be opened"* ]]
	run -4 guest 'sensible-browser file:///etc/passwd'
	run -4 guest 'www-browser "$(printf "https://auth.example.com/\033]0;x\007")"'
	[[ $output == *"control bytes"* ]]
	run -4 guest 'xdg-open "https://auth.example.com/$(head -c 9000 /dev/zero | tr "\0" a)"'
	[[ $output == *"longer than 8 KiB"* ]]
	run -4 guest '$BROWSER "https://auth.example.com@evil.test/"'
	[[ $output == *"user name before the host"* ]]
	run -4 guest 'xdg-open "https://auth.example.com\\@evil.test/"'
	run -4 guest 'xdg-open http://localhost:3000/'
	[[ $output == *"port 3000 of the sandbox is not published"*"sbx ports box --publish 3000"* ]]
	run -1 guest 'xdg-open'
	[ ! -e "$WORLD/opened" ]
	run -0 --separate-stderr sbx open box --json
	[ "$output" = '[]' ]
}

@test "with a terminal it is opened at once: one argument, written anew, no shell" {
	run -0 session sh -c 'xdg-open "HTTPS://Auth.Example.com:443/a?b=\$(id);\`id\`#e" && echo fine'
	[[ $output == *fine* ]]
	[ "$(cat "$WORLD/opened")" = $'<https://auth.example.com/a?b=$(id);%60id%60#e>\nend' ]
}

@test "the policy is asked first" {
	run -0 session sh -c 'xdg-open https://evil.example.net/login; echo "ended $?"'
	[[ $output == *"xdg-open: not opened: Blocked by network policy: "*evil.example.net*"sbx policy allow"*"ended 4"* ]]
	[ ! -e "$WORLD/opened" ]
	run -0 --separate-stderr sbx open box --json
	[ "$output" = '[]' ]
}

@test "without anybody there it waits, for sbx open, and the program hears so" {
	run -4 guest 'xdg-open https://auth.example.com/device'
	[[ $output == *"it waits for a person: on the host, \`sbx open box\`"* ]]
	[ "$(sbx inspect --json box | jq .opens)" = 1 ]
	[ ! -e "$WORLD/opened" ]
	run -0 --separate-stderr sbx open box --json
	jq -e 'length == 1 and .[0].url == "https://auth.example.com/device" and (.[0].local | not)' <<<"$output"
	fails 1 "no URL '99'" sbx open box 99
	run -0 --separate-stderr sbx open --print box
	[ "$output" = https://auth.example.com/device ]
	run -0 sbx open box
	[[ $output == "No URL of 'box' waits"* ]]
}

@test "a sign-in leads back to the program that waits in the sandbox, once" {
	local url='https://auth.example.com/authorize?redirect_uri=http%3A%2F%2Flocalhost%3A18455%2Fcb&state=1'
	local here=http://localhost:18455

	wait_for 30 served
	# Somebody has the port.
	python3 -c 'import signal, socket, sys; s = socket.create_server(("127.0.0.1", 18455)); open(sys.argv[1], "w"); signal.pause()' \
		"$WORLD/taken" </dev/null >/dev/null 2>&1 3>&- &
	local holder=$!
	wait_for 10 test -e "$WORLD/taken"
	run -0 session sh -c "xdg-open '$url' || echo refused"
	[[ $output == *"port 18455 of this host, which is in use"*refused* ]]
	kill "$holder"
	wait "$holder" || true
	[ ! -e "$WORLD/opened" ]
	# It waits on; and while it does, nothing listens.
	run -7 curl -sS "$here/cb"
	run -0 sbx open box
	[[ $output == *"port 18455"* ]]
	grep -qF "<$url>" "$WORLD/opened"

	[ "$(curl -s -o /dev/null -w '%{http_code}' "$here/")" = 404 ]
	[ "$(curl -s -o /dev/null -w '%{http_code}' "$here/cbx?code=1")" = 404 ]
	[ "$(curl -s -o /dev/null -w '%{http_code}' -d code=1 "$here/cb")" = 405 ]
	[ "$(curl -s -o /dev/null -w '%{http_code}' -H 'Host: evil.test:18455' "$here/cb?code=1")" = 421 ]
	[ "$(curl -s -o /dev/null -w '%{http_code}' -H 'Origin: https://evil.test' "$here/cb?code=1")" = 403 ]
	[ "$(curl -s -o /dev/null -w '%{http_code}' -H 'Sec-Fetch-Mode: no-cors' "$here/cb?code=1")" = 403 ]
	[ "$(curl -s -o /dev/null -w '%{http_code}' -H "X: $(head -c 20000 /dev/zero | tr '\0' a)" "$here/cb?code=1")" = 431 ]
	run -1 guest 'test -e /tmp/request'

	[ "$(curl -s -o /dev/null -w '%{http_code} %{redirect_url} %header{content-security-policy} %header{connection}' -b other=service \
		"$here/cb?code=abc")" = "302 $here/done sandbox close" ]
	run -0 --separate-stderr guest 'tr -d "\r" </tmp/request'
	[ "$output" = $'GET /cb?code=abc HTTP/1.1\nHost: localhost:18455\nAccept: text/html, */*\nConnection: close' ]
	# Once, and so does what it is redirected to, exactly. Everything else is answered on the host; then nothing listens any more.
	[[ $(curl -s "$here/done?x") == "Signed in, in the sandbox."* ]]
	[ "$(curl -s -o /dev/null -w '%{http_code}' -H 'Origin: https://evil.test' "$here/done")" = 403 ]
	[ "$(curl -s -o /dev/null -w '%{http_code} %header{content-security-policy}' "$here/done")" = "302 sandbox" ]
	[[ $(curl -s "$here/done") == "Signed in, in the sandbox."* ]]
	[[ $(curl -s "$here/cb?code=again") == "Signed in, in the sandbox."* ]]
	run -0 --separate-stderr guest 'tr -d "\r" </tmp/request | grep -c GET; grep -o "GET /done HTTP" /tmp/request'
	[ "$output" = $'2\nGET /done HTTP' ]
	wait_for 30 closed
}

# served: a program in the sandbox waits on 127.0.0.1:18455 for one request, which it writes down.
served() {
	guest 'test -e /tmp/waiting' || {
		sbx exec -i box python3 - <<-'PY' >/dev/null 2>&1 3>&- &
			import socket
			s = socket.create_server(("127.0.0.1", 18455))
			open("/tmp/waiting", "w").close()
			while True:
			    c, _ = s.accept()
			    with open("/tmp/request", "ab") as f:
			        f.write(c.recv(65536).rstrip())
			    c.sendall(b"HTTP/1.1 302 Found\r\nLocation: /done\r\nContent-Length: 0\r\n\r\n")
			    c.close()
		PY
		return 1
	}
}
closed() {
	! curl -s -o /dev/null http://localhost:18455/done
}

@test "a sandbox that asks too often is refused" {
	run guest 'for i in 1 2 3 4 5 6 7 8; do xdg-open https://auth.example.com/$i 2>&1; done'
	[[ $output == *"too many URLs: one every 12 seconds"* ]]
	[ "$(sbx open --json box | jq length)" -le 5 ]
	[ ! -e "$WORLD/opened" ]
}
