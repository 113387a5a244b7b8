#!/bin/sh
# The official image's protocol: options or a configuration file alone are the server's; a server that would run as root
# runs as the user `redis`, who owns the working directory; and without a word to the contrary it answers clients on other
# machines, because a container's network is its fence.
set -eu

case ${1-} in
-* | *.conf) set -- redis-server "$@" ;;
esac

if [ "${1-}" = redis-server ]; then
    if [ "$(id -u)" = 0 ]; then
        find . ! -user redis -exec chown redis '{}' +
        exec setpriv --reuid redis --regid redis --init-groups -- "$0" "$@"
    fi
    umask 077
    case ${2-} in
    '') set -- "$@" --protected-mode no ;;
    --help | -h | --version | -v | --test-memory | --check-system) ;;
    # Before the other options: of two that disagree, the later one holds.
    --*) shift && set -- redis-server --protected-mode no "$@" ;;
    esac
fi

exec "$@"
