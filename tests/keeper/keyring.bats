# SPDX-License-Identifier: Apache-2.0
#
# The keeper's store with a real Secret Service (gnome-keyring on a session bus of its own) and the kernel's keyring: what is on the disk, and
# what happens where the key is locked, lost, or somewhere else.

bats_require_minimum_version 1.5.0

VALUE=sk-live-0123456789-abcdefghij

setup() {
	SBX_BIN=${SBX_BIN:-${SBX_BUILD:-$BATS_TEST_DIRNAME/../../build}/bin}
	SBX_BIN=$(readlink -f "$SBX_BIN")
	WORLD=$(mktemp -d "${TMPDIR:-/tmp}/sbx-keyring.XXXXXX")
	export XDG_STATE_HOME=$WORLD/state XDG_RUNTIME_DIR=$WORLD/run XDG_CONFIG_HOME=$WORLD/config XDG_CACHE_HOME=$WORLD/cache \
		XDG_DATA_HOME=$WORLD/data HOME=$WORLD SBX_NONINTERACTIVE=1
	unset DBUS_SESSION_BUS_ADDRESS GNOME_KEYRING_CONTROL DISPLAY
	mkdir -m 0700 "$XDG_STATE_HOME" "$XDG_RUNTIME_DIR" "$XDG_CONFIG_HOME" "$XDG_CACHE_HOME" "$XDG_DATA_HOME"
	PATH=$SBX_BIN:$PATH
	STORE=$XDG_STATE_HOME/sbx/keeper/secrets
	LOG=$XDG_STATE_HOME/sbx/keeper.log
	BUS_PID= RING_PID=
}

