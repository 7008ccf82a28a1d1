"""Whether ports are open to somebody. Hosts run it, too: python3 hosts_knock.py HOST:PORT..."""

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

OPEN, CLOSED, FILTERED = "open", "closed", "filtered"
"""Filtered is what nothing answers at all: packets are dropped, as by a security group."""

PATIENCE_S = 2.0


def knock(places: list[str], source: str = "") -> dict[str, str]:
    """Tell for each `host:port` what becomes of a connection, from an address of this machine."""

    def one(place: str) -> str:
        host, _, port = place.partition(":")
        try:
            with socket.create_connection((host, int(port)), PATIENCE_S, (source, 0)):
                return OPEN
        except TimeoutError:
            return FILTERED
        except ConnectionRefusedError:
            return CLOSED

    with ThreadPoolExecutor(len(places)) as pool:
        return dict(zip(places, pool.map(one, places), strict=True))


if __name__ == "__main__":
    print(json.dumps(knock(sys.argv[1:])))
