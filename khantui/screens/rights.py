"""Which action asks the daemon for which operation, so that what is refused is shown as such, and why, beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.dom import DOMNode

if TYPE_CHECKING:
    from khantui.screens.host import Host

# action of a screen -> operation of the daemon. Actions that only look are not named here.
OPERATIONS = {
    "trigger": "start_run",
    "retry": "retry_run",
    "retry_from": "retry_run",
    "cancel": "cancel_run",
    "apply": "apply_pipeline",
    "roll_back": "rollback_pipeline",
    "delete_pipeline": "delete_pipeline",
    "new_schedule": "put_schedule",
    "edit_schedule": "put_schedule",
    "delete_schedule": "delete_schedule",
    "pause": "pause_schedule",
    "run_now": "run_schedule",
    "new_backfill": "start_backfill",
    "hold_backfill": "pause_backfill",
    "cancel_backfill": "cancel_backfill",
    "new_binding": "bind_role",
    "delete_binding": "unbind_role",
    "new_token": "create_token",
    "revoke_token": "revoke_token",
    "new_channel": "put_channel",
    "edit_channel": "put_channel",
    "test_channel": "test_channel",
    "delete_channel": "delete_channel",
    "new_account": "put_account",
    "edit_account": "put_account",
    "delete_account": "delete_account",
    "new_secret": "put_secret",
    "rotate_secret": "put_secret",
    "delete_secret": "delete_secret",
    "rewrap_secrets": "rewrap_secrets",
}


class Guarded(DOMNode):
    """What has keys for such actions: those that are refused are shown as disabled."""

    def about(self) -> str:
        """The pipeline that its actions are about at the moment; "" if that is not known, or there is none."""
        return ""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """None: shown, but not to be had; `Host.run_action` says why when the key is pressed."""
        return None if cast("Host", self.app).refusal(action) else True
