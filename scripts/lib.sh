# Shared by the scripts beside it: finds tools, or says what is missing and how to get it. Sourced, never run.

say() { printf '\n\033[1m%s\033[0m\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9;]*m//g'; fi; }

# Debian's packages, each where the command before it is missing.
need_packages() {
    local missing=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null 2>&1 || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

# Through apt where we are root; otherwise the names, and an end.
install_packages() {
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "Installing $*"
        apt-get update -qq && apt-get install -y -qq "$@" >/dev/null
    else
        stop "$*" "on Debian: apt-get install $*"
    fi
}

# What is missing, with a remark; an end.
stop() {
    echo "Missing: $1${2:+ ($2)}. Install it and run this again." >&2
    exit 1
}

# Debian keeps this part of Python in a package of its own.
need_venv() {
    python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
}

# Node.js 20 or newer: its path in `node`. Where the system's is older, one is taken from npm into the given target folder.
need_node() {
    need_packages node=nodejs npm=npm
    node=$(command -v node)
    if [ "$("$node" -p 'parseInt(process.versions.node)')" -lt 20 ]; then
        local version=22.12.0 package
        package="node-linux-$("$node" -p process.arch)"
        node="$1/tools/node_modules/$package/bin/node"
        [ "$("$node" --version 2>/dev/null)" = "v$version" ] ||
            npm install --prefix "$1/tools" --ignore-scripts --no-audit --no-fund --silent "$package@$version"
    fi
    node=$(realpath "$node")
}

# The npm packages of a folder, pinned by hash in its lock file, into another one. No script of theirs runs.
need_modules() {
    cmp -s "$1/package-lock.json" "$2/installed.json" && return
    rm -rf "$2/node_modules" "$2/installed.json"
    cp "$1"/{package.json,package-lock.json,.npmrc} "$2/"
    (cd "$2" && npm ci --ignore-scripts --no-audit --no-fund --silent)
    cp "$1/package-lock.json" "$2/installed.json"
}

# Chromium and its driver, which the console's tests drive; Chrome is as good where it is.
need_browser() {
    command -v google-chrome >/dev/null 2>&1 || need_packages chromium=chromium
    need_packages chromedriver=chromium-driver
}

need_rust() {
    command -v cargo >/dev/null 2>&1 || stop "a Rust toolchain, 1.95 or newer" https://rustup.rs
    need_packages cc=gcc
}
