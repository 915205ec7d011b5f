#!/usr/bin/env bash
# Create or reuse a virtual environment: install.sh PYTHON VENV
# A stamp inside the environment remembers pyproject.toml, the interpreter and the checkout;
# while all three are the same nothing is installed again.
set -euo pipefail
python=$1
venv=$2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

command -v "$python" >/dev/null || {
    echo "error: '$python' not found: install Python 3.10 or newer, or name one with PYTHON=..." >&2
    exit 2
}
version=$("$python" -c 'import sys; print(".".join(map(str, sys.version_info[:3])))')
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "error: Python $version is too old: 3.10 or newer is needed, name one with PYTHON=..." >&2
    exit 2
}

needs="$version $("$python" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$root/pyproject.toml")"
stamp="$venv/.hydra_peft-installed"
pip=("$venv/bin/python" -m pip --disable-pip-version-check install -q)

if [ ! -f "$stamp" ] || [ "$(sed -n 1p "$stamp")" != "$needs" ]; then
    echo "Installing into $venv (some gigabytes the first time) ..."
    rm -f "$stamp"
    "$python" -m venv "$venv"
    "${pip[@]}" -e "$root[test]"
elif [ "$(sed -n 2p "$stamp")" != "$root" ]; then
    # Same requirements, another checkout: only the link to the package changes.
    rm -f "$stamp"
    "${pip[@]}" --no-deps --no-build-isolation -e "$root"
fi
printf '%s\n%s\n' "$needs" "$root" > "$stamp"
