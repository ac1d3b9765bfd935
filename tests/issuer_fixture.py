"""An issuer of signed tokens with real keys, and its key set on a real https server."""

from __future__ import annotations

import json
import ssl
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from backend.admin.authority import issue, new_authority

DAY = timedelta(days=1)


class Key:
    """A private key, and what the key set says of it."""

    def __init__(self, kid: str, algorithm: str = "ES256") -> None:
        self.kid, self.algorithm = kid, algorithm
        self.private: Any = (
            ec.generate_private_key(ec.SECP256R1())
            if algorithm.startswith("ES")
            else rsa.generate_private_key(public_exponent=65537, key_size=2048)
        )
        kind: Any = ECAlgorithm if algorithm.startswith("ES") else RSAAlgorithm
        self.public: dict[str, Any] = kind.to_jwk(self.private.public_key(), as_dict=True)
        self.public |= {"kid": kid, "alg": algorithm, "use": "sig"}

    @property
    def pem(self) -> bytes:
        """The public key."""
        return bytes(self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """A token. `header`: more of it; a `kid` of None is left away."""
        headers = {"kid": self.kid, **header}
        return jwt.encode(claims, self.private, self.algorithm, {k: v for k, v in headers.items() if v is not None})


class IssuerServer:
    """Serves `/keys`, and a discovery document that says so. `asked` counts, by path."""

    def __init__(self, folder: Path) -> None:
        authority = new_authority("authority of the issuer", DAY)
        pair = issue(authority, "issuer", ["127.0.0.1", "localhost"], DAY)
        self.ca, cert, key = folder / "issuer-ca.crt", folder / "issuer.crt", folder / "issuer.key"
        for path, content in ((self.ca, authority.cert), (cert, pair.cert), (key, pair.key)):
            path.write_bytes(content)
        self.keys: list[Key] = []
        self.more: list[dict[str, Any]] = []  # keys that are none of these
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}  # instead of what it says otherwise
        self.asked: dict[str, int] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked[self.path] = server.asked.get(self.path, 0) + 1
                status, headers, body = server.answer(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """What it says."""
        if path in self.answers:
            return self.answers[path]
        if path == "/.well-known/openid-configuration":
            return 200, {}, json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()
        if path == "/keys":
            return 200, {}, json.dumps({"keys": [*(k.public for k in self.keys), *self.more]}).encode()
        return 404, {}, b"{}"

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Those of a good token; a claim that is None is left away."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": "khantui",
            "sub": "1234",
            "email": "Ann@example.org",
            "groups": ["analysts"],
            "iat": now,
            "exp": now + 300,
            **changed,
        }
        return {k: v for k, v in claims.items() if v is not None}

    def token(self, key: int = 0, **changed: Any) -> str:
        """A good token, but for what is changed."""
        return self.keys[key].sign(self.claims(**changed))

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
