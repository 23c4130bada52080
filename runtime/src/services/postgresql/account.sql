WITH RECURSIVE
{needed}-- The roles that the account is, and those that it can become, with or without inheriting: `start` is who it is, `way` what that was made a member of.
member (oid, start, way) AS (
    SELECT oid, oid, NULL::pg_catalog.oid FROM pg_catalog.pg_roles WHERE rolname IN (CURRENT_USER, SESSION_USER)
    UNION
    SELECT m.roleid, member.start, COALESCE(member.way, m.roleid)
    FROM pg_catalog.pg_auth_members AS m JOIN member ON m.member = member.oid
),
role AS (
    SELECT DISTINCT ON (r.oid) r.oid, r.rolname, r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolbypassrls,
        member.start, member.way
    FROM member JOIN pg_catalog.pg_roles AS r ON r.oid = member.oid
    ORDER BY r.oid, member.way NULLS FIRST, member.start
),
-- A superuser owns everything: there is no end of telling it.
mine (oids) AS (
    SELECT CASE WHEN pg_catalog.bool_or(rolsuper) THEN '{}' ELSE pg_catalog.array_agg(oid) END FROM role
),
-- Whatever is in one of these is everybody's, or nobody else's.
hidden (oids) AS (
    SELECT pg_catalog.array_agg(oid) FROM pg_catalog.pg_namespace
    WHERE nspname = 'information_schema' OR pg_catalog.left(nspname::pg_catalog.text, 7) IN ('pg_temp', 'pg_toas')
),
-- pg_class is 1259, pg_proc 1255, pg_namespace 2615, pg_database 1262, pg_language 2612; and the schema pg_catalog is 11.
object (class, oid, sub, kind, space, name, part, owner, acl, mark) AS (
    SELECT 1259, c.oid, 0, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.relnamespace, c.relname, NULL::pg_catalog.text,
        c.relowner, c.relacl,
        CASE WHEN c.relrowsecurity AND c.relforcerowsecurity THEN 'forced'
             WHEN c.relrowsecurity THEN 'policies'
             -- It belongs to a column, and changes its owner with the table.
             WHEN c.relkind = 'S' AND EXISTS (
                SELECT FROM pg_catalog.pg_depend AS d
                WHERE d.classid = 1259 AND d.objid = c.oid AND d.refclassid = 1259 AND d.deptype IN ('a', 'i')
             ) THEN 'part'
        END
    FROM pg_catalog.pg_class AS c
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    AND (c.relacl IS NOT NULL OR c.relowner = ANY ((SELECT oids FROM mine)::pg_catalog.oid[]))
    UNION ALL
    SELECT 1259, a.attrelid, a.attnum, 'COLUMN', c.relnamespace, c.relname, a.attname::pg_catalog.text, c.relowner, a.attacl, NULL
    FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
    WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
    UNION ALL
    SELECT 1255, p.oid, 0, CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, p.pronamespace, p.proname,
        pg_catalog.oidvectortypes(p.proargtypes), p.proowner, COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner)),
        CASE WHEN p.prosecdef THEN 'definer' END
    FROM pg_catalog.pg_proc AS p
    -- Those below 16384 are PostgreSQL's own, some thousands: of them, those that were kept for administrators, came to another owner, or are elsewhere now.
    WHERE p.oid >= 16384 AND (p.proacl IS NOT NULL OR p.prosecdef OR p.proowner = ANY ((SELECT oids FROM mine)::pg_catalog.oid[]))
        OR p.oid = ANY (ARRAY(
            SELECT objoid FROM pg_catalog.pg_init_privs WHERE classoid = 1255
            UNION ALL
            SELECT objid FROM pg_catalog.pg_shdepend
            WHERE classid = 1255 AND refclassid = 1260 AND refobjid = ANY ((SELECT oids FROM mine)::pg_catalog.oid[])
            UNION ALL
            SELECT oid FROM pg_catalog.pg_proc WHERE oid < 16384 AND pronamespace <> 11
        )){or_needed_name}
    UNION ALL
    SELECT 2615, oid, 0, 'SCHEMA', oid, nspname, NULL, nspowner, nspacl, NULL FROM pg_catalog.pg_namespace WHERE oid <> 11
    UNION ALL
    SELECT 1262, oid, 0, 'DATABASE', NULL, datname, NULL, datdba, COALESCE(datacl, pg_catalog.acldefault('d', datdba)), NULL
    FROM pg_catalog.pg_database
    UNION ALL
    SELECT 1417, oid, 0, 'FOREIGN SERVER', NULL, srvname, NULL, srvowner, srvacl, NULL FROM pg_catalog.pg_foreign_server
    UNION ALL
    SELECT 2328, oid, 0, 'FOREIGN DATA WRAPPER', NULL, fdwname, NULL, fdwowner, fdwacl, NULL FROM pg_catalog.pg_foreign_data_wrapper
    UNION ALL
    SELECT 2612, oid, 0, 'LANGUAGE', NULL, lanname, NULL, lanowner, lanacl, NULL FROM pg_catalog.pg_language
    UNION ALL
    SELECT 1213, oid, 0, 'TABLESPACE', NULL, spcname, NULL, spcowner, spcacl, NULL FROM pg_catalog.pg_tablespace
),
held (mark, privilege, kind, space, name, part, holder) AS (
    -- `initprivs` is what the object's access list was when PostgreSQL or an extension had made it. In pg_catalog, only what differs from it is looked at.
    SELECT CASE WHEN e.grantee = 0 AND CASE o.class
                    WHEN 1255 THEN o.mark IS NULL AND i.initprivs IS NULL
                    WHEN 1262 THEN e.privilege_type IN ('CONNECT', 'TEMPORARY')
                    WHEN 2612 THEN true
                    WHEN 2615 THEN o.name = 'public' AND e.privilege_type = 'USAGE'
                END OR EXISTS (
                   SELECT FROM pg_catalog.aclexplode(i.initprivs) AS was
                   WHERE was.grantee = e.grantee AND was.privilege_type = e.privilege_type
                ) THEN 'usual'
                WHEN o.space = 11 OR o.class = 1255 AND i.initprivs IS NOT NULL
                    AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(i.initprivs) AS was WHERE was.grantee = 0) THEN 'restricted'
                ELSE o.mark
        END,
        e.privilege_type || CASE WHEN e.is_grantable THEN '*' ELSE '' END, o.kind, o.space, o.name, o.part, e.grantee
    FROM object AS o
    LEFT JOIN pg_catalog.pg_init_privs AS i
    ON i.objoid = o.oid AND i.classoid = o.class AND i.objsubid = o.sub AND o.class IN (1255, 1259)
    CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) AS e
    WHERE e.grantee <> o.owner AND (e.grantee = 0 OR e.grantee = ANY ((SELECT oids FROM mine)::pg_catalog.oid[]))
    AND (o.space <> 11 OR o.acl IS DISTINCT FROM i.initprivs AND (o.class <> 1255 OR i.initprivs IS NOT NULL)) IS NOT FALSE
    UNION ALL
    SELECT mark, 'OWNERSHIP', kind, space, name, part, owner FROM object
    WHERE sub = 0 AND owner = ANY ((SELECT oids FROM mine)::pg_catalog.oid[])
    UNION ALL
    -- The catalog of the privileges on settings (6243) is there since PostgreSQL 15, and this one always.
    SELECT 'restricted', 'ALL', 'PARAMETER', NULL, (pg_catalog.pg_identify_object(classid, objid, 0)).identity, NULL, refobjid
    FROM pg_catalog.pg_shdepend
    WHERE classid = 6243 AND deptype = 'a' AND refclassid = 1260 AND refobjid = ANY ((SELECT oids FROM mine)::pg_catalog.oid[])
)
SELECT fact, mark, privileges, kind, COALESCE(place, n.nspname::pg_catalog.text) AS space, name, detail,
    COALESCE(bound, r.rolname::pg_catalog.text) AS holder, s.rolname::pg_catalog.text AS start, w.rolname::pg_catalog.text AS way,
    pg_catalog.pg_has_role(CURRENT_USER, r.oid, 'USAGE')::pg_catalog.text AS inherits
