-- Keys are forgotten a table at a time, which gives their space back at once. Two tables take turns: one takes new keys while
-- the other keeps those of before, and is emptied when they change places. Keys that are there stay where they are.
-- When a key came is not asked any more; the index of that took a sixth of the space.
create table if not exists vote_keys_2 (
    key text primary key,
    name char(30) not null,
    count bigint not null
);

drop index if exists vote_keys_by_age;
-- (The column stays, and takes no space where it is null: the image's script leaves 0004 to be applied once more.)
alter table vote_keys
    alter column counted_at drop not null,
    alter column counted_at drop default;

-- One row: whether the second table takes new keys, and since when the one that does has taken them.
create table if not exists vote_keys_turn (
    id integer primary key check (id = 1),
    second boolean not null,
    since timestamptz not null
);

insert into vote_keys_turn (id, second, since) values (1, false, now()) on conflict do nothing;
