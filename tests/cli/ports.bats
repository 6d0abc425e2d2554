# SPDX-License-Identifier: Apache-2.0
#
# sbx ports, for a sandbox that does not run: what is remembered, shown and refused.

load helper

setup() {
	world_make
	template_make
	sandbox_make box "$WORLD/one"
}
teardown() { world_drop; }

@test "a sandbox without ports" {
	run -0 --separate-stderr sbx ports box
	[ -z "$output" ]
	[[ $stderr == *"sbx ports box --publish 8080:3000"* ]]
	[ "$(sbx ports box --json | jq -c .)" = '[]' ]
	fails 1 "sandbox 'nothing' not found" sbx ports nothing
}

@test "publish, show, take back; all of it outlives the daemon" {
	run -0 --separate-stderr sbx ports box --publish 8080:3000 --publish 4000 --publish '[::1]:8443:443/tcp6'
	[ "$output" = $'Published 127.0.0.1:8080 -> 3000/tcp\nPublished 127.0.0.1:auto -> 4000/tcp\nPublished [::1]:8443 -> 443/tcp' ]
	[[ $stderr == *"does not run"* ]]
	sbx daemon stop
	run -0 --separate-stderr sbx ports box
	[ "${lines[0]}" = "HOST IP    HOST PORT  SANDBOX PORT  PROTOCOL" ]
	[ "${lines[1]}" = "127.0.0.1  8080       3000          tcp" ]
	[ "${lines[2]}" = "127.0.0.1  auto       4000          tcp" ]
	[ "${lines[3]}" = "::1        8443       443           tcp" ]
	[ "$(sbx ports box --json | jq -c '.[0]')" = '{"host_ip":"127.0.0.1","host_port":8080,"sandbox_port":3000,"protocol":"tcp"}' ]
	[[ $(sbx ls) == *"127.0.0.1:8080->3000/tcp, 127.0.0.1:auto->4000/tcp, [::1]:8443->443/tcp"* ]]
	[[ $(sbx inspect box) == *"Ports:       127.0.0.1:8080 -> 3000/tcp"* ]]
	run -0 --separate-stderr sbx ports box --unpublish 8080:3000 --unpublish 4000 --publish 8080:3001
	[ "$output" = $'Unpublished 127.0.0.1:8080 -> 3000/tcp\nUnpublished 127.0.0.1:auto -> 4000/tcp\nPublished 127.0.0.1:8080 -> 3001/tcp' ]
	[ "$(sbx ports box --json | jq -c 'map([.host_port, .sandbox_port])')" = '[[8443,443],[8080,3001]]' ]
}

@test "all or nothing: a change that is refused changes nothing" {
	sbx ports box --publish 8080:3000
	fails 1 '127.0.0.1:8080 is published already, for port 3000' sbx ports box --publish 9090:1 --publish 8080:2
	fails 1 'port 3001 of the sandbox is not published' sbx ports box --unpublish 3000 --unpublish 3001
	fails 1 'port 3000 of the sandbox is not published at 8081' sbx ports box --unpublish 8081:3000
	[ "$(sbx ports box --json | jq -c 'map([.host_port, .sandbox_port])')" = '[[8080,3000]]' ]
}

@test "what is wrong with a SPEC is said" {
	fails 2 "'x' names no port" sbx ports box --publish x
	fails 2 'only TCP' sbx ports box --publish 53:53/udp
	fails 2 'no IP address' sbx ports box --publish localhost:80:80
	fails 2 'port is a number from 1 to 65535' sbx ports box --publish 70000:80
	fails 2 'host port other than 0' sbx ports box --unpublish 0:80
	fails 125 "'x' names no port" sbx run -p x shell
	run ! curl -sSf --unix-socket "$SOCKET" -d '{"publish":[{"sandbox_port":80,"x":1}]}' http://localhost/v1/sandboxes/box/ports
	[ "$(curl -sS --unix-socket "$SOCKET" -d '{"publish":[{"sandbox_port":0}]}' http://localhost/v1/sandboxes/box/ports | jq -r .error.kind)" = invalid ]
	[ "$(curl -sS --unix-socket "$SOCKET" -d '{"ports":[]}' http://localhost/v1/sandboxes/box/ports | jq -r .error.kind)" = invalid ]
}

@test "64 at most" {
	specs=()
	for i in $(seq 64); do
		specs+=(--publish "$((20000 + i)):$i")
	done
	sbx ports box "${specs[@]}" >/dev/null
	fails 1 'at most 64 ports' sbx ports box --publish 30000:65
}
