# shellcheck shell=bash
# For the checks that need cargo-deny: $deny is the program, built once. Ends the check as not run where it cannot be built.
deny=${GH_TOOLS:?run ci/checks}/bin/cargo-deny deny_version=0.20.2
if [ "$("$deny" --version 2>/dev/null)" != "cargo-deny $deny_version" ]; then
    log=$(mktemp)
    echo "building cargo-deny into $GH_TOOLS: some minutes, once" >&2
    # Not from here: the flags in .cargo/config.toml are for the programs of this project.
    if ! (cd / && env -u CARGO_TARGET_DIR cargo install --locked --quiet --root "$GH_TOOLS" \
        "cargo-deny@$deny_version") >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        echo "cargo-deny cannot be installed from crates.io here" >&3
        exit 77
    fi
    rm -f "$log"
fi
