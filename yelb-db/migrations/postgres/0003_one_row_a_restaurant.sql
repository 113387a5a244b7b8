-- Tables that were made by hand on a managed database often lack the key, and then two app servers that both find a row
-- missing would both make it. Where there is a unique index on the name already, there is nothing to do.
do $$
begin
    if not exists (
        select from pg_index
        join pg_attribute on attrelid = indrelid and attnum = indkey[0]
        where indrelid = 'restaurants'::regclass
            and indisunique and indnkeyatts = 1 and indpred is null and attname = 'name'
    ) then
        alter table restaurants add primary key (name);
    end if;
end
$$;
