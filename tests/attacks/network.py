"""Attacks that try to send something out, or to take something in.

Listeners of the test wait on the host and answer every first byte with the flag.
"""

import errno
import os
import socket
import struct

from attack import Failed, attack, main

NETLINK_KOBJECT_UEVENT = 15
SECONDS = 1.0


def ask(family, kind, address, given):
    """Connects, sends a byte, and gets the flag."""
    with socket.socket(family, kind) as client:
        client.settimeout(SECONDS)
        client.connect(address)
        client.send(b"?")
        answer = client.recv(200)
    if answer != given["flag"].encode():
        raise Failed(f"{answer!r} is not the flag")
    return f"{address!r} answered"


@attack("tcp-over-ipv4")
def tcp4(given):
    return ask(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", given["tcp4"]), given)


@attack("tcp-over-ipv4-to-another-address")
def tcp4_address(given):
    return ask(socket.AF_INET, socket.SOCK_STREAM, (given["own_address"], given["tcp4"]), given)


@attack("tcp-over-ipv6")
def tcp6(given):
    return ask(socket.AF_INET6, socket.SOCK_STREAM, ("::1", given["tcp6"]), given)


@attack("tcp-over-ipv6-to-an-ipv4-address")
def tcp6_mapped(given):
    return ask(socket.AF_INET6, socket.SOCK_STREAM, ("::ffff:127.0.0.1", given["tcp4"]), given)


@attack("udp-over-ipv4")
def udp4(given):
    return ask(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", given["udp4"]), given)


@attack("udp-over-ipv4-to-another-address")
def udp4_address(given):
    return ask(socket.AF_INET, socket.SOCK_DGRAM, (given["own_address"], given["udp4"]), given)


@attack("udp-over-ipv6")
def udp6(given):
    return ask(socket.AF_INET6, socket.SOCK_DGRAM, ("::1", given["udp6"]), given)


@attack("ask-a-name-server")
def dns(given):
    # The listener stands in for the resolver that /etc/resolv.conf names.
    name = b"".join(bytes([len(part)]) + part for part in (b"secret", b"example", b"com")) + b"\0"
    query = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + name + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(SECONDS)
        client.sendto(query, (given["own_address"], given["udp4"]))
        return client.recv(200)


@attack("resolve-the-name-of-the-host")
def resolve(given):
    return socket.getaddrinfo(given["name"], 80)[0][4]


@attack("fast-open")
def fast_open(given):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        # Connects and sends in one call, past whoever watches connect(2) alone. Blocking: with a time limit
        # Python would not wait for the connection.
        client.sendto(b"?", socket.MSG_FASTOPEN, ("127.0.0.1", given["tcp4"]))
        return client.recv(200)


@attack("raw-icmp")
def icmp(given):
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return "a raw socket"


@attack("raw-icmp-over-ipv6")
def icmp6(given):
    socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6).close()
    return "a raw socket"


@attack("packets-of-the-link")
def packets(given):
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)).close()
    return "a packet socket"


@attack("an-abstract-socket-of-the-host")
def abstract(given):
    return ask(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + given["abstract"], given)


@attack("an-abstract-datagram-socket-of-the-host")
def abstract_datagram(given):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect("\0" + given["abstract"] + "-datagram")
        return client.send(b"?")


@attack("a-socket-file-of-the-host")
def socket_file(given):
    return ask(socket.AF_UNIX, socket.SOCK_STREAM, given["socket"], given)


@attack("a-virtual-machine-socket")
def vsock(given):
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()
    return "a vsock socket"


@attack("events-of-the-kernel")
def uevents(given):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_KOBJECT_UEVENT) as events:
        events.bind((0, 1))
    return "a uevent socket"


@attack("see-the-links-of-the-host")
def links(given):
    names = [name for _, name in socket.if_nameindex() if name != "lo"]
    if not names:
        raise Failed("only the loopback")
    return names


@attack("bring-up-a-tunnel")
def tunnel(given):
    os.close(os.open("/dev/net/tun", os.O_RDWR))
    return "/dev/net/tun"


@attack("see-a-port-of-the-host")
def see_port(given):
    # It is taken already where the host's ports are seen.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        try:
            server.bind(("127.0.0.1", given["tcp4"]))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return error
    raise Failed("the port is free here")


if __name__ == "__main__":
    main()
