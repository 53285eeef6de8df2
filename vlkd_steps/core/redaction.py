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
_WORDS += "|session|jsessionid|sid|ticket|jwt|policy"
_ENDS = "hmac|verifier|token|secret|password|signature|credential|accesskey|accesskeyid|apikey"
_QUERY = re.compile(
    rf"(?i)([?&;#](?:(?:[\w.%-]*[-_.])?(?:{_WORDS})|[\w.%-]*(?:{_ENDS}))=)[^&;\s'\"<>]*",
)
_QUOTED = r"(?:'[^'\n]*'|\"[^\"\n]*\")"
_PAIR = r"[\w-]+=(?:\"[^\"]*\"|[^\s,;'\"]+)"
_HEADER = re.compile(
    r"(?i)(\b(?:authorization|(?:set-)?cookie|private-token|x-(?:[a-z]+-)*(?:key|token))['\"]?\s*[:=]\s*['\"]?"
    r"(?:(?:basic|bearer|token|digest|negotiate|ntlm|aws4-hmac-sha256)\s+)?)"
    rf"(?:{_PAIR}(?:[,;]\s*{_PAIR})*|[^\s'\",}}]+)"
)
"""Also several: Cookie: a=secret; b=secret"""
_VARIABLE = re.compile(
    r"(\b[A-Z0-9_]*(?:TOKEN|PASSWORD|PASSWD|SECRET|API_KEY|ACCESS_KEY|ACCOUNT_KEY)['\"]?[=:]\s?)"
    rf"(?:{_QUOTED}|['\"]?[^\s'\";}}]+)"
)
"""MLFLOW_TRACKING_PASSWORD=secret, as a command line or a library's message quotes it"""
_FIELD = re.compile(
    r"(?i)(['\"](?:password|passwd|secret|(?:access|refresh|id)_token|client_secret|api_?key)['\"]\s*:\s*)"
    rf"(?:{_QUOTED}|['\"][^'\"]+)"
)
_HUB = re.compile(r"\bhf_[A-Za-z0-9]{20,}")


def redacted(text: str) -> str:
    """The text without secrets; one without any is returned as it is."""
    if "://" in text or "@" in text:
        text = _BARE_USER.sub("", _USER.sub(r"\1", text))
    if "=" in text:
        text = _QUERY.sub(rf"\g<1>{HIDDEN}", text)
    for pattern in (_VARIABLE, _FIELD, _HEADER):
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return _HUB.sub(f"hf_{HIDDEN}", text)
