"""EC2's metadata service for the simulated hosts: version 2 alone, and for the asking host itself.

python hosts_metadata.py FOLDER. Answers go one hop, as with the hop limit that the Pulumi program
asks for: no container behind a host ever gets one.
"""

import json
import secrets
import socket
import sys
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from hosts_state import INSTANCE, State

ADDRESS = "169.254.169.254"
TOKEN = secrets.token_hex(16)


def known_of(state: State, address: str) -> dict[str, str]:
    """Map paths to what the host of an address is told there; nobody is told anything."""
    for instance in state.of(INSTANCE):
        if instance.added["privateIp"] == address:
            break
    else:
        return {}
    profile = instance.inputs["iamInstanceProfile"]
    return {
        "/latest/meta-data/instance-id": instance.id,
        "/latest/meta-data/iam/security-credentials/": profile,
        f"/latest/meta-data/iam/security-credentials/{profile}": _credentials(profile),
    }


def _credentials(profile: str) -> str:
    return json.dumps(
        {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "AccessKeyId": profile,
            "SecretAccessKey": "none",
            "Token": "none",
            "Expiration": f"{datetime.now(UTC) + timedelta(hours=6):%Y-%m-%dT%H:%M:%SZ}",
        }
    )


class Handler(BaseHTTPRequestHandler):
    """Answers one host."""

    folder: Path

    def do_PUT(self) -> None:
        """Give a token."""
        self._send(200, TOKEN)

    def do_GET(self) -> None:
        """Tell who has a token what there is."""
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            return self._send(401, "")
        known = known_of(State.read(self.folder), self.client_address[0])
        found = known.get(self.path)
        return self._send(404, "") if found is None else self._send(200, found)

    def _send(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())


def main(folder: Path) -> None:
    """Serve until the end."""
    Handler.folder = folder
    server = ThreadingHTTPServer((ADDRESS, 80), Handler)
    server.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
