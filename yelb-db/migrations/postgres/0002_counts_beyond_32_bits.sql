-- The original's integer ends at 2,147,483,647 and every vote after that fails. Its statements work on a bigint as well.
alter table restaurants
    alter column count type bigint,
    alter column count set default 0;
