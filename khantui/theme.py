"""Colours by meaning. Every theme of Textual works; those that are ours are quiet, with one accent."""

from __future__ import annotations

from textual.theme import Theme

# by state: variables that the widgets ask for; a theme that has none gets those of light or dark
_DARK = {
    "state-queued": "#8a8f98",
    "state-waiting": "#8a8f98",
    "state-running": "#4cb5f9",
    "state-retrying": "#e3b341",
    "state-succeeded": "#56c271",
    "state-reused": "#56c271",
    "state-failed": "#ff6b68",
    "state-cancelled": "#c792ea",
    "state-skipped": "#8a8f98",
    "state-error": "#ff6b68",
    "state-warning": "#e3b341",
    "state-info": "#4cb5f9",
}
_LIGHT = {
    "state-queued": "#63676e",
    "state-waiting": "#63676e",
    "state-running": "#005fb8",
    "state-retrying": "#8a5a00",
    "state-succeeded": "#1a7334",
    "state-reused": "#1a7334",
    "state-failed": "#c0232c",
    "state-cancelled": "#7a3fa8",
    "state-skipped": "#63676e",
    "state-error": "#c0232c",
    "state-warning": "#8a5a00",
    "state-info": "#005fb8",
}
_CONTRAST = {
    "state-queued": "#ffffff",
    "state-waiting": "#ffffff",
    "state-running": "#00ffff",
    "state-retrying": "#ffff00",
    "state-succeeded": "#00ff00",
    "state-reused": "#00ff00",
    "state-failed": "#ff5555",
    "state-cancelled": "#ff80ff",
    "state-skipped": "#ffffff",
    "state-error": "#ff5555",
    "state-warning": "#ffff00",
    "state-info": "#00ffff",
}


def _with_bars(states: dict[str, str], bar: str, ground: str) -> dict[str, str]:
    """With scrollbars that are seen, and no more than that."""
    bars = ("scrollbar", "scrollbar-hover", "scrollbar-active")
    grounds = ("background", "background-hover", "background-active", "corner-color")
    return {**states, **dict.fromkeys(bars, bar), **dict.fromkeys((f"scrollbar-{name}" for name in grounds), ground)}


THEMES = (
    Theme(
        "khantui-dark",
        primary="#4cb5f9",
        secondary="#8a8f98",
        accent="#4cb5f9",
        foreground="#d7dae0",
        background="#14161a",
        surface="#1a1d22",
        panel="#24282f",
        success="#56c271",
        warning="#e3b341",
        error="#ff6b68",
        dark=True,
        variables=_with_bars(_DARK, "#3f4650", "#1a1d22"),
    ),
    Theme(
        "khantui-light",
        primary="#005fb8",
        secondary="#63676e",
        accent="#005fb8",
        foreground="#1c1f24",
        background="#fbfbfc",
        surface="#f2f3f5",
        panel="#e4e6ea",
        success="#1a7334",
        warning="#8a5a00",
        error="#c0232c",
        dark=False,
        variables=_with_bars(_LIGHT, "#b4bac2", "#f2f3f5"),
    ),
    Theme(
        "khantui-contrast",
        primary="#ffff00",
        secondary="#ffffff",
        accent="#ffff00",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#1f1f1f",
        success="#00ff00",
        warning="#ffff00",
        error="#ff5555",
        dark=True,
        variables=_with_bars(_CONTRAST, "#ffffff", "#1f1f1f"),
    ),
)


def defaults(dark: bool) -> dict[str, str]:
    """State colours for themes that are not ours."""
    return dict(_DARK if dark else _LIGHT)
