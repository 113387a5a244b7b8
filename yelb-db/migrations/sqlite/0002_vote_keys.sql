-- The Idempotency-Key of each vote that carried one, and the answer it got: a retry is answered from here and not counted
-- again. Written in the transaction that counts the vote, kept for a day.
create table vote_keys (
    key text primary key,
    name text not null,
    count integer not null,
    counted_at integer not null default (unixepoch())
) strict, without rowid;

create index vote_keys_by_age on vote_keys (counted_at);
