# SPDX-License-Identifier: Apache-2.0
"""nameserver ADDRESS NAME=IPV4...: answers A queries for these names over UDP on port 53, everything else with no record."""
import socket
import struct
import sys


def main():
    names = dict(arg.split("=") for arg in sys.argv[2:])
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((sys.argv[1], 53))
    while True:
        query, client = server.recvfrom(4096)
        end, labels = 12, []
        while query[end]:
            labels.append(query[end + 1:end + 1 + query[end]].decode().lower())
            end += 1 + query[end]
        question = query[12:end + 5]
        address = names.get(".".join(labels)) if question[-4:] == b"\0\1\0\1" else None
        answer = b"\xc0\x0c\0\1\0\1" + struct.pack("!IH", 60, 4) + socket.inet_aton(address) if address else b""
        server.sendto(query[:2] + b"\x81\x80\0\1" + struct.pack("!H", bool(address)) + b"\0\0\0\0" + question + answer, client)


if __name__ == "__main__":
    main()
