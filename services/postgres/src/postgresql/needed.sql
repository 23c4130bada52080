wanted (n, kind, space, name, args) AS ({wanted}),
needed AS (
    SELECT w.n, w.kind, s.oid AS space, w.name, w.args FROM wanted AS w LEFT JOIN pg_catalog.pg_namespace AS s ON s.nspname = w.space::pg_catalog.name
),
found (n, name, detail) AS (
    SELECT w.n, c.relname, NULL
    FROM needed AS w JOIN pg_catalog.pg_class AS c ON c.relnamespace = w.space AND (w.name IS NULL OR c.relname = w.name::pg_catalog.name)
    WHERE w.kind = 'SEQUENCE' AND c.relkind = 'S' OR w.kind = 'TABLE' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION ALL
    SELECT w.n, p.proname, pg_catalog.oidvectortypes(p.proargtypes)
    FROM needed AS w JOIN pg_catalog.pg_proc AS p
    ON p.pronamespace = w.space AND p.proname = w.name::pg_catalog.name AND p.proargtypes::pg_catalog.text = w.args
    WHERE w.kind = CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END
    UNION ALL
    SELECT w.n, s.nspname, NULL FROM needed AS w JOIN pg_catalog.pg_namespace AS s ON s.nspname = w.name::pg_catalog.name WHERE w.kind = 'SCHEMA'
    UNION ALL
    SELECT w.n, d.datname, NULL FROM needed AS w JOIN pg_catalog.pg_database AS d ON d.datname = w.name::pg_catalog.name WHERE w.kind = 'DATABASE'
),
