"""Addresses, and messages that quote them, without the users, passwords and tokens in them.

`redacted` is applied at every exit: by `UserError` to its message, by the log and the terminal (`terminal`), by
journals, and wherever an address is stored (`data/checksums/`).
"""

import re

HIDDEN = "***"
_USER = re.compile(
    r"(?i)\b(?!sqlite:)([a-z][a-z0-9+.-]*://)"
    # ada:se@cr/et@host, but not host:80/a@b; then any other user, or token, before the host
    r"(?:[^\s'\"/?#@:]+:(?![0-9]*[/?#])[^\s'\"]*|[^\s'\"/?#]*)@"
)
_BARE_USER = re.compile(r"^[^\s:/@]+:(?!//)[^\s'\"]*@|(?<![^\s'\"])[^\s:/@'\"]+:(?!//)[^\s'\"]*@(?=[\w.-]+:[0-9])")
"""ada:secret@host:5000, without a scheme"""
_WORDS = "token|key|sig|signature|pass|passwd|password|pwd|pw|secret|auth|credentials?|user|username|login|code"
_WORDS += "|session|sid|ticket|jwt|policy"
_ENDS = "token|secret|password|signature|credential|accesskey|accesskeyid|apikey"
_QUERY = re.compile(
    rf"(?i)([?&;#](?:(?:[\w.%-]*[-_.])?(?:{_WORDS})|[\w.%-]*(?:{_ENDS}))=)[^&;\s'\"<>]*",
)
_HEADER = re.compile(r"(?i)(\bauthorization['\"]?\s*[:=]\s*['\"]?(?:(?:basic|bearer|token)\s+)?)[^\s'\",}]+")


def redacted(text: str) -> str:
    """The text without secrets; one without any is returned as it is."""
    if "://" in text or "@" in text:
        text = _BARE_USER.sub("", _USER.sub(r"\1", text))
    if "=" in text:
        text = _QUERY.sub(rf"\g<1>{HIDDEN}", text)
    return _HEADER.sub(rf"\g<1>{HIDDEN}", text) if "uthorization" in text else text
