# Shared by the scripts beside it: finds tools, or says what is missing and how to get it. Sourced, never run.

say() { printf '\n\033[1m%s\033[0m\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9;]*m//g'; fi; }

# Debian's packages through apt where we are root; otherwise the names, and an end.
need_packages() {
    local missing=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null 2>&1 || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "Installing ${missing[*]}"
        apt-get update -qq && apt-get install -y -qq "${missing[@]}" >/dev/null
    else
        echo "Missing: ${missing[*]}. Install them (Debian: apt-get install ${missing[*]}) and run this again." >&2
        exit 1
    fi
}

need_rust() {
    if ! command -v cargo >/dev/null 2>&1; then
        echo "Missing: a Rust toolchain, 1.95 or newer (https://rustup.rs). Install it and run this again." >&2
        exit 1
    fi
    need_packages cc=gcc
}
