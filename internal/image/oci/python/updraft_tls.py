"""Keeps an error of one TLS connection from being told of others.

OpenSSL keeps a queue of errors for each thread, which has to be empty before a
connection is read or written, or what SSL_get_error(3) says of that is about what
is in the queue. CPython 3.13 leaves errors of system calls there (issue 148594 of
python/cpython, open when this was written): when a peer of one connection has
died, say with ETIMEDOUT, every later read on any connection of the thread that
has to wait raises TimeoutError instead. Whoever takes that for the end of its
patience, as clients of RabbitMQ do, asks again at once, and for ever.

It is imported at the start of each interpreter by the .pth file beside it.
"""

import ctypes
import functools
import ssl


def _emptied(clear, method):
    @functools.wraps(method)
    def call(*args, **kwargs):
        clear()
        return method(*args, **kwargs)

    return call


def _install():
    try:
        # PyDLL keeps the interpreter's lock: the call takes less than to give it up.
        clear = ctypes.PyDLL("libcrypto.so.3").ERR_clear_error
    except (OSError, AttributeError):
        return
    clear.argtypes, clear.restype = (), None
    # What else there is for reading and writing is made of these.
    for cls, names in (
        (ssl.SSLSocket, ("read", "write", "send", "do_handshake", "unwrap")),
        (ssl.SSLObject, ("read", "write", "do_handshake", "unwrap")),
    ):
        for name in names:
            setattr(cls, name, _emptied(clear, getattr(cls, name)))


_install()
