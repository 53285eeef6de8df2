"""Names and paths of outside origin: each stays inside the folder that it is relative to, or is refused.

Configurations, archives, annotation files, lists of files and servers name files. Whatever they say becomes a path of
this machine by `path` or `folder`, and a part of an artifact's path (`layout`) by `name`; nothing else joins them.
"""

import os
import re
from pathlib import Path

from vlkd_steps.core.errors import UserError

LONGEST_NAME = 255  # bytes of a file's name, on every usual file system
LONGEST_PATH = 4095  # bytes, on Linux
LONGEST_OF_ARTIFACT = 200  # characters: what stands before and behind it has to fit into a file's name as well
SHOWN = 80  # characters of a refused name in a message

_ORDINARY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,99}){0,9}")
_OF_DVC = re.compile(r".*/files/md5/[0-9a-f]{2}/[0-9a-f]{30}", re.DOTALL)


def fault(text: object) -> str:
    """Why a text is no path inside a folder, as the end of a sentence; empty where it is one."""
    if not isinstance(text, str):
        return "is no text"
    if _ORDINARY.fullmatch(text):
        return ""
    if not text:
        return "is empty"
    parts = text.split("/")
    if text.startswith(("/", "~")) or ".." in parts or "\\" in text or ":" in parts[0]:
        return "would leave the folder"
    if any(letter < " " or letter == "\x7f" for letter in text):
        return "holds control characters"
    try:
        longest = max(len(part.encode()) for part in parts)
    except UnicodeEncodeError:
        return "is no Unicode text"
    if longest > LONGEST_NAME or len(text.encode()) > LONGEST_PATH:
        return "is longer than a file's name may be"
    return ""


def path(root: Path, text: object, where: str, *, links: bool = False) -> Path:
    """The path of a file that a text of outside origin names, relative to `root`. The file need not exist.

    Args:
        where: what says the text, for the message, such as ``train.jsonl: line 3.img_fn``.
        links: the file itself may be a link out of `root`: in our own raw folders it was made by ``transfer: symlink``
            or by DVC. A folder on the way never may.

    Raises:
        UserError: the text is no relative path, names `root` itself, or leaves it, by ``..`` or by a link.
    """
    found = folder(root, text, where, links=links)
    if found == root:
        raise UserError(_message(where, text, "names the folder itself", root))
    return found


def folder(root: Path, text: object, where: str, *, links: bool = False) -> Path:
    """As `path`, for a folder, which may be `root` itself (``.``)."""
    if problem := fault(text):
        raise UserError(_message(where, text, problem, root))
    found = root / str(text)
    if len(os.fsencode(found)) > LONGEST_PATH:
        raise UserError(_message(where, text, "is longer than a path may be", root))
    if leaves(root, found.parent if links else found):
        raise UserError(_message(where, text, "is, or lies behind, a link that leads out of the folder", root))
    return found


def leaves(root: Path, inner: Path) -> bool:
    """Whether a path below `root` leads out of it by a link, other than DVC's own into its cache."""
    below = [inner, *inner.parents]
    below = below[: below.index(root)] if root in below else []
    if not any(map(os.path.islink, below)):
        return False
    target = inner.resolve()
    return not (target.is_relative_to(root.resolve()) or _OF_DVC.fullmatch(target.as_posix()))


def name(text: object) -> str:
    """A text as one part of an artifact's path.

    Raises:
        UserError: it is no plain name: empty, hidden, too long, with a slash.
    """
    problem = fault(text)
    if not problem and (str(text).startswith(".") or "/" in str(text) or len(str(text)) > LONGEST_OF_ARTIFACT):
        problem = "is no plain name"
    if problem:
        raise UserError(
            f"{repr(text)[:SHOWN]} cannot name a file or folder of this project: it {problem}; write letters, digits "
            "and _"
        )
    return str(text)


def _message(where: str, text: object, problem: str, root: Path) -> str:
    return f"{where} is {repr(text)[:SHOWN]}, which {problem}; name a file below {root}, without .. and links out of it"
