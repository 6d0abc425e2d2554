# SPDX-License-Identifier: Apache-2.0
"""The network in which the agents' tests run, made of two namespaces of our own:

  host   where programs of the test run (the daemon, so the proxies), with a default route to world and a view of the
         filesystem in which /etc/resolv.conf names the test's name server
  world  addresses that look globally routable; on one of them the name server, on another the providers' doubles, under the
         providers' real names, with certificates of the test's authority

Any other name does not exist. The product knows nothing of this: it reads /etc/resolv.conf and its setting network.extraCaFile.
"""
import os
import pathlib
import socket
import ssl
import sys
import threading
import http.server

import dnslib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "proxy"))

from testrange import Authority, Netns, add, join  # noqa: E402

import double  # noqa: E402

API4, DNS4 = "93.184.216.10", "93.184.216.53"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, sock, context, handler):
        super().__init__(("", 0), handler, bind_and_activate=False)
        self.socket.close()
        self.socket, self.context = sock, context

    def server_activate(self):
        pass

    def get_request(self):
        sock, peer = self.socket.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), peer

    def finish_request(self, request, peer):
        request.settimeout(double.IDLE)
        request.do_handshake()
        super().finish_request(request, peer)

    def handle_error(self, request, peer):
        # A client that went away; what it did not get shows in the test.
        pass


class World:
    """keys: by host, the real keys. place: a directory of the test's own, for what programs read from files."""

    def __init__(self, place, keys):
        self.place = pathlib.Path(place)
        self.ca = Authority("Test of agents")
        self.ca_file = self.place / "test-ca.pem"
        self.ca_file.write_bytes(self.ca.pem())
        self.doubles = double.Doubles(keys, self.place / "requests.jsonl")
        self.queries = set()  # names that were asked for
        self._networks()
        self._origin()
        self._name_server()

    def _networks(self):
        self.host, self.world = Netns(), Netns()
        join(self.host, "up0", self.world, "down0")
        add(self.host, "up0", "10.99.0.2/24")
        add(self.world, "down0", "10.99.0.1/24")
        self.world.run("ip", "route", "add", "local", "93.184.216.0/24", "dev", "lo")
        self.host.run("ip", "route", "add", "default", "via", "10.99.0.1")
        self.resolv = self.place / "resolv.conf"
        self.resolv.write_text(f"nameserver {DNS4}\noptions timeout:2 attempts:2\n")

    def _origin(self):
        chain, key = self.ca.leaf(list(double.ROUTES))
        both = self.place / "origin.pem"
        both.write_bytes(chain + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(both)
        context.set_alpn_protocols(["http/1.1"])
        with self.world.inside():
            sock = socket.create_server((API4, 443), backlog=64)
        self.server = Server(sock, context, double.handler(self.doubles))
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def _name_server(self):
        with self.world.inside():
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind((DNS4, 53))
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self):
        while True:
            try:
                packet, peer = self.udp.recvfrom(4096)
                query = dnslib.DNSRecord.parse(packet)
            except dnslib.DNSError:
                continue
            except OSError:
                return
            name = str(query.q.qname).rstrip(".").lower()
            self.queries.add(name)
            reply = query.reply()
            if name not in double.ROUTES:
                reply.header.rcode = dnslib.RCODE.NXDOMAIN
            elif query.q.qtype == dnslib.QTYPE.A:
                reply.add_answer(dnslib.RR(name, dnslib.QTYPE.A, rdata=dnslib.A(API4), ttl=5))
            self.udp.sendto(reply.pack(), peer)

    def command(self, *argv):
        """What runs argv with this world's /etc/resolv.conf; it still has to enter the network."""
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(self.resolv), *map(str, argv)]

    def run(self, *argv, **how):
        return self.host.run(*self.command(*argv), **how)

    def popen(self, *argv, **how):
        return self.host.popen(*self.command(*argv), **how)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.udp.close()
        for ns in (self.host, self.world):
            os.close(ns.fd)
