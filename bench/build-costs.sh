#!/usr/bin/env bash
# What each way to compile the three programs costs, in time and size, and what it brings, in CPU time for a vote: a table.
# Compiled together, yelb has AWS's SDK, too, which the yelb of the image is without. jemalloc is compiled here, by `make`; yelb-ui's
# image has Debian's.
#
#     bench/build-costs.sh [WAY...]
#
# Each way compiles everything, dependencies too, in a folder of its own below target/build-costs, which takes 1 GB and some
# ten minutes on two cores. What was compiled by an earlier run is only measured: delete the folder to compile again. Votes need
# wrk, and go through yelb to a file. The machine must have nothing else to do.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=$PWD/target/build-costs
passes=5
seconds=3

# The arguments of Cargo for each way.
declare -A of=(
  [shipped]="--release"
  [lto-fat]="--release --config profile.release.lto='fat'"
  [lto-off]="--release --config profile.release.lto='off'"
  [units-16]="--release --config profile.release.codegen-units=16"
  [lto-off-units-16]="--release --config profile.release.lto='off' --config profile.release.codegen-units=16"
  [lto-off-without-aws-sdk]="--release --config profile.release.lto='off' --no-default-features"
  [quick]="--profile quick"
)
ways=("$@")
if [ $# = 0 ]; then
  ways=(shipped lto-fat lto-off units-16 lto-off-units-16 lto-off-without-aws-sdk quick)
fi
for way in "${ways[@]}"; do
  if [ -z "$way" ] || [ -z "${of[$way]:-}" ]; then
    echo "there is no way '$way', but: ${!of[*]}" >&2
    exit 2
  fi
done

for program in wrk make; do
  command -v "$program" > /dev/null || { echo "$program is missing" >&2; exit 1; }
done

# The seconds that it takes, of the clock and of the processors.
build() {
  local times=$folder/$1.time TIMEFORMAT='%R %U'
  [ -e "$times" ] && return
  rm --recursive --force "${folder:?}/$1"
  echo "compiling: $1" >&2
  # shellcheck disable=SC2086 # A list of words.
  { time cargo build --quiet --locked --timings --target-dir "$folder/$1" ${of[$1]} \
      --package yelb --package yelb-appserver --package yelb-ui --features yelb-ui/jemalloc 2>&3; } 3>&2 2>"$times.new"
  mv "$times.new" "$times"
}

program() {
  local profile=release
  [ "$1" = quick ] && profile=quick
  echo "$folder/$1/$profile/$2"
}

# Clock ticks that a process has used.
ticks() {
  awk '{ print $14 + $15 }' "/proc/$1/stat"
}

# The CPU time of one vote in µs, at 32 connections.
vote() {
  local store output server url before after votes
  store=$(mktemp --directory)
  output=$store/output
  touch "$output"
  DATABASE_URL="sqlite:$store/yelb.db" YELB_ADMIN_PORT=off "$(program "$1" yelb)" --port 0 --api-port 0 > "$output" 2>&1 &
  server=$!
  trap 'kill $server' EXIT
  # It prints its address once it can vote.
  until url=$(grep --only-matching --max-count 1 'http://[^ ]*:[0-9]*' "$output"); do
    kill -0 $server || { cat "$output" >&2; exit 1; }
    sleep 0.05
  done
  before=$(ticks $server)
  votes=$(wrk --connections 32 --threads 1 --duration "$seconds" "$url/api/ihop" \
    | awk '/requests in/ { print $1 } /Non-2xx/ { print "not all were votes:", $0 > "/dev/stderr"; exit 1 }')
  after=$(ticks $server)
  trap - EXIT
  kill $server
  wait $server || true
  rm --recursive "$store"
  awk -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" -v votes="$votes" 'BEGIN { printf "%.1f\n", ticks * 1e6 / hz / votes }'
}

mkdir --parents "$folder"
cargo fetch --quiet --locked
for way in "${ways[@]}"; do
  build "$way"
done
for way in "${ways[@]}"; do
  : > "$folder/$way.votes"
done
# All ways in each pass: whatever the machine does besides meets all alike.
for pass in $(seq $passes); do
  echo "votes: pass $pass of $passes" >&2
  for way in "${ways[@]}"; do
    vote "$way" >> "$folder/$way.votes"
  done
done

megabytes() {
  awk -v bytes="$(stat --format %s "$1")" 'BEGIN { printf "%.1f", bytes / 1e6 }'
}
echo "| | build, s | its CPU time, s | yelb, MB | yelb-appserver, MB | yelb-ui, MB | CPU time of a vote, µs |"
echo "|---|---|---|---|---|---|---|"
for way in "${ways[@]}"; do
  read -r wall cpu < "$folder/$way.time"
  printf '| %s | %.0f | %.0f | %s | %s | %s | %s |\n' "$way" "$wall" "$cpu" "$(megabytes "$(program "$way" yelb)")" \
    "$(megabytes "$(program "$way" yelb-appserver)")" "$(megabytes "$(program "$way" yelb-ui)")" \
    "$(sort --numeric-sort "$folder/$way.votes" | sed --quiet "$(((passes + 1) / 2))p")"
done
