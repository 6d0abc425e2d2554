// SPDX-License-Identifier: Apache-2.0
// https.js URL [PROXY]: Node's clients. Prints a line per client: its name, the HTTP version where it tells, the body.
// With PROXY (host:port) only `https`, in a tunnel that CONNECT opened.
'use strict';
const http = require('http');
const http2 = require('http2');
const https = require('https');

const url = new URL(process.argv[2]);

function text(stream) {
	return new Promise((resolve, reject) => {
		let all = '';
		stream.on('data', (chunk) => { all += chunk; }).on('end', () => resolve(all)).on('error', reject);
	});
}

function get(options) {
	return new Promise((resolve, reject) => {
		https.get(url, { agent: false, ...options }, async (r) => resolve([r.httpVersion, await text(r)])).on('error', reject);
	});
}

function tunnel(proxy) {
	const [host, port] = proxy.split(':');
	return new Promise((resolve, reject) => {
		http.request({ host, port, method: 'CONNECT', path: `${url.hostname}:443`, headers: { Host: `${url.hostname}:443` } })
			.on('connect', (response, socket) => (response.statusCode === 200 ? resolve(socket) : reject(response.statusCode)))
			.on('error', reject).end();
	});
}

async function get2() {
	const session = http2.connect(url.origin);
	await new Promise((resolve, reject) => session.on('connect', resolve).on('error', reject));
	const body = await text(session.request({ ':path': url.pathname }));
	session.close();
	return [session.alpnProtocol, body];
}

async function main(proxy) {
	if (proxy) {
		console.log('https', ...await get({ socket: await tunnel(proxy) }));
		return;
	}
	console.log('https', ...await get({}));
	console.log('http2', ...await get2());
	console.log('fetch', '-', await (await fetch(url)).text());
}

main(process.argv[3]).catch((problem) => {
	console.log('failed', problem.code || problem.cause?.code || problem);
	process.exit(1);
});
