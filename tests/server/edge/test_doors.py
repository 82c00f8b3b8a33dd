"""Where a server may listen, what files it keeps private, and what its messages may hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kinprint.server.config import AccessConfig
from kinprint.server.edge import tls
from kinprint.server.edge.errors import plain, status_of, told
from kinprint.server.edge.private import NotPrivate, keep_private, private_folder
from kinprint.server.failures import CorpusNotFound, InvalidField
from kinprint.server.startup import StartFailed

OURS = ("127.0.0.1:1", "127.8.9.10:1", "localhost:1", "[::1]:1", "ipv4:127.0.0.1:1", "ipv6:[::1]:1", "dns:localhost:1")
OTHERS = (
    "0.0.0.0:1",
    "[::]:1",
    ":1",
    "10.0.0.1:1",
    "192.168.1.1:1",
    "[fe80::1%eth0]:1",
    "vsock:1:1",
    "dns:///0.0.0.0:1",
)


@pytest.mark.parametrize("address", OURS)
def test_loopback_needs_neither_tls_nor_keys(address: str) -> None:
    tls.check_listening((address, "unix:/run/kinprint.sock"), AccessConfig(), keys=False)


@pytest.mark.parametrize("address", OTHERS)
def test_the_network_needs_both(address: str) -> None:
    both = AccessConfig(tls_cert=Path("c"), tls_key=Path("k"))
    for access, keys in ((AccessConfig(), False), (AccessConfig(), True), (both, False)):
        with pytest.raises(StartFailed, match="refusing to listen") as refused:
            tls.check_listening((address,), access, keys=keys)
        assert ("--tls-cert" in str(refused.value)) == (access is not both)
        assert ("kinprint keys create" in str(refused.value)) == (not keys)
    tls.check_listening((address,), both, keys=True)
    tls.check_listening((address,), AccessConfig(insecure=True), keys=False)


def test_an_abstract_socket_is_guarded_by_nothing() -> None:
    both = AccessConfig(tls_cert=Path("c"), tls_key=Path("k"))
    with pytest.raises(StartFailed, match="unix:PATH"):
        tls.check_listening(("unix-abstract:x",), both, keys=True)


@pytest.mark.parametrize(
    "access",
    [
        AccessConfig(tls_cert=Path("c")),
        AccessConfig(tls_key=Path("k")),
        AccessConfig(tls_client_ca=Path("a")),
        AccessConfig(tls_cert=Path("/none/c"), tls_key=Path("/none/k")),
    ],
)
def test_certificates_that_lack_something_end_the_start(access: AccessConfig) -> None:
    with pytest.raises(StartFailed):
        tls.certificates(access)


def test_a_folder_in_a_public_place_must_be_ours_alone(tmp_path: Path) -> None:
    folder = tmp_path / "kinprint-1"
    private_folder(folder)
    private_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    with pytest.raises(NotPrivate, match="chmod 700"):
        private_folder(folder)
    link, file = tmp_path / "link", tmp_path / "file"
    link.symlink_to(folder)
    file.write_text("")
    for other in (link, file):
        with pytest.raises(NotPrivate, match="no folder"):
            private_folder(other)


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "kinprint-1"
    private_folder(folder)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(NotPrivate, match="another user"):
        private_folder(folder)


def test_a_data_directory_is_closed_to_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    keep_private(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["x" * 20_000, "ü" * 20_000, "\x1b[31m" * 5000, "%" * 20_000, "一" * 20_000])
def test_a_status_fits_into_trailers_whatever_it_quotes(name: str) -> None:
    status = status_of(InvalidField(f"corpora[{name}]", f"there is no corpus {name} here; say another", "ID_INVALID"))
    assert len(status.SerializeToString()) < 5000
    assert len(status.message.encode()) <= 1500
    assert status.message.isprintable()
    assert status.message.startswith("there is no corpus")
    assert status.message.endswith("say another")


def test_what_is_told_writes_on_no_terminal() -> None:
    assert told(CorpusNotFound("red \x1b[31m\x07 bell\u202e, \u9b42 and ü\nnext")) == (
        "red \\x1b[31m\\x07 bell\\u202e, \u9b42 and ü\nnext"
    )
    assert plain("as it was") == "as it was"
