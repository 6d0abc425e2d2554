// SPDX-License-Identifier: Apache-2.0
// ws_peer.js server ADDRESS CERT KEY | client URL CA [PROXY]: the WebSocket conversation of test_clients.py with npm's ws, which is
// found by NODE_PATH. The server prints "ready"; the client says "done" where all was as it ought to be.
'use strict';
const assert = require('assert');
const fs = require('fs');
const http = require('http');
const https = require('https');
const tls = require('tls');
const { once } = require('events');
const WebSocket = require('ws');

const LARGE = Buffer.alloc(1 << 20, (() => { let s = 1; return Buffer.from(Array.from({ length: 65537 }, () => (s = s * 75 % 65537) & 255)); })());

function serve(address, cert, key) {
	const server = https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) });
	const sockets = new WebSocket.Server({ server, perMessageDeflate: { threshold: 0 } });
	let last = 0;
	sockets.on('connection', (ws) => {
		ws.on('close', (code) => { last = code; });
		ws.on('message', (data, binary) => {
			const text = binary ? '' : data.toString();
			if (text === 'last') ws.send(String(last));
			else if (text === 'ping') ws.ping('from the server');
			else if (text === 'close') ws.close(4321, 'as asked');
			else if (binary) ws.send(data);
			else {
				ws.send(data.subarray(0, 3), { fin: false, binary: false });
				ws.send(data.subarray(3), { fin: true, binary: false });
			}
		});
		ws.on('pong', (data) => { if (data.length) ws.send(`pong ${data}`); });
	});
	server.listen(443, address, () => console.log('ready'));
}

async function tunnel(proxy, name) {
	const [host, port] = proxy.split(':');
	const request = http.request({ host, port, method: 'CONNECT', path: `${name}:443`, headers: { Host: `${name}:443` } }).end();
	const [response, socket] = await once(request, 'connect');
	assert.strictEqual(response.statusCode, 200);
	return socket;
}

async function open(url, ca, proxy, deflate) {
	const options = { ca, perMessageDeflate: deflate && { threshold: 0 } };
	const servername = new URL(url).hostname;
	if (proxy) {
		const socket = await tunnel(proxy, servername);
		options.createConnection = () => tls.connect({ socket, ca, servername, ALPNProtocols: ['http/1.1'] });
	}
	const ws = new WebSocket(url, options);
	await once(ws, 'open');
	assert.strictEqual(ws.extensions.includes('permessage-deflate'), deflate);
	return ws;
}

async function reply(ws, text) {
	ws.send(text);
	return (await once(ws, 'message'))[0].toString();
}

async function talk(ws) {
	ws.send('frag', { fin: false });
	ws.send('men', { fin: false });
	ws.send('ted ü', { fin: true });
	assert.strictEqual((await once(ws, 'message'))[0].toString(), 'fragmented ü');
	ws.send(LARGE);
	const [data, binary] = await once(ws, 'message');
	assert(binary && LARGE.equals(data));
	const pong = once(ws, 'pong');
	ws.ping('from the client');
	assert.strictEqual((await pong)[0].toString(), 'from the client');
	assert.strictEqual(await reply(ws, 'ping'), 'pong from the server');
}

async function client(url, caFile, proxy) {
	const ca = fs.readFileSync(caFile);
	for (const deflate of [true, false]) {
		const ws = await open(url, ca, proxy, deflate);
		await talk(ws);
		ws.close(4001, 'enough');
		assert.strictEqual((await once(ws, 'close'))[0], 4001);
	}
	const ws = await open(url, ca, proxy, true);
	assert.strictEqual(await reply(ws, 'last'), '4001');
	ws.send('close');
	const [code, reason] = await once(ws, 'close');
	assert.deepStrictEqual([code, reason.toString()], [4321, 'as asked']);
	console.log('done');
}

if (process.argv[2] === 'server') serve(...process.argv.slice(3));
else client(...process.argv.slice(3)).catch((problem) => { console.log(problem); process.exit(1); });
