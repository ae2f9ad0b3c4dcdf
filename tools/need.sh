#!/bin/sh
# need.sh chromium kubectl postgresql: programs of the test suite that no Python package holds; installs them where it may.
set -eu
PATH=$PATH:/usr/sbin

package_of() {
    case $1 in
        apache2) echo apache2-bin ;;
        kubectl) echo kubernetes-client ;;
        shibd) echo libapache2-mod-shib ;;
        *) echo "$1" ;;
    esac
}

is_there() {
    case $1 in
        # Debian keeps the server's programs off PATH, in a folder for each version.
        postgresql) command -v initdb || ls /usr/lib/postgresql/*/bin/initdb ;;
        *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

for program; do
    is_there "$program" && continue
    package=$(package_of "$program")
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing $package, which the tests use."
        apt-get install -y --no-install-recommends "$package" >/dev/null ||
            { apt-get update && apt-get install -y --no-install-recommends "$package"; } >/dev/null
    else
        echo "The tests use $program, and it is not on this machine. On Debian: sudo apt-get install $package" >&2
        exit 1
    fi
done
