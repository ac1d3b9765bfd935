"""TLS to an etcd: the files it takes, read again when they were renewed, and in words what is wrong with them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from msgspec import Struct

from backend.errors import StoreUntrusted

PATIENCE = 3.0  # seconds for a server to say what it does not like
_RENEW = "have it renewed: the file is read again at the next connection"
_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_MISNAMED = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, …_IP_ADDRESS_MISMATCH


class TlsFiles(Struct, frozen=True):
    """The authorities that a server's certificate may come from (None: the system's), and what is shown to it."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def stamp(self) -> tuple[tuple[int, int], ...]:
        """Differs once a file was replaced."""
        return tuple(_stamp(file) for file in (self.ca, self.cert, self.key))

    def credentials(self) -> Any:
        """What gRPC needs of them. Raises StoreUntrusted."""
        ca, cert, key = (_read(file) for file in (self.ca, self.cert, self.key))
        if self.ca is not None and ca is not None:
            _certificates(self.ca, ca)
        if self.cert is not None and self.key is not None and cert is not None and key is not None:
            _check(self.cert, cert, self.key, key)
        return grpc.ssl_channel_credentials(ca, key, cert)


def _stamp(file: Path | None) -> tuple[int, int]:
    try:
        status = file.stat() if file is not None else None
    except OSError:
        status = None
    return (status.st_mtime_ns, status.st_ino) if status is not None else (0, 0)


def _read(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        return file.read_bytes()
    except OSError as error:
        raise StoreUntrusted(f"{file} cannot be read: {error.strerror}", hint="it is needed for TLS to etcd") from error


def _certificates(file: Path, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise StoreUntrusted(f"{file} holds no certificate (PEM): {error}") from error


def _check(cert: Path, content: bytes, key: Path, secret: bytes) -> None:
    """Whether the certificate is good now, and the key its own. Raises StoreUntrusted."""
    leaf, now = _certificates(cert, content)[0], datetime.now(UTC)
    if leaf.not_valid_after_utc <= now:
        raise StoreUntrusted(f"the certificate {cert} has expired on {leaf.not_valid_after_utc:%Y-%m-%d}", hint=_RENEW)
    if leaf.not_valid_before_utc > now:
        raise StoreUntrusted(
            f"the certificate {cert} is valid from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on",
            hint="is this machine's clock right?",
        )
    try:
        private = load_pem_private_key(secret, None)
    except (ValueError, TypeError) as error:
        raise StoreUntrusted(f"{key} holds no private key without a passphrase (PEM)") from error
    whole = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*whole) != leaf.public_key().public_bytes(*whole):
        raise StoreUntrusted(f"{key} is not the key of the certificate {cert}", hint="were both files renewed?")


async def trouble(target: str, files: TlsFiles) -> StoreUntrusted | None:
    """What keeps TLS to `target` (host:port) from coming about; None where it is not TLS. Raises StoreUntrusted."""
    files.credentials()
    return await asyncio.to_thread(_try, target, files)


def _try(target: str, files: TlsFiles) -> StoreUntrusted | None:
    """Connect as gRPC would, with a library that says why it cannot."""
    host, _, port = target.rpartition(":")
    host = host.strip("[]")
    try:
        context = ssl.create_default_context(cafile=files.ca)
        if files.cert:
            context.load_cert_chain(files.cert, files.key)
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection((host, int(port)), PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            # from TLS 1.3 on a server says only after the handshake that it does not like what it was shown; nothing
            # is sent, since an answer to that would overtake what it says
            connection.settimeout(1.0)
            connection.recv(1)
    except ssl.SSLCertVerificationError as error:
        return _unverified(target, files, error)
    except ssl.SSLError as error:
        return _refused(target, files, str(error.reason or error))
    except OSError:
        pass
    return None


def _unverified(target: str, files: TlsFiles, error: ssl.SSLCertVerificationError) -> StoreUntrusted:
    if error.verify_code == _EXPIRED:
        return StoreUntrusted(f"the certificate of etcd at {target} has expired", hint="have it renewed there")
    if error.verify_code in _MISNAMED:
        return StoreUntrusted(f"the certificate of etcd at {target} is for another name", hint=error.verify_message)
    authorities = str(files.ca) if files.ca else "the system's authorities"
    return StoreUntrusted(
        f"the certificate of etcd at {target} does not come from {authorities}: {error.verify_message}",
        hint="name the certificate of the authority that signed it: --etcd-ca FILE",
    )


def _refused(target: str, files: TlsFiles, reason: str) -> StoreUntrusted | None:
    if "WRONG_VERSION_NUMBER" in reason or "RECORD" in reason:
        return StoreUntrusted(f"etcd at {target} speaks no TLS", hint="write its endpoint with http://")
    if "ALERT" not in reason:
        return None
    if files.cert is None:
        return StoreUntrusted(f"etcd at {target} wants a certificate", hint="show one: --etcd-cert and --etcd-key")
    said = reason.rpartition("ALERT_")[2].lower().replace("_", " ")
    return StoreUntrusted(
        f"etcd at {target} does not accept the certificate {files.cert}: {said}",
        hint="does it come from the authority that etcd trusts (its --trusted-ca-file)?",
    )
