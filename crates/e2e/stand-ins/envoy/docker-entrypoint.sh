#!/bin/sh
# The official image's protocol: options alone are Envoy's, $loglevel is the level of its log, and Envoy that would run as
# root runs as the user `envoy` unless ENVOY_UID says otherwise.
set -eu

case ${1-} in
-*) set -- envoy "$@" ;;
esac

if [ "${1-}" = envoy ]; then
    if [ -n "${loglevel-}" ]; then
        set -- "$@" --log-level "$loglevel"
    fi
    user=${ENVOY_UID-101}
    if [ "$(id -u)" = 0 ] && [ "$user" != 0 ]; then
        # Its log goes there, and what root opened another user may not open again.
        chown "$user" /dev/stdout /dev/stderr 2>/dev/null || :
        set -- setpriv --reuid "$user" --regid "${ENVOY_GID-101}" --clear-groups -- "$@"
    fi
fi

exec "$@"