FROM (
    SELECT 0 AS rank, 'self' AS fact, (SELECT pg_catalog.count(*) FROM member WHERE way IS NULL)::pg_catalog.text AS mark,
        pg_catalog.current_setting('server_version') AS privileges,
        (SELECT ssl FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()))::pg_catalog.text AS kind,
        NULL::pg_catalog.oid AS space, CURRENT_USER::pg_catalog.text AS name, SESSION_USER::pg_catalog.text AS detail,
        pg_catalog.current_database()::pg_catalog.text AS place,
        pg_catalog.set_config('statement_timeout', '{timeout}', false) AS bound, NULL::pg_catalog.oid AS holder
    UNION ALL
    SELECT 1, 'power', a.kind, a.name, NULL, NULL, NULL, NULL, NULL, NULL, r.oid
    FROM role AS r CROSS JOIN LATERAL (VALUES
        ('attribute', 'SUPERUSER', r.rolsuper), ('attribute', 'CREATEROLE', r.rolcreaterole), ('attribute', 'CREATEDB', r.rolcreatedb),
        ('attribute', 'REPLICATION', r.rolreplication), ('attribute', 'BYPASSRLS', r.rolbypassrls),
        ('member', r.rolname::pg_catalog.text, pg_catalog.left(r.rolname::pg_catalog.text, 3) = 'pg_' OR r.rolname IN ({managed}))
    ) AS a (kind, name, has)
    WHERE a.has
    UNION ALL{found}
    SELECT {rank}, 'held', mark, pg_catalog.string_agg(DISTINCT privilege, ',' ORDER BY privilege), kind, space, name, part, NULL, NULL, holder
    FROM held
    WHERE (space <> ALL ((SELECT oids FROM hidden)::pg_catalog.oid[])) IS NOT FALSE AND (mark IS DISTINCT FROM 'usual' OR kind = 'SCHEMA'{or_needed})
    GROUP BY mark, kind, space, name, part, holder
) AS answer
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = answer.space AND answer.kind <> 'SCHEMA'
LEFT JOIN role AS r ON r.oid = answer.holder LEFT JOIN role AS s ON s.oid = r.start LEFT JOIN role AS w ON w.oid = r.way
ORDER BY rank, kind, space, name, detail, mark, holder
LIMIT {most}
