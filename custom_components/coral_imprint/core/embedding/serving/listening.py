"""Sockets to listen at: TCP, or a Unix socket that only this user can reach."""

import errno
import os
from pathlib import Path
import socket
import stat
from typing import Final

BACKLOG: Final = 512
"""Connections that may wait to be accepted. Clients of a Unix socket are refused beyond it, and asyncio's don't notice."""


class ListenError(Exception):
    """An address can't be listened at."""


def tcp_socket(host: str, port: int) -> socket.socket:
    """Listen at a TCP port; 0 takes a free one. Raises ListenError."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise ListenError(f"{host}:{port} can't be listened at: {error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ListenError(f"{host}:{port} can't be listened at: {error}") from error
    listener.setblocking(False)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return what a client calls a socket: an address, or a path."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return str(name)
    host = f"[{name[0]}]" if listener.family == socket.AF_INET6 else name[0]
    return f"http://{host}:{name[1]}"


def unix_socket(path: Path) -> socket.socket:
    """Listen at a Unix socket of mode 0600; its folder is made with mode 0700 if it is missing.

    A socket that a dead server left there is replaced. Raises ListenError where a server listens there, something else lies there,
    or others could put theirs in its place.
    """
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        mode = path.parent.stat().st_mode
        if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
            raise ListenError(f"Others may write to {path.parent}: a socket there is nobody's own")
        _remove_dead(path)
        return _bound(path)
    except OSError as error:
        raise ListenError(f"{path} can't be listened at: {error.strerror or error}") from error


def _bound(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode has to be right from the first moment on; nothing else runs yet.
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    listener.setblocking(False)
    return listener


def _remove_dead(path: Path) -> None:
    """Remove a socket that nobody listens at; raises ListenError for anything else that lies there."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"{path} exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        if probe.connect_ex(str(path)) != errno.ECONNREFUSED:
            raise ListenError(f"Another server listens at {path}")
    path.unlink(missing_ok=True)


def forget(address: str) -> None:
    """Remove what a closed Unix socket leaves behind; ``address`` is its `address_of`. Nothing is left of TCP's."""
    if not address.startswith("http://"):
        Path(address).unlink(missing_ok=True)
