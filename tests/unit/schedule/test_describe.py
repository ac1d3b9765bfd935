"""A schedule in words."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from backend.schedule.cron import parse_cron
from backend.schedule.describe import describe


@pytest.mark.parametrize(
    ("expressions", "zone", "words"),
    [
        (["0 6 * * MON"], "Europe/Berlin", "every Monday at 06:00 (Europe/Berlin)"),
        (["0 6 * * *"], "UTC", "every day at 06:00"),
        (["0 6,18 * * MON-FRI"], "UTC", "every weekday at 06:00 and 18:00"),
        (["*/5 * * * *"], "UTC", "every 5 minutes"),
        (["* * * * * */10"], "UTC", "every 10 seconds"),
        (["* * * * * *"], "UTC", "every second"),
        (["0 6 * * * 30"], "UTC", "0 6 * * * 30"),
        (["* * * * *"], "UTC", "every minute"),
        (["30 * * * *"], "UTC", "every hour at :30"),
        (["0 */2 * * *"], "UTC", "every 2 hours at :00"),
        (["@monthly"], "UTC", "on the 1st of every month at 00:00"),
        (["0 0 1,15 6 *"], "UTC", "on the 1st and 15th of June at 00:00"),
        (["0 9 * * 0,6"], "UTC", "every Saturday and Sunday at 09:00"),
        (["0 9 * 1-3 *"], "UTC", "every day in January, February and March at 09:00"),
        (["0 6 * * *", "0 12 * * SUN"], "UTC", "every day at 06:00 and every Sunday at 12:00"),
        (["7-30/3 1-9 */5 * *"], "UTC", "7-30/3 1-9 */5 * *"),
    ],
)
def test_words(expressions: list[str], zone: str, words: str) -> None:
    assert describe([parse_cron(e) for e in expressions], ZoneInfo(zone)) == words
