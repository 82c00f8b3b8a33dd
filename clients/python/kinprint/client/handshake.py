"""What to do about a connection that never came to be: who of the two speaks TLS, and whom it does not believe.

gRPC tells it in words of its libraries; those that are looked for here are of gRPC's C core and of BoringSSL.  Where
they say nothing that is known, nothing is added.
"""

from __future__ import annotations

_CA = "ca=FILE, or KINPRINT_CA=FILE in the environment"
_OTHER_NAME = (
    "the server's certificate is for another name than the one in the address: use a name that is in it (openssl x509 "
    "-noout -ext subjectAltName -in CERT shows them), or have one made for this name"
)
_CLIENTS = (
    "the server ended the connection while it was being made: it may ask for a certificate of the client (cert= and "
    "key=, or KINPRINT_CLIENT_CERT and KINPRINT_CLIENT_KEY), of an authority that it believes"
)
_PUBLIC = "tls=True, or KINPRINT_TLS=1, where its certificate is of a public authority"
#: Words of a failed handshake of a client that speaks TLS, in lower case, and what to do; the first that occurs counts.
_OF_TLS = (
    (
        "wrong_version_number",
        "the server does not speak TLS at this port: take the port where it does, or, where nobody else can listen in, "
        "leave ca=, cert= and tls= (KINPRINT_CA, KINPRINT_CLIENT_CERT, KINPRINT_TLS) away",
    ),
    (
        "certificate has expired",
        "the server's certificate has expired: whoever runs the server has to renew it (it is read again without a "
        "restart); if it is good, this machine's clock is wrong",
    ),
    (
        "certificate is not yet valid",
        "the server's certificate is not valid yet: this machine's clock is behind, or the server's was ahead when it "
        "was made",
    ),
    ("hostname verification check failed", _OTHER_NAME),
    ("is not in peer certificate", _OTHER_NAME),
    (
        "certificate_verify_failed",
        "the server's certificate is of no authority that this client believes: give the file of the authority that "
        f"made it, {_CA}",
    ),
    ("socket closed", _CLIENTS),
    ("connection reset", _CLIENTS),
)
_IN_THE_CLEAR = ("socket closed", "connection reset", "http2 settings", "http2 protocol violation")


def advice(message: str, *, secure: bool) -> str:
    """What to do, in a sentence, by what gRPC says of a connection that failed; empty where that tells nothing.

    secure: whether the client spoke TLS.
    """
    told = message.lower()
    if "failed to connect" not in told:  # it was there, and went: the other side knew what it heard
        return ""
    if secure:
        return next((what for words, what in _OF_TLS if words in told), "")
    if any(words in told for words in _IN_THE_CLEAR):
        return (
            "something listens there and ends the connection, as a server does that speaks TLS: give the file of the "
            f"authority of its certificate, {_CA} ({_PUBLIC})"
        )
    return ""
