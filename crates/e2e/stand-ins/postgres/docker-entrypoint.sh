#!/bin/bash
# The official image's protocol, as far as it is documented at https://hub.docker.com/_/postgres: an empty $PGDATA becomes a
# database with the login of POSTGRES_USER and POSTGRES_PASSWORD, completed by /docker-entrypoint-initdb.d, before anyone
# outside of the container can reach it.
set -euo pipefail

fail() {
    echo "$0: $*" >&2
    exit 1
}

# Gives the variable $1 the content of the file that $1_FILE names, or else what it has, or else $2.
from_file() {
    local name=$1 file=$1_FILE default=${2-}
    if [ -n "${!file-}" ]; then
        [ -z "${!name-}" ] || fail "$name and $file exclude each other"
        printf -v "$name" %s "$(<"${!file}")"
    fi
    printf -v "$name" %s "${!name:-$default}"
    unset "$file"
}

# Makes the database, with a login that needs its password from everywhere but this container.
make_database() {
    local method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
    [ -n "$POSTGRES_PASSWORD" ] || [ "$method" = trust ] || fail 'POSTGRES_PASSWORD is not set'

    local login=(--username "$POSTGRES_USER")
    [ -z "$POSTGRES_PASSWORD" ] || login+=(--pwfile /dev/stdin)
    # Several options in one variable, hence without quotes.
    # shellcheck disable=SC2086
    initdb --pgdata "$PGDATA" "${login[@]}" ${POSTGRES_INITDB_ARGS-} <<<"$POSTGRES_PASSWORD"
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
}

query() {
    psql --set ON_ERROR_STOP=1 --no-psqlrc --no-password --quiet --username "$POSTGRES_USER" "$@"
}

complete_database() {
    # Only the socket is listened on: a client that waits for the database does not meet a half-made one.
    pg_ctl --pgdata "$PGDATA" --wait --options "-c listen_addresses=''" start

    # Scripts call psql as well.
    export PGPASSWORD=$POSTGRES_PASSWORD
    export POSTGRES_USER POSTGRES_DB POSTGRES_PASSWORD
    if [ "$POSTGRES_DB" != postgres ]; then
        query --dbname postgres --set "name=$POSTGRES_DB" <<<'create database :"name"'
    fi
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        echo "$0: $file"
        case $file in
        *.sh)
            if [ -x "$file" ]; then
                "$file"
            else
                # shellcheck source=/dev/null
                . "$file"
            fi
            ;;
        *.sql) query --dbname "$POSTGRES_DB" --file "$file" ;;
        *.sql.gz) gunzip --stdout "$file" | query --dbname "$POSTGRES_DB" ;;
        *) echo "$0: $file is left out" ;;
        esac
    done
    unset PGPASSWORD

    pg_ctl --pgdata "$PGDATA" --wait --mode fast stop
}

case ${1-} in
-*) set -- postgres "$@" ;;
esac
[ "${1-}" = postgres ] || exec "$@"

if [ "$(id -u)" = 0 ]; then
    install --directory --owner postgres --group postgres --mode 700 "$PGDATA"
    install --directory --owner postgres --group postgres --mode 3775 /var/run/postgresql
    find "$PGDATA" ! -user postgres -exec chown postgres '{}' +
    exec setpriv --reuid postgres --regid postgres --init-groups -- "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    from_file POSTGRES_PASSWORD
    from_file POSTGRES_USER postgres
    from_file POSTGRES_DB "$POSTGRES_USER"
    shopt -s nullglob
    make_database
    complete_database
fi
unset POSTGRES_PASSWORD
exec "$@"
