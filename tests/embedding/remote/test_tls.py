"""Encrypted servers: a certificate that nobody vouches for is not accepted unless the caller says so."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
import ssl

import aiohttp
from aiohttp import web
import pytest

from embedding.errors import ServerUntrusted
from embedding.remote import Access, open_remote_embedder
from tests.embedding.sample_pictures import encode, scene

from .scripted import MODEL, Scripted

pytest.importorskip("cryptography", reason="draws up certificates")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a file with a certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
async def url(certificate: Path, sockets: None) -> AsyncIterator[str]:
    """Run an encrypted server."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    application = web.Application()
    application.router.add_route("*", "/{any:.*}", Scripted().handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_unknown_certificate(url: str, session: aiohttp.ClientSession) -> None:
    with pytest.raises(ServerUntrusted) as raised:
        async with open_remote_embedder([url], MODEL, session):
            pytest.fail("nobody vouches for it")
    assert raised.value.details["server"] == url


@pytest.mark.parametrize("verified", [True, False])
async def test_known_or_not_asked_for(
    verified: bool, url: str, certificate: Path, session: aiohttp.ClientSession
) -> None:
    access = Access(ssl=ssl.create_default_context(cafile=certificate) if verified else False)
    async with open_remote_embedder([url], MODEL, session, access) as embedder:
        await embedder.embed(encode(scene()))
