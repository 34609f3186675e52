"""Keys of a deployment, in one folder: an nkey seed per service, certificates, passwords, and what the server needs beside them.

What is there is never touched, unless it is named to be renewed. Files that are secret are readable by their owner alone.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from nkeys import PREFIX_BYTE_USER, encode_seed, from_seed

from spymaster_live.access import MAY, configuration
from spymaster_live.server import CONF

CA_DAYS: Final = 3650
CERTIFICATE_DAYS: Final = 398
HOSTS: Final = ("localhost", "127.0.0.1", "::1")  # names that every server certificate holds
CERTIFIED: Final = ("nats", "gateway")  # servers, by their names in a compose project
TOKEN: Final = "gateway.token"
PASSWORD: Final = "postgres.password"
PGPASS: Final = "postgres.pgpass"
USERS: Final = "users.conf"
RENEWABLE: Final = (*MAY, "ca", "certificates", "token", "postgres")


def make(folder: Path, hosts: Sequence[str] = (), renew: Sequence[str] = ()) -> list[Path]:
    """Make what is missing in the folder, and what `renew` (of RENEWABLE) names; `hosts`: more names of the servers.

    The files that were written, of which users.conf holds no secret. RuntimeError if the CA's key is needed and not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []

    def missing(renewed: bool, *names: str) -> bool:
        return renewed or not all((folder / name).exists() for name in names)

    def write(name: str, content: bytes) -> None:
        _write(folder / name, content, 0o644 if name == USERS or name.endswith(".pem") else 0o600)
        written.append(folder / name)

    for name in MAY:
        if missing(name in renew, f"{name}.nk"):
            write(f"{name}.nk", encode_seed(secrets.token_bytes(32), PREFIX_BYTE_USER))
    if missing("ca" in renew, "ca.pem"):
        _authority(write)
    for name in CERTIFIED:
        if missing(bool({"ca", "certificates"} & {*renew}), f"{name}.pem", f"{name}.key"):
            _certificate(folder, name, (name, *HOSTS, *hosts), write)
    if missing("token" in renew, TOKEN):
        write(TOKEN, secrets.token_urlsafe(32).encode())
    if missing("postgres" in renew, PASSWORD, PGPASS):
        password = secrets.token_urlsafe(32)
        write(PASSWORD, password.encode())
        write(PGPASS, f"*:*:*:*:{password}\n".encode())
    public = {name: public_key(folder / f"{name}.nk") for name in MAY}
    write(USERS, configuration(public).encode())
    for conf in CONF.parent.glob("*.conf"):
        shutil.copyfile(conf, folder / conf.name)
    return written


def public_key(seed: Path) -> str:
    """The public nkey of a seed's file."""
    return str(from_seed(bytearray(seed.read_bytes().strip())).public_key.decode())


def _write(path: Path, content: bytes, mode: int) -> None:
    """The file, whole and never readable by others while it is written."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    fresh.rename(path)


def _authority(write: Callable[[str, bytes], None]) -> None:
    """ca.pem and ca.key: what signs the servers' certificates."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Spymaster CA")])
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    made = (
        _about(name, name, key.public_key(), CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write("ca.key", _private(key))
    write("ca.pem", made.public_bytes(serialization.Encoding.PEM))


def _certificate(folder: Path, name: str, hosts: Sequence[str], write: Callable[[str, bytes], None]) -> None:
    """NAME.pem and NAME.key of a server that is reached by `hosts`."""
    if not (folder / "ca.key").exists():
        raise RuntimeError(f"{folder / 'ca.key'} is not there to sign a certificate with: bring it, or --renew ca")
    signer = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey), "the CA's key is one that we made"
    issuer = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    # Servers of a cluster are one another's clients.
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if name == "nats" else [])]
    made = (
        _about(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), issuer.subject, key.public_key(), CERTIFICATE_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_named(host) for host in dict.fromkeys(hosts)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    write(f"{name}.key", _private(key))
    write(f"{name}.pem", made.public_bytes(serialization.Encoding.PEM))


def _about(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _named(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
