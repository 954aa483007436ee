# What the measurements here have in common: they read this file with `.`, and have set $root before.
#
# Clusters of this repository's demo, with the limits of config/bench, on ports that are free, configured in $work. All
# of them, and whatever is named in $jobs, end with the script, however that ends.
# shellcheck shell=sh
# shellcheck disable=SC2034  # what is set here is used there

work=$(mktemp -d) || exit 1
jobs=""

end() {
    for process in $jobs; do
        kill "$process" 2>/dev/null
    done
    for process in $jobs; do
        wait "$process" 2>/dev/null
    done
    rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# Sets $chathost: the program that CHATHOST names, or this repository's in release.
find_program() {
    chathost=${CHATHOST:-}
    if [ -z "$chathost" ]; then
        (cd "$root" && cargo build --release --package chathost) || fail "chathost cannot be built"
        chathost=$(cd "$root" && cargo metadata --format-version 1 --no-deps |
            sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release/chathost
    fi
    [ -x "$chathost" ] || fail "$chathost is not a program"
    # As many open files as are allowed: what is started here inherits it.
    ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
}

# whole NAME VALUE: ends the script if the value is no number from 1.
whole() {
    case $2 in
        '' | *[!0-9]* | 0*) fail "$1: '$2' is no number from 1" ;;
    esac
}

# entries TYPE COUNT: the servers of a type, for servers.json.
entries() {
    entry=1
    while [ "$entry" -le "$2" ]; do
        [ "$entry" -eq 1 ] || printf ',\n'
        case $1 in
            chat) place="\"port\": $((6049 + entry))" ;;
            *) place="\"clientPort\": 0, \"frontend\": true" ;;
        esac
        printf '      {"id": "%s-server-%d", "host": "127.0.0.1", %s}' "$1" "$entry" "$place"
        entry=$((entry + 1))
    done
}

# Each server has a thread of its own, or all share so many: THREADS.
# start_cluster NAME CONNECTORS CHATS HEARTBEAT: sets $server (its process), $gate and $connector (where they listen).
start_cluster() {
    folder="$work/$1"
    mkdir "$folder" || exit 1
    for file in "$root"/config/bench/*.json; do
        sed -e '/"id": "master/s/"port": *[0-9][0-9]*/"port": 0/' \
            -e 's/"files": *[0-9][0-9]*/"files": 0/' \
            -e "s/\"threads\": *[0-9][0-9]*/\"threads\": ${THREADS:-0}/" \
            -e "s/\"heartbeat\": *[0-9][0-9]*/\"heartbeat\": $4/" "$file" >"$folder/$(basename "$file")"
    done
    {
        printf '{\n  "development": {\n    "connector": [\n'
        entries connector "$2"
        printf '\n    ],\n    "chat": [\n'
        entries chat "$3"
        printf '\n    ],\n    "gate": [\n'
        entries gate 1
        printf '\n    ]\n  }\n}\n'
    } >"$folder/servers.json"
    "$chathost" start --servers "$folder/servers.json" --directory "$root" \
        </dev/null >"$folder/out" 2>"$folder/log" &
    server=$!
    jobs="$jobs $server"
    tries=0
    # The gate is the last line.
    until grep -qs '^ *gate-server-1 ' "$folder/out"; do
        if [ "$tries" -ge 100 ] || ! kill -0 "$server" 2>/dev/null; then
            cat "$folder/out" "$folder/log" >&2
            fail "the cluster $1 did not start"
        fi
        tries=$((tries + 1))
        sleep 0.1
    done
    gate=127.0.0.1:$(port_of gate-server-1)
    connector=127.0.0.1:$(port_of connector-server-1)
}

port_of() {
    sed -n "s/^ *$1 .* port \([0-9][0-9]*\) .*/\1/p" "$folder/out"
}

# stop_cluster PROCESS NAME: and says what it had to say.
stop_cluster() {
    kill "$1" 2>/dev/null
    wait "$1"
    code=$?
    [ "$code" -eq 0 ] || printf 'the cluster %s ended with %d\n' "$2" "$code" >&2
    left=""
    for process in $jobs; do
        [ "$process" = "$1" ] || left="$left $process"
    done
    jobs=$left
    complaints=$(grep -c -E ' (WARN|ERROR) ' "$work/$2/log")
    if [ "$complaints" -gt 0 ]; then
        printf 'the cluster %s warned %d times; first of:\n' "$2" "$complaints" >&2
        grep -E ' (WARN|ERROR) ' "$work/$2/log" | head -n 1 >&2
    fi
    rm -rf "${work:?}/$2"
}

# figure FILE NAME: a number of the bench's JSON, the first of that name; "-" if there is none.
figure() {
    awk -v key="\"$2\":" 'index($0, key) {
        sub(/.*: */, ""); sub(/,.*/, ""); print; found = 1; exit
    } END { if (!found) print "-" }' "$1"
}
