# Shared by the scripts here (sourced, not run): steps that say how to repeat them, tools that are missing.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# step NAME COMMAND...: runs the command and says, before and on failure, how to repeat it.
step() {
    local name=$1
    shift
    echo
    echo "== $name"
    echo "   repeat: $*"
    local began=$SECONDS
    if ! "$@"; then
        echo "== $name FAILED after $((SECONDS - began)) s; repeat it in $PWD: $*" >&2
        exit 1
    fi
    echo "== $name took $((SECONDS - began)) s"
}

# need TOOL HOW: ends the script when the tool is missing, and says how to get it.
need() {
    if ! command -v "$1" >/dev/null; then
        echo "missing: $1. Get it: $2" >&2
        exit 1
    fi
}

need_rust() {
    need cargo "install Rust with rustup, as its site says"
    need cc "a C compiler, on Debian: apt-get install gcc"
}
