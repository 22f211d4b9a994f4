"""Attacks on the filtering proxy of an allow-list that names one address and port of the host."""

import os
import socket
import urllib.parse

from attack import Failed, attack, main

SECONDS = 3.0


def proxy():
    """Where the proxy listens; None outside, where a job connects for itself."""
    url = os.environ.get("http_proxy")
    return (lambda parts: (parts.hostname, parts.port))(urllib.parse.urlsplit(url)) if url else None


def expect(answer, given):
    if given["flag"].encode() not in answer:
        raise Failed(answer[:200].decode(errors="replace"))
    return "the flag"


def talk(address, request, given):
    """Says something to an address; what comes back is to have the flag."""
    with socket.create_connection(address, SECONDS) as client:
        client.settimeout(SECONDS)
        client.sendall(request)
        answer = b""
        while given["flag"].encode() not in answer:
            part = client.recv(4096)
            if not part:
                break
            answer += part
    return expect(answer, given)


def tunnel(host, port, given):
    """Connects by way of the proxy, or directly where there is none."""
    way = proxy()
    if way is None:
        return talk((host.strip("[]"), port), b"?", given)
    request = f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    with socket.create_connection(way, SECONDS) as client:
        client.settimeout(SECONDS)
        client.sendall(request)
        head = client.recv(4096)
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise Failed(head.split(b"\r\n")[0].decode(errors="replace"))
        client.sendall(b"?")
        return expect(client.recv(4096), given)


def get(url, given, host=None):
    """A plain request, through the proxy where there is one."""
    parts = urllib.parse.urlsplit(url)
    authority = parts.netloc.rsplit("@", 1)[-1]
    way = proxy()
    address, target = (way, url) if way else (authority_address(authority), parts.path)
    request = f"GET {target} HTTP/1.1\r\nHost: {host or authority}\r\nConnection: close\r\n\r\n"
    return talk(address, request.encode(), given)


def authority_address(authority):
    host, _, port = authority.rpartition(":")
    return host.strip("[]"), int(port)


def number(address):
    return int.from_bytes(socket.inet_aton(address), "big")


@attack("listed-address-by-a-tunnel")
def listed_tunnel(given):
    return tunnel("127.0.0.1", given["listed"], given)


@attack("listed-address-by-a-request")
def listed_request(given):
    return get(f"http://127.0.0.1:{given['listed']}/", given)


@attack("unlisted-port")
def unlisted_port(given):
    return tunnel("127.0.0.1", given["tcp4"], given)


@attack("unlisted-port-by-a-request")
def unlisted_port_request(given):
    return get(f"http://127.0.0.1:{given['tcp4']}/", given)


@attack("unlisted-address")
def unlisted_address(given):
    return tunnel(given["own_address"], given["tcp4"], given)


@attack("listed-port-of-an-unlisted-address")
def unlisted_address_listed_port(given):
    return tunnel("127.0.0.2", given["listed"], given)


@attack("unlisted-name-of-the-listed-address")
def unlisted_name(given):
    return tunnel("localhost", given["listed"], given)


@attack("unlisted-ipv6-address")
def unlisted_ipv6(given):
    return tunnel("[::1]", given["tcp6"], given)


@attack("unlisted-port-in-ipv6-form")
def mapped(given):
    return tunnel("[::ffff:127.0.0.1]", given["tcp4"], given)


@attack("unlisted-address-as-a-number")
def as_number(given):
    return tunnel(str(number("127.0.0.1")), given["tcp4"], given)


@attack("unlisted-address-as-hexadecimal")
def as_hexadecimal(given):
    return tunnel(hex(number("127.0.0.1")), given["tcp4"], given)


@attack("unlisted-address-as-octal")
def as_octal(given):
    return tunnel("0177.0.0.1", given["tcp4"], given)


@attack("unlisted-address-in-short")
def in_short(given):
    return tunnel("127.1", given["tcp4"], given)


@attack("the-unspecified-address")
def unspecified(given):
    return tunnel("0.0.0.0", given["tcp4"], given)


@attack("a-user-name-that-looks-like-a-host")
def user_name(given):
    return get(f"http://127.0.0.1:{given['listed']}@127.0.0.1:{given['tcp4']}/", given)


@attack("a-host-field-that-names-the-listed-one")
def host_field(given):
    listed = f"127.0.0.1:{given['listed']}"
    return get(f"http://127.0.0.1:{given['tcp4']}/", given, host=listed)


@attack("a-second-request-behind-the-first")
def smuggled(given):
    # The first goes to the listed address, the second to another one, all in one packet.
    listed, other = (f"127.0.0.1:{given[name]}" for name in ("listed_silent", "tcp4"))
    way = proxy()
    second = f"GET http://{other}/ HTTP/1.1\r\nHost: {other}\r\n\r\n".encode()
    if way is None:
        return talk(authority_address(other), second, given)
    first = f"GET http://{listed}/ HTTP/1.1\r\nHost: {listed}\r\nContent-Length: 0\r\n\r\n".encode()
    return talk(way, first + second, given)


@attack("past-the-proxy-over-ipv4")
def direct4(given):
    return talk(("127.0.0.1", given["listed"]), b"?", given)


@attack("past-the-proxy-to-another-address")
def direct_address(given):
    return talk((given["own_address"], given["tcp4"]), b"?", given)


@attack("past-the-proxy-over-ipv6")
def direct6(given):
    return talk(("::1", given["tcp6"]), b"?", given)


@attack("past-the-proxy-over-udp")
def direct_udp(given):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1.0)
        client.sendto(b"?", ("127.0.0.1", given["udp4"]))
        return expect(client.recv(200), given)


@attack("past-the-proxy-over-an-abstract-socket")
def direct_abstract(given):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect("\0" + given["abstract"])
        client.send(b"?")
        return expect(client.recv(200), given)


if __name__ == "__main__":
    main()
