#!/bin/sh
# need.sh chromium kubectl postgresql: programs of the test suite that no Python package holds; installs them where it may.
set -eu
PATH=$PATH:/usr/sbin

package_of() {
    case $1 in
        apache2) echo apache2-bin ;;
        configurable-http-proxy) echo node-configurable-http-proxy ;;
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

missing=
for program; do
    is_there "$program" || missing="$missing $(package_of "$program")"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing$missing, which the tests use."
    # Nobody is asked anything, such as a password for the directory.
    export DEBIAN_FRONTEND=noninteractive
    install="apt-get install -y --no-install-recommends $missing"
    $install >/dev/null || { apt-get update && $install; } >/dev/null
else
    echo "The tests use what is not on this machine. On Debian: sudo apt-get install$missing" >&2
    exit 1
fi
