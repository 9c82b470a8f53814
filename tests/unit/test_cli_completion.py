"""`bff completion`: real shells complete what the parser has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bff.cli import main

CASES = {
    "bff ro": {"routes"},
    "bff new up": {"upstream"},
    "bff new upstream --na": {"--name"},
    "bff events re": {"replay"},
    "bff dev --no": {"--no-sign-in"},
    "bff completion z": {"zsh"},
    "bff --ver": {"--version"},
    "bff nosuchword": set(),
}


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


def run(*command: str, script: str = "") -> str:
    ran = subprocess.run(command, input=script, capture_output=True, text=True, timeout=600, check=False)
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    return ran.stdout


def test_bash_completes_commands_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bff.bash"
    file.write_text(script("bash", capsys))
    for line, expected in CASES.items():
        words = line.split(" ")
        lines = (
            f"source {file}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
            '_bff_complete; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        assert set(run("bash", "-euc", lines).split()) == expected, line


def test_a_value_of_an_option_is_completed_with_file_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bff.bash"
    file.write_text(script("bash", capsys))
    lines = f"source {file}; COMP_WORDS=(bff openapi --check o); COMP_CWORD=3; _bff_complete; echo ${{#COMPREPLY[@]}}"
    # Nothing of bff's own, so that `complete -o default` falls back to files.
    assert run("bash", "-euc", lines) == "0\n"
    assert "complete -o default" in file.read_text()


@pytest.mark.slow
def test_fish_completes_commands_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bff.fish"
    file.write_text(script("fish", capsys))
    fish = shutil.which("fish")
    assert fish is not None, "make test-slow installs fish"
    for line, expected in CASES.items():
        found = run(fish, "--no-config", "-c", f"source {file}; complete -C '{line}'")
        assert {one.partition("\t")[0] for one in found.splitlines()} == expected, line


# A terminal of its own (the module zpty), because zsh completes only in an interactive line editor.
ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1=; autoload -Uz compinit; compinit -u -D; source $1"
zpty -w shell "zstyle ':completion:*' list-grouped false; LISTMAX=1000; compadd() {
  [[ \$* == *(-O|-A|-D)* ]] && { builtin compadd \"\$@\"; return }
  local -a hits; builtin compadd -O hits \"\$@\"; print -r -- \"hit:\$hits:\" >> $2; builtin compadd \"\$@\" }"
zpty -w shell "print ready > $2"
while [[ ! -s $2 ]]; do sleep 0.05; done
zpty -w -n shell "$3"$'\t'
zpty -w -n shell $'\x15'"print done >> $2"$'\n'
while ! grep -q done $2; do sleep 0.05; done
zpty -d shell
"""


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in CASES if line != "bff nosuchword"])
def test_zsh_completes_commands_and_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    file, found = tmp_path / "bff.zsh", tmp_path / "found"
    file.write_text(script("zsh", capsys))
    zsh = shutil.which("zsh")
    assert zsh is not None, "make test-slow installs zsh"
    subprocess.run(
        [zsh, "-f", "-c", ZSH, "zsh", file, found, line], timeout=600, check=True, stdout=subprocess.DEVNULL
    )
    hits = {word for text in found.read_text().split(":") for word in text.split()}
    assert CASES[line] <= hits, found.read_text()
