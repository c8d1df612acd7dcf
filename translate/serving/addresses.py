"""Addresses of clients: whom one belongs to, and those of proxies."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from translate.errors import UserError

_SUBSCRIBER = 64  # bits of an IPv6 address: a subscriber has at least a /64, and may choose the others


@lru_cache(1 << 12)
def subscriber_of(address: str) -> str:
    """The address, of IPv6 its network of 64 bits; what is no address, such as a socket's path, stays."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed.packed[: _SUBSCRIBER // 8] + bytes(16 - _SUBSCRIBER // 8), _SUBSCRIBER)))


def require_proxies(proxies: Iterable[str]) -> None:
    """Raise UserError for what is neither an address nor a network nor "*"."""
    for each in proxies:
        try:
            _ = each == "*" or ip_network(each, strict=False)
        except ValueError:
            raise UserError(f"proxies: {each} is no address, network such as 10.0.0.0/8, or *") from None


def is_among(address: str, proxies: Iterable[str]) -> bool:
    """True if a list of addresses, networks and "*" has the address."""
    return any(each in ("*", address) or ("/" in each and _is_in(address, each)) for each in proxies)


def _is_in(address: str, network: str) -> bool:
    try:
        return ip_address(address) in ip_network(network, strict=False)
    except ValueError:
        return False
