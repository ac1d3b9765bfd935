"""What a command looks as if it needed of the machine, of which a stage sees nothing. Guesses, by words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from khantui.crontab.lines import Entry
from khantui.crontab.names import words_of

_NETWORK = frozenset(
    "curl wget ssh scp sftp ftp rsync nc telnet ping dig mysql mysqldump mysqladmin psql pg_dump pg_dumpall "
    "mongodump redis-cli aws s3cmd gsutil gcloud bq az rclone restic borg kubectl helm certbot getmail fetchmail "
    "mail mailx sendmail mutt msmtp smbclient ntpdate git svn pip npm apt apt-get aptitude yum dnf apk".split()
)
_MACHINE = frozenset(
    "systemctl service reboot shutdown halt poweroff logrotate crontab mount umount iptables modprobe apt "
    "apt-get aptitude yum dnf apk docker podman kill pkill killall anacron run-parts freshclam debsecan lpr "
    "zpool zfs lvcreate mdadm checkarray e2scrub fstrim updatedb chown useradd".split()
)
_USERS = frozenset(("sudo", "su", "doas", "runuser"))
_SEEN = ("/usr/", "/bin/", "/sbin/", "/lib/", "/lib64/", "/dev/null", "/dev/stdout", "/dev/stderr", "/tmp/", "/proc/")  # noqa: S108
_PATH = re.compile(r"(?:^|[=:>,@])((?:~|\$HOME|\$\{HOME\}|/)[\w.$~{}*?/+-]*)", re.ASCII)
_HOST = re.compile(r"\b(?:https?|ftp|s3|gs|ssh|git|rsync)://|\b[\w.-]+@[\w.-]+:", re.ASCII)
_MOST = 4  # paths that are told


def needs(entry: Entry) -> Iterator[tuple[str, str]]:
    """Sentences and hints about what its command cannot have in a sandbox or a pod."""
    words = list(_all_words(entry.command))
    programs = {word.rpartition("/")[2] for word in words}
    paths = list(dict.fromkeys(path for word in words for path in _PATH.findall(word) if _outside(path)))
    if any(word.startswith(("/usr/local/", "/usr/lib/")) for word in words):
        yield (
            "it runs a program of this machine below /usr, which only the sandbox of this same machine sees",
            "put it beside the document and list it in `code`",
        )
    if paths:
        more = f" and {len(paths) - _MOST} more" if len(paths) > _MOST else ""
        yield (
            f"it looks as if it needed files of this machine, and a stage sees none: {', '.join(paths[:_MOST])}{more}",
            "declare inputs and outputs, and list scripts in `code`",
        )
    network = sorted(programs & _NETWORK)
    if network or _HOST.search(entry.command):
        what = f" ({', '.join(network)})" if network else ""
        yield (
            f"it looks as if it needed the network{what}, and a stage has none",
            "declare what it fetches as an input with a uri and what it sends as an output, or name a service_account",
        )
    if machine := sorted(programs & _MACHINE):
        yield (
            f"it looks as if it changed or looked after the machine itself ({', '.join(machine)}): a stage cannot",
            "leave it to cron, or to a timer of systemd",
        )
    if programs & _USERS:
        yield "it changes the user, and a stage has no other", "leave it out, or leave the job to cron"


def _all_words(command: str, depth: int = 0) -> Iterator[str]:
    """Words, and those in quoted commands (`sh -c '…'`)."""
    for word in words_of(command):
        if re.search(r"\s", word) and depth < 3:
            yield from _all_words(word, depth + 1)
        else:
            yield word


def _outside(path: str) -> bool:
    return len(path) > 1 and not f"{path}/".startswith(_SEEN) and not path.startswith("//") and path != "/tmp"  # noqa: S108
