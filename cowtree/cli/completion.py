"""Scripts that make a shell complete the command line."""

from __future__ import annotations

import shlex

from cowtree.cli.parser import CommandForm, command_forms

__all__ = ["script"]


def script(shell: str) -> str:
    """For bash, zsh or fish; made of the commands there are."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](command_forms())


def _bash(forms: list[CommandForm]) -> str:
    names = " ".join(form.name for form in forms)
    options = "\n".join(
        f"        {form.name}) options={shlex.quote(' '.join([*form.options, '--help']))} ;;"
        for form in forms
    )
    choices = "\n".join(
        f"        {shlex.quote(f'{form.name} {option}')}) words={shlex.quote(' '.join(words))} ;;"
        for form in forms
        for option, words in form.choices.items()
    )
    return f"""\
_cowtree() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} options= words=
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W '{names} --help --version' -- "$current"))
        return
    fi
    case ${{COMP_WORDS[1]}} in
{options}
    esac
    case "${{COMP_WORDS[1]}} $before" in
{choices}
    esac
    if [ -n "$words" ]; then
        COMPREPLY=($(compgen -W "$words" -- "$current"))
    elif [ "${{current:0:1}}" = - ]; then
        COMPREPLY=($(compgen -W "$options" -- "$current"))
    else
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "$current"))
    fi
}}
complete -F _cowtree cowtree
"""


def _zsh(forms: list[CommandForm]) -> str:
    names = "\n".join(f"        {shlex.quote(f'{form.name}:{form.summary}')}" for form in forms)
    cases = []
    for form in forms:
        words = []
        for option, text in [*form.options.items(), ("--help", "tell more")]:
            text = text.translate(str.maketrans("[]:", "(),"))
            value = ""
            if option in form.choices:
                value = f":value:({' '.join(form.choices[option])})"
            elif option in form.with_value:
                value = ":value:"
            words.append(shlex.quote(f"{option}[{text}]{value}"))
        words.append("'*:file:_files'")
        cases.append(f"        {form.name}) _arguments {' '.join(words)} ;;")
    listing = "\n".join(cases)
    return f"""\
#compdef cowtree
_cowtree() {{
    local -a names
    names=(
{names}
    )
    if (( CURRENT == 2 )); then
        _describe command names
        return
    fi
    shift words
    (( CURRENT-- ))
    case $words[1] in
{listing}
    esac
}}
compdef _cowtree cowtree
"""


def _fish(forms: list[CommandForm]) -> str:
    lines = []
    for form in forms:
        lines.append(
            "complete -c cowtree -n __fish_use_subcommand -f"
            f" -a {form.name} -d {_fish_quoted(form.summary)}"
        )
        condition = _fish_quoted(f"__fish_seen_subcommand_from {form.name}")
        for option, text in form.options.items():
            value = ""
            if option in form.choices:
                value = f" -x -a {_fish_quoted(' '.join(form.choices[option]))}"
            elif option in form.with_value:
                value = " -x"
            lines.append(
                f"complete -c cowtree -n {condition} -l {option[2:]}{value} -d {_fish_quoted(text)}"
            )
    return "\n".join([*lines, ""])


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
