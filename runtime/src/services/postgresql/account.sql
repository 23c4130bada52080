WITH RECURSIVE
wanted (n, kind, space, name, args) AS ({wanted}),
-- The roles that the account is, and those that it can become, with or without inheriting: `start` is who it is, `way` what that was made a member of.
member (oid, start, way) AS (
    SELECT oid, oid, NULL::pg_catalog.oid FROM pg_catalog.pg_roles WHERE rolname IN (CURRENT_USER, SESSION_USER)
    UNION
    SELECT m.roleid, member.start, COALESCE(member.way, m.roleid)
    FROM pg_catalog.pg_auth_members AS m JOIN member ON m.member = member.oid
),
role (oid, name, start, way, inherits) AS (
    SELECT DISTINCT ON (r.oid) r.oid, r.rolname, s.rolname, w.rolname, pg_catalog.pg_has_role(CURRENT_USER, r.oid, 'USAGE')
    FROM member JOIN pg_catalog.pg_roles AS r ON r.oid = member.oid JOIN pg_catalog.pg_roles AS s ON s.oid = member.start
    LEFT JOIN pg_catalog.pg_roles AS w ON w.oid = member.way
    ORDER BY r.oid, member.way NULLS FIRST, member.start
),
power (name, role, is_attribute) AS (
    SELECT a.name, r.oid, true
    FROM pg_catalog.pg_roles AS r CROSS JOIN LATERAL (VALUES
        ('SUPERUSER', r.rolsuper), ('CREATEROLE', r.rolcreaterole), ('CREATEDB', r.rolcreatedb),
        ('REPLICATION', r.rolreplication), ('BYPASSRLS', r.rolbypassrls)
    ) AS a (name, has)
    WHERE a.has AND r.oid IN (SELECT oid FROM role)
    UNION ALL
    SELECT name, oid, false FROM role WHERE pg_catalog.left(name::pg_catalog.text, 3) = 'pg_' OR name IN ({managed})
),
-- A superuser owns everything: there is no end of telling it.
mine (oids) AS (
    SELECT CASE WHEN EXISTS (SELECT FROM power WHERE name = 'SUPERUSER') THEN '{}' ELSE pg_catalog.array_agg(oid) END FROM role
),
found (n, name, detail) AS (
    SELECT w.n, c.relname, NULL
    FROM wanted AS w JOIN pg_catalog.pg_namespace AS s ON s.nspname = w.space
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = s.oid AND (w.name IS NULL OR c.relname = w.name)
    WHERE w.kind = 'SEQUENCE' AND c.relkind = 'S' OR w.kind = 'TABLE' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION ALL
    SELECT w.n, p.proname, pg_catalog.oidvectortypes(p.proargtypes)
    FROM wanted AS w JOIN pg_catalog.pg_namespace AS s ON s.nspname = w.space
    JOIN pg_catalog.pg_proc AS p ON p.pronamespace = s.oid AND p.proname = w.name AND p.proargtypes::pg_catalog.text = w.args
    WHERE w.kind = CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END
    UNION ALL
    SELECT w.n, s.nspname, NULL FROM wanted AS w JOIN pg_catalog.pg_namespace AS s ON s.nspname = w.name WHERE w.kind = 'SCHEMA'
    UNION ALL
    SELECT w.n, d.datname, NULL FROM wanted AS w JOIN pg_catalog.pg_database AS d ON d.datname = w.name WHERE w.kind = 'DATABASE'
),
-- `initial` is what the object's access list was when PostgreSQL or an extension had made it. In pg_catalog, only what differs from it is looked at.
object (kind, space, name, detail, owner, acl, initial, mark) AS (
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, s.nspname, c.relname, NULL, c.relowner, c.relacl, i.initprivs,
        CASE WHEN c.relrowsecurity AND c.relforcerowsecurity THEN 'forced'
             WHEN c.relrowsecurity THEN 'policies'
             -- It belongs to a column, and changes its owner with the table.
             WHEN c.relkind = 'S' AND EXISTS (
                SELECT FROM pg_catalog.pg_depend AS d
                WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')
             ) THEN 'part'
        END
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_init_privs AS i
    ON i.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND i.objoid = c.oid AND i.objsubid = 0
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    AND (c.relacl IS NOT NULL OR c.relowner = ANY ((SELECT oids FROM mine)::pg_catalog.oid[]))
    AND (s.nspname <> 'pg_catalog' OR c.relacl IS DISTINCT FROM i.initprivs)
    UNION ALL
    SELECT 'COLUMN', s.nspname, c.relname, a.attname, c.relowner, a.attacl, i.initprivs, NULL
    FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_init_privs AS i
    ON i.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND i.objoid = c.oid AND i.objsubid = a.attnum
    WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND (s.nspname <> 'pg_catalog' OR a.attacl IS DISTINCT FROM i.initprivs)
    UNION ALL
    SELECT CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, s.nspname, p.proname,
        pg_catalog.oidvectortypes(p.proargtypes), p.proowner,
        COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner)), i.initprivs,
        CASE WHEN p.prosecdef THEN 'definer' END
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS s ON s.oid = p.pronamespace
    LEFT JOIN pg_catalog.pg_init_privs AS i
    ON i.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND i.objoid = p.oid AND i.objsubid = 0
    WHERE CASE s.nspname WHEN 'pg_catalog' THEN p.proacl IS DISTINCT FROM i.initprivs AND i.initprivs IS NOT NULL
        ELSE p.proacl IS NOT NULL OR p.prosecdef OR p.proowner = ANY ((SELECT oids FROM mine)::pg_catalog.oid[])
            OR p.proname IN (SELECT name FROM wanted)
    END
    UNION ALL
    SELECT 'SCHEMA', NULL, nspname, NULL, nspowner, nspacl, NULL, NULL FROM pg_catalog.pg_namespace
    UNION ALL
    SELECT 'DATABASE', NULL, datname, NULL, datdba, COALESCE(datacl, pg_catalog.acldefault('d', datdba)), NULL, NULL
    FROM pg_catalog.pg_database
    UNION ALL
    SELECT 'FOREIGN SERVER', NULL, srvname, NULL, srvowner, srvacl, NULL, NULL FROM pg_catalog.pg_foreign_server
    UNION ALL
    SELECT 'FOREIGN DATA WRAPPER', NULL, fdwname, NULL, fdwowner, fdwacl, NULL, NULL FROM pg_catalog.pg_foreign_data_wrapper
    UNION ALL
    SELECT 'LANGUAGE', NULL, lanname, NULL, lanowner, lanacl, NULL, NULL FROM pg_catalog.pg_language
    UNION ALL
    SELECT 'TABLESPACE', NULL, spcname, NULL, spcowner, spcacl, NULL, NULL FROM pg_catalog.pg_tablespace
),
held (kind, space, name, detail, privileges, grantee, mark) AS (
    SELECT o.kind, o.space, o.name, o.detail, x.privileges, x.grantee,
        CASE WHEN x.is_usual THEN 'usual'
             WHEN o.space = 'pg_catalog' OR o.kind IN ('FUNCTION', 'PROCEDURE') AND NOT EXISTS (
                SELECT FROM pg_catalog.aclexplode(COALESCE(o.initial, pg_catalog.acldefault('f', o.owner))) AS e WHERE e.grantee = 0
             ) THEN 'restricted'
             ELSE o.mark
        END
    FROM object AS o CROSS JOIN LATERAL (
        SELECT y.grantee, y.is_usual,
            pg_catalog.string_agg(y.privilege || CASE WHEN y.is_grantable THEN '*' ELSE '' END, ',' ORDER BY y.privilege) AS privileges
        FROM (
            SELECT e.grantee, e.privilege_type AS privilege, pg_catalog.bool_or(e.is_grantable) AS is_grantable,
                (e.grantee = 0 AND (
                    o.kind = 'DATABASE' AND e.privilege_type IN ('CONNECT', 'TEMPORARY')
                    OR o.kind IN ('FUNCTION', 'PROCEDURE') AND o.mark IS NULL AND o.initial IS NULL
                    OR o.kind = 'SCHEMA' AND o.name IN ('public', 'pg_catalog') AND e.privilege_type = 'USAGE'
                    OR o.kind = 'LANGUAGE'
                ) OR EXISTS (
                    SELECT FROM pg_catalog.aclexplode(o.initial) AS i
                    WHERE i.grantee = e.grantee AND i.privilege_type = e.privilege_type
                )) AS is_usual
            FROM pg_catalog.aclexplode(o.acl) AS e
            WHERE e.grantee <> o.owner AND (e.grantee = 0 OR e.grantee = ANY ((SELECT oids FROM mine)::pg_catalog.oid[]))
            GROUP BY e.grantee, e.privilege_type
        ) AS y
        GROUP BY y.grantee, y.is_usual
    ) AS x
    WHERE o.acl IS NOT NULL
    UNION ALL
    SELECT kind, space, name, detail, 'OWNERSHIP', owner, mark
    FROM object WHERE kind <> 'COLUMN' AND owner = ANY ((SELECT oids FROM mine)::pg_catalog.oid[])
    UNION ALL
    -- The catalog of the privileges on settings (6243) is there since PostgreSQL 15, and this one always.
    SELECT 'PARAMETER', NULL, (pg_catalog.pg_identify_object(classid, objid, 0)).identity, NULL, 'ALL', refobjid, 'restricted'
    FROM pg_catalog.pg_shdepend
    WHERE classid = 6243 AND deptype = 'a' AND refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
    AND refobjid = ANY ((SELECT oids FROM mine)::pg_catalog.oid[])
)
SELECT fact, mark, privileges, kind, space, name, detail, holder, start, way, inherits FROM (
    SELECT 0 AS rank, 'self' AS fact, NULL AS mark, pg_catalog.current_setting('server_version') AS privileges,
        (SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid())::pg_catalog.text AS kind,
        pg_catalog.current_database()::pg_catalog.text AS space, CURRENT_USER::pg_catalog.text AS name,
        SESSION_USER::pg_catalog.text AS detail,
        (SELECT pg_catalog.count(*) FROM pg_catalog.pg_roles WHERE rolname IN (CURRENT_USER, SESSION_USER))::pg_catalog.text AS holder,
        pg_catalog.set_config('statement_timeout', '{timeout}', false) AS start, NULL AS way, NULL AS inherits
    UNION ALL
    SELECT 1, 'power', CASE WHEN p.is_attribute THEN 'attribute' ELSE 'member' END, p.name, NULL, NULL, NULL, NULL,
        r.name::pg_catalog.text, r.start::pg_catalog.text, r.way::pg_catalog.text, r.inherits::pg_catalog.text
    FROM power AS p JOIN role AS r ON r.oid = p.role
    UNION ALL
    SELECT 2, 'found', n::pg_catalog.text, NULL, NULL, NULL, name::pg_catalog.text, detail, NULL, NULL, NULL, NULL FROM found
    UNION ALL
    SELECT CASE WHEN EXISTS (SELECT FROM wanted AS w WHERE w.space = h.space AND (w.name IS NULL OR w.name = h.name)) THEN 3 ELSE 4 END,
        'held', h.mark, h.privileges, h.kind, h.space::pg_catalog.text, h.name::pg_catalog.text, h.detail::pg_catalog.text,
        r.name::pg_catalog.text, r.start::pg_catalog.text, r.way::pg_catalog.text, r.inherits::pg_catalog.text
    FROM held AS h LEFT JOIN role AS r ON r.oid = h.grantee
    WHERE COALESCE(h.space, '') <> 'information_schema' AND pg_catalog.left(COALESCE(h.space, h.name)::pg_catalog.text, 7) NOT IN ('pg_temp', 'pg_toas')
    AND NOT (h.kind = 'SCHEMA' AND h.name IN ('pg_catalog', 'information_schema'))
    AND (h.mark IS DISTINCT FROM 'usual' OR h.kind = 'SCHEMA'
        OR EXISTS (SELECT FROM wanted AS w WHERE w.space = h.space AND (w.name IS NULL OR w.name = h.name)))
) AS answer
ORDER BY rank, kind, space, name, detail, mark, holder
LIMIT {most}