teardown() {
	keeper_stop
	bus_stop
	local id
	id=$(jq -r '.id // empty' "$STORE/key.json" 2>/dev/null) || true
	[ -z "$id" ] || "$SBX_BIN/sbx-keyring" drop kernel "$id" || true
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

gone() { ! kill -0 "$1" 2>/dev/null; }

keeper_pid() { sed -n 's/.*event=ready pid=\([0-9]*\).*/\1/p' "$LOG" 2>/dev/null | tail -1; }

keeper_stop() {
	local pid
	pid=$(keeper_pid)
	[ -n "$pid" ] || return 0
	kill "$pid" 2>/dev/null || true
	wait_for 5 gone "$pid"
}

# bus_start: a session bus, without the services that the system would start on it.
bus_start() {
	cat >"$WORLD/bus.conf" <<-END
		<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
		<busconfig><type>session</type><listen>unix:path=$WORLD/run/bus</listen><auth>EXTERNAL</auth>
		<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
	END
	dbus-daemon --config-file="$WORLD/bus.conf" --nofork --print-address=4 4>"$WORLD/address" 3>&- >&2 &
	BUS_PID=$!
	wait_for 10 test -s "$WORLD/address"
	export DBUS_SESSION_BUS_ADDRESS=unix:path=$WORLD/run/bus
}

# ring_start PASSWORD: its login keyring is made, or unlocked, with it; without an argument it stays locked.
ring_start() {
	if [ $# -gt 0 ]; then
		printf %s "$1" | gnome-keyring-daemon --foreground --components=secrets --control-directory="$WORLD/run/control" --unlock 3>&- >/dev/null 2>"$WORLD/ring.log" &
	else
		gnome-keyring-daemon --foreground --components=secrets --control-directory="$WORLD/run/control" 3>&- </dev/null >/dev/null 2>"$WORLD/ring.log" &
	fi
	RING_PID=$!
	wait_for 10 owned
	[ $# -eq 0 ] || wait_for 10 unlocked
}

owned() { dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.NameHasOwner string:org.freedesktop.secrets | grep -q "boolean true"; }
unlocked() { dbus-send --session --print-reply --dest=org.freedesktop.secrets /org/freedesktop/secrets/collection/login org.freedesktop.DBus.Properties.Get string:org.freedesktop.Secret.Collection string:Locked 2>/dev/null | grep -q "boolean false"; }

ring_stop() {
	[ -n "$RING_PID" ] || return 0
	kill "$RING_PID" 2>/dev/null || true
	wait "$RING_PID" || true
	RING_PID=
}

bus_stop() {
	ring_stop
	[ -n "$BUS_PID" ] || return 0
	kill "$BUS_PID" 2>/dev/null || true
	wait "$BUS_PID" || true
	BUS_PID=
	unset DBUS_SESSION_BUS_ADDRESS
}

# nowhere: the value is in no file of the state, in none of its usual disguises, and in no log.
nowhere() {
	local shift_by
	run ! grep -rlaF "$VALUE" "$XDG_STATE_HOME"
	for shift_by in "" x xx; do
		encoded=$(printf %s "$shift_by$VALUE" | base64 -w0)
		run ! grep -rlaF "${encoded:4:24}" "$XDG_STATE_HOME"
	done
	run ! grep -rlaF "$(printf %s "$VALUE" | od -An -tx1 | tr -d ' \n')" "$XDG_STATE_HOME"
}

status() { sbx secret ls 2>&1 >/dev/null; }
store() { sbx secret set -g "$1" <<<"$VALUE"; }

@test "with a Secret Service the store is encrypted from the first secret on, and opens after a restart" {
	bus_start
	ring_start login
	store openai
	[[ $(status) == *"encrypted; the key is in the Secret Service"* ]]
	[ -e "$STORE/secrets.enc" ] && [ ! -e "$STORE/secrets.json" ]
	[ "$(stat -c %a "$STORE"/* | sort -u)" = 600 ]
	nowhere
	[ "$(secret-tool search --all application sbx 2>&1 | grep -c "label = sbx: key of the secrets in $XDG_STATE_HOME/sbx")" = 1 ]
	first=$(sha256sum "$STORE/secrets.enc")
	store openai
	[ "$(sha256sum "$STORE/secrets.enc")" != "$first" ]
	keeper_stop
	store anthropic
	[ "$(sbx secret ls --json | jq length)" = 2 ]
	grep -q "event=store_unlocked by=service" "$LOG"
	nowhere
	run sbx diagnose
	[[ $output == *"encrypted; the key is in the Secret Service"* ]]
}

@test "what was stored before there was a Secret Service is encrypted when there is one" {
	store openai
	grep -qF "$VALUE" "$STORE/secrets.json"
	keeper_stop
	bus_start
	ring_start login
	[ "$(sbx secret ls --json | jq -r '.[].name')" = openai ]
	[ ! -e "$STORE/secrets.json" ]
	nowhere
	# Without a restart of the keeper, too: it is the next command that finds the service.
	sbx secret reset --force
	sbx secret protect none
	store openai
	grep -qF "$VALUE" "$STORE/secrets.json"
	sbx secret protect service
	nowhere
}

@test "a keeper that starts without the bus serves everything but values, and takes the key later" {
	bus_start
	ring_start login
	store openai
	keeper_stop
	address=$DBUS_SESSION_BUS_ADDRESS
	DBUS_SESSION_BUS_ADDRESS=unix:path=$WORLD/none sbx secret ls >"$WORLD/out" 2>"$WORLD/err" || { cat "$WORLD/err"; false; }
	grep -q openai "$WORLD/out"
	grep -q "secrets are locked (no session bus" "$WORLD/err"
	DBUS_SESSION_BUS_ADDRESS=unix:path=$WORLD/none run -1 store xai
	[[ $output == *"secrets are locked"*"sbx secret unlock"* ]]
	[ "$(python3 "$BATS_TEST_DIRNAME/peer.py" ask '{"op":"attach","sandbox":"00000000-0000-4000-8000-00000000000a"}' '{"op":"bindings"}' \
		'{"op":"inject","host":"api.openai.com","port":443,"path":"/v1"}' | jq -r '.error.kind // .secrets[0].name? // "ok"' | tr '\n' ' ')" = "ok openai unavailable " ]
	export DBUS_SESSION_BUS_ADDRESS=$address
	store xai
	[ "$(sbx secret ls --json | jq length)" = 2 ]
	[ "$(python3 "$BATS_TEST_DIRNAME/peer.py" ask '{"op":"attach","sandbox":"00000000-0000-4000-8000-00000000000a"}' \
		'{"op":"inject","host":"api.openai.com","port":443,"path":"/v1"}' | tail -1 | jq -r .value)" = "$VALUE" ]
}

@test "a locked keyring: nobody is asked, nothing is replaced" {
	bus_start
	ring_start login
	store openai
	keeper_stop
	ring_stop
	ring_start
	before=$(sha256sum "$STORE"/*)
	SECONDS=0
	[[ $(status) == *"the keyring of the Secret Service is locked"* ]]
	[ "$SECONDS" -lt 8 ]
	run -1 store xai
	[[ $output == *"is locked"* ]]
	[ "$(sha256sum "$STORE"/*)" = "$before" ]
	ring_stop
	ring_start login
	store xai
	[ "$(sbx secret ls --json | jq length)" = 2 ]
}

@test "a key that is lost, and a reset" {
	bus_start
	ring_start login
	store openai
	before=$(sha256sum "$STORE"/secrets.enc "$STORE"/key.json)
	secret-tool clear application sbx
	keeper_stop
	[[ $(status) == *"does not have the key any more"* ]]
	run -1 sbx secret unlock
	[[ $output == *"does not have the key any more"*"sbx secret reset"* ]]
	run -1 store openai
	[ "$(sha256sum "$STORE"/secrets.enc "$STORE"/key.json)" = "$before" ]
	sbx secret reset --force
	store openai
	[[ $(status) == *"encrypted; the key is in the Secret Service"* ]]
	nowhere
}

@test "changed files are errors that name them" {
	bus_start
	ring_start login
	store openai
	keeper_stop
	cp -p "$STORE/secrets.enc" "$WORLD/good"
	printf '\x41' | dd of="$STORE/secrets.enc" bs=1 seek=60 conv=notrunc status=none
	run -1 --separate-stderr sbx secret ls
	[[ $stderr == *"keeper/secrets/secrets.enc was changed"*"sbx secret reset"* ]]
	run -1 store xai
	[[ $output == *"secrets.enc was changed"* ]]
	keeper_stop
	cp -p "$WORLD/good" "$STORE/secrets.enc"
	[ "$(sbx secret ls --json | jq -r '.[].name')" = openai ]
	keeper_stop
	mv "$STORE/key.json" "$WORLD/key.json"
	run sbx secret ls
	[[ $output == *"key.json, which has the key to the documents beside it, is missing"* ]]
	run -1 store xai
	keeper_stop
	mv "$WORLD/key.json" "$STORE/key.json"
	[ "$(sbx secret ls --json | jq -r '.[].name')" = openai ]
	store xai
}

@test "a passphrase is asked for once: the kernel's keyring has its key when the keeper starts again" {
	[ -n "$(head -1 /proc/keys)" ] || skip "no kernel keyring"
	store openai
	sbx secret protect passphrase <<<"correct horse"
	nowhere
	keeper_stop
	store xai
	grep -q "event=store_unlocked by=passphrase" "$LOG"
	# As after a reboot.
	id=$(jq -r .id "$STORE/key.json")
	"$SBX_BIN/sbx-keyring" drop kernel "$id"
	keeper_stop
	[[ $(status) == *"the passphrase was not given since the last boot"* ]]
	run -1 store groq
	sbx secret unlock --timeout 8s <<<"correct horse"
	store groq
	keeper_stop
	store mistral
	wait_for 20 eval '[[ $(status) == *"secrets are locked"* ]]'
	run -1 store openai
	nowhere
}
