#!/bin/sh
# Makes the database of the original's name with our schema and a row for each of the original's restaurants.
# Run once, by the base image's entry point, when the volume is empty.
#
# The app server applies the same migrations when it finds none recorded; each of them leaves alone what is there.
set -eu

migrations=${YELB_MIGRATIONS:-/usr/local/share/yelb/migrations}

run() {
    psql --set ON_ERROR_STOP=1 --no-psqlrc --quiet --username "${POSTGRES_USER:-postgres}" "$@"
}

run --dbname postgres --command 'create database yelbdatabase'
for migration in "$migrations"/*.sql; do
    run --dbname yelbdatabase --single-transaction --file "$migration"
done
run --dbname yelbdatabase --command "
    insert into restaurants (name, count)
    values ('outback', 0), ('bucadibeppo', 0), ('chipotle', 0), ('ihop', 0)"
