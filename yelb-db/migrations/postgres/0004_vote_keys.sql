-- The Idempotency-Key of each vote that carried one, and the answer it got: a retry is answered from here and not counted
-- again. Written in the statement that counts the vote, kept for a day.
-- (`if not exists`, as in all of these: the image's script has applied them without recording that it did.)
create table if not exists vote_keys (
    key text primary key,
    name char(30) not null,
    count bigint not null,
    counted_at timestamptz not null default now()
);

create index if not exists vote_keys_by_age on vote_keys (counted_at);
