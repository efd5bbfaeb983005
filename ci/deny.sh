# shellcheck shell=bash
# For the checks that need cargo-deny: sets $deny to the program, which is built once. If it cannot
# be built, the check ends as not run.
deny=${GH_TOOLS:?run ci/checks}/bin/cargo-deny deny_version=0.20.2
if [ "$("$deny" --version 2>/dev/null)" != "cargo-deny $deny_version" ]; then
    log=$(mktemp)
    echo "building cargo-deny into $GH_TOOLS: some minutes, once" >&2
    # Build from /, because the flags in .cargo/config.toml are only for the programs of this
    # project.
    if ! (cd / && env -u CARGO_TARGET_DIR cargo install --locked --quiet --root "$GH_TOOLS" \
        "cargo-deny@$deny_version") >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        echo "cannot install cargo-deny from crates.io" >&3
        exit 77
    fi
    rm -f "$log"
fi
