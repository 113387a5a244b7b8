-- The Idempotency-Key of each vote that carried one, and the answer it got: a retry is answered from here and not counted
-- again. Written in the statement that counts the vote, kept for a day.
create table vote_keys (
    key text primary key,
    name char(30) not null,
    count bigint not null,
    counted_at timestamptz not null default now()
);

create index vote_keys_by_age on vote_keys (counted_at);
