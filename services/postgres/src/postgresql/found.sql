
    SELECT 2, 'found', n::pg_catalog.text, NULL, NULL, NULL, name::pg_catalog.text, detail, NULL, NULL, NULL FROM found
    UNION ALL