-- Tables that were made by hand on a managed database often lack the key, and then two app servers that both find a row
-- missing would both make it. Where there is a unique index on the name already, there is nothing to do.
-- (`indnkeyatts` is new in PostgreSQL 11, as columns that an index has without being keys of it.)
do $$
begin
    if not exists (
        select from pg_index
        join pg_attribute on attrelid = indrelid and attnum = indkey[0]
        where indrelid = 'restaurants'::regclass
            and indisunique and coalesce(to_jsonb(pg_index) ->> 'indnkeyatts', indnatts::text) = '1' and indpred is null and attname = 'name'
    ) then
        alter table restaurants add primary key (name);
    end if;
end
$$;
