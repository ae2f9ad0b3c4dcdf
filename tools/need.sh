#!/bin/sh
# need.sh chromium kubectl: programs of the test suite that no Python package holds; installs them where it may.
set -eu

package_of() {
    case $1 in
        kubectl) echo kubernetes-client ;;
        *) echo "$1" ;;
    esac
}

for program; do
    command -v "$program" >/dev/null && continue
    package=$(package_of "$program")
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing $package, which the tests use."
        apt-get install -y --no-install-recommends "$package" >/dev/null ||
            { apt-get update && apt-get install -y --no-install-recommends "$package"; } >/dev/null
    else
        echo "The tests use $program, and it is not on PATH. On Debian: sudo apt-get install $package" >&2
        exit 1
    fi
done
